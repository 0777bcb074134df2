// A peer that breaks the acknowledgement's rules: counted, bounded, harmless to the others.
#include <limits>

#include "acknowledged.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

void promise(wire::Options& o) {
  o.delivery_v = static_cast<std::uint8_t>(Delivery::at_least_once);
  o.mark(wire::Options::delivery);
}

void range(wire::Options& o, std::initializer_list<std::uint64_t> flat) {
  o.range_count = flat.size() / 2;
  std::ranges::copy(flat, o.ranges_v.begin());
  o.mark(wire::Options::ranges);
}

void holes(wire::Options& o, std::uint64_t seen, std::initializer_list<std::uint64_t> flat) {
  o.seen_v = seen;
  o.mark(wire::Options::seen);
  o.missing_count = flat.size() / 2;
  std::ranges::copy(flat, o.missing_v.begin());
  o.mark(wire::Options::missing);
}

void nothing_comes(wire::Options& o, std::uint64_t first_retained) {
  o.count_v = 0;
  o.mark(wire::Options::count);
  o.flags_v = wire::kTombstone;
  o.mark(wire::Options::flags);
  o.first_retained_v = first_retained;
  o.mark(wire::Options::first_retained);
}

std::string refusal(std::initializer_list<std::uint64_t> numbers) {
  wire::Buffer out;
  wire::Pack pack(out);
  pack.array(numbers.size());
  for (const std::uint64_t n : numbers) pack.uint(n);
  return std::string(as_text(out.view()));
}

}  // namespace

WEFT_CONFORMS("acknowledged: a receiver that acknowledges what was never sent, or nonsense, moves nothing") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 1}));
  Stranger bad(loop, push.endpoints()[0], "bad/0");
  bad.hello("pull", 1 << 20, promise);
  REQUIRE(bad.wait(wire::Kind::hello));
  send_numbers(push, 10);
  REQUIRE(bad.wait(wire::Kind::data));
  REQUIRE(eventually(loop, [&] { return push.stats().sent_batches == 10; }));
  const auto before = push.stats().rejected_messages;

  bad.send(wire::Kind::ack, 11);
  bad.send(wire::Kind::ack, kMost);
  bad.send(wire::Kind::ack, 0, [](wire::Options& o) { range(o, {3, kMost}); });
  bad.send(wire::Kind::ack, 0, [](wire::Options& o) { holes(o, kMost, {1, kMost - 1}); });
  bad.send(wire::Kind::hello, kMost, [](wire::Options& o) { promise(o); });
  REQUIRE(eventually(loop, [&] { return push.stats().rejected_messages >= before + 4; }));
  CHECK(push.stats().processed_records == 0);
  CHECK(push.stats().outstanding_records == 10);

  // What it says of places that were sent counts, be it said in ranges that reach below and beyond.
  bad.send(wire::Kind::ack, 0, [](wire::Options& o) { range(o, {3, 4}); });
  REQUIRE(eventually(loop, [&] { return push.stats().processed_records == 2; }));
  bad.close();
  Pull<> pull(loop, acknowledged({.name = "in", .node = "good/0", .connect = push.endpoints()}));
  const Processed got(pull);
  send_numbers(push, 20, 10);
  CHECK(eventually(loop, [&] { return !got.texts.empty(); }));
}

WEFT_CONFORMS("acknowledged: refusals of what was never sent, or with a body of garbage, are counted") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 10}));
  const Letters letters(push);
  Stranger bad(loop, push.endpoints()[0], "bad/0");
  bad.hello("pull", 1 << 20, promise);
  REQUIRE(bad.wait(wire::Kind::hello));
  send_numbers(push, 10);
  REQUIRE(bad.wait(wire::Kind::data));

  const auto nack = [&](std::uint64_t seq, const std::string& body) {
    bad.send(wire::Kind::nack, seq, {}, {as_bytes(body)});
  };
  nack(2, refusal({0, 1}));
  nack(kMost, refusal({0, 1}));
  nack(1, "garbage");
  nack(1, std::string("\xDD\xFF\xFF\xFF\xFF", 5));  // an array of four billion numbers
  nack(1, refusal({0}));
  nack(1, refusal({0, 2}));
  nack(1, refusal({3, 1, 3, 1}));
  nack(1, refusal({3, 1, 2, 1}));
  nack(1, refusal({kMost, 1}));
  REQUIRE(eventually(loop, [&] { return push.stats().rejected_messages == 9; }));
  CHECK(letters.all.empty());
  CHECK(push.stats().outstanding_records == 10);

  // Beyond the batch: what is in it is refused, the rest is nothing.
  nack(1, refusal({4, 1, 9, 1, 10, 1, 1000, 0}));
  REQUIRE(eventually(loop, [&] { return letters.all.size() == 2; }));
  CHECK(push.stats().processed_records == 8);
  nack(1, refusal({5, 1}));  // it has been refused before
  bad.send(wire::Kind::ping, 0);
  REQUIRE(bad.wait(wire::Kind::ack));
  CHECK(letters.all.size() == 2);
  CHECK(push.settle(soon()));
}

WEFT_CONFORMS("acknowledged: a sender that skips places at will fills no memory, and others go on") {
  Loop loop;
  PortOptions options = acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()});
  options.window_batches = 16;
  Pull<> pull(loop, options);
  const Processed got(pull);
  Push<> push(loop, acknowledged({.name = "out", .node = "push/0", .connect = pull.endpoints()}));
  Stranger bad(loop, pull.endpoints()[0], "bad/0");
  bad.hello("push", 0, promise);
  REQUIRE(bad.wait(wire::Kind::hello));

  // Each second place is empty: nothing is held, and yet every hole would have to be remembered.
  for (std::uint64_t seq = 2; seq <= 1000; seq += 2) {
    bad.send(wire::Kind::data, seq, [](wire::Options& o) { nothing_comes(o, 1); });
  }
  bad.send(wire::Kind::ping, 0);
  REQUIRE(bad.wait(wire::Kind::ack));
  REQUIRE(eventually(loop, [&] {  // all of it has been read once this ACK is there
    bad.send(wire::Kind::ping, 0);
    return bad.next(wire::Kind::ack) && bad.header().options.seen_v >= 64;
  }));
  CHECK(bad.header().options.seen_v <= 200);
  for (std::uint64_t seq = 3; seq < 100; seq += 2) bad.data(seq);  // nor are batches held without a bound
  send_numbers(push, 100);
  REQUIRE(push.settle(soon()));
  CHECK(counted(got.texts).size() >= 100);
}

WEFT_CONFORMS(
    "acknowledged: a sender that retains from an absurd place on is taken at its word, and bounded") {
  Loop loop;
  Pull<> pull(loop, acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()}));
  const Processed got(pull);
  Stranger bad(loop, pull.endpoints()[0], "bad/0");
  bad.hello("push", 0, promise);
  REQUIRE(bad.wait(wire::Kind::hello));
  bad.data(5);  // held: 1 to 4 are missing
  bad.send(wire::Kind::data, kMost, [](wire::Options& o) { nothing_comes(o, kMost); });
  bad.send(wire::Kind::data, 0, [](wire::Options& o) { nothing_comes(o, 0); });
  bad.data(kMost);
  bad.data(0);
  bad.data(7);

  // A later life of it begins anew.
  bad.epoch = 2000;
  bad.hello("push", 0, promise);
  REQUIRE(bad.wait(wire::Kind::hello));
  bad.data(1);
  REQUIRE(eventually(loop, [&] { return !got.texts.empty(); }));
  CHECK(got.texts.size() == 1);
  CHECK(pull.stats().duplicate_batches >= 2);
}

WEFT_CONFORMS("acknowledged: an empty place without a count, and a body where none belongs, do no harm") {
  Loop loop;
  Pull<> pull(loop, acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()}));
  const Processed got(pull);
  Stranger bad(loop, pull.endpoints()[0], "bad/0");
  bad.hello("push", 0, promise);
  REQUIRE(bad.wait(wire::Kind::hello));
  bad.send(wire::Kind::data, 1);                       // neither body nor count
  bad.send(wire::Kind::nack, 1, {}, {as_bytes("x")});  // a sender refuses nothing
  bad.send(wire::Kind::data, 2, [](wire::Options& o) { nothing_comes(o, 1); }, {as_bytes("body")});
  bad.data(1);

  REQUIRE(eventually(loop, [&] { return got.texts.size() == 1; }));
  CHECK(pull.stats().rejected_messages == 2);
  CHECK(got.texts == std::vector<std::string>{"x"});
}
