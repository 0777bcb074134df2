#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <weft/protocol/outbox.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

using Sent = std::pair<std::uint64_t, std::uint64_t>;  // id, sequence
using Fates = std::map<std::uint64_t, Fate>;

AckView view_of(std::uint64_t processed, std::uint64_t seen, std::vector<AckView::Range> missing = {},
                std::vector<AckView::Range> beyond = {}) {
  AckView view;
  view.seq = processed;
  view.seen = seen;
  for (const auto& range : missing) view.missing[view.missing_count++] = range;
  for (const auto& range : beyond) view.processed[view.processed_count++] = range;
  return view;
}

struct Bench {
  explicit Bench(OutboxOptions options = {}) : outbox(options) {}

  std::uint32_t join(const std::string& name, Credit credit = {.bytes = 1000, .batches = 10}) {
    const std::uint32_t lane = outbox.lane(name);
    CHECK(outbox.meet(lane, 1, {}, credit, now) == Outbox::Ack::ok);
    return lane;
  }
  std::uint64_t accept(OutboxEntry entry = {.bytes = 10, .records = 1}) { return outbox.accept(entry); }
  std::uint64_t accept_bound(std::uint32_t lane) {
    return outbox.accept({.bytes = 10, .records = 1, .lane = lane});
  }
  void assign() {
    while (outbox.assign(now)) {
    }
  }
  std::vector<Sent> send(std::uint32_t lane) {
    std::vector<Sent> out;
    assign();
    while (const auto departure = outbox.departure(lane)) {
      out.emplace_back(departure->id, departure->seq);
      outbox.departed(lane, departure->seq, now);
    }
    return out;
  }
  Outbox::Ack acknowledge(std::uint32_t lane, const AckView& view,
                          std::optional<std::uint32_t> probe = std::nullopt) {
    return outbox.acknowledge(lane, view, std::nullopt, probe, now);
  }
  Fates fates() {
    Fates out;
    for (const auto& done : outbox.take_done()) CHECK(out.emplace(done.entry.id, done.fate).second);
    return out;
  }

  TimePoint now = TimePoint{} + 1h;
  Outbox outbox;
};

OutboxOptions exactly_once() {
  return {.delivery = Delivery::exactly_once};
}

}  // namespace

TEST_CASE("a batch ends when its receiver says that it has processed it, and not before") {
  Bench bench;
  const auto lane = bench.join("a");
  const auto id = bench.accept();

  CHECK(bench.send(lane) == std::vector<Sent>{{id, 1}});
  CHECK(bench.acknowledge(lane, view_of(0, 1)) == Outbox::Ack::ok);
  CHECK(bench.fates().empty());
  CHECK(bench.outbox.bytes() == 10);
  CHECK(bench.acknowledge(lane, view_of(1, 1)) == Outbox::Ack::ok);

  CHECK(bench.fates() == Fates{{id, Fate::processed}});
  CHECK(bench.outbox.empty());
  CHECK(bench.outbox.bytes() == 0);
}

TEST_CASE("nothing leaves for a receiver that has not said what it has") {
  Bench bench;
  const auto lane = bench.outbox.lane("a");
  bench.accept();

  CHECK(!bench.outbox.assign(bench.now));
  CHECK(!bench.outbox.departure(lane));
  bench.outbox.set_usable(lane, true);
  CHECK(!bench.outbox.at(lane).usable());
  CHECK(bench.outbox.next_tick() == TimePoint::max());
}

TEST_CASE("batches on their way stay within the credit, but for a single one") {
  Bench bench;
  const auto lane = bench.join("a", {.bytes = 25, .batches = 10});
  const auto big = bench.accept({.bytes = 1000, .records = 1});
  bench.accept();
  bench.accept();
  bench.accept();

  CHECK(bench.send(lane) == std::vector<Sent>{{big, 1}});
  bench.acknowledge(lane, view_of(1, 1));
  CHECK(bench.send(lane).size() == 2);
  CHECK(bench.outbox.at(lane).outstanding_bytes() == 20);
  CHECK(bench.outbox.waiting_records() == 1);
}

TEST_CASE("an acknowledgement of what was never sent changes nothing") {
  Bench bench;
  const auto lane = bench.join("a");
  bench.accept();
  bench.assign();  // it has a place, and has not left

  CHECK(bench.acknowledge(lane, view_of(1, 1)) == Outbox::Ack::beyond);
  CHECK(bench.outbox.meet(lane, 1, view_of(1, 1), {}, bench.now) == Outbox::Ack::beyond);
  CHECK(bench.acknowledge(lane, view_of(0, 0, {}, {{1, 1}})) == Outbox::Ack::beyond);

  CHECK(bench.fates().empty());
  CHECK(bench.send(lane).size() == 1);
}

TEST_CASE("a hole is filled once, and again only when something later has come past it") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 4; ++i) bench.accept();
  bench.send(lane);
  bench.now += 30ms;

  bench.acknowledge(lane, view_of(1, 3, {{2, 2}}));
  CHECK(bench.send(lane) == std::vector<Sent>{{2, 2}});
  bench.now += 30ms;
  bench.acknowledge(lane, view_of(1, 4, {{2, 2}}));
  CHECK(bench.send(lane).empty());  // the copy may still be on its way
  bench.accept();
  bench.send(lane);
  bench.now += 30ms;
  bench.acknowledge(lane, view_of(1, 5, {{2, 2}}));

  CHECK(bench.send(lane) == std::vector<Sent>{{2, 2}});
  CHECK(bench.outbox.retransmitted() == 2);
}

TEST_CASE("a hole that is very young may be filled by what is still on its way") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 2; ++i) bench.accept();
  bench.send(lane);

  bench.now += 5ms;
  bench.acknowledge(lane, view_of(0, 2, {{1, 1}}));
  CHECK(bench.send(lane).empty());
  bench.now += 20ms;
  bench.acknowledge(lane, view_of(0, 2, {{1, 1}}));

  CHECK(bench.send(lane).size() == 1);
}

TEST_CASE("a silent receiver is asked, less and less often, and what it lost at the end is sent again") {
  Bench bench;
  const auto lane = bench.join("a");
  const auto id = bench.accept();
  bench.send(lane);

  CHECK(bench.outbox.next_tick() == bench.now + 200ms);
  bench.now += 200ms;
  CHECK(bench.outbox.on_tick(bench.now).probe == std::vector<std::uint32_t>{lane});
  CHECK(bench.outbox.next_tick() == bench.now + 400ms);
  CHECK(bench.send(lane).empty());
  bench.acknowledge(lane, view_of(0, 0), bench.outbox.at(lane).probe());

  CHECK(bench.send(lane) == std::vector<Sent>{{id, 1}});
  bench.acknowledge(lane, view_of(0, 0), bench.outbox.at(lane).probe());
  CHECK(bench.send(lane).empty());  // it left after that question
}

TEST_CASE("an answer to a question that nobody asked proves nothing") {
  Bench bench;
  const auto lane = bench.join("a");
  bench.accept();
  bench.send(lane);

  bench.acknowledge(lane, view_of(0, 0), 1000);

  CHECK(bench.send(lane).empty());
}

TEST_CASE("after a cut the receiver gets what it has not seen, and only that") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 4; ++i) bench.accept();
  bench.send(lane);

  bench.outbox.cut(lane);
  CHECK(!bench.outbox.departure(lane));
  CHECK(bench.outbox.next_tick() == TimePoint::max());
  bench.outbox.meet(lane, 1, view_of(1, 3, {{2, 2}}), {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.send(lane) == std::vector<Sent>{{2, 2}, {4, 4}});
  CHECK(bench.fates() == Fates{{1, Fate::processed}});
}

TEST_CASE("a dead receiver's batches go to the others under their own numbers") {
  Bench bench;
  const auto a = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(a);
  bench.acknowledge(a, view_of(1, 3));
  const auto b = bench.join("b");

  bench.outbox.give_up(a);

  CHECK(bench.send(b) == std::vector<Sent>{{2, 1}, {3, 2}});
  CHECK(bench.outbox.redelivered_records() == 2);
  bench.acknowledge(a, view_of(3, 3));  // it was not dead after all
  CHECK(bench.fates() == Fates{{1, Fate::processed}});
  bench.acknowledge(b, view_of(2, 2));
  CHECK(bench.fates() == Fates{{2, Fate::processed}, {3, Fate::processed}});
}

TEST_CASE("a receiver that comes back is told that nothing comes in the places of what went to others") {
  Bench bench;
  const auto a = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(a);
  bench.outbox.give_up(a);

  bench.outbox.meet(a, 1, view_of(0, 3, {{1, 2}}), {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.outbox.at(a).first_retained() == 4);
  CHECK(bench.send(a) == std::vector<Sent>{{0, 3}, {1, 4}, {2, 5}, {3, 6}});
}

TEST_CASE("a restarted receiver gets nothing in the places of what it forgot, and may get the batches") {
  Bench bench;
  const auto lane = bench.join("a");
  bench.accept();
  bench.accept();
  bench.send(lane);

  bench.outbox.meet(lane, 2, {}, {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}, {1, 3}, {2, 4}});
  CHECK(bench.outbox.redelivered_records() == 2);
}

TEST_CASE("under exactly-once a batch keeps its place until its receiver's journal has answered") {
  Bench bench(exactly_once());
  const auto a = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(a);
  const auto b = bench.join("b");

  bench.outbox.give_up(a);
  CHECK(bench.send(b).empty());
  bench.outbox.meet(a, 2, view_of(1, 3, {{2, 2}}, {{3, 3}}), {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.fates() == Fates{{1, Fate::processed}, {3, Fate::processed}});
  CHECK(bench.send(a) == std::vector<Sent>{{2, 2}});
}

TEST_CASE("a batch that was tried as often as it may be is dead") {
  Bench bench({.max_attempts = 2});
  const auto lane = bench.join("a");
  const auto id = bench.accept();
  bench.send(lane);

  bench.outbox.give_up(lane);
  CHECK(bench.fates().empty());
  bench.outbox.meet(lane, 2, {}, {.bytes = 1000, .batches = 10}, bench.now);
  bench.send(lane);
  bench.outbox.give_up(lane);

  CHECK(bench.fates() == Fates{{id, Fate::dead_lettered}});
  CHECK(bench.outbox.empty());
}

TEST_CASE("a place that was never used does not count as an attempt") {
  Bench bench({.max_attempts = 1});
  const auto lane = bench.join("a");
  const auto id = bench.accept();
  bench.assign();

  bench.outbox.give_up(lane);
  CHECK(bench.fates().empty());
  bench.outbox.meet(lane, 1, {}, {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.send(lane) == std::vector<Sent>{{0, 1}, {id, 2}});
}

TEST_CASE("under exactly-once too, a batch that kills its receiver ends, and its place stays empty") {
  OutboxOptions options = exactly_once();
  options.max_attempts = 1;
  Bench bench(options);
  const auto lane = bench.join("a");
  bench.accept();
  const auto later = bench.accept();
  bench.send(lane);

  bench.outbox.meet(lane, 2, view_of(0, 2, {{1, 1}}, {{2, 2}}), {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.fates() == Fates{{1, Fate::dead_lettered}, {later, Fate::processed}});
  CHECK(bench.outbox.empty());
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});
}

TEST_CASE("keys of a dead receiver are its owner's again, also those that still waited") {
  Bench bench({.distribute = Distribute::hash});
  const auto lane = bench.join("a", {.bytes = 1000, .batches = 1});
  const auto sent = bench.accept_bound(lane);
  const auto waiting = bench.accept_bound(lane);
  const auto delayed =
      bench.outbox.accept({.bytes = 10, .records = 1, .lane = lane, .not_before = bench.now + 1h});
  bench.send(lane);

  bench.outbox.give_up(lane);

  CHECK(bench.fates() == Fates{{sent, Fate::orphaned}, {waiting, Fate::orphaned}, {delayed, Fate::orphaned}});
  CHECK(bench.outbox.empty());
  CHECK(bench.outbox.next_tick() == TimePoint::max());
}

TEST_CASE("what was addressed to a receiver waits for its return, in order") {
  Bench bench({.distribute = Distribute::explicit_});
  const auto lane = bench.join("a", {.bytes = 1000, .batches = 2});
  for (int i = 0; i < 3; ++i) bench.accept_bound(lane);
  bench.send(lane);

  bench.outbox.give_up(lane);
  CHECK(bench.outbox.waiting_records() == 3);
  bench.outbox.meet(lane, 2, view_of(0, 0), {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}, {1, 3}, {2, 4}, {3, 5}});
}

TEST_CASE("higher priority leaves first, and a long wait beats priority") {
  Bench bench;
  const auto low = bench.accept({.bytes = 1, .records = 1, .priority = 0});
  for (int i = 0; i < 1024; ++i) bench.accept({.bytes = 1, .records = 1, .priority = 1});
  const auto lane = bench.join("a", {.bytes = 5000, .batches = 5000});

  const auto sent = bench.send(lane);

  CHECK(sent.front().first != low);
  CHECK(sent[1023].first == low);
  CHECK(sent.size() == 1025);
}

TEST_CASE("a batch past its time to live ends as expired while it waits, and never once it is on its way") {
  Bench bench;
  const auto sent = bench.accept({.bytes = 10, .records = 1, .expires = bench.now + 10ms});
  const auto lane = bench.join("a");
  bench.send(lane);
  bench.outbox.set_usable(lane, false);
  const auto waiting = bench.accept({.bytes = 10, .records = 1, .expires = bench.now + 10ms});
  CHECK(bench.outbox.next_tick() == bench.now + 10ms);

  bench.now += 10ms;
  bench.outbox.on_tick(bench.now);

  CHECK(bench.fates() == Fates{{waiting, Fate::expired}});
  bench.acknowledge(lane, view_of(1, 1));
  CHECK(bench.fates() == Fates{{sent, Fate::processed}});
}

TEST_CASE("a batch that expired is not given a place, although nobody ticked") {
  Bench bench;
  const auto id = bench.accept({.bytes = 10, .records = 1, .expires = bench.now + 10ms});
  const auto lane = bench.join("a");
  bench.now += 10ms;

  CHECK(bench.send(lane).empty());
  CHECK(bench.fates() == Fates{{id, Fate::expired}});
}

TEST_CASE("a delayed batch leaves when its time has come, and a tick is enough to quiet its timer") {
  Bench bench;
  const auto late = bench.accept({.bytes = 10, .records = 1, .not_before = bench.now + 50ms});
  const auto early = bench.accept();
  const auto lane = bench.join("a");

  CHECK(bench.send(lane) == std::vector<Sent>{{early, 1}});
  bench.acknowledge(lane, view_of(1, 1));
  CHECK(bench.outbox.next_tick() == bench.now + 50ms);
  bench.now += 50ms;
  bench.outbox.on_tick(bench.now);
  CHECK(bench.outbox.next_tick() > bench.now);

  CHECK(bench.send(lane) == std::vector<Sent>{{late, 2}});
}

TEST_CASE("the oldest that waits is dropped, and what is on its way stays") {
  Bench bench;
  const auto lane = bench.join("a", {.bytes = 1000, .batches = 1});
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(lane);

  CHECK(bench.outbox.drop_oldest());
  CHECK(bench.fates() == Fates{{2, Fate::dropped}});
  CHECK(bench.outbox.purge() == 1);
  CHECK(!bench.outbox.drop_oldest());
  CHECK(bench.outbox.records() == 1);
  CHECK(bench.outbox.waiting_records() == 0);
}

TEST_CASE("a refused batch is its owner's again, once, and the receiver hears of it as often as it asks") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 2; ++i) bench.accept();
  bench.send(lane);

  const auto second = bench.outbox.reject(lane, 2);
  REQUIRE(second);
  CHECK(second->id == 2);
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});
  CHECK(!bench.outbox.reject(lane, 2));
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});
  CHECK(bench.outbox.reject(lane, 1));
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});  // says that nothing before 3 is retained
  CHECK(!bench.outbox.reject(lane, 1));
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});

  CHECK(bench.outbox.at(lane).first_retained() == 3);
  CHECK(bench.outbox.empty());
  CHECK(bench.fates().empty());
}

TEST_CASE("what was never sent cannot be refused") {
  Bench bench;
  const auto lane = bench.join("a");
  bench.accept();
  bench.assign();

  CHECK(!bench.outbox.reject(lane, 1));
  CHECK(!bench.outbox.reject(lane, 0));
  CHECK(!bench.outbox.reject(lane, 77));
  CHECK(bench.send(lane).size() == 1);
}

TEST_CASE("a place in a journal is used when it is durable, and in order") {
  Bench bench;
  bench.outbox.durable(0);
  const auto lane = bench.join("a");
  bench.accept();
  bench.accept();
  for (std::uint64_t commit = 1; const auto assignment = bench.outbox.assign(bench.now); ++commit)
    bench.outbox.gate(assignment->lane, assignment->seq, commit);

  CHECK(bench.send(lane).empty());
  bench.outbox.durable(1);
  CHECK(bench.send(lane) == std::vector<Sent>{{1, 1}});
  bench.outbox.durable(2);
  CHECK(bench.send(lane) == std::vector<Sent>{{2, 2}});
}

TEST_CASE("a restored sender asks before it sends, and leaves the places of what was settled empty") {
  Bench bench(exactly_once());
  const auto lane = bench.outbox.lane("a");
  bench.outbox.restore({.id = 5, .bytes = 10, .records = 1}, lane, 3);
  bench.outbox.restore({.id = 9, .bytes = 10, .records = 1}, lane, 5);
  bench.outbox.restore({.id = 7, .bytes = 10, .records = 1}, lane, 6);
  bench.outbox.restore_next(lane, 9);

  CHECK(bench.outbox.at(lane).first_retained() == 3);
  CHECK(bench.outbox.at(lane).next() == 9);
  CHECK(!bench.outbox.departure(lane));
  CHECK(bench.outbox.meet(lane, 1, view_of(2, 6, {{3, 5}}), {.bytes = 1000, .batches = 10}, bench.now) ==
        Outbox::Ack::ok);
  CHECK(bench.accept() == 10);

  CHECK(bench.send(lane) == std::vector<Sent>{{0, 4}, {0, 7}, {0, 8}, {5, 3}, {9, 5}, {10, 9}});
  bench.acknowledge(lane, view_of(9, 9));
  CHECK(bench.outbox.empty());
}

TEST_CASE("a lane whose first batch is never processed does not grow for ever") {
  Bench bench;
  const auto lane = bench.join("a", {.bytes = 1000, .batches = 10});
  bench.accept();
  std::uint64_t seq = 1;
  bench.send(lane);

  for (; seq < 100'000; ++seq) {
    bench.accept();
    if (bench.send(lane).empty()) break;
    bench.acknowledge(lane, view_of(0, seq + 1, {}, {{2, seq + 1}}));
  }

  CHECK(seq == 65'536);
  bench.acknowledge(lane, view_of(seq, seq));
  CHECK(bench.send(lane).size() == 1);
}

TEST_CASE("batches spread over receivers in turn, or to the one with most room") {
  Bench turns({.distribute = Distribute::round_robin});
  Bench room({.distribute = Distribute::balance});
  for (Bench* bench : {&turns, &room}) {
    const auto a = bench->join("a", {.bytes = 40, .batches = 10});
    const auto b = bench->join("b", {.bytes = 1000, .batches = 10});
    for (int i = 0; i < 4; ++i) bench->accept();
    const std::size_t at_a = bench->send(a).size();
    CHECK(at_a + bench->send(b).size() == 4);
    CHECK(at_a == (bench == &turns ? 2U : 0U));
  }
}
