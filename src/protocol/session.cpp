#include <weft/protocol/session.hpp>

#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

namespace weft::protocol {
namespace {

constexpr Duration kFirstRetry = std::chrono::milliseconds(100);
constexpr Duration kLastRetry = std::chrono::seconds(5);
constexpr int kSuspectAfter = 3;           // silent heartbeats
constexpr unsigned kQuickConnections = 4;  // made at once, one after the other, while each breaks
// Between two new connections: who comes back after a long time is met within seconds all the same.
constexpr Duration kLastConnection = std::chrono::seconds(3);

// splitmix64: enough for jitter, and the same on every machine.
std::uint64_t next_random(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

void SessionOptions::check() const {
  using namespace std::chrono_literals;
  if (heartbeat < 10ms || heartbeat > 1h) {
    throw Error(Errc::invalid_argument,
                format("heartbeat is {}: it must be from 10ms to 1h", format_duration(heartbeat)));
  }
  if (dead_after < kSuspectAfter * heartbeat) {
    throw Error(Errc::invalid_argument,
                format("dead-after is {}: it must be at least three heartbeats ({})",
                       format_duration(dead_after), format_duration(kSuspectAfter * heartbeat)));
  }
}

std::string_view to_string(PeerState state) {
  switch (state) {
    case PeerState::connecting:
      return "connecting";
    case PeerState::up:
      return "up";
    case PeerState::suspect:
      return "suspect";
    case PeerState::dead:
      return "dead";
    case PeerState::closed:
      return "closed";
  }
  return "unknown";
}

Session::Session(const SessionOptions& options, TimePoint now)
    : options_(options),
      suspect_after_(kSuspectAfter * options.heartbeat),
      last_heard_(now),
      last_sent_(now),
      next_hello_(now),
      random_(options.jitter_seed) {
  plan_connection(now);
}

void Session::reopen(TimePoint now) {
  if (state_ != PeerState::closed) return;
  state_ = PeerState::connecting;
  last_heard_ = last_sent_ = next_hello_ = now;
  hello_attempts_ = silent_connections_ = 0;
  cut_ = disconnected_ = false;
  plan_connection(now);
}

void Session::peer_heartbeat(Duration interval) {
  const Duration longest = std::min<Duration>(interval, std::chrono::hours(1));
  suspect_after_ = kSuspectAfter * std::max(options_.heartbeat, longest);
}

Session::Action Session::heard(TimePoint now) {
  last_heard_ = now;
  disconnected_ = false;
  silent_connections_ = silent_cuts_ = 0;
  plan_connection(now);
  Action action;
  if (state_ == PeerState::suspect || state_ == PeerState::dead) {
    state_ = PeerState::up;
    action.became_up = true;
  }
  return action;
}

Session::Action Session::on_hello(TimePoint now) {
  if (state_ == PeerState::closed) return {};
  cut_ = false;
  met_ = true;
  Action action = heard(now);
  if (state_ == PeerState::connecting) {
    state_ = PeerState::up;
    action.became_up = true;
  }
  // The back-off was for the silence: should this connection turn out to be of no use, it begins anew.
  hello_attempts_ = 0;
  next_hello_ = std::min<TimePoint>(next_hello_, now + kFirstRetry);
  return action;
}

Session::Action Session::on_traffic(TimePoint now) {
  if (state_ == PeerState::closed || state_ == PeerState::connecting || cut_) return {};
  // An initiator that had given its peer up must meet it anew, because what was on its way may be gone.
  if (options_.initiator && state_ == PeerState::dead) return on_stranger(now);
  return heard(now);
}

Session::Action Session::on_stranger(TimePoint now) {
  if (!options_.initiator || state_ == PeerState::closed) return {};
  if (state_ != PeerState::connecting) {
    last_heard_ = now;
    silent_connections_ = 0;
    plan_connection(now);
  }
  state_ = PeerState::connecting;
  next_hello_ = std::max(now, next_hello_);
  return on_tick(now);
}

Session::Action Session::on_cut(TimePoint now) {
  Action action;
  const bool meeting = state_ == PeerState::connecting && met_;
  if (!options_.initiator || (state_ != PeerState::up && state_ != PeerState::suspect && !meeting))
    return action;
  // What breaks the connections may well break the next one before anything is heard on it. Then the
  // transport tries again by itself, at its own pace, and HELLO is to go out on what it makes.
  if (disconnected_ && ++silent_cuts_ >= kQuickConnections) {
    action.say_hello = true;
    plan_hello(now);
    return action;
  }
  disconnected_ = true;
  action.became_suspect = state_ == PeerState::up;
  action.reconnect = action.cut = action.say_hello = true;
  state_ = PeerState::suspect;
  hello_attempts_ = 0;
  plan_connection(now);
  plan_hello(now);
  return action;
}

Session::Action Session::on_refused(TimePoint) {
  Action action;
  if (!disconnected_ || state_ != PeerState::suspect) return action;
  state_ = PeerState::dead;
  action.became_dead = action.unreachable = true;
  return action;
}

void Session::plan_hello(TimePoint now) {
  const Duration base =
      std::min<Duration>(kLastRetry, Duration(kFirstRetry * (1LL << std::min(hello_attempts_, 10U))));
  // Full base, plus up to half of it at random, so that many peers of one restarted node do not come in step.
  const auto jitter =
      static_cast<Duration::rep>(next_random(random_) % static_cast<std::uint64_t>(base.count() / 2));
  next_hello_ = now + base + Duration(jitter);
  ++hello_attempts_;
}

// The peer's pauses are longer when it says so. The jitter is that of plan_hello().
void Session::plan_connection(TimePoint now) {
  Duration base = std::max(options_.reconnect_after, suspect_after_);
  Duration jitter = Duration::zero();
  if (silent_connections_ != 0) {
    const Duration longest = std::max(suspect_after_, std::min(options_.dead_after, kLastConnection));
    base = std::min<Duration>(longest, suspect_after_ * (1LL << std::min(silent_connections_, 10U)));
    jitter = Duration(
        static_cast<Duration::rep>(next_random(random_) % static_cast<std::uint64_t>(base.count() / 2)));
  }
  next_connection_ = now + base + jitter;
}

Session::Action Session::on_tick(TimePoint now) {
  Action action;
  if (state_ == PeerState::closed) return action;
  const Duration silence = now - last_heard_;
  if (state_ == PeerState::up && silence >= suspect_after_) {
    state_ = PeerState::suspect;
    action.became_suspect = true;
    next_hello_ = now;
  }
  const bool doubted = state_ == PeerState::suspect || (state_ == PeerState::connecting && met_);
  if (doubted && silence >= std::max(options_.dead_after, suspect_after_)) {
    state_ = PeerState::dead;
    action.became_dead = true;
  }
  if (replaces() && state_ != PeerState::up && now >= next_connection_) {
    action.reconnect = true;
    ++silent_connections_;
    plan_connection(now);
    hello_attempts_ = 0;
    next_hello_ = now;
  }
  if (options_.initiator && state_ != PeerState::up && now >= next_hello_) {
    action.say_hello = true;
    plan_hello(now);
  } else if (state_ == PeerState::up && now - last_sent_ >= options_.heartbeat) {
    action.ping = true;
    last_sent_ = now;
  }
  return action;
}

TimePoint Session::next_tick() const {
  if (state_ == PeerState::closed) return TimePoint::max();
  TimePoint next = TimePoint::max();
  if (state_ == PeerState::up) {
    next = std::min(last_sent_ + options_.heartbeat, last_heard_ + suspect_after_);
  }
  const bool doubted = state_ == PeerState::suspect || (state_ == PeerState::connecting && met_);
  if (doubted) next = last_heard_ + std::max(options_.dead_after, suspect_after_);
  if (options_.initiator && state_ != PeerState::up) next = std::min(next, next_hello_);
  if (replaces() && state_ != PeerState::up) next = std::min(next, next_connection_);
  return next;
}

}  // namespace weft::protocol
