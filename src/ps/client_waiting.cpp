// What waits in a client for its turn at its server, and for how long.
#include <utility>

#include <weft/core/format.hpp>
#include <weft/ps/client.hpp>

#include "ps/client_slot.hpp"

namespace weft::ps {
namespace {

/// Requests and replies on their way to and from one server, in bytes. More would only wait at a port, which
/// refuses what is beyond its capacity (8 MiB unless it is told otherwise).
constexpr std::size_t kAhead = 4 << 20;

}  // namespace

bool Client::admits(const Lane& lane, std::size_t bytes) const {
  if (lane.bytes != 0 && lane.bytes + bytes > kAhead) return false;
  return bytes < kFrameFrom || bytes_ == 0 || dealer_->has_room();
}

/// Sends what there is room for now. Whoever sends from inside of it is behind what waits.
void Client::pump() {
  if (std::exchange(pumping_, true)) return;
  const std::weak_ptr<bool> alive = alive_;
  try {
    send_waiting();
  } catch (...) {
    if (!alive.expired()) {
      pumping_ = false;
      pump_soon();
    }
    throw;
  }
  if (!alive.expired()) pumping_ = false;
}

/// For the way out of a handler that has thrown: whatever pump() calls might throw again.
void Client::pump_soon() {
  if (pumping_ || waiting_ == 0) return;
  dealer_->loop().post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) pump();
  });
}

void Client::send_waiting() {
  const std::weak_ptr<bool> alive = alive_;
  for (std::size_t shard = 0; shard < lanes_.size() && waiting_ != 0; ++shard) {
    Lane& lane = lanes_[shard];
    while (!lane.waiting.empty()) {
      const Waiting& front = lane.waiting.front();
      const bool stale = front.slot->generation != front.generation;
      if (!stale && !admits(lane, front.slot->call.parts()[front.part].bytes())) break;
      const Waiting next = std::move(lane.waiting.front());
      lane.waiting.pop_front();
      --waiting_;
      if (!stale) send(next.slot, next.part, next.deadline);
      if (alive.expired()) return;
    }
  }
}

/// Ends the parts that were not sent yet; true: and with them the operation.
bool Client::drop_waiting(const std::shared_ptr<Slot>& slot, const std::string& sentence) {
  bool over = false;
  for (Lane& lane : lanes_) {
    waiting_ -= std::erase_if(lane.waiting, [&](const Waiting& waiting) {
      if (waiting.slot != slot || waiting.generation != slot->generation) return false;
      over = slot->call.on_failure(waiting.part, sentence) || over;
      return true;
    });
  }
  return over;
}

// ---- what waits for too long ----

void Client::plan_expiry(TimePoint when) {
  if (when >= timer_at_) return;
  if (timer_ != 0) dealer_->loop().cancel(timer_);
  timer_at_ = when;
  timer_ = dealer_->loop().at(when, [this] { expire(); });
}

void Client::expire() {
  timer_ = 0;
  timer_at_ = TimePoint::max();
  const TimePoint now = dealer_->loop().now();
  const std::weak_ptr<bool> alive = alive_;
  try {
    expire_waiting(now);
  } catch (...) {  // of a Done; those that are left are ended in the next turn
    if (!alive.expired() && waiting_ != 0) plan_expiry(now);
    throw;
  }
  if (alive.expired()) return;
  for (const Lane& lane : lanes_) {
    for (const Waiting& waiting : lane.waiting) {
      if (waiting.slot->generation == waiting.generation) plan_expiry(waiting.deadline.point());
    }
  }
  pump();  // what was behind them may be small enough
}

/// Each end calls a Done, which may change what waits: one is looked for at a time.
void Client::expire_waiting(TimePoint now) {
  const std::weak_ptr<bool> alive = alive_;
  while (const Waiting* found = first_expired(now)) {
    const std::shared_ptr<Slot> slot = found->slot;
    const std::string sentence = why_unsent(slot->call.parts()[found->part].shard);
    if (drop_waiting(slot, sentence)) conclude(slot);
    if (alive.expired()) return;
  }
}

/// A stale entry never is; its turn removes it.
const Client::Waiting* Client::first_expired(TimePoint now) const {
  for (const Lane& lane : lanes_) {
    for (const Waiting& waiting : lane.waiting) {
      if (waiting.slot->generation == waiting.generation && waiting.deadline.passed(now)) return &waiting;
    }
  }
  return nullptr;
}

std::string Client::why_unsent(std::uint32_t shard) const {
  if (lanes_[shard].bytes == 0) return "never sent: it waited for room in the port";
  return format("never sent: it waited for {} bytes that are on their way to and from {}",
                lanes_[shard].bytes, servers_[shard]);
}

}  // namespace weft::ps
