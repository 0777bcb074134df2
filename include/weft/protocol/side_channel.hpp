// SideChannel: whether a connection beside a session has died without a word.
#pragma once

#include <algorithm>
#include <optional>

#include <weft/core/time.hpp>

namespace weft::protocol {

/// The peer sends something by the session and by the channel at least once a heartbeat. A channel that is
/// silent while the session is heard is dead, as far as anybody can know; where both are silent, the session
/// says what that means. Pure.
class SideChannel {
 public:
  /// Silence counts from here: the channel is new, or is read again after it was not.
  void begin(TimePoint now) {
    heard_ = now;
    doubted_.reset();
  }
  /// It was replaced: the next one gets more time, up to sixteen times as much, until something comes.
  void replaced(TimePoint now) {
    begin(now);
    patience_ = std::min(2 * patience_, kMostPatience);
  }
  void heard(TimePoint now) {
    begin(now);
    patience_ = 1;
  }
  /// `session_heard`: when something came by the session last; `allowed`: the silence after which its peer is
  /// suspected, three heartbeats. A peer that was held up says everything at once when it goes on, and what
  /// comes by the session may be here first: so the channel is doubted before it is dead.
  bool dead(TimePoint now, TimePoint session_heard, Duration allowed) {
    if (session_heard - heard_ < patience_ * allowed * 2 / 3) return false;
    if (!doubted_) doubted_ = now;
    return now - *doubted_ >= allowed / 6;
  }
  /// When to ask dead() again.
  [[nodiscard]] TimePoint next_look(TimePoint now, Duration allowed) const {
    return doubted_ ? now + allowed / 6 : std::max(heard_ + patience_ * allowed * 2 / 3, now + allowed / 6);
  }

 private:
  static constexpr int kMostPatience = 16;
  TimePoint heard_{};
  std::optional<TimePoint> doubted_;
  int patience_ = 1;
};

}  // namespace weft::protocol
