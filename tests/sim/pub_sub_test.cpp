#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/sim/pub_sub.hpp>

#include "planted.hpp"

using namespace weft;
using namespace weft::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kPubSubSeeds = kSlow ? 60 : 1500;

// A failing seed is named with its problem; `weft sim --seed N` runs it again.
void run_pub_sub_seeds(std::uint64_t first) {
  for (std::uint64_t seed = first; seed < first + kPubSubSeeds; ++seed) {
    if (kind_of_seed(seed) != LinkKind::pub_sub) continue;
    const PubSubReport report = run_pub_sub(pub_sub_options_of_seed(seed));
    INFO("weft sim --seed ", seed);
    for (const std::string& problem : report.problems) CHECK_MESSAGE(false, problem);
    CHECK(report.published == 1000);
  }
}

Found find(PubSubBug bug, const PubSubOptions& options, std::string_view words) {
  return find_planted(options, bug, words, run_pub_sub);
}

}  // namespace

TEST_CASE("one seed reproduces a run of pub-sub exactly, and another one is another run") {
  std::uint64_t before = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const PubSubReport first = run_pub_sub(pub_sub_options_of_seed(seed));
    const PubSubReport second = run_pub_sub(pub_sub_options_of_seed(seed));

    CHECK(first.trace_hash == second.trace_hash);
    CHECK(to_json(first.to_value()) == to_json(second.to_value()));
    CHECK(first.trace_hash != before);
    before = first.trace_hash;
  }
}

TEST_CASE("without faults every subscriber applies what is published, and nothing is missed") {
  for (const bool keep_last : {false, true}) {
    const PubSubReport report = run_pub_sub({.keep_last = keep_last});

    CHECK(report.ok());
    CHECK(report.published == 1000);
    CHECK(report.applied > 2900);
    CHECK(report.missed == 0);
    CHECK(report.epochs == 1);
    CHECK(report.faults.empty());
  }
}

TEST_CASE("a window that is large enough fills every hole") {
  PubSubOptions options{.batches = 10'000, .retain_bytes = 4ULL << 20};
  options.faults = parse_faults("loss=0.05,duplicate=0.05,reorder=0.1,partition=0.001,pause=0.001");

  const PubSubReport report = run_pub_sub(options);

  CHECK(report.ok());
  CHECK(report.missed == 0);
  CHECK(report.overruns == 0);
  CHECK(report.filled > 50);
  CHECK(report.applied > 20'000);
}

TEST_CASE("what the window has lost is a snapshot, or counted as missed") {
  for (const bool keep_last : {false, true}) {
    PubSubOptions options{.keep_last = keep_last, .batches = 5000, .retain_bytes = 2048};
    options.faults = parse_faults("loss=0.02,partition=0.002");

    const PubSubReport report = run_pub_sub(options);

    CHECK(report.ok());
    CHECK(report.overruns > 10);
    CHECK((report.missed != 0) == !keep_last);
    CHECK((report.snapshots != 0) == keep_last);
  }
}

TEST_CASE("under every fault at once, late subscribers end with the last values of new publishers") {
  PubSubOptions options{
      .keep_last = true, .publishers = 2, .subscribers = 4, .batches = 10'000, .late = true};
  options.faults = parse_faults(
      "loss=0.03,duplicate=0.05,reorder=0.1,partition=0.001,slow=0.3,crash=0.002,pause=0.001,skew=0.01");

  const PubSubReport report = run_pub_sub(options);

  CHECK(report.ok());
  CHECK(report.epochs > 2);
  CHECK(report.snapshots > 0);
  CHECK(report.faults.at("killed") + report.faults.at("power failed") > 4);
}

TEST_CASE("the simulator finds a subscriber that applies live batches before a hole is filled" *
          doctest::test_suite("slow")) {
  PubSubOptions options;
  options.faults.loss = 0.02;

  const Found found = find(PubSubBug::apply_before_filled, options, "without a word");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds a subscriber that ignores its publisher's new epoch" *
          doctest::test_suite("slow")) {
  PubSubOptions options{.batches = 4000};
  options.faults.crash = 0.001;

  const Found found = find(PubSubBug::ignore_epoch, options, "");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds a publisher that forgets where topics stood when a subscriber came" *
          doctest::test_suite("slow")) {
  PubSubOptions options{.late = true};
  options.faults.delay = 20ms;
  options.faults_for = 1s;

  const Found found = find(PubSubBug::answer_as_of_now, options, "without a word");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds a publisher whose snapshots claim a batch too much" *
          doctest::test_suite("slow")) {
  PubSubOptions options{.keep_last = true, .late = true};
  options.faults_for = 1s;

  const Found found = find(PubSubBug::snapshot_too_new, options, "which is not what was published");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("five hundred subscribers fit in one run" * doctest::test_suite("slow")) {
  PubSubOptions options{.subscribers = 500, .batches = 500};
  options.faults = parse_faults("loss=0.01,duplicate=0.01,reorder=0.05,crash=0.0001");

  const PubSubReport report = run_pub_sub(options);

  CHECK(report.ok());
  CHECK(report.published == 500);
}

TEST_CASE("options of pub-sub out of their range are refused by name") {
  CHECK_THROWS_WITH_AS(run_pub_sub({.subscribers = 0}), doctest::Contains("subscribers 0"), Error);
  CHECK_THROWS_WITH_AS(run_pub_sub({.topics = 101}), doctest::Contains("topics 101"), Error);
  CHECK_THROWS_WITH_AS(run_pub_sub({.window = {10, 1}}), doctest::Contains("window of 10 bytes"), Error);
}

TEST_CASE("every invariant of pub-sub holds over seeds from 1 on") {
  run_pub_sub_seeds(1);
}

TEST_CASE("every invariant of pub-sub holds over seeds from 10001 on") {
  run_pub_sub_seeds(10'001);
}
