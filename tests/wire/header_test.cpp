#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include <weft/core/text.hpp>
#include <weft/wire/header.hpp>

#include "wire/option_table.hpp"
#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::packed;

namespace {

std::string bytes_of_header(const Header& header) {
  Buffer out;
  CHECK(encode(header, out));
  return std::string(as_text(out.view()));
}

// A header whose strings live in `bytes`, which must outlive it.
Header decoded(const std::string& bytes) {
  Header out;
  const Rejection why = decode(as_bytes(bytes), out);
  INFO("rejected: ", to_string(why));
  REQUIRE(why == Rejection::none);
  return out;
}

Header header_of(Kind kind) {
  Header header;
  header.kind = kind;
  header.stream = "train/worker/2.updates>server/1";
  header.epoch = 1'700'000'000'000'000;
  header.seq = 70'000;
  return header;
}

struct Number {
  Options::Key key;
  std::uint64_t Options::*field;
  std::uint64_t most;
};
const Number kNumbers[] = {
    {Options::count, &Options::count_v, kMaxBatchRecords},
    {Options::wall_time, &Options::wall_time_v, UINT64_MAX},
    {Options::ttl, &Options::ttl_v, kMaxMillis},
    {Options::not_before, &Options::not_before_v, kMaxMillis},
    {Options::checksum, &Options::checksum_v, UINT64_MAX},
    {Options::fingerprint, &Options::fingerprint_v, UINT64_MAX},
    {Options::heartbeat, &Options::heartbeat_v, kMaxMillis},
    {Options::first_retained, &Options::first_retained_v, UINT64_MAX},
    {Options::deadline, &Options::deadline_v, kMaxMillis},
    {Options::reply_fingerprint, &Options::reply_fingerprint_v, UINT64_MAX},
    {Options::processed, &Options::processed_v, UINT64_MAX},
    {Options::oldest, &Options::oldest_v, kMaxMillis},
    {Options::rejected, &Options::rejected_v, UINT64_MAX},
    {Options::max_frame, &Options::max_frame_v, UINT64_MAX},
};

struct Text {
  Options::Key key;
  std::string_view Options::*field;
};
const Text kTexts[] = {
    {Options::text, &Options::text_v},   {Options::group, &Options::group_v},
    {Options::from, &Options::from_v},   {Options::name, &Options::name_v},
    {Options::node, &Options::node_v},   {Options::port, &Options::port_v},
    {Options::block, &Options::block_v}, {Options::data_endpoint, &Options::data_endpoint_v},
    {Options::scope, &Options::scope_v}, {Options::reply_name, &Options::reply_name_v},
};

}  // namespace

TEST_CASE("every header starts with the four bytes of the magic") {
  const std::string bytes = bytes_of_header(header_of(Kind::ping));

  CHECK(test::to_hex(as_bytes(bytes).first(4)) == "96cd5746");
  CHECK(has_magic(as_bytes(bytes)));
  CHECK_FALSE(has_magic(as_bytes(bytes).first(3)));
  CHECK_FALSE(has_magic({}));
}

TEST_CASE("a header of every kind comes back as it was") {
  for (unsigned kind = 1; kind <= 10; ++kind) {
    CAPTURE(kind);
    const std::string bytes = bytes_of_header(header_of(static_cast<Kind>(kind)));

    const Header back = decoded(bytes);

    CHECK(back.kind == static_cast<Kind>(kind));
    CHECK(back.stream == "train/worker/2.updates>server/1");
    CHECK(back.epoch == 1'700'000'000'000'000);
    CHECK(back.seq == 70'000);
    CHECK(back.options.present == 0);
  }
}

TEST_CASE("epoch and sequence cover the whole unsigned range") {
  Header header = header_of(Kind::data);
  header.epoch = UINT64_MAX;
  header.seq = UINT64_MAX;
  const std::string bytes = bytes_of_header(header);

  CHECK(decoded(bytes).epoch == UINT64_MAX);
  CHECK(decoded(bytes).seq == UINT64_MAX);
}

TEST_CASE("every numeric option comes back, up to its bound and not beyond") {
  for (const Number& number : kNumbers) {
    CAPTURE(number.key);
    for (const std::uint64_t v : {std::uint64_t{0}, std::uint64_t{300}, number.most}) {
      Header header = header_of(Kind::data);
      header.options.mark(number.key);
      header.options.*number.field = v;
      const std::string bytes = bytes_of_header(header);
      const Header back = decoded(bytes);
      CHECK(back.options.present == header.options.present);
      CHECK(back.options.*number.field == v);
    }
    if (number.most == UINT64_MAX) continue;

    Header header = header_of(Kind::data);
    header.options.mark(number.key);
    header.options.*number.field = number.most + 1;
    Buffer out;
    CHECK_FALSE(encode(header, out));  // left out, and said so
    Header back;
    REQUIRE(decode(out.view(), back) == Rejection::none);
    CHECK(back.options.present == 0);
  }
}

TEST_CASE("the narrow numeric options come back") {
  Header header = header_of(Kind::nack);
  Options& o = header.options;
  o.mark(Options::priority), o.priority_v = 9;
  o.mark(Options::attempt), o.attempt_v = UINT32_MAX;
  o.mark(Options::flags), o.flags_v = kSnapshot | kLast;
  o.mark(Options::code), o.code_v = Code::not_found;
  const std::string bytes = bytes_of_header(header);

  const Header back = decoded(bytes);

  CHECK(back.options.present == o.present);
  CHECK(back.options.priority_v == 9);
  CHECK(back.options.attempt_v == UINT32_MAX);
  CHECK(back.options.flags_v == (kSnapshot | kLast));
  CHECK(back.options.code_v == Code::not_found);
}

TEST_CASE("every text option comes back") {
  for (const Text& text : kTexts) {
    CAPTURE(text.key);
    for (const std::string& v : {std::string(), std::string("w\xc3\xb6rker/2"), std::string(500, 'x')}) {
      Header header = header_of(Kind::hello);
      header.options.mark(text.key);
      header.options.*text.field = v;
      const std::string bytes = bytes_of_header(header);
      CHECK(decoded(bytes).options.*text.field == v);
    }
  }
}

TEST_CASE("key, correlation and trace come back as bytes") {
  const std::string trace(25, '\x7f');
  Header header = header_of(Kind::request);
  Options& o = header.options;
  o.mark(Options::key), o.key_v = as_bytes("k\xff");
  o.mark(Options::correlation), o.correlation_v = as_bytes("c");
  o.mark(Options::trace), o.trace_v = as_bytes(trace);
  const std::string bytes = bytes_of_header(header);

  const Header back = decoded(bytes);

  CHECK(as_text(back.options.key_v) == "k\xff");
  CHECK(as_text(back.options.correlation_v) == "c");
  CHECK(as_text(back.options.trace_v) == trace);
}

TEST_CASE("credit, chunk and version come back as pairs") {
  Header header = header_of(Kind::ack);
  Options& o = header.options;
  o.mark(Options::credit), o.credit_bytes = UINT64_MAX, o.credit_batches = 64;
  o.mark(Options::chunk), o.chunk_index = 3, o.chunk_count = 4;
  o.mark(Options::version), o.version_low = 1, o.version_high = 1;
  const std::string bytes = bytes_of_header(header);

  const Header back = decoded(bytes);

  CHECK(back.options.credit_bytes == UINT64_MAX);
  CHECK(back.options.credit_batches == 64);
  CHECK(back.options.chunk_index == 3);
  CHECK(back.options.chunk_count == 4);
  CHECK(back.options.version_low == 1);
  CHECK(back.options.version_high == 1);
}

TEST_CASE("selective ranges come back, up to thirty-two") {
  Header header = header_of(Kind::ack);
  header.options.mark(Options::ranges);
  header.options.range_count = kMaxRanges;
  for (std::size_t i = 0; i < kMaxRanges; ++i) {
    header.options.ranges_v[2 * i] = 1000 * i + 5;
    header.options.ranges_v[2 * i + 1] = 1000 * i + 5 + i;
  }
  const std::string bytes = bytes_of_header(header);

  const Header back = decoded(bytes);

  REQUIRE(back.options.range_count == kMaxRanges);
  CHECK(back.options.ranges_v == header.options.ranges_v);
}

TEST_CASE("topics and their sequences come back as packed arrays") {
  const std::string topics = packed([](Pack& p) {
    p.array(2);
    p.str("orders/eu/");
    p.str("orders/us/");
  });
  const std::string sequences = packed([](Pack& p) {
    p.array(2);
    p.uint(17);
    p.uint(UINT64_MAX);
  });
  Header header = header_of(Kind::ping);
  header.options.mark(Options::topics), header.options.topics_v = as_bytes(topics);
  header.options.mark(Options::sequences), header.options.sequences_v = as_bytes(sequences);
  const std::string bytes = bytes_of_header(header);

  const Header back = decoded(bytes);

  CHECK(as_text(back.options.topics_v) == topics);
  CHECK(as_text(back.options.sequences_v) == sequences);
}

TEST_CASE("a header may carry every option at once") {
  const std::string list = packed([](Pack& p) { p.array(0); });
  const std::string trace(25, 't');
  Header header = header_of(Kind::hello);
  Options& o = header.options;
  o.present = kKnownOptions;
  for (const Number& number : kNumbers) o.*number.field = 1;
  for (const Text& text : kTexts) o.*text.field = "text";
  o.priority_v = 1, o.attempt_v = 1, o.flags_v = 1, o.code_v = Code::full;
  o.key_v = o.correlation_v = o.shared_v = as_bytes("b"), o.trace_v = as_bytes(trace);
  o.credit_bytes = o.credit_batches = 1, o.chunk_index = 0, o.chunk_count = 1,
  o.version_low = o.version_high = 1;
  o.topics_v = o.sequences_v = as_bytes(list);
  o.range_count = 1, o.ranges_v[0] = 5, o.ranges_v[1] = 5;
  o.delivery_v = 1, o.seen_v = 1, o.stream_epoch_v = 1;
  o.missing_count = 1, o.missing_v[0] = 5, o.missing_v[1] = 5;

  const std::string bytes = bytes_of_header(header);

  CHECK(decoded(bytes).options.present == kKnownOptions);
}

TEST_CASE("a DATA header made from its fixed part is the one that the general encoder makes") {
  Header header = header_of(Kind::reply);
  header.options.mark(Options::count), header.options.count_v = 1024;
  header.options.mark(Options::fingerprint), header.options.fingerprint_v = 0x123456789ABCDEF0;
  const DataHeader fixed(Kind::reply, header.stream, header.epoch);
  Buffer with;
  Buffer without;
  Buffer beside;

  fixed.encode(header.seq, 1024, with, 0x123456789ABCDEF0);
  fixed.encode(header.seq, 1024, without);
  fixed.encode(header.seq, 1024, beside, 0, kShared, UINT64_MAX);

  CHECK(as_text(with.view()) == bytes_of_header(header));
  header.options.present = std::uint64_t{1} << Options::count;
  CHECK(as_text(without.view()) == bytes_of_header(header));
  header.options.mark(Options::flags), header.options.flags_v = kShared;
  header.options.mark(Options::processed), header.options.processed_v = UINT64_MAX;
  CHECK(as_text(beside.view()) == bytes_of_header(header));
}

TEST_CASE("a header is appended to what the buffer already holds") {
  Buffer out;
  out.append(as_bytes("before"));

  CHECK(encode(header_of(Kind::bye), out));

  Header back;
  CHECK(decode(out.view().subspan(6), back) == Rejection::none);
}

TEST_CASE("long text is cut without splitting a character") {
  std::string text;
  while (text.size() < 600) text += "\xe2\x82\xac";  // three bytes each; 512 is no multiple of three
  Header header = header_of(Kind::nack);
  header.options.mark(Options::text), header.options.text_v = text;
  const std::string bytes = bytes_of_header(header);

  const std::string_view back = decoded(bytes).options.text_v;

  CHECK(back.size() == 510);
  CHECK(is_utf8(back));
  CHECK(text.starts_with(back));
}

TEST_CASE("a stream name beyond the limit is cut and an option beyond it left out, and the encoder says so") {
  const std::string longer(kMaxStringBytes + 1, 'n');
  Header header = header_of(Kind::hello);
  header.options.mark(Options::name), header.options.name_v = longer;
  header.options.mark(Options::port), header.options.port_v = "out";
  Buffer out;
  CHECK_FALSE(encode(header, out));
  Header back;
  REQUIRE(decode(out.view(), back) == Rejection::none);
  CHECK_FALSE(back.options.has(Options::name));
  CHECK(back.options.port_v == "out");

  header.options.present = 0;
  header.stream = longer;
  out.clear();
  CHECK_FALSE(encode(header, out));
  REQUIRE(decode(out.view(), back) == Rejection::none);
  CHECK(back.stream == std::string(kMaxStringBytes, 'n'));
}

TEST_CASE("a header never grows beyond its limit") {
  const std::string name(1000, 'n');
  Header header = header_of(Kind::hello);
  for (const Text& text : kTexts) {
    header.options.mark(text.key);
    header.options.*text.field = name;
  }
  Buffer out;

  CHECK_FALSE(encode(header, out));

  CHECK(out.size() <= kMaxHeaderBytes);
  Header back;
  REQUIRE(decode(out.view(), back) == Rejection::none);
  CHECK(back.options.has(Options::text));
  CHECK_FALSE(back.options.has(Options::scope));
}

TEST_CASE("msgpack-cxx reads a header as an array of six with a map of options") {
  Header header = header_of(Kind::ack);
  header.options.mark(Options::credit), header.options.credit_bytes = 1 << 20,
                                        header.options.credit_batches = 8;
  header.options.mark(Options::text), header.options.text_v = "fine";
  const std::string bytes = bytes_of_header(header);

  std::size_t offset = 0;
  const auto object = msgpack::unpack(bytes.data(), bytes.size(), offset);

  CHECK(offset == bytes.size());
  REQUIRE(object.get().via.array.size == 6);
  const msgpack::object* part = object.get().via.array.ptr;
  CHECK(part[0].as<unsigned>() == 0x5746);
  CHECK(part[1].as<unsigned>() == 3);
  CHECK(part[2].as<std::string>() == header.stream);
  CHECK(part[3].as<std::uint64_t>() == header.epoch);
  CHECK(part[4].as<std::uint64_t>() == header.seq);
  const auto options = part[5].as<std::map<int, msgpack::object>>();
  CHECK(options.at(12).as<std::vector<std::uint64_t>>() == std::vector<std::uint64_t>{1 << 20, 8});
  CHECK(options.at(14).as<std::string>() == "fine");
}

TEST_CASE("a header that msgpack-cxx packs is read") {
  msgpack::sbuffer out;
  msgpack::packer<msgpack::sbuffer> packer(out);
  packer.pack_array(6);
  packer.pack_uint16(0x5746);
  packer.pack(2);
  packer.pack("a/b.c>d");
  packer.pack(std::uint64_t{1} << 40);
  packer.pack(std::uint64_t{12});
  packer.pack(std::map<int, std::uint64_t>{{1, 3}, {20, UINT64_MAX}});

  const std::string bytes(out.data(), out.size());
  const Header back = decoded(bytes);

  CHECK(back.stream == "a/b.c>d");
  CHECK(back.epoch == std::uint64_t{1} << 40);
  CHECK(back.options.count_v == 3);
  CHECK(back.options.fingerprint_v == UINT64_MAX);
}

TEST_CASE("names of kinds, codes and rejections are distinct and known") {
  CHECK(to_string(Kind::hello) == "HELLO");
  CHECK(to_string(Kind::cancel) == "CANCEL");
  CHECK(to_string(Code::not_found) == "not_found");
  CHECK(to_string(static_cast<Code>(200)) == "unknown");
  std::vector<std::string_view> seen;
  for (int i = 0; i < static_cast<int>(Rejection::count_); ++i) {
    const std::string_view name = to_string(static_cast<Rejection>(i));
    CHECK(name != "unknown");
    CHECK_FALSE(name.empty());
    CHECK(std::find(seen.begin(), seen.end(), name) == seen.end());
    seen.push_back(name);
  }
}
