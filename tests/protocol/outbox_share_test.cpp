// How an outbox deals batches out to receivers that say how fast they are.
#include <algorithm>

#include "protocol/outbox_bench.hpp"

using namespace outbox_bench;

namespace {

/// Splits what is to be split, as an owner of the bytes does: what fits, and the rest.
struct Sharing : Bench {
  using Bench::Bench;
  std::map<std::uint64_t, std::vector<int>> records;  // by id

  std::uint32_t join_reporting(const std::string& name, std::uint64_t bound = 0) {
    const std::uint32_t lane = outbox.lane(name);
    outbox.at(lane).work().meet(bound);
    CHECK(outbox.meet(lane, 1, {}, {.bytes = 100'000, .batches = 100}, now) == Outbox::Ack::ok);
    return lane;
  }
  std::uint64_t accept_records(int first, int count, OutboxEntry entry = {}) {
    entry.records = static_cast<std::uint32_t>(count);
    entry.bytes = 10 * static_cast<std::uint64_t>(count);
    const std::uint64_t id = outbox.accept(entry);
    for (int i = first; i < first + count; ++i) records[id].push_back(i);
    return id;
  }
  void deal() {
    while (const auto given = outbox.assign(now)) {
      if (given->split == 0) continue;
      const std::vector<int> whole = records.at(given->id);
      REQUIRE(given->split < whole.size());
      const std::vector<int> head(whole.begin(), whole.begin() + given->split);
      const std::vector<int> tail(whole.begin() + given->split, whole.end());
      const auto part = [](const std::vector<int>& of) {
        return Outbox::Part{10 * of.size(), static_cast<std::uint32_t>(of.size()), 10 * of.size()};
      };
      const auto ids = outbox.split(given->id, {part(head), part(tail)});
      REQUIRE(ids.size() == 1);
      records[ids[0]] = head;
      records[given->id] = tail;
    }
  }
  /// What leaves on that lane, record by record, and whether a report is asked for.
  std::vector<int> leave(std::uint32_t lane, bool* asked = nullptr) {
    std::vector<int> out;
    deal();
    while (const auto departure = outbox.departure(lane)) {
      const auto& some = records.at(departure->id);
      out.insert(out.end(), some.begin(), some.end());
      if (asked) *asked = departure->report;
      outbox.departed(lane, departure->seq, now);
    }
    return out;
  }
};

}  // namespace

TEST_CASE("a batch is dealt out in parts, in its order, and what is left of it stays first") {
  Sharing bench;
  const auto a = bench.join_reporting("a");
  const auto b = bench.join_reporting("b");
  bench.accept_records(1, 10);
  bench.accept_records(11, 10);

  bool asked = false;
  CHECK(bench.leave(a, &asked) == std::vector<int>{1, 3});
  CHECK(asked);
  CHECK(bench.leave(b) == std::vector<int>{2, 4});
  CHECK(bench.outbox.records() == 20);
  CHECK(bench.outbox.waiting_records() == 16);
  CHECK(bench.outbox.bytes() == 200);
  // One is done at once with what it had: it gets as much again. The other has not said anything.
  bench.now += 1ms;
  CHECK(bench.acknowledge(a, view_of(2, 2)) == Outbox::Ack::ok);
  CHECK(bench.leave(a) == std::vector<int>{5, 6});
  CHECK(bench.leave(b).empty());
  // Both have: more.
  bench.now += 1ms;
  CHECK(bench.acknowledge(b, view_of(2, 2)) == Outbox::Ack::ok);
  const auto next = bench.leave(b);
  CHECK(next.size() >= 4);
  CHECK(next.front() == 7);
  CHECK(std::ranges::is_sorted(next));
}

TEST_CASE("what a receiver leaves behind goes on in its old place") {
  Sharing bench;
  const auto a = bench.join_reporting("a");
  const auto b = bench.join_reporting("b", 1);
  bench.accept_records(1, 6);
  CHECK(bench.leave(a) == std::vector<int>{1, 3});
  CHECK(bench.leave(b) == std::vector<int>{2});
  bench.outbox.give_up(a);
  // 1 and 3 come before 4, although their parts were made later.
  std::vector<int> rest;
  for (std::uint64_t seq = 1; seq <= 5; ++seq) {
    bench.now += 1ms;
    CHECK(bench.acknowledge(b, view_of(seq, seq)) == Outbox::Ack::ok);
    const auto some = bench.leave(b);
    rest.insert(rest.end(), some.begin(), some.end());
  }
  CHECK(rest == std::vector<int>{1, 3, 4, 5, 6});
}

TEST_CASE("a receiver's bound in records holds, and the end of each record makes room") {
  Sharing bench;
  const auto lane = bench.join_reporting("a", 1);
  bench.accept_records(1, 3);
  for (std::uint64_t seq = 1; seq <= 3; ++seq) {
    bool asked = false;
    CHECK(bench.leave(lane, &asked) == std::vector<int>{static_cast<int>(seq)});
    CHECK(asked);
    CHECK(bench.leave(lane).empty());
    CHECK(bench.acknowledge(lane, view_of(seq, seq)) == Outbox::Ack::ok);
  }
  CHECK(bench.fates().size() == 3);
  CHECK(bench.outbox.empty());
}

TEST_CASE("one receiver without a bound gets whole batches") {
  Sharing bench;
  const auto lane = bench.join_reporting("a");
  bench.accept_records(1, 100);
  bool asked = true;
  CHECK(bench.leave(lane, &asked).size() == 100);
  CHECK(!asked);
}

TEST_CASE("parts of a batch for one receiver keep their class and their bounds in time") {
  Sharing bench;
  const auto a = bench.join_reporting("a");
  (void)bench.join_reporting("b");
  bench.accept_records(1, 4, {.priority = 2, .lane = a, .expires = bench.now + 1s});
  bench.accept_records(5, 4, {.priority = 9, .lane = a});
  CHECK(bench.leave(a) == std::vector<int>{5, 6});
  bench.now += 2s;
  bench.deal();
  std::uint64_t expired = 0;
  for (const auto& done : bench.outbox.take_done()) {
    CHECK(done.fate == Fate::expired);
    expired += done.entry.records;
  }
  CHECK(expired == 4);
}

TEST_CASE("a batch that its receiver may have died of is divided in its place, with what it has behind it") {
  Sharing bench({.max_attempts = 3});
  const auto a = bench.join("a");
  const auto first = bench.accept_records(1, 9);
  bench.accept_records(10, 3);
  CHECK(bench.leave(a).size() == 12);
  bench.outbox.give_up(a);
  const auto b = bench.join("b");

  std::vector<int> all;
  for (std::uint64_t seq = 1; all.size() < 12 && seq < 20; ++seq) {
    const auto some = bench.leave(b);  // alone: nothing else is with the receiver then
    CHECK(some.size() <= 3);
    if (seq == 2) {
      const OutboxEntry* const rest = bench.outbox.entry(first);
      REQUIRE(rest != nullptr);
      CHECK(rest->order == first);
      CHECK(rest->part == 6);
      CHECK(rest->attempts == 1);
      CHECK(rest->suspect);
    }
    all.insert(all.end(), some.begin(), some.end());
    CHECK(bench.acknowledge(b, view_of(seq, seq)) == Outbox::Ack::ok);
  }

  CHECK(all == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

TEST_CASE(
    "a batch with a frame that nobody takes is halved until it fits, and a record that does not fit ends") {
  Sharing bench;
  const auto lane = bench.outbox.lane("a");
  const Credit credit{.bytes = 100'000, .batches = 100};
  bench.outbox.meet(lane, 1, {}, credit, bench.now);
  bench.accept_records(1, 10, {.largest = 100});
  CHECK(bench.leave(lane).size() == 10);
  // Its bound has become smaller, and what was on its way has not arrived.
  bench.outbox.cut(lane);
  CHECK(bench.outbox.meet(lane, 1, {}, credit, bench.now, 35) == Outbox::Ack::ok);
  const auto single = bench.outbox.accept({.bytes = 50, .records = 1, .largest = 50});

  std::vector<int> all;
  bench.deal();
  while (const auto departure = bench.outbox.departure(lane)) {
    if (departure->id != 0) {
      const auto& some = bench.records.at(departure->id);
      CHECK(some.size() <= 3);
      all.insert(all.end(), some.begin(), some.end());
    }
    bench.outbox.departed(lane, departure->seq, bench.now);
    bench.deal();
  }

  CHECK(all == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(bench.fates() == Fates{{single, Fate::too_large}});
}

TEST_CASE("a receiver that refuses everything is measured as well, and leaves no marks behind") {
  Sharing bench;
  const auto a = bench.join_reporting("a");
  (void)bench.join_reporting("b");
  const WorkWindow& work = bench.outbox.at(a).work();
  std::uint64_t seq = 0;
  for (int turn = 0; turn < 100; ++turn) {
    bench.accept_records(turn, 1, {.lane = a});
    CHECK(bench.leave(a) == std::vector<int>{turn});
    CHECK(work.reports_due() <= 1);
    bench.now += 10ms;
    CHECK(bench.outbox.reject(a, ++seq, bench.now));
    const auto nothing = bench.outbox.departure(a);  // what the receiver hears of the place
    REQUIRE(nothing);
    CHECK(nothing->id == 0);
    bench.outbox.departed(a, nothing->seq, bench.now);
  }
  CHECK(work.reports_due() == 0);
  CHECK(work.cost() != Duration::zero());
}

TEST_CASE("a batch is divided when all that take its frames are gone, and a record waits for their return") {
  for (const OutboxOptions& options : {OutboxOptions{}, exactly_once()}) {
    Sharing bench(options);
    const auto large = bench.join("large");
    const auto small = bench.outbox.lane("small");
    CHECK(bench.outbox.meet(small, 1, {}, {.bytes = 1000, .batches = 10}, bench.now, 40) == Outbox::Ack::ok);
    bench.outbox.cut(large);
    bench.accept_records(1, 8, {.largest = 80});
    CHECK(bench.leave(small) == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});

    const auto record = bench.outbox.accept({.bytes = 80, .records = 1, .largest = 80});
    CHECK(bench.leave(small).empty());
    CHECK(bench.fates().empty());
    bench.outbox.give_up(large);
    CHECK(bench.leave(small).empty());
    CHECK(bench.fates() == Fates{{record, Fate::too_large}});
  }
}

TEST_CASE("a batch is divided when those that take its frames are full and one of smaller frames is not") {
  Sharing bench;
  const auto large = bench.join("large", {.bytes = 1000, .batches = 1});
  bench.accept_records(1, 8, {.largest = 80});
  CHECK(bench.leave(large).size() == 8);
  bench.accept_records(9, 8, {.largest = 80});
  CHECK(bench.leave(large).empty());
  CHECK(bench.fates().empty());

  const auto small = bench.outbox.lane("small");
  CHECK(bench.outbox.meet(small, 1, {}, {.bytes = 1000, .batches = 10}, bench.now, 40) == Outbox::Ack::ok);
  CHECK(bench.leave(small) == std::vector<int>{9, 10, 11, 12, 13, 14, 15, 16});
}
