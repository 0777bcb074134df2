#include <algorithm>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include <weft/ps/staleness_clock.hpp>

#include "ps/random.hpp"

using namespace weft::ps;
using State = StalenessClock::State;

TEST_CASE("a worker that is expected holds the minimum at zero until it joins") {
  StalenessClock clock(2);
  clock.join(0);
  clock.advance(0, 5);

  CHECK(clock.min_clock() == 0);
  CHECK_FALSE(clock.admits(5, 4));
  CHECK(clock.admits(5, 5));
  clock.join(1);
  clock.advance(1, 3);
  CHECK(clock.min_clock() == 3);
  CHECK(clock.admits(5, 2));
}

TEST_CASE("a finished, dead or gone worker never holds the minimum") {
  for (const State state : {State::finished, State::dead, State::left}) {
    StalenessClock clock(3);
    for (std::uint32_t worker = 0; worker < 3; ++worker) clock.join(worker);
    clock.advance(0, 7);
    clock.advance(1, 4);

    clock.stop(2, state);

    CHECK(clock.min_clock() == 4);
    CHECK(clock.holders() == 2);
    CHECK(clock.in_state(state) == 1);
  }
}

TEST_CASE("a worker that is expected and dies before it joins holds nobody") {
  StalenessClock clock(2);
  clock.join(0);
  clock.advance(0, 2);
  clock.stop(1, State::dead);
  CHECK(clock.min_clock() == 2);
}

TEST_CASE("a worker that comes back starts where it does not hold the others back") {
  StalenessClock clock(2);
  clock.join(0);
  clock.join(1);
  clock.advance(1, 2);
  clock.stop(1, State::dead);
  clock.advance(0, 9);

  CHECK(clock.join(1) == 9);
  CHECK(clock.min_clock() == 9);
  clock.stop(0, State::finished);
  clock.stop(1, State::dead);
  CHECK(clock.join(1) == 9);
}

TEST_CASE("without a holder everything has passed and everyone is admitted") {
  StalenessClock clock(1);
  clock.join(0);
  clock.advance(0, 3);
  CHECK_FALSE(clock.passed(3));
  CHECK(clock.passed(2));

  clock.stop(0, State::finished);

  CHECK(clock.passed(1'000'000));
  CHECK(clock.admits(UINT64_MAX, 0));
  CHECK(clock.min_clock() == 3);
}

TEST_CASE("a clock never goes back and huge clocks do no harm") {
  StalenessClock clock(2);
  clock.join(0);
  clock.join(1);
  clock.advance(0, UINT64_MAX);
  clock.advance(0, 3);
  CHECK(clock.clock(0) == UINT64_MAX);
  CHECK_FALSE(clock.admits(UINT64_MAX, UINT64_MAX - 1));
  CHECK(clock.admits(0, 0));
  clock.advance(1, 1);
  CHECK(clock.min_clock() == 1);
}

TEST_CASE("the minimum equals the lowest holder after any sequence of events") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const std::uint32_t workers = 1 + static_cast<std::uint32_t>(random.below(8));
    StalenessClock clock(workers);
    std::uint64_t last_min = 0;
    for (int step = 0; step < 300; ++step) {
      const auto worker = static_cast<std::uint32_t>(random.below(workers + 2));
      switch (random.below(8)) {
        case 0:
          clock.join(worker);
          break;
        case 1:
          clock.stop(worker, State::dead);
          break;
        case 2:
          clock.stop(worker, State::finished);
          break;
        default:
          clock.advance(worker, clock.clock(worker) + random.below(3));
      }
      std::optional<std::uint64_t> lowest;
      for (std::uint32_t w = 0; w < clock.size(); ++w) {
        if (clock.state(w) != State::running && clock.state(w) != State::expected) continue;
        lowest = std::min(lowest.value_or(UINT64_MAX), clock.clock(w));
      }
      if (lowest) REQUIRE(clock.min_clock() == *lowest);
      REQUIRE(clock.min_clock() >= last_min);
      last_min = clock.min_clock();
    }
  }
}
