// Timers: what is to be called when. No clock of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/core/time.hpp>

namespace weft::transport {

/// One thread. Functions may add and cancel timers, themselves included, and may call fire() again.
class Timers {
 public:
  using Id = std::uint64_t;

  /// Once at `when` when period is zero, else every period from `when` on.
  Id add(TimePoint when, Duration period, std::function<void()> fn);
  void cancel(Id id);
  /// When the next one is due; TimePoint::max() when none is.
  [[nodiscard]] TimePoint next() const { return queue_.empty() ? TimePoint::max() : queue_.begin()->first; }
  /// Calls those that are due and were there before the call, earliest first. False: none was due. An
  /// exception of a function passes through; its timer has been called then.
  bool fire(TimePoint now);
  [[nodiscard]] std::size_t size() const { return timers_.size(); }

 private:
  struct Timer {
    TimePoint when;
    Duration period;
    std::function<void()> fn;
    bool running = false;
    bool cancelled = false;
  };
  void call(Id id, Timer& timer, TimePoint now);
  void finish(Id id, TimePoint now);

  std::unordered_map<Id, std::unique_ptr<Timer>> timers_;
  std::set<std::pair<TimePoint, Id>> queue_;  // those that are not running
  std::vector<Id> spare_;                     // memory that fire() uses again
  Id next_id_ = 1;
};

}  // namespace weft::transport
