#include "protocol/outbox_bench.hpp"

using namespace outbox_bench;

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

TEST_CASE("the oldest batches are shown in the order of acceptance, with where they are") {
  Bench bench;
  const auto lane = bench.join("a", {.bytes = 1000, .batches = 1});
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(lane);

  const auto held = bench.outbox.oldest(2);

  REQUIRE(held.size() == 2);
  CHECK(held[0].entry.id == 1);
  CHECK(held[0].receiver == "a");
  CHECK(held[1].entry.id == 2);
  CHECK(held[1].receiver.empty());
  CHECK(bench.outbox.oldest(9).size() == 3);
  CHECK(bench.outbox.records() == 3);
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
