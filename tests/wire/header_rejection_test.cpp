// Each rule by which a header is refused, with a frame made for it.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/wire/header.hpp>

#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::from_hex;
using weft::wire::test::header_with;
using weft::wire::test::packed;

namespace {

Rejection rejection(const std::string& frame) {
  Header out;
  return decode(as_bytes(frame), out);
}
Rejection of_hex(std::string_view hex) {
  return rejection(from_hex(hex));
}
// A valid header but for one option: its key and value in hex.
Rejection of_option(std::string_view hex) {
  return rejection(header_with(1, from_hex(hex)));
}

constexpr std::string_view kStart = "96cd5746 02 a173 01 02";

}  // namespace

TEST_CASE("the header that the following cases spoil is accepted") {
  CHECK(of_hex("96cd5746 02 a173 01 02 80") == Rejection::none);
  CHECK(of_option("01 05") == Rejection::none);
}

TEST_CASE("bytes without the magic are refused at once") {
  CHECK(of_hex("") == Rejection::bad_magic);
  CHECK(of_hex("96cd57") == Rejection::bad_magic);
  CHECK(of_hex("95cd5746 02 a173 01 02 80") == Rejection::bad_magic);
  CHECK(of_hex("97cd5746 02 a173 01 02 80 00") == Rejection::bad_magic);
  CHECK(of_hex("dc0006cd5746 02 a173 01 02 80") == Rejection::bad_magic);
  CHECK(of_hex("96cd5747 02 a173 01 02 80") == Rejection::bad_magic);
  CHECK(rejection("GET / HTTP/1.1\r\n\r\n") == Rejection::bad_magic);
}

TEST_CASE("a header over 4096 bytes is refused, whatever it holds") {
  // Four unknown options of 1000 bytes are within the limit, with a fifth they are not.
  std::string options;
  for (std::uint64_t key = 100; key < 104; ++key) {
    options += packed([&](Pack& p) {
      p.uint(key);
      p.str(std::string(1000, 'x'));
    });
  }
  const std::string fits = header_with(4, options);
  const std::size_t room = kMaxHeaderBytes - fits.size();

  const auto with_more = [&](std::size_t size) {
    return header_with(5, options + packed([&](Pack& p) {
                            p.uint(120);
                            p.str(std::string(size, 'y'));
                          }));
  };

  CHECK(with_more(room - 3).size() == kMaxHeaderBytes);
  CHECK(rejection(with_more(room - 3)) == Rejection::none);
  CHECK(rejection(with_more(room - 2)) == Rejection::long_header);
  CHECK(rejection(std::string(1 << 20, '\x96')) == Rejection::long_header);
}

TEST_CASE("a header that is cut short anywhere is refused") {
  const std::string whole = header_with(2, packed([](Pack& p) {
                                          p.uint(Options::credit);
                                          p.array(2);
                                          p.uint(1 << 20);
                                          p.uint(64);
                                          p.uint(Options::text);
                                          p.str("why");
                                        }));
  REQUIRE(rejection(whole) == Rejection::none);

  for (std::size_t size = 4; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(rejection(whole.substr(0, size)) == Rejection::malformed);
  }
}

TEST_CASE("parts of the wrong type are refused") {
  CHECK(of_hex("96cd5746 a102 a173 01 02 80") == Rejection::malformed);  // kind is text
  CHECK(of_hex("96cd5746 02 c40173 01 02 80") == Rejection::malformed);  // stream is binary
  CHECK(of_hex("96cd5746 02 a173 ff 02 80") == Rejection::malformed);    // epoch is negative
  CHECK(of_hex("96cd5746 02 a173 01 c0 80") == Rejection::malformed);    // sequence is nil
  CHECK(of_hex("96cd5746 02 a173 01 02 90") == Rejection::malformed);    // options are an array
  CHECK(of_option("a101 05") == Rejection::malformed);                   // an option's key is text
  CHECK(of_option("00 05") == Rejection::malformed);                     // key zero is nobody's
}

TEST_CASE("a kind that does not exist is refused") {
  CHECK(of_hex("96cd5746 00 a173 01 02 80") == Rejection::bad_kind);
  CHECK(of_hex("96cd5746 0b a173 01 02 80") == Rejection::bad_kind);
  CHECK(of_hex("96cd5746 cf0000000100000002 a173 01 02 80") == Rejection::bad_kind);
}

TEST_CASE("a stream name that is too long or not UTF-8 is refused") {
  const auto named = [](const std::string& name) {
    return from_hex("96cd5746 02") + packed([&](Pack& p) { p.str(name); }) + from_hex("01 02 80");
  };

  CHECK(rejection(named(std::string(kMaxStringBytes, 's'))) == Rejection::none);
  CHECK(rejection(named(std::string(kMaxStringBytes + 1, 's'))) == Rejection::long_string);
  CHECK(rejection(named("")) == Rejection::none);
  CHECK(rejection(named("w\xc3\xb6rker")) == Rejection::none);
  CHECK(rejection(named("long enough for words \xff")) == Rejection::bad_utf8);
  CHECK(rejection(named("\xff long enough for words")) == Rejection::bad_utf8);
  CHECK(rejection(named("\xc0\x80")) == Rejection::bad_utf8);
  CHECK(rejection(named("\xed\xa0\x80")) == Rejection::bad_utf8);
}

TEST_CASE("bytes behind the header are refused") {
  CHECK(of_hex("96cd5746 02 a173 01 02 80 00") == Rejection::trailing_bytes);
  CHECK(of_hex("96cd5746 02 a173 01 02 81 01 05 80") == Rejection::trailing_bytes);
}

TEST_CASE("unknown positive options are skipped, whatever they hold") {
  for (const char* option :
       {"3f 05", "7f c0", "cd1000 c3", "64 92a16101", "64 81a16101", "64 cb3ff0000000000000", "64 d40100",
        "cfffffffffffffffff 01", "64 c403010203"}) {
    CAPTURE(option);
    CHECK(of_option(option) == Rejection::none);
  }
}

TEST_CASE("an unknown negative option must be understood and so is refused") {
  CHECK(of_option("ff 05") == Rejection::must_understand);
  CHECK(of_option("d0d0 05") == Rejection::must_understand);
  CHECK(of_option("d38000000000000000 05") == Rejection::must_understand);
}

TEST_CASE("an option that comes twice is refused, known or not") {
  CHECK(rejection(header_with(2, from_hex("01 05 01 05"))) == Rejection::bad_option);
  CHECK(rejection(header_with(2, from_hex("64 05 64 c0"))) == Rejection::bad_option);
  CHECK(rejection(header_with(2, from_hex("64 05 cc64 05"))) == Rejection::bad_option);
  CHECK(rejection(header_with(2, from_hex("64 05 65 05"))) == Rejection::none);
}

TEST_CASE("more than sixty-four options are refused") {
  const auto many = [](std::uint64_t count) {
    return header_with(count, packed([&](Pack& p) {
                         for (std::uint64_t i = 0; i < count; ++i) {
                           p.uint(100 + i);
                           p.nil();
                         }
                       }));
  };

  CHECK(rejection(many(64)) == Rejection::none);
  CHECK(rejection(many(65)) == Rejection::malformed);
}

TEST_CASE("nesting beyond three levels is refused, in unknown options as well") {
  CHECK(of_option("64 9101") == Rejection::none);
  CHECK(of_option("64 919101") == Rejection::too_deep);
  CHECK(of_option("64 81a16190") == Rejection::too_deep);
  CHECK(of_option("21 91 91 a161") == Rejection::too_deep);  // topics
  CHECK(rejection(header_with(1, '\x64' + std::string(4000, '\x91') + '\x01')) == Rejection::too_deep);
}

TEST_CASE("strings beyond 1024 bytes are refused, in unknown options as well") {
  const auto with = [](std::uint64_t key, bool binary, std::size_t size) {
    return header_with(1, packed([&](Pack& p) {
                         p.uint(key);
                         const std::string text(size, 't');
                         if (binary) {
                           p.bin(as_bytes(text));
                         } else {
                           p.str(text);
                         }
                       }));
  };

  for (const std::uint64_t key :
       {std::uint64_t{Options::text}, std::uint64_t{Options::node}, std::uint64_t{99}}) {
    CAPTURE(key);
    CHECK(rejection(with(key, false, kMaxStringBytes)) == Rejection::none);
    CHECK(rejection(with(key, false, kMaxStringBytes + 1)) == Rejection::long_string);
  }
  for (const std::uint64_t key :
       {std::uint64_t{Options::key}, std::uint64_t{Options::correlation}, std::uint64_t{99}}) {
    CAPTURE(key);
    CHECK(rejection(with(key, true, kMaxStringBytes)) == Rejection::none);
    CHECK(rejection(with(key, true, kMaxStringBytes + 1)) == Rejection::long_string);
  }
}

TEST_CASE("a known option of the wrong type is refused") {
  for (const char* option : {"01 a135",
                             "01 ff",
                             "01 cb3ff0000000000000",
                             "05 0a",
                             "06 05",
                             "08 c40100",
                             "09 cf0000000100000000",
                             "0b 05",
                             "0c 05",
                             "0c 9105",
                             "0c 93050505",
                             "0d cd0100",
                             "0e c40161",
                             "0e 05",
                             "11 cf0000000100000000",
                             "12 920404",
                             "17 920201",
                             "21 a161",
                             "21 9105",
                             "22 91a161",
                             "22 91ff",
                             "23 c0"}) {
    CAPTURE(option);
    CHECK(of_option(option) == Rejection::bad_option);
  }
}

TEST_CASE("numbers beyond their bounds are refused") {
  const auto with = [](Options::Key key, std::uint64_t v) {
    return rejection(header_with(1, packed([&](Pack& p) {
                                   p.uint(key);
                                   p.uint(v);
                                 })));
  };

  CHECK(with(Options::count, kMaxBatchRecords) == Rejection::none);
  CHECK(with(Options::count, kMaxBatchRecords + 1) == Rejection::bad_option);
  for (const auto key :
       {Options::ttl, Options::not_before, Options::heartbeat, Options::deadline, Options::oldest}) {
    CAPTURE(key);
    CHECK(with(key, kMaxMillis) == Rejection::none);
    CHECK(with(key, kMaxMillis + 1) == Rejection::bad_option);
  }
}

TEST_CASE("a trace context has twenty-five bytes") {
  const auto trace = [](std::size_t size) {
    return rejection(header_with(1, packed([&](Pack& p) {
                                   p.uint(Options::trace);
                                   p.bin(as_bytes(std::string(size, 't')));
                                 })));
  };

  CHECK(trace(25) == Rejection::none);
  CHECK(trace(24) == Rejection::bad_option);
  CHECK(trace(26) == Rejection::bad_option);
}

TEST_CASE("ranges must be pairs, sorted, apart, and at most thirty-two") {
  const auto ranges = [](const std::vector<std::uint64_t>& flat) {
    return rejection(header_with(1, packed([&](Pack& p) {
                                   p.uint(Options::ranges);
                                   p.array(flat.size());
                                   for (const std::uint64_t v : flat) p.uint(v);
                                 })));
  };

  CHECK(ranges({}) == Rejection::none);
  CHECK(ranges({5, 5}) == Rejection::none);
  CHECK(ranges({5, 6, 7, 9}) == Rejection::none);
  CHECK(ranges({5, 6, 7}) == Rejection::bad_option);
  CHECK(ranges({6, 5}) == Rejection::unsorted_ranges);
  CHECK(ranges({5, 7, 7, 9}) == Rejection::unsorted_ranges);
  CHECK(ranges({8, 9, 5, 6}) == Rejection::unsorted_ranges);
  std::vector<std::uint64_t> most;
  for (std::uint64_t i = 0; i < 2 * kMaxRanges; ++i) most.push_back(3 * i);
  CHECK(ranges(most) == Rejection::none);
  most.insert(most.end(), {1000, 1001});
  CHECK(ranges(most) == Rejection::bad_option);
}

TEST_CASE("topics and sequences must be parallel") {
  CHECK(rejection(header_with(2, from_hex("21 91a161 22 9105"))) == Rejection::none);
  CHECK(rejection(header_with(2, from_hex("21 91a161 22 920506"))) == Rejection::bad_option);
  CHECK(rejection(header_with(2, from_hex("21 90 22 9105"))) == Rejection::bad_option);
}

TEST_CASE("claims of gigabytes inside a header are refused") {
  for (const char* claim : {"ddffffffff", "dfffffffff", "c6ffffffff", "dbffffffff", "c9ffffffff01", "c1"}) {
    CAPTURE(claim);
    CHECK(of_option(std::string("64") + claim) == Rejection::malformed);
    CHECK(of_option(std::string("0e") + claim) == Rejection::malformed);
    CHECK(of_option(std::string("0b") + claim) == Rejection::malformed);
    CHECK(of_option(std::string("21") + claim) == Rejection::malformed);
    CHECK(of_hex(std::string(kStart) + claim) == Rejection::malformed);
    CHECK(of_hex(std::string("96cd5746 02") + claim) == Rejection::malformed);
  }
}

TEST_CASE(
    "random mutations of valid headers are accepted or refused, and what is accepted encodes to the same") {
  std::mt19937_64 random(1);
  const std::vector<std::string> seeds{
      header_with(2, from_hex("01 05 14 cf123456789abcdef0")),
      header_with(4, from_hex("0b 940102 0507 0c 92ce0010000040 1f cd1000 20 05")),
      header_with(
          6, from_hex("18 a8776f726b65722f32 19 a775706461746573 1b a470757368 17 920101 15 cd03e8 23 a174")),
      header_with(2, from_hex("21 92a3612f00a162 22 920506")),
      header_with(3, from_hex("0d 05 0e a3776879 64 82a16101a16202")),
  };
  int accepted = 0;
  int refused = 0;

  for (int round = 0; round < 50'000; ++round) {
    const std::string frame = test::mutated(seeds[static_cast<std::size_t>(round) % seeds.size()], random);
    Header header;
    if (decode(as_bytes(frame), header) != Rejection::none) {
      ++refused;
      continue;
    }
    ++accepted;
    Buffer again;
    REQUIRE(encode(header, again));
    Header back;
    REQUIRE(decode(again.view(), back) == Rejection::none);
    REQUIRE(back.stream == header.stream);
    REQUIRE(back.epoch == header.epoch);
    REQUIRE(back.seq == header.seq);
    REQUIRE(back.options.present == header.options.present);
  }

  CHECK(accepted > 1000);
  CHECK(refused > 1000);
}
