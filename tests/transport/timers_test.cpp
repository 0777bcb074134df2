#include "transport/timers.hpp"

#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

using namespace weft;
using namespace weft::transport;
using namespace std::chrono_literals;

namespace {
const TimePoint kStart{};
}

TEST_CASE("a periodic timer keeps its grid, and does not make up for calls it missed") {
  Timers timers;
  int calls = 0;
  timers.add(kStart + 10ms, 10ms, [&] { ++calls; });

  CHECK_FALSE(timers.fire(kStart + 9ms));
  CHECK(timers.fire(kStart + 10ms));
  CHECK(timers.fire(kStart + 21ms));
  CHECK(timers.next() == kStart + 30ms);
  CHECK(timers.fire(kStart + 95ms));
  CHECK(calls == 3);
  CHECK(timers.next() == kStart + 105ms);
}

TEST_CASE("a cancelled timer does not fire, and cancelling what is gone does no harm") {
  Timers timers;
  int calls = 0;
  const auto id = timers.add(kStart, Duration::zero(), [&] { ++calls; });

  timers.cancel(id);
  timers.cancel(id);
  timers.cancel(12345);

  CHECK_FALSE(timers.fire(kStart + 1s));
  CHECK(calls == 0);
  CHECK(timers.next() == TimePoint::max());
  CHECK(timers.size() == 0);
}

TEST_CASE("a timer may cancel another one that is due with it") {
  Timers timers;
  int calls = 0;
  Timers::Id second = 0;
  timers.add(kStart, Duration::zero(), [&] { timers.cancel(second), ++calls; });
  second = timers.add(kStart, Duration::zero(), [&] { ++calls; });

  CHECK(timers.fire(kStart));
  CHECK(calls == 1);
  CHECK(timers.size() == 0);
}

TEST_CASE("a periodic timer may cancel itself") {
  Timers timers;
  int calls = 0;
  Timers::Id id = 0;
  id = timers.add(kStart, 1ms, [&] { timers.cancel(id), ++calls; });

  CHECK(timers.fire(kStart));
  CHECK_FALSE(timers.fire(kStart + 1s));
  CHECK(calls == 1);
  CHECK(timers.size() == 0);
}

TEST_CASE("a timer that adds one for the same moment does not keep fire busy") {
  Timers timers;
  int calls = 0;
  std::function<void()> again = [&] {
    ++calls;
    timers.add(kStart, Duration::zero(), again);
  };
  timers.add(kStart, Duration::zero(), again);

  CHECK(timers.fire(kStart));
  CHECK(calls == 1);
  CHECK(timers.fire(kStart));
  CHECK(calls == 2);
}

TEST_CASE("a timer is not entered again while it runs") {
  Timers timers;
  int calls = 0;
  timers.add(kStart, 1ms, [&] {
    ++calls;
    CHECK_FALSE(timers.fire(kStart + 1s));
  });

  CHECK(timers.fire(kStart));
  CHECK(calls == 1);
}

TEST_CASE("after an exception a periodic timer goes on, and a single one is done") {
  Timers timers;
  int calls = 0;
  timers.add(kStart, 10ms, [&] {
    if (++calls == 1) throw std::runtime_error("once");
  });

  CHECK_THROWS_WITH(timers.fire(kStart), "once");
  CHECK(timers.fire(kStart + 10ms));
  CHECK(calls == 2);

  Timers single;
  single.add(kStart, Duration::zero(), [] { throw std::runtime_error("single"); });
  CHECK_THROWS_WITH(single.fire(kStart), "single");
  CHECK(single.size() == 0);
}
