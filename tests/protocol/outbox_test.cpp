#include "protocol/outbox_bench.hpp"

using namespace outbox_bench;

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

TEST_CASE("a receiver that still has what went to others hears so before it gets more") {
  Bench bench;
  bench.outbox.durable(0);
  bench.outbox.committing(1);
  const auto a = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.assign();
  bench.outbox.durable(1);
  bench.send(a);
  bench.outbox.committing(2);
  bench.outbox.give_up(a);
  CHECK(bench.outbox.at(a).first_retained() == 1);  // says its HELLO

  bench.outbox.durable(2);
  bench.outbox.committing(3);
  bench.outbox.meet(a, 1, view_of(1, 3), {.bytes = 1000, .batches = 10}, bench.now);
  bench.assign();
  bench.outbox.durable(3);

  CHECK(bench.send(a) == std::vector<Sent>{{0, 3}, {1, 4}, {2, 5}, {3, 6}});
}

TEST_CASE("a receiver that knows from HELLO what went to others is not told again") {
  Bench bench;
  const auto a = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(a);
  bench.outbox.give_up(a);

  bench.outbox.meet(a, 1, view_of(3, 3), {.bytes = 1000, .batches = 10}, bench.now);

  CHECK(bench.send(a) == std::vector<Sent>{{1, 4}, {2, 5}, {3, 6}});
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

TEST_CASE("a refused batch is its owner's again, once, and the receiver hears of it as often as it asks") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 2; ++i) bench.accept();
  bench.send(lane);

  const auto second = bench.outbox.reject(lane, 2, bench.now);
  REQUIRE(second);
  CHECK(second->id == 2);
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});
  CHECK(!bench.outbox.reject(lane, 2, bench.now));
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});
  CHECK(bench.outbox.reject(lane, 1, bench.now));
  CHECK(bench.send(lane) == std::vector<Sent>{{0, 2}});  // says that nothing before 3 is retained
  CHECK(!bench.outbox.reject(lane, 1, bench.now));
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

  CHECK(!bench.outbox.reject(lane, 1, bench.now));
  CHECK(!bench.outbox.reject(lane, 0, bench.now));
  CHECK(!bench.outbox.reject(lane, 77, bench.now));
  CHECK(bench.send(lane).size() == 1);
}

TEST_CASE("a place in a journal is used when it is durable, and in order") {
  Bench bench;
  bench.outbox.durable(0);
  const auto lane = bench.join("a");
  bench.accept();
  bench.accept();
  for (std::uint64_t commit = 1; commit <= 2; ++commit) {
    bench.outbox.committing(commit);
    REQUIRE(bench.outbox.assign(bench.now));
  }

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

TEST_CASE("a lane whose first batch is never processed does not grow for ever" *
          doctest::test_suite("slow")) {
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

TEST_CASE("no receiver hears that a place is empty before that is durable") {
  Bench bench;
  bench.outbox.durable(0);
  bench.outbox.committing(1);
  const auto lane = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.assign();
  bench.outbox.durable(1);
  bench.send(lane);

  bench.outbox.committing(2);
  CHECK(bench.outbox.reject(lane, 2, bench.now));
  CHECK(bench.outbox.reject(lane, 1, bench.now));
  CHECK(bench.send(lane).empty());
  CHECK(bench.outbox.at(lane).first_retained() == 1);
  bench.outbox.committing(3);
  CHECK(bench.outbox.reject(lane, 3, bench.now));
  bench.outbox.durable(2);
  CHECK(bench.outbox.at(lane).first_retained() == 3);
  bench.outbox.durable(3);

  CHECK(bench.send(lane) == std::vector<Sent>{{0, 3}});
  CHECK(bench.outbox.at(lane).first_retained() == 4);
}

TEST_CASE("what has lost its place is named, so that a journal forgets where it was") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(lane);
  bench.acknowledge(lane, view_of(1, 1));

  bench.outbox.give_up(lane);

  CHECK(bench.outbox.take_released() == std::vector<std::uint64_t>{2, 3});
  CHECK(bench.outbox.take_released().empty());
}

TEST_CASE("the silence of a lane at rest is not held against what it gets next") {
  Bench bench;
  bench.outbox.durable(0);
  bench.outbox.committing(1);
  const auto lane = bench.join("a");
  bench.now += 10s;
  bench.accept();
  bench.assign();

  CHECK(!bench.outbox.departure(lane));  // its place is not durable yet
  CHECK(bench.outbox.next_tick() > bench.now);
  CHECK(bench.outbox.on_tick(bench.now).probe.empty());
}

TEST_CASE("a receiver that is gone and owes nothing is forgotten, and its number given to another one") {
  Bench bench;
  const auto lane = bench.join("a");
  bench.accept();
  bench.send(lane);
  CHECK(!bench.outbox.forget(lane));  // it is up
  bench.outbox.cut(lane);
  CHECK(!bench.outbox.forget(lane));  // a batch is on its way there
  bench.outbox.give_up(lane);

  CHECK(bench.outbox.forget(lane));
  CHECK(!bench.outbox.forget(lane));
  CHECK(bench.outbox.lanes_known() == 0);
  const auto other = bench.join("b");
  CHECK(other == lane);
  CHECK(bench.outbox.lane_count() == 1);
  CHECK(bench.send(other).size() == 1);
}

TEST_CASE("what waits for a receiver keeps it known") {
  Bench bench;
  const auto lane = bench.join("a");
  bench.outbox.cut(lane);
  bench.outbox.accept({.bytes = 10, .records = 1, .lane = lane});

  CHECK(!bench.outbox.forget(lane));
  bench.outbox.accept({.bytes = 10, .records = 1, .lane = lane, .not_before = bench.now + 1s});
  (void)bench.outbox.drop_oldest();
  (void)bench.outbox.take_done();
  CHECK(!bench.outbox.forget(lane));
}

TEST_CASE("a receiver that was forgotten says how far its lane had come") {
  Bench bench;
  const auto lane = bench.join("a");
  for (int i = 0; i < 3; ++i) bench.accept();
  bench.send(lane);
  bench.acknowledge(lane, view_of(3, 3));
  (void)bench.fates();
  bench.outbox.cut(lane);
  REQUIRE(bench.outbox.forget(lane));

  const auto again = bench.outbox.lane("a");
  CHECK(bench.outbox.meet(again, 1, view_of(3, 3), {.bytes = 1000, .batches = 10}, bench.now) ==
        Outbox::Ack::ok);
  const auto id = bench.accept();

  CHECK(bench.send(again) == std::vector<Sent>{{id, 4}});
  CHECK(bench.outbox.at(again).first_retained() == 4);
  CHECK(bench.acknowledge(again, view_of(5, 5)) == Outbox::Ack::beyond);
}
