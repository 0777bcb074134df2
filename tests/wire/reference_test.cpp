// docs/reference/wire.md is what a stranger's peer is written from: its examples and tables are held against
// the code.
#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include <weft/core/text.hpp>
#include <weft/wire/checksum.hpp>
#include <weft/wire/codec.hpp>

#include "wire/option_table.hpp"
#include "wire/wire_support.hpp"

using namespace weft;
using namespace weft::wire;
using weft::wire::test::Point;

namespace {

std::string page() {
  std::ifstream file(std::string(WEFT_TEST_SOURCE_DIR) + "/docs/reference/wire.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The bytes of the block that starts with "```hex <name>"; what follows a "#" is a comment.
std::string example(std::string_view name) {
  std::istringstream lines(page());
  std::string hex;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "```hex " + std::string(name)) {
      inside = true;
    } else if (inside && line == "```") {
      return test::from_hex(hex);
    } else if (inside) {
      hex += line.substr(0, line.find('#'));
    }
  }
  FAIL("no example named ", name);
  return {};
}

std::string trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' '; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return std::string(text);
}

// The first two columns of the table whose head starts with `head`.
std::map<std::string, std::string> table(std::string_view head) {
  std::map<std::string, std::string> rows;
  std::istringstream lines(page());
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(head)) {
      inside = true;
    } else if (inside && !line.starts_with("|")) {
      break;
    } else if (inside && !line.starts_with("|---")) {
      const auto cells = split(line, '|');
      REQUIRE(cells.size() >= 3);
      rows[trimmed(cells[1])] = trimmed(cells[2]);
    }
  }
  return rows;
}

// The header of the example `name`, whose bytes must live in `bytes`.
Header header_of(const std::string& bytes) {
  Header header;
  const Rejection why = decode(as_bytes(bytes), header);
  INFO("rejected: ", to_string(why));
  REQUIRE(why == Rejection::none);
  return header;
}

// What our encoder makes of the same header: the examples are in the shortest form.
std::string encoded(const Header& header) {
  Buffer out;
  CHECK(encode(header, out));
  return std::string(as_text(out.view()));
}

}  // namespace

TEST_CASE("the DATA example of the reference is the header and body that it says it is") {
  const std::string bytes = example("data-header");
  const std::string body = example("data-body");
  const Header header = header_of(bytes);

  CHECK(header.kind == Kind::data);
  CHECK(header.stream == "train/worker/2.updates>server/1");
  CHECK(header.epoch == 1'700'000'000'000'000);
  CHECK(header.seq == 70'000);
  CHECK(header.options.count_v == 2);
  CHECK(header.options.fingerprint_v == record_type<Point>().fingerprint);
  CHECK(encoded(header) == bytes);

  REQUIRE(check_body(as_bytes(body), header.options.count_v) == Rejection::none);
  BatchReader reader(as_bytes(body));
  Point point;
  REQUIRE(decode_record(RecordView{reader.next(), {}}, point));
  CHECK(point.x == 7);
  CHECK(point.y == -1);
  REQUIRE(decode_record(RecordView{reader.next(), {}}, point));
  CHECK(point.x == 300);
  CHECK(point.y == 40);
}

TEST_CASE("the sealed example of the reference has the seal of its header and body") {
  const std::string bytes = example("sealed-header");
  const std::string body = example("data-body");
  const Header header = header_of(bytes);

  CHECK(ends_sealed(as_bytes(bytes)));
  CHECK(header.options.count_v == 2);
  CHECK(header.options.seal_v == xxh3(as_bytes(body), seal_of_header(as_bytes(bytes))));
  CHECK(seal_in(as_bytes(bytes)) == header.options.seal_v);
  Buffer data, whole;
  DataHeader(Kind::data, header.stream, header.epoch, true).encode(header.seq, 2, data);
  REQUIRE(encode(header, whole, true));
  for (const Buffer* made : {&data, &whole}) {
    CHECK(made->size() == bytes.size());
    CHECK(ends_sealed(made->view()));
    CHECK(seal_of_header(made->view()) == seal_of_header(as_bytes(bytes)));
  }
}

TEST_CASE("the HELLO example of the reference introduces a pusher of points") {
  const std::string bytes = example("hello");
  const Header header = header_of(bytes);
  const Options& o = header.options;

  CHECK(header.kind == Kind::hello);
  CHECK(header.stream == "local/py/1.out");
  CHECK(header.seq == 0);
  CHECK(o.attempt_v == 1);
  CHECK(RecordType{std::string(o.name_v), o.fingerprint_v} == record_type<Point>());
  CHECK(o.heartbeat_v == 1000);
  CHECK(o.first_retained_v == 1);
  CHECK(o.version_low == kVersion);
  CHECK(o.version_high == kVersion);
  CHECK(o.node_v == "py/1");
  CHECK(o.port_v == "out");
  CHECK(o.block_v == "push");
  CHECK(o.scope_v == "local");
  CHECK(encoded(header) == bytes);
}

TEST_CASE("the ACK example of the reference settles and gives credit") {
  const std::string bytes = example("ack");
  const Header header = header_of(bytes);

  CHECK(header.kind == Kind::ack);
  CHECK(header.stream == "local/server/0.in");
  CHECK(header.seq == 41);
  CHECK(header.options.credit_bytes == 2 << 20);
  CHECK(header.options.credit_batches == 1024);
  CHECK(encoded(header) == bytes);
}

TEST_CASE("the REPLY example of the reference is an error with its reason") {
  const std::string bytes = example("reply");
  const Header header = header_of(bytes);

  CHECK(header.kind == Kind::reply);
  CHECK(header.seq == 12);
  CHECK(header.options.code_v == Code::bad_request);
  CHECK(header.options.text_v == "no such table");
  CHECK(encoded(header) == bytes);
}

TEST_CASE("the tensor example of the reference refers to its first frame") {
  const std::string record = example("tensor-record");
  Unpack in(as_bytes(record));

  CHECK(in.array() == 2U);
  CHECK(in.uint() == 9U);
  const auto ext = in.ext();
  REQUIRE(ext);
  CHECK(ext->type == kTensorExt);
  const auto ref = unpack_tensor_ref(ext->payload);
  REQUIRE(ref);
  CHECK(ref->frame == 0);
  CHECK(ref->dtype == DType::f32);
  CHECK(ref->shape == std::vector<std::int64_t>{2, 3});
  CHECK(byte_size(*ref) == 24);
  CHECK(in.done());
}

TEST_CASE("the reference numbers the options as the code does") {
  const std::map<std::string, std::string> expected{
      {"1", "count"},           {"2", "wall_time"},    {"3", "ttl"},
      {"4", "not_before"},      {"5", "priority"},     {"6", "key"},
      {"7", "correlation"},     {"8", "trace"},        {"9", "attempt"},
      {"10", "checksum"},       {"11", "ranges"},      {"12", "credit"},
      {"13", "code"},           {"14", "text"},        {"15", "group"},
      {"16", "from"},           {"17", "flags"},       {"18", "chunk"},
      {"19", "name"},           {"20", "fingerprint"}, {"21", "heartbeat"},
      {"22", "first_retained"}, {"23", "version"},     {"24", "node"},
      {"25", "port"},           {"26", "deadline"},    {"27", "block"},
      {"28", "data_endpoint"},  {"29", "reply_name"},  {"30", "reply_fingerprint"},
      {"31", "processed"},      {"32", "oldest"},      {"33", "topics"},
      {"34", "sequences"},      {"35", "scope"},       {"36", "delivery"},
      {"37", "seen"},           {"38", "missing"},     {"39", "stream_epoch"},
      {"40", "shared"},         {"41", "rejected"},    {"42", "credit_records"},
      {"43", "max_frame"},      {"44", "seal"},
  };
  static_assert(Options::count == 1 && Options::trace == 8 && Options::credit == 12 && Options::name == 19);
  static_assert(Options::version == 23 && Options::deadline == 26 && Options::processed == 31 &&
                Options::scope == 35 && Options::missing == 38 && Options::stream_epoch == 39 &&
                Options::shared == 40 && Options::rejected == 41 && Options::credit_records == 42 &&
                Options::max_frame == 43 && Options::seal == 44);

  CHECK(table("| key | name | type |") == expected);
  CHECK(expected.size() == kLastOption);
}

TEST_CASE("the reference numbers kinds, codes and flags and names rejections as the code does") {
  const auto kinds = table("| number | kind |");
  CHECK(kinds.size() == 10);
  for (const auto& [number, name] : kinds) CHECK(to_string(static_cast<Kind>(std::stoi(number))) == name);

  const auto codes = table("| number | name | the peer");
  CHECK(codes.size() == static_cast<std::size_t>(Code::outcome_unknown));
  for (const auto& [number, name] : codes) CHECK(to_string(static_cast<Code>(std::stoi(number))) == name);

  const std::map<std::string, std::string> flags{
      {std::to_string(kSnapshot), "snapshot"},   {std::to_string(kEndOfSnapshot), "end of snapshot"},
      {std::to_string(kTombstone), "tombstone"}, {std::to_string(kLast), "last"},
      {std::to_string(kDraining), "draining"},   {std::to_string(kReplay), "replay"},
      {std::to_string(kShared), "shared"},       {std::to_string(kReport), "report"}};
  CHECK(table("| bit | name |") == flags);

  const auto reasons = table("| reason | when |");
  CHECK(reasons.size() == static_cast<std::size_t>(Rejection::count_) - 1);
  for (int i = 1; i < static_cast<int>(Rejection::count_); ++i) {
    CHECK(reasons.contains(std::string(to_string(static_cast<Rejection>(i)))));
  }
}
