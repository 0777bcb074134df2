#include <weft/ps/staleness_clock.hpp>

#include <algorithm>
#include <cassert>

namespace weft::ps {

StalenessClock::StalenessClock(std::uint32_t expected)
    : workers_(expected, Worker{State::expected, 0}), holders_(expected), at_min_(expected) {}

std::uint64_t StalenessClock::join(std::uint32_t worker) {
  assert(worker < kMaxWorkers);
  if (worker >= workers_.size()) workers_.resize(worker + 1);
  Worker& it = workers_[worker];
  const bool held = holds(it.state);
  it.state = State::running;
  if (held) return it.clock;
  it.clock = std::max(it.clock, min_);
  if (++holders_ == 1) {
    min_ = it.clock;
    at_min_ = 1;
  } else if (it.clock == min_) {
    ++at_min_;
  }
  max_ = std::max(max_, it.clock);
  return it.clock;
}

void StalenessClock::advance(std::uint32_t worker, std::uint64_t clock) {
  if (worker >= workers_.size()) return;
  Worker& it = workers_[worker];
  if (it.state != State::running || clock <= it.clock) return;
  const bool was_min = it.clock == min_;
  it.clock = clock;
  max_ = std::max(max_, clock);
  if (was_min && --at_min_ == 0) recompute();
}

void StalenessClock::stop(std::uint32_t worker, State as) {
  if (worker >= workers_.size()) return;
  Worker& it = workers_[worker];
  if (it.state == State::unknown || it.state == State::left || it.state == State::dead) return;
  const bool held = holds(it.state);
  it.state = as;
  if (!held) return;
  --holders_;
  if (it.clock == min_ && --at_min_ == 0) recompute();
}

void StalenessClock::recompute() {
  if (holders_ == 0) {
    min_ = max_;
    return;
  }
  min_ = UINT64_MAX;
  at_min_ = 0;
  for (const Worker& it : workers_) {
    if (!holds(it.state) || it.clock > min_) continue;
    at_min_ = it.clock == min_ ? at_min_ + 1 : 1;
    min_ = it.clock;
  }
}

StalenessClock::State StalenessClock::state(std::uint32_t worker) const {
  return worker < workers_.size() ? workers_[worker].state : State::unknown;
}

std::uint64_t StalenessClock::clock(std::uint32_t worker) const {
  return worker < workers_.size() ? workers_[worker].clock : 0;
}

std::uint32_t StalenessClock::in_state(State state) const {
  return static_cast<std::uint32_t>(
      std::count_if(workers_.begin(), workers_.end(), [&](const Worker& it) { return it.state == state; }));
}

}  // namespace weft::ps
