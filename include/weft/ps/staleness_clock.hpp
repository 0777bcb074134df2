// StalenessClock: how many clocks each worker has finished, and who holds the others back.
#pragma once

#include <cstdint>
#include <vector>

namespace weft::ps {

/// Pure; one thread. A worker's clock is the number of clocks (steps) that it has finished. A worker is a
/// *holder* while others may have to wait for it: from the start when it is expected (so that nobody runs
/// ahead of a worker that has not joined yet), and until it finishes, leaves or dies.
class StalenessClock {
 public:
  enum class State : std::uint8_t { unknown, expected, running, finished, left, dead };

  static constexpr std::uint32_t kMaxWorkers = 65'536;

  /// Workers 0 .. expected-1 are expected. Others may join later.
  explicit StalenessClock(std::uint32_t expected);

  /// The worker is running now. A worker that is new or comes back starts at the larger of its last clock and
  /// the minimum clock; the result is that clock. worker < kMaxWorkers.
  std::uint64_t join(std::uint32_t worker);
  /// The running worker has finished `clock` clocks; a lower number than known changes nothing.
  void advance(std::uint32_t worker, std::uint64_t clock);
  /// The worker holds nobody any more. `as` is finished, left or dead; nothing changes for a worker that is
  /// unknown, or that is dead or left already.
  void stop(std::uint32_t worker, State as);

  [[nodiscard]] State state(std::uint32_t worker) const;
  [[nodiscard]] std::uint64_t clock(std::uint32_t worker) const;
  /// The lowest clock of all holders; without a holder the highest clock that was ever reached.
  [[nodiscard]] std::uint64_t min_clock() const { return min_; }
  [[nodiscard]] std::uint64_t max_clock() const { return max_; }
  /// Workers that hold others back, joined or expected.
  [[nodiscard]] std::uint32_t holders() const { return holders_; }
  [[nodiscard]] std::uint32_t in_state(State state) const;
  /// One past the highest worker index ever seen or expected.
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(workers_.size()); }

  /// True when no holder is still in a clock up to and including `clock`: nobody will add to it.
  [[nodiscard]] bool passed(std::uint64_t clock) const { return holders_ == 0 || min_ > clock; }
  /// True when a worker at `clock` may go on with a bound of `bound` clocks: minimum clock >= clock - bound.
  [[nodiscard]] bool admits(std::uint64_t clock, std::uint64_t bound) const {
    return holders_ == 0 || clock <= min_ || clock - min_ <= bound;
  }

 private:
  struct Worker {
    State state = State::unknown;
    std::uint64_t clock = 0;
  };

  [[nodiscard]] static bool holds(State state) { return state == State::expected || state == State::running; }
  void recompute();

  std::vector<Worker> workers_;
  std::uint32_t holders_ = 0;
  std::uint32_t at_min_ = 0;  ///< holders whose clock is min_: a full scan is needed only when it falls to 0
  std::uint64_t min_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace weft::ps
