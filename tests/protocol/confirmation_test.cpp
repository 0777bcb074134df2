#include <doctest/doctest.h>

#include <weft/protocol/confirmation.hpp>

using namespace std::chrono_literals;
using namespace weft;
using protocol::Confirmation;

TEST_CASE("a subscription that is not confirmed is made anew, later each time") {
  const TimePoint start = TimePoint{} + 1h;
  Confirmation confirmation;
  confirmation.await(start);

  CHECK_FALSE(confirmation.overdue(start + 999ms));
  CHECK(confirmation.overdue(start + 1s));
  CHECK(confirmation.next_tick() == start + 3s);
  TimePoint now = start;
  for (int i = 0; i < 10; ++i) {
    now = confirmation.next_tick();
    CHECK(confirmation.overdue(now));
  }
  CHECK(confirmation.next_tick() == now + 16s);
}

TEST_CASE("a confirmed subscription waits for nothing until its publisher is away") {
  const TimePoint start = TimePoint{} + 1h;
  Confirmation confirmation;
  confirmation.await(start);
  CHECK(confirmation.overdue(start + 1s));
  confirmation.confirm();
  CHECK_FALSE(confirmation.overdue(start + 1h));
  CHECK(confirmation.next_tick() == TimePoint::max());

  confirmation.lapse();
  confirmation.await(start + 2h);

  CHECK_FALSE(confirmation.confirmed());
  CHECK(confirmation.next_tick() == start + 2h + 1s);
}
