// Records are read and written without a tree of objects; msgpack-cxx, which makes one, is the reference.
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/wire/codec.hpp>

#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::from_hex;

namespace {

struct Inner {
  std::int16_t low = 0;
  std::string name;
  bool operator==(const Inner&) const = default;
  WEFT_RECORD(Inner, low, name)
};

// Each kind of field, and one (the map) that goes through msgpack-cxx.
struct Every {
  bool flag = false;
  char letter = 0;
  std::int8_t tiny = 0;
  std::uint16_t small = 0;
  std::int32_t whole = 0;
  std::uint64_t large = 0;
  float narrow = 0;
  double real = 0;
  std::string text;
  std::vector<char> blob;
  std::vector<std::uint8_t> octets;
  std::vector<double> numbers;
  std::vector<bool> bits;
  std::vector<Inner> inners;
  std::array<std::int32_t, 2> pair{};
  std::optional<Inner> maybe;
  std::map<std::string, std::int32_t> weights;
  Inner inner;
  bool operator==(const Every&) const = default;
  WEFT_RECORD(Every, flag, letter, tiny, small, whole, large, narrow, real, text, blob, octets, numbers, bits,
              inners, pair, maybe, weights, inner)
};

struct Node {
  std::vector<Node> children;
  WEFT_RECORD(Node, children)
};

struct Plain {
  std::array<std::uint32_t, 2> pair{};
  std::optional<std::string> maybe;
  std::vector<std::optional<int>> list;
  WEFT_RECORD(Plain, pair, maybe, list)
};

struct Corner {
  std::uint16_t x = 0, y = 0;
  bool operator==(const Corner&) const = default;
  WEFT_RECORD(Corner, x, y)
};

struct Bounded {
  bool flag = false;
  std::int8_t tiny = 0;
  std::int64_t whole = 0;
  std::uint8_t octet = 0;
  std::uint64_t large = 0;
  float narrow = 0;
  double real = 0;
  std::array<std::int16_t, 2> pair{};
  std::array<char, 2> letters{};
  std::array<Corner, 1> points{};
  bool operator==(const Bounded&) const = default;
  WEFT_RECORD(Bounded, flag, tiny, whole, octet, large, narrow, real, pair, letters, points)
};

const Every kEvery{true,
                   'x',
                   -128,
                   65535,
                   std::numeric_limits<std::int32_t>::min(),
                   std::numeric_limits<std::uint64_t>::max(),
                   -0.0F,
                   1e300,
                   std::string(40, 't'),
                   {'b', '\0'},
                   {1, 255},
                   {1, -2.5, 0},
                   {true, false},
                   {{-1, "one"}, {300, ""}},
                   {-33, 128},
                   Inner{-32768, std::string(300, 'n')},
                   {{"w", -7}},
                   {7, "inner"}};

template <class T>
std::string packed_record(const T& record) {
  BatchBuilder builder(BufferPool::make());
  encode_record(builder, record);
  return std::string(as_text(builder.take().body.view()));
}

template <class T>
std::string packed_by_reference(const T& record) {
  Buffer out;
  msgpack::packer<Buffer>(out).pack(record);
  return std::string(as_text(out.view()));
}

template <class T>
bool decode_by_reference(Bytes bytes, T& out) {
  return detail::with_object(
      bytes, [](const msgpack::object& o, void* to) { o.convert(*static_cast<T*>(to)); }, &out);
}

}  // namespace

TEST_CASE("what is written field by field is what msgpack-cxx packs") {
  CHECK(packed_record(kEvery) == packed_by_reference(kEvery));
  CHECK(packed_record(Every{}) == packed_by_reference(Every{}));
  for (const std::int64_t v : {0L, 127L, 128L, 255L, 256L, 65535L, 65536L, 4294967295L, 4294967296L, -1L,
                               -32L, -33L, -128L, -129L, -32768L, -32769L, -2147483648L, -2147483649L}) {
    CAPTURE(v);
    CHECK(packed_record(v) == packed_by_reference(v));
  }
  for (const std::size_t size : {0, 1, 31, 32, 255, 256, 65535, 65536}) {
    CAPTURE(size);
    CHECK(packed_record(std::string(size, 's')) == packed_by_reference(std::string(size, 's')));
    CHECK(packed_record(std::vector<char>(size)) == packed_by_reference(std::vector<char>(size)));
    CHECK(packed_record(std::vector<int>(size)) == packed_by_reference(std::vector<int>(size)));
  }
}

TEST_CASE("a record of every kind of field comes back as it was") {
  Every back;

  REQUIRE(decode_record(RecordView{as_bytes(packed_record(kEvery)), {}}, back));

  CHECK(back == kEvery);
  CHECK(std::signbit(back.narrow));
}

TEST_CASE("mutated records are taken and refused as msgpack-cxx does, with the same values") {
  std::mt19937_64 random(11);
  const std::string original = packed_record(kEvery);
  int taken = 0;

  for (int round = 0; round < 20'000; ++round) {
    const std::string bytes = test::mutated(original, random);
    Every direct;
    Every reference;
    const bool ok = decode_record(RecordView{as_bytes(bytes), {}}, direct);
    REQUIRE(decode_by_reference(as_bytes(bytes), reference) == ok);
    if (!ok) continue;
    ++taken;
    REQUIRE(packed_record(direct) == packed_record(reference));
  }

  CHECK(taken > 100);
}

TEST_CASE("numbers are taken in every form that holds them, and refused beyond the field's range") {
  const auto as_int16 = [](const char* hex) {
    std::int16_t out = 0;
    return decode_record(RecordView{as_bytes(from_hex(hex)), {}}, out) ? std::optional(out) : std::nullopt;
  };
  CHECK(as_int16("07") == 7);
  CHECK(as_int16("d3 00 00 00 00 00 00 00 07") == 7);
  CHECK(as_int16("cf 00 00 00 00 00 00 7f ff") == 32767);
  CHECK(as_int16("e0") == -32);
  CHECK_FALSE(as_int16("cd 80 00"));
  CHECK_FALSE(as_int16("d2 ff ff 7f ff"));
  CHECK_FALSE(as_int16("ca 3f 80 00 00"));  // a real number
  std::uint8_t byte = 0;
  CHECK(decode_record(RecordView{as_bytes(from_hex("d1 00 ff")), {}}, byte));
  CHECK(byte == 255);
  CHECK_FALSE(decode_record(RecordView{as_bytes(from_hex("ff")), {}}, byte));
}

TEST_CASE("an array field takes exactly its number of items") {
  std::array<int, 2> out{5, 5};

  CHECK(decode_record(RecordView{as_bytes(from_hex("92 01 02")), {}}, out));
  CHECK_FALSE(decode_record(RecordView{as_bytes(from_hex("91 01")), {}}, out));
  CHECK_FALSE(decode_record(RecordView{as_bytes(from_hex("93 01 02 03")), {}}, out));
}

TEST_CASE("an array of bytes is a binary: a shorter one leaves zeros, a longer one is none of it") {
  const auto read = [](std::string_view hex, std::array<unsigned char, 3>& out) {
    return decode_record(RecordView{as_bytes(from_hex(hex)), {}}, out);
  };
  std::array<unsigned char, 3> out{9, 9, 9};

  CHECK(packed_record(std::array<unsigned char, 3>{1, 2, 3}) == from_hex("c4 03 01 02 03"));
  CHECK(read("c4 03 01 02 03", out));
  CHECK(out == std::array<unsigned char, 3>{1, 2, 3});
  CHECK(read("a1 07", out));
  CHECK(out == std::array<unsigned char, 3>{7, 0, 0});
  CHECK(read("c4 00", out));
  CHECK(out == std::array<unsigned char, 3>{});
  CHECK_FALSE(read("c4 04 01 02 03 04", out));
  CHECK_FALSE(read("93 01 02 03", out));
}

TEST_CASE("numbers, records and arrays of a bounded size are written as their parts are") {
  const Bounded lowest{true,
                       std::numeric_limits<std::int8_t>::min(),
                       std::numeric_limits<std::int64_t>::min(),
                       255,
                       std::numeric_limits<std::uint64_t>::max(),
                       -0.0F,
                       0.5,
                       {-1, 300},
                       {'a', 'b'},
                       {{{1, 2}}}};
  const Bounded least{};

  for (const Bounded& record : {lowest, least}) {
    Bounded out;
    REQUIRE(decode_record(RecordView{as_bytes(packed_record(record)), {}}, out));
    CHECK(out == record);
  }
  CHECK(packed_record(least) ==
        from_hex("9a c2 00 00 00 00 ca 00 00 00 00 cb 00 00 00 00 00 00 00 00 92 00 00 c4 02 00 00 "
                 "91 92 00 00"));
}

TEST_CASE("an object that is read into again keeps nothing of the record before") {
  static_assert(decodes_whole<Plain>());
  static_assert(!decodes_whole<Every>());  // what msgpack-cxx reads is its own affair
  Plain out;
  REQUIRE(decode_record(RecordView{as_bytes(packed_record(Plain{{1, 2}, "text", {1, {}, 3}})), {}}, out));

  REQUIRE(decode_record(RecordView{as_bytes(packed_record(Plain{{}, {}, {{}, 2}})), {}}, out));

  CHECK(out.pair == std::array<std::uint32_t, 2>{});
  CHECK(!out.maybe);
  CHECK(out.list == std::vector<std::optional<int>>{{}, 2});
}

TEST_CASE("a type that holds itself is read to the bound of the depth and no deeper") {
  const auto nested = [](std::size_t levels) {
    std::string bytes;
    for (std::size_t i = 0; i < levels; ++i) bytes += "\x91\x91";
    return bytes + "\x91\x90";
  };
  Node out;

  CHECK(decode_record(RecordView{as_bytes(nested(15)), {}}, out));
  CHECK_FALSE(decode_record(RecordView{as_bytes(nested(16)), {}}, out));
  CHECK_FALSE(decode_record(RecordView{as_bytes(nested(1'000'000)), {}}, out));
}

TEST_CASE("the records of a body are taken off one by one, those of another type too") {
  const std::string body =
      packed_record(Inner{1, "one"}) + packed_record(std::string("other")) + packed_record(Inner{2, "two"});
  Bytes rest = as_bytes(body);
  Inner out;

  CHECK(decode_next(rest, {}, out));
  CHECK(out == Inner{1, "one"});
  CHECK_FALSE(decode_next(rest, {}, out));
  CHECK(decode_next(rest, {}, out));
  CHECK(out == Inner{2, "two"});
  CHECK(rest.empty());
}
