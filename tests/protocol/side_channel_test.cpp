#include <doctest/doctest.h>

#include <weft/protocol/side_channel.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

constexpr Duration kAllowed = 3s;  // heartbeats of 1 s

TimePoint at(Duration since) {
  return TimePoint() + 1h + since;
}

}  // namespace

TEST_CASE("a channel is dead that stays silent while the session is heard, and not at the first doubt") {
  SideChannel channel;
  channel.begin(at(0s));

  CHECK_FALSE(channel.dead(at(1900ms), at(1900ms), kAllowed));
  CHECK(channel.next_look(at(1900ms), kAllowed) == at(2400ms));
  CHECK_FALSE(channel.dead(at(2s), at(2s), kAllowed));
  CHECK(channel.next_look(at(2s), kAllowed) == at(2500ms));
  CHECK(channel.dead(at(2500ms), at(2s), kAllowed));
}

TEST_CASE("a channel is not dead where the session is silent as well, or what it said comes a little later") {
  SideChannel channel;
  channel.begin(at(0s));
  CHECK_FALSE(channel.dead(at(1h), at(1s), kAllowed));

  CHECK_FALSE(channel.dead(at(1h), at(1h), kAllowed));  // it went on, and the session was heard first
  channel.heard(at(1h + 1ms));
  CHECK_FALSE(channel.dead(at(1h + 1s), at(1h + 1s), kAllowed));
}

TEST_CASE("each channel that replaced another one in vain gets twice the time, up to sixteen times") {
  SideChannel channel;
  TimePoint now = at(0s);
  channel.begin(now);
  for (const int times : {1, 2, 4, 8, 16, 16}) {
    const TimePoint due = now + times * 2s;
    CHECK_FALSE(channel.dead(due - 1ms, due - 1ms, kAllowed));
    CHECK_FALSE(channel.dead(due, due, kAllowed));
    CHECK(channel.dead(due + 500ms, due, kAllowed));
    now = due + 500ms;
    channel.replaced(now);
  }
  channel.heard(now);
  CHECK_FALSE(channel.dead(now + 2s, now + 2s, kAllowed));
  CHECK(channel.dead(now + 2500ms, now + 2s, kAllowed));
}
