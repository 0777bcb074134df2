#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/sim/push_pull.hpp>

#include "planted.hpp"

using namespace weft;
using namespace weft::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kPushPullSeeds = kSlow ? 80 : 1500;

// A failing seed is named with its problem; `weft sim --seed N` runs it again.
void run_push_pull_seeds(std::uint64_t first) {
  for (std::uint64_t seed = first; seed < first + kPushPullSeeds; ++seed) {
    if (kind_of_seed(seed) != LinkKind::push_pull) continue;
    const SimReport report = run_push_pull(options_of_seed(seed));
    INFO("weft sim --seed ", seed);
    for (const std::string& problem : report.problems) CHECK_MESSAGE(false, problem);
    CHECK(report.counts.attempted == 1000);
  }
}

Found find(PlantedBug bug, const PushPullOptions& options, std::string_view words) {
  return find_planted(options, bug, words, run_push_pull);
}

}  // namespace

TEST_CASE("one seed reproduces a run exactly, and another one is another run") {
  std::uint64_t before = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const SimReport first = run_push_pull(options_of_seed(seed));
    const SimReport second = run_push_pull(options_of_seed(seed));

    CHECK(first.trace_hash == second.trace_hash);
    CHECK(to_json(first.to_value()) == to_json(second.to_value()));
    CHECK(first.trace_hash != before);
    before = first.trace_hash;
  }
}

TEST_CASE("without faults every record is processed once, and nothing is sent twice") {
  for (const Delivery delivery : {Delivery::at_least_once, Delivery::exactly_once}) {
    const SimReport report = run_push_pull({.delivery = delivery, .sender_journal = true, .senders = 2});

    CHECK(report.ok());
    CHECK(report.counts.processed == 1000);
    CHECK(report.counts.duplicated == 0);
    CHECK(report.batches_retransmitted == 0);
    CHECK(report.counts.faults.empty());
  }
}

TEST_CASE("under every fault at once, exactly-once loses nothing and commits nothing twice") {
  PushPullOptions options{.delivery = Delivery::exactly_once, .sender_journal = true, .records = 20'000};
  options.faults = parse_faults(
      "loss=0.05,duplicate=0.05,reorder=0.1,partition=0.001,slow=0.3,crash=0.005,pause=0.002,full=0.02,skew="
      "0.01");

  const SimReport report = run_push_pull(options);

  CHECK(report.ok());
  CHECK(report.counts.lost == 0);
  CHECK(report.counts.processed >= report.counts.accepted);
  CHECK(report.counts.accepted > 19'000);
  CHECK(report.counts.duplicated == 0);
  CHECK(report.counts.faults.at("killed") > 0);
  CHECK(report.counts.faults.at("power failed") > 0);
  CHECK(report.counts.faults.at("disk full") > 0);
}

TEST_CASE("where a connection keeps order, little more is sent again than was lost") {
  PushPullOptions options{.records = 40'000, .window = {1 << 20, 1024}};
  options.faults.loss = 0.02;
  options.faults.delay = 10ms;
  options.faults_for = 3600s;

  const SimReport report = run_push_pull(options);

  CHECK(report.ok());
  CHECK(report.batches_lost > 100);
  CHECK(report.batches_retransmitted * 2 <= report.batches_lost * 3);
}

TEST_CASE("a record that its receivers die of is given up alone, with and without journals and replicas") {
  for (const Delivery delivery : {Delivery::at_least_once, Delivery::exactly_once}) {
    for (const std::uint32_t receivers : {1U, 3U}) {
      for (const bool journal : {false, true}) {
        const SimReport report = run_push_pull({.seed = 5,
                                                .delivery = delivery,
                                                .sender_journal = journal,
                                                .receivers = receivers,
                                                .records = 200,
                                                .batch_records = 200,
                                                .max_attempts = 3,
                                                .poison = true,
                                                .faults_for = 1s});
        INFO("delivery ", static_cast<int>(delivery), ", ", receivers, " receivers, journal ", journal);
        for (const std::string& problem : report.problems) CHECK_MESSAGE(false, problem);
        CHECK(report.counts.dead_lettered == 1);
        CHECK(report.counts.processed == 199);
      }
    }
  }
}

TEST_CASE("the simulator finds a receiver that acknowledges before it has processed") {
  PushPullOptions options;
  options.faults.crash = 0.005;

  const Found found = find(PlantedBug::acknowledge_before_processing, options, "nobody has processed it");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds a sender that forgets to take a new epoch") {
  PushPullOptions options;
  options.faults.crash = 0.005;

  const Found found = find(PlantedBug::forget_epoch, options, "never sent");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds a receiver that drops the ranges of its acknowledgements" *
          doctest::test_suite("slow")) {
  PushPullOptions options;
  options.faults.loss = 0.05;

  const Found found = find(PlantedBug::drop_ranges, options, "did not come to rest");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("a thousand workers fit in one run" * doctest::test_suite("slow")) {
  PushPullOptions options{.senders = 1000, .receivers = 2, .records = 10'000};
  options.faults = parse_faults("loss=0.01,duplicate=0.01,reorder=0.05,crash=0.0005");

  const SimReport report = run_push_pull(options);

  CHECK(report.ok());
  CHECK(report.counts.attempted == 10'000);
}

TEST_CASE("options out of their range are refused by name") {
  CHECK_THROWS_WITH_AS(run_push_pull({.receivers = 0}), doctest::Contains("receivers 0"), Error);
  CHECK_THROWS_WITH_AS(run_push_pull({.delivery = Delivery::best_effort}), doctest::Contains("best-effort"),
                       Error);
  CHECK_THROWS_WITH_AS(run_push_pull({.capacity = 10}), doctest::Contains("capacity 10"), Error);
}

TEST_CASE("every invariant holds over seeds from 1 on") {
  run_push_pull_seeds(1);
}

TEST_CASE("every invariant holds over seeds from 10001 on") {
  run_push_pull_seeds(10'001);
}

TEST_CASE("every invariant holds over seeds from 20001 on") {
  run_push_pull_seeds(20'001);
}

TEST_CASE("every invariant holds over seeds from 30001 on") {
  run_push_pull_seeds(30'001);
}
