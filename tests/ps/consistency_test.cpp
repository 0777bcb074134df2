// What workers of different speeds see: the staleness bound, stalls, and workers that die on the way.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/json.hpp>
#include <weft/ps/staleness_clock.hpp>
#include <weft/ps/synthetic.hpp>

#include "ps/training.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

TableSpec table_from(const std::string& consistency) {
  return TableSpec::parse("w", parse_json(R"({"optimizer": {"name": "adagrad"}, )" + consistency + "}"),
                          "tables.w");
}

/// Four workers of which worker 3 gets one turn in `slowness`; the largest gap at the start of a clock.
std::uint64_t gap_with_slow_worker(const std::string& consistency, std::uint64_t slowness,
                                   std::uint64_t seed) {
  const SyntheticData source({.rows = 2'000, .test_rows = 1});
  Cluster cluster({table_from(consistency)}, 4, 2, seed);
  std::vector<Dataset> shares;
  for (std::uint32_t w = 0; w < 4; ++w) shares.push_back(source.train({w, 4}));
  std::deque<Trainer> trainers;
  for (std::uint32_t w = 0; w < 4; ++w)
    trainers.emplace_back(cluster, w, shares[w], TrainOptions{.batch = 20});
  for (std::uint64_t turn = 0; turn < 100'000; ++turn) {
    for (std::uint32_t w = 0; w < 4; ++w) {
      if (w < 3 || turn % slowness == 0) trainers[w].advance();
    }
    cluster.pump();
    if (std::all_of(trainers.begin(), trainers.end(), [](const Trainer& t) { return t.done(); })) break;
  }
  for (const Trainer& trainer : trainers) REQUIRE(trainer.done());
  return cluster.max_gap();
}

/// Virtual time of 8 workers for 225 steps when 5 % of the steps take ten times as long.
double time_with_stalls(std::uint64_t staleness, std::uint64_t seed) {
  constexpr std::uint32_t kWorkers = 8;
  constexpr std::uint64_t kSteps = 225;
  Random random(seed);
  StalenessClock clock(kWorkers);
  std::vector<double> busy_until(kWorkers, 0.0);
  std::vector<bool> working(kWorkers, false);
  for (std::uint32_t w = 0; w < kWorkers; ++w) clock.join(w);
  double now = 0;
  while (clock.min_clock() < kSteps) {
    for (std::uint32_t w = 0; w < kWorkers; ++w) {
      if (working[w] || clock.clock(w) == kSteps || !clock.admits(clock.clock(w), staleness)) continue;
      busy_until[w] = now + (random.uniform() < 0.05 ? 10 : 1);
      working[w] = true;
    }
    double next = 1e300;
    for (std::uint32_t w = 0; w < kWorkers; ++w) {
      if (working[w]) next = std::min(next, busy_until[w]);
    }
    now = next;
    for (std::uint32_t w = 0; w < kWorkers; ++w) {
      if (!working[w] || busy_until[w] > now) continue;
      working[w] = false;
      clock.advance(w, clock.clock(w) + 1);
    }
  }
  return now;
}

}  // namespace

TEST_CASE("the clock gap of ssp is never above its staleness, and a slow worker makes it reach it") {
  for (const std::uint64_t staleness : {0, 1, 3, 8}) {
    for (const std::uint64_t seed : {1, 2}) {
      CAPTURE(staleness);
      CAPTURE(seed);
      const std::string consistency = R"("consistency": "ssp", "staleness": )" + std::to_string(staleness);
      CHECK(gap_with_slow_worker(consistency, 6, seed) == staleness);
    }
  }
}

TEST_CASE("bsp has no gap and asp has no bound") {
  CHECK(gap_with_slow_worker(R"("consistency": "bsp")", 6, 1) == 0);
  CHECK(gap_with_slow_worker(R"("consistency": "asp")", 6, 1) > 10);
}

TEST_CASE("staleness hides short stalls: virtual time falls as the bound grows") {
  double times[3] = {0, 0, 0};
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    times[0] += time_with_stalls(0, seed) / 10;
    times[1] += time_with_stalls(4, seed) / 10;
    times[2] += time_with_stalls(16, seed) / 10;
  }
  MESSAGE("virtual time with s = 0, 4, 16: " << times[0] << " " << times[1] << " " << times[2]);
  CHECK(times[1] < 0.65 * times[0]);
  CHECK(times[2] < 0.8 * times[1]);
}

TEST_CASE("workers that die or fall silent in any order never stop the others") {
  const SyntheticData source({.rows = 1'000, .test_rows = 1});
  for (const std::string mode : {R"("consistency": "bsp")", R"("consistency": "ssp", "staleness": 1)"}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      CAPTURE(mode);
      CAPTURE(seed);
      Random random(seed);
      Cluster cluster({table_from(mode)}, 4, 2, seed);
      std::vector<Dataset> shares;
      for (std::uint32_t w = 0; w < 4; ++w) shares.push_back(source.train({w, 4}));
      std::deque<Trainer> trainers;
      for (std::uint32_t w = 0; w < 4; ++w)
        trainers.emplace_back(cluster, w, shares[w], TrainOptions{.batch = 10});
      const std::uint64_t first_death = random.below(40);
      const std::uint64_t second_death = random.below(80);
      for (std::uint64_t turn = 0; turn < 400; ++turn) {
        if (turn == first_death) cluster.kill(3);
        if (turn == second_death) cluster.kill(2);
        for (std::uint32_t w = 0; w < 4; ++w) {
          if ((w == 3 && turn >= first_death) || (w == 2 && turn >= second_death)) continue;
          trainers[w].advance();
        }
        cluster.pump();
      }
      CHECK(trainers[0].done());
      CHECK(trainers[1].done());
      CHECK(cluster.shard(0).all_workers_done());
    }
  }
}
