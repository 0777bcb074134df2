#include "timers.hpp"

namespace weft::transport {

Timers::Id Timers::add(TimePoint when, Duration period, std::function<void()> fn) {
  const Id id = next_id_++;
  timers_.emplace(id, std::make_unique<Timer>(Timer{when, period, std::move(fn), false, false}));
  queue_.emplace(when, id);
  return id;
}

void Timers::cancel(Id id) {
  const auto found = timers_.find(id);
  if (found == timers_.end()) return;
  if (found->second->running) {
    found->second->cancelled = true;  // its function is still on the stack
    return;
  }
  queue_.erase({found->second->when, id});
  timers_.erase(found);
}

bool Timers::fire(TimePoint now) {
  if (next() > now) return false;
  std::vector<Id> due = std::move(spare_);
  due.clear();
  for (auto it = queue_.begin(); it != queue_.end() && it->first <= now; ++it) due.push_back(it->second);
  bool any = false;
  for (const Id id : due) {
    const auto found = timers_.find(id);
    // Another one may have cancelled it, or a nested fire() called it.
    if (found == timers_.end() || found->second->running || found->second->when > now) continue;
    any = true;
    call(id, *found->second, now);
  }
  spare_ = std::move(due);
  return any;
}

void Timers::call(Id id, Timer& timer, TimePoint now) {
  queue_.erase({timer.when, id});
  timer.running = true;
  try {
    timer.fn();
  } catch (...) {
    finish(id, now);
    throw;
  }
  finish(id, now);
}

void Timers::finish(Id id, TimePoint now) {
  const auto found = timers_.find(id);
  auto& timer = *found->second;
  if (timer.cancelled || timer.period == Duration::zero()) {
    timers_.erase(found);
    return;
  }
  timer.running = false;
  timer.when += timer.period;
  if (timer.when <= now) timer.when = now + timer.period;  // missed calls are not made up for
  queue_.emplace(timer.when, id);
}

}  // namespace weft::transport
