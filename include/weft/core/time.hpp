// Points and spans of time. Logic takes `now` as an argument; only loops and `main` read a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace weft {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = std::chrono::nanoseconds;

/// A point in time by which a wait ends. Value type; any thread.
class Deadline {
 public:
  /// The point that is `span` after `now`; saturates, so that a huge span means "practically never".
  static Deadline after(Duration span, TimePoint now = Clock::now()) {
    const auto room = TimePoint::max() - now;
    return Deadline(span >= room ? TimePoint::max()
                                 : now + std::chrono::duration_cast<Clock::duration>(span));
  }
  static constexpr Deadline at(TimePoint point) { return Deadline(point); }
  static constexpr Deadline never() { return Deadline(TimePoint::max()); }

  [[nodiscard]] constexpr TimePoint point() const { return point_; }
  [[nodiscard]] constexpr bool passed(TimePoint now) const { return now >= point_; }
  /// Time left, never negative.
  [[nodiscard]] constexpr Duration left(TimePoint now) const {
    return passed(now) ? Duration::zero() : Duration(point_ - now);
  }

 private:
  constexpr explicit Deadline(TimePoint point) : point_(point) {}
  TimePoint point_;
};

/// Wall clock in microseconds since 1970, for epochs of volatile streams and for information only.
inline std::uint64_t wall_micros() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace weft
