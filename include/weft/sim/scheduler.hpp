// Scheduler: virtual time, and what happens when.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <weft/core/time.hpp>

namespace weft::sim {

/// Runs events in the order of their time, and of their planning where times are equal. One thread.
class Scheduler {
 public:
  using Event = std::function<void()>;

  /// Virtual time; begins one hour after the clock's zero and moves only in step().
  [[nodiscard]] TimePoint now() const { return now_; }
  [[nodiscard]] Duration elapsed() const { return now_ - kStart; }
  /// A time that has passed means now.
  void at(TimePoint when, Event event);
  void after(Duration span, Event event) { at(now_ + span, std::move(event)); }
  /// Runs the next event. False: there is none.
  bool step();

  [[nodiscard]] std::uint64_t events() const { return events_; }
  /// Adds to the trace of the run: same seed, same trace.
  void trace(std::uint64_t what);
  [[nodiscard]] std::uint64_t trace_hash() const { return hash_; }

 private:
  static constexpr TimePoint kStart = TimePoint{} + std::chrono::hours(1);
  struct Planned {
    TimePoint when;
    std::uint64_t order = 0;
    Event event;
  };
  static bool later(const Planned& a, const Planned& b) {
    return a.when != b.when ? a.when > b.when : a.order > b.order;
  }

  TimePoint now_ = kStart;
  std::vector<Planned> heap_;
  std::uint64_t order_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
};

}  // namespace weft::sim
