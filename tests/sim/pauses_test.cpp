#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/sim/pauses.hpp>
#include <weft/sim/pub_sub.hpp>
#include <weft/sim/push_pull.hpp>
#include <weft/sim/requests.hpp>

#include "planted.hpp"

using namespace weft;
using namespace weft::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kSeeds = kSlow ? 3 : 30;

SimReport with_bug(PushPullOptions options, PlantedBug bug, const std::vector<Pause>& pauses) {
  options.bug = bug;
  options.pauses = pauses;
  return run_push_pull(options);
}
RequestReport with_bug(RequestOptions options, RequestBug bug, const std::vector<Pause>& pauses) {
  options.bug = bug;
  options.pauses = pauses;
  return run_requests(options);
}
PubSubReport with_bug(PubSubOptions options, PubSubBug bug, const std::vector<Pause>& pauses) {
  options.bug = bug;
  options.pauses = pauses;
  return run_pub_sub(options);
}

PausesReport play_push_pull(std::uint64_t seed, PlantedBug bug = PlantedBug::none) {
  return play_pauses(
      seed, [&](const auto& pauses) { return with_bug(paused_options_of_seed(seed, 8), bug, pauses); });
}
PausesReport play_requests(std::uint64_t seed, RequestBug bug = RequestBug::none) {
  return play_pauses(seed, [&](const auto& pauses) {
    return with_bug(paused_request_options_of_seed(seed, 8), bug, pauses);
  });
}
PausesReport play_pub_sub(std::uint64_t seed, PubSubBug bug = PubSubBug::none) {
  return play_pauses(seed, [&](const auto& pauses) {
    return with_bug(paused_pub_sub_options_of_seed(seed, 8), bug, pauses);
  });
}

/// A broken one is played again by `weft sim --seed N --records 8 --pause ...`.
void check_whole(const PausesReport& report) {
  INFO("weft sim --seed ", report.seed, " --records 8 --pause ", report.pauses);
  for (const std::string& problem : report.problems) CHECK_MESSAGE(false, problem);
  CHECK(report.moments > 5);
  CHECK(report.runs > report.moments);
}

/// Seeds of these that show it.
template <class Play>
unsigned found(std::uint64_t seeds, const Play& play) {
  unsigned out = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) out += play(seed).ok() ? 0U : 1U;
  return out;
}

}  // namespace

TEST_CASE("who is stopped at any moment of any end finds its way back within seconds" *
          doctest::test_suite("slow")) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    switch (kind_of_seed(seed)) {
      case LinkKind::push_pull:
        check_whole(play_push_pull(seed));
        break;
      case LinkKind::requests:
        check_whole(play_requests(seed));
        break;
      case LinkKind::pub_sub:
        check_whole(play_pub_sub(seed));
        break;
    }
  }
}

TEST_CASE("pauses at every moment find a sender that gives a receiver up for good") {
  CHECK(found(3, [](std::uint64_t seed) { return play_push_pull(seed, PlantedBug::give_up_for_good); }) > 0);
}

TEST_CASE("pauses at every moment find an asker that gives an answerer up for good") {
  CHECK(found(3, [](std::uint64_t seed) { return play_requests(seed, RequestBug::give_up_for_good); }) == 3);
}

TEST_CASE("pauses at every moment find a subscriber that does not go on when its publisher is back") {
  CHECK(found(3, [](std::uint64_t seed) { return play_pub_sub(seed, PubSubBug::stay_paused); }) == 3);
}

TEST_CASE("a pause is at its moment, and what comes meanwhile is handled after it") {
  RequestOptions options{.askers = 1, .answerers = 1, .requests = 20};
  const RequestReport whole = run_requests(options);
  options.pauses = {{.process = 1, .moment = 4, .span = 20s}};
  const RequestReport paused = run_requests(options);

  CHECK(whole.faults.empty());
  CHECK(whole.moments.size() == 2);
  CHECK(whole.moments[1] > 4);
  CHECK(paused.ok());
  CHECK(paused.faults.at("stopped") == 1);
  CHECK(paused.replied + paused.timed_out == 20);
  CHECK(paused.virtual_time > 20s);
  CHECK(paused.back_after < 6s);
}

// Its sender gives the receiver up with all on its way, and says HELLO before its journal knows of that.
TEST_CASE("a sender that was stopped twice does not fill its receiver beyond its window") {
  PushPullOptions options = paused_options_of_seed(2427, 12);
  options.pauses = parse_pauses("0:6:15311ms,0:3:8242ms");
  const SimReport report = run_push_pull(options);

  CHECK(report.problems == std::vector<std::string>());
  CHECK(report.faults.at("stopped") == 2);
  CHECK(report.batches_retransmitted + report.batches_sent > 4);
}

TEST_CASE("pauses are read from text and written back") {
  const auto pauses = parse_pauses("3:17:12.5s,0:4:200ms");

  CHECK(pauses.size() == 2);
  CHECK(pauses[0].process == 3);
  CHECK(pauses[0].moment == 17);
  CHECK(pauses[1].span == 200ms);
  CHECK(to_text(pauses) == "3:17:12500ms,0:4:200ms");
  CHECK(parse_pauses("").empty());
}

TEST_CASE("a pause that is no process, moment and time is refused") {
  for (const auto& [given, words] :
       {std::pair("3", "no process"), std::pair("3:4", "no moment"), std::pair("x:4:1s", "no process"),
        std::pair("1:0:1s", "from 1 on"), std::pair("1:2:x", "the time"), std::pair("1:2:2h", "1h"),
        std::pair("999999:2:1s", "200000")}) {
    const char* const text = given;
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(parse_pauses(text), doctest::Contains(words), Error);
  }
}
