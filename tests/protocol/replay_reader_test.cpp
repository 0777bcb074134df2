#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/replay_reader.hpp>

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::protocol;

namespace {

using Reader = ReplayReader<std::uint64_t>;
using Come = Reader::Verdict;

struct Rig {
  Reader reader;
  TimePoint now{};
  std::vector<std::uint64_t> applied;
  std::vector<std::uint64_t> resets;

  explicit Rig(const ReplayReaderOptions& options = {}, bool join = true) : reader(options) {
    reader.resume();
    reader.subscribed(0, now);
    if (join) joined();
  }
  void joined() {
    const auto step = reader.tick(now);
    REQUIRE(step.join);
    reader.join_answered(step.join->number, 0, now);
    drain();
  }
  void drain() {
    while (auto ready = reader.next(now)) {
      CHECK(ready->payload == ready->seq);
      applied.push_back(ready->seq);
      if (ready->reset) resets.push_back(ready->seq);
    }
  }
  Come come(std::uint64_t seq, bool replayed = false, std::uint64_t bytes = 10) {
    const auto arrival = reader.arrive("t", seq, bytes, replayed, now);
    if (arrival.verdict == Come::next) applied.push_back(seq);
    if (arrival.reset) resets.push_back(seq);
    if (arrival.verdict == Come::held) reader.hold("t", seq, bytes, seq, now);
    drain();
    return arrival.verdict;
  }
};

using Seqs = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("a replay reader passes on what is in order and drops what came before") {
  Rig rig;

  CHECK(rig.come(1) == Come::next);
  CHECK(rig.come(2) == Come::next);
  CHECK(rig.come(1) == Come::duplicate);
  CHECK(rig.come(3) == Come::next);

  CHECK(rig.applied == Seqs{1, 2, 3});
  CHECK(rig.reader.complete());
  CHECK(rig.reader.next_tick() == TimePoint::max());
}

TEST_CASE("a gap holds what is live and says which ranges to fetch") {
  Rig rig;
  rig.come(1);
  CHECK(rig.come(4) == Come::held);
  CHECK(rig.come(7) == Come::held);
  CHECK(rig.come(7) == Come::duplicate);

  const auto step = rig.reader.tick(rig.now);
  REQUIRE(step.fetches.size() == 1);
  CHECK(step.fetches[0].topic == "t");
  CHECK(step.fetches[0].ranges == std::vector<Range>{{2, 3}, {5, 6}});
  CHECK(!rig.reader.complete());

  for (const std::uint64_t seq : {2, 3, 5, 6}) CHECK(rig.come(seq, true) == Come::next);
  rig.reader.fetch_answered(step.fetches[0].number, "t", 7, 1, false, rig.now);

  CHECK(rig.applied == Seqs{1, 2, 3, 4, 5, 6, 7});
  CHECK(rig.reader.complete());
  CHECK(rig.reader.counts().replayed == 4);
  CHECK(rig.reader.counts().filled == 2);
  CHECK(rig.reader.counts().missed == 0);
  CHECK(rig.reader.held_batches() == 0);
}

TEST_CASE("a question without an answer is asked again, later each time") {
  Rig rig({.first_retry = 1s, .last_retry = 4s, .give_up = 100s});
  rig.come(2);
  std::vector<Duration> waits;
  for (int i = 0; i < 4; ++i) {
    CHECK(rig.reader.tick(rig.now).fetches.size() == 1);
    CHECK(rig.reader.tick(rig.now).fetches.empty());
    waits.emplace_back(rig.reader.next_tick() - rig.now);
    rig.now = rig.reader.next_tick();
  }

  CHECK(waits == std::vector<Duration>{1s, 2s, 4s, 4s});
}

TEST_CASE("a hole that nobody fills is left behind in the end, and counted") {
  Rig rig({.give_up = 10s});
  rig.come(1);
  rig.come(5);
  while (rig.applied.size() < 2 && rig.now < TimePoint{} + 60s) {
    (void)rig.reader.tick(rig.now);
    rig.drain();
    rig.now += 1s;
  }

  CHECK(rig.applied == Seqs{1, 5});
  CHECK(rig.resets == Seqs{5});
  CHECK(rig.reader.counts().missed == 3);
  CHECK(rig.reader.complete());
}

TEST_CASE("what the publisher no longer has is counted as missed, the rest is fetched") {
  Rig rig;
  rig.come(1);
  rig.come(9);
  auto fetch = rig.reader.tick(rig.now).fetches.at(0);
  rig.reader.fetch_answered(fetch.number, "t", 9, 6, true, rig.now);

  fetch = rig.reader.tick(rig.now).fetches.at(0);
  CHECK(fetch.ranges == std::vector<Range>{{6, 8}});
  for (const std::uint64_t seq : {6, 7, 8}) rig.come(seq, true);

  CHECK(rig.applied == Seqs{1, 6, 7, 8, 9});
  CHECK(rig.resets == Seqs{6});
  CHECK(rig.reader.counts().missed == 4);
}

TEST_CASE("where snapshots are wanted a lost range is replaced by one") {
  Rig rig({.snapshots = true});
  rig.come(1);
  rig.come(9);
  const auto fetch = rig.reader.tick(rig.now).fetches.at(0);
  rig.reader.fetch_answered(fetch.number, "t", 9, 6, true, rig.now);

  const auto step = rig.reader.tick(rig.now);
  REQUIRE(step.join);
  CHECK(step.join->topics == std::vector<std::string_view>{"t"});
  const auto taken = rig.reader.snapshot("t", 8);
  CHECK(taken.verdict == Come::next);
  CHECK(taken.reset);
  rig.reader.join_answered(step.join->number, 0, rig.now);
  rig.drain();

  CHECK(rig.applied == Seqs{1, 9});
  CHECK(rig.reader.counts().missed == 0);
  CHECK(rig.reader.counts().snapshots == 1);
  CHECK(rig.reader.complete());
}

TEST_CASE("a range that is gone and of which there is no snapshot is missed") {
  Rig rig({.snapshots = true});
  rig.come(1);
  rig.come(9);
  const auto fetch = rig.reader.tick(rig.now).fetches.at(0);
  rig.reader.fetch_answered(fetch.number, "t", 9, 10, true, rig.now);
  const auto step = rig.reader.tick(rig.now);
  REQUIRE(step.join);
  rig.reader.join_answered(step.join->number, 0, rig.now);
  rig.drain();

  CHECK(rig.applied == Seqs{1, 9});
  CHECK(rig.reader.counts().missed == 7);
}

TEST_CASE("live batches wait until the answer to a join says where their topic began") {
  Rig rig({}, false);
  CHECK(rig.come(5) == Come::held);
  CHECK(rig.come(7) == Come::held);
  const auto step = rig.reader.tick(rig.now);
  REQUIRE(step.join);
  rig.reader.position("t", 4);
  rig.reader.join_answered(step.join->number, 0, rig.now);
  rig.drain();

  CHECK(rig.applied == Seqs{5});
  CHECK(rig.reader.tick(rig.now).fetches.at(0).ranges == std::vector<Range>{{6, 6}});
}

TEST_CASE("a topic that the answer to a join does not name begins with its first batch") {
  Rig rig({}, false);
  rig.come(3);
  rig.joined();

  CHECK(rig.applied.empty());
  CHECK(rig.reader.tick(rig.now).fetches.at(0).ranges == std::vector<Range>{{1, 2}});
}

TEST_CASE("a snapshot drops the live batches that it covers") {
  Rig rig({.snapshots = true}, false);
  for (const std::uint64_t seq : {3, 4, 5}) rig.come(seq);
  const auto step = rig.reader.tick(rig.now);
  CHECK(rig.reader.snapshot("t", 4).verdict == Come::next);
  CHECK(rig.reader.snapshot("t", 4).verdict == Come::next);  // its second part
  rig.reader.position("t", 2);
  CHECK(rig.applied.empty());
  rig.reader.join_answered(step.join->number, 0, rig.now);
  rig.drain();

  CHECK(rig.applied == Seqs{5});
  CHECK(rig.reader.counts().snapshots == 1);
}

TEST_CASE("an announced batch is fetched, after a while when it may be on its way still") {
  Rig rig({.grace = 100ms});
  rig.come(1);
  rig.reader.announce("t", 2, false, rig.now);
  CHECK(rig.reader.tick(rig.now).fetches.empty());
  rig.now += 100ms;
  CHECK(rig.reader.tick(rig.now).fetches.size() == 1);
  rig.reader.announce("unknown", 1, true, rig.now);

  CHECK(rig.reader.tick(rig.now).fetches.at(0).topic == "unknown");
}

TEST_CASE("a reader holds no more than it may, and fetches the rest") {
  Rig rig({.hold_bytes = 100, .hold_batches = 3});
  CHECK(rig.come(2, false, 40) == Come::held);
  CHECK(rig.come(3, false, 40) == Come::held);
  CHECK(rig.come(4, false, 40) == Come::no_room);
  CHECK(rig.come(5, false, 1) == Come::held);
  CHECK(rig.come(6, false, 1) == Come::no_room);
  CHECK(rig.reader.held_bytes() <= 100);

  CHECK(rig.reader.tick(rig.now).fetches.at(0).ranges == std::vector<Range>{{1, 1}, {4, 4}, {6, 6}});
}

TEST_CASE("only so many questions are open at once") {
  Rig rig({.fetches = 2});
  for (const auto* topic : {"a", "b", "c"}) (void)rig.reader.arrive(topic, 2, 1, false, rig.now);

  const auto first = rig.reader.tick(rig.now);
  REQUIRE(first.fetches.size() == 2);
  CHECK(rig.reader.tick(rig.now).fetches.empty());
  rig.reader.fetch_answered(first.fetches[0].number, first.fetches[0].topic, 2, 1, false, rig.now);

  CHECK(rig.reader.tick(rig.now).fetches.size() == 1);
}

TEST_CASE("a reader that begins with the oldest batch misses nothing by what is gone before it") {
  Rig rig({.start = 0, .from_oldest = true}, false);
  const auto join = rig.reader.tick(rig.now);
  rig.reader.position("t", 9);
  rig.reader.join_answered(join.join->number, 0, rig.now);
  auto fetch = rig.reader.tick(rig.now).fetches.at(0);
  CHECK(fetch.ranges == std::vector<Range>{{1, 9}});
  rig.reader.fetch_answered(fetch.number, "t", 9, 4, true, rig.now);

  fetch = rig.reader.tick(rig.now).fetches.at(0);
  CHECK(fetch.ranges == std::vector<Range>{{4, 9}});
  CHECK(rig.reader.counts().missed == 0);
}

TEST_CASE("a publisher that is gone for good leaves what is held and a count of what is not") {
  Rig rig;
  rig.come(1);
  rig.come(4);
  rig.come(7);
  rig.reader.announce("t", 9, true, rig.now);
  rig.reader.abandon(rig.now);
  rig.drain();

  CHECK(rig.applied == Seqs{1, 4, 7});
  CHECK(rig.reader.counts().missed == 6);
}

TEST_CASE("what was asked before a connection was lost is asked again after it") {
  Rig rig;
  rig.come(2);
  CHECK(rig.reader.tick(rig.now).fetches.size() == 1);
  rig.reader.pause();
  CHECK(rig.reader.tick(rig.now).fetches.empty());
  rig.reader.resume();

  CHECK(rig.reader.tick(rig.now).fetches.size() == 1);
}

TEST_CASE("sequences beyond all reason change nothing") {
  Rig rig;
  rig.come(1);
  CHECK(rig.come(UINT64_MAX) == Come::duplicate);
  rig.reader.announce("t", UINT64_MAX - 1, true, rig.now);
  rig.come(2);

  CHECK(rig.reader.complete());
}

TEST_CASE("who followed an earlier incarnation takes all that the next one has sent") {
  ReplayReader<std::string> reader({.restarted = true});
  const TimePoint now = TimePoint{} + 1h;
  reader.resume();
  reader.subscribed(7, now);
  const auto step = reader.tick(now);
  REQUIRE(step.join);
  reader.position("a", 2);

  reader.join_answered(step.join->number, 0, now);

  CHECK(reader.last("a") == 0);
  CHECK(reader.last("b") == std::nullopt);
  CHECK(reader.arrive("a", 1, 1, true, now).verdict == ReplayReader<std::string>::Verdict::next);
  CHECK(reader.last("a") == 1);
}
