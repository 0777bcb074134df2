#include <weft/sim/scheduler.hpp>

#include <algorithm>
#include <utility>

namespace weft::sim {

void Scheduler::at(TimePoint when, Event event) {
  heap_.push_back({std::max(when, now_), order_++, std::move(event)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

bool Scheduler::step() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const Planned planned = std::move(heap_.back());
  heap_.pop_back();
  now_ = planned.when;
  ++events_;
  trace(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  planned.event();
  return true;
}

void Scheduler::trace(std::uint64_t what) {
  // FNV-1a over words, with a rotation so that high bits matter too.
  hash_ = (hash_ ^ what) * 0x100000001B3ULL;
  hash_ ^= hash_ >> 29;
}

}  // namespace weft::sim
