// What waits in a client for its turn at its server, and for how long.
#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/ps/client.hpp>

#include "ps/client_slot.hpp"

namespace weft::ps {
namespace {

/// Requests and replies on their way to and from one server, in bytes. More would only wait at a port, which
/// refuses what is beyond its capacity (8 MiB unless it is told otherwise).
constexpr std::size_t kAhead = 4 << 20;
/// A server that has as much open as it may, and says nothing for so long, is not merely busy.
constexpr Duration kQuiet = std::chrono::milliseconds(250);

}  // namespace

bool Client::admits(const Lane& lane, std::size_t bytes) const {
  if (lane.bytes != 0 && lane.bytes + bytes > kAhead) return false;
  return bytes < kFrameFrom || bytes_ == 0 || dealer_->has_room();
}

// ---- how many operations a server may have open ----

bool Client::has_room() const {
  const TimePoint now = dealer_->loop().now();
  bool any = false;
  for (const Lane& lane : lanes_) {
    const bool room = lane.open < settings_.max_outstanding;
    if (!room && now - lane.heard < kQuiet) return false;
    any = any || room;
  }
  return any;
}

bool Client::has_room(std::uint32_t table, std::span<const std::uint64_t> keys) const {
  return std::ranges::none_of(keys, [&](std::uint64_t key) {
    const std::uint32_t shard = core_.shard_of(table, key);
    return lanes_[shard].open >= settings_.max_outstanding;
  });
}

/// The first server that takes no further operation.
std::optional<std::uint32_t> Client::full_lane() const {
  for (std::uint32_t shard = 0; shard < lanes_.size(); ++shard) {
    if (lanes_[shard].open >= settings_.max_outstanding) return shard;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Client::full_lane(const Slot& slot) const {
  for (const Call::Part& part : slot.call.parts()) {
    if (lanes_[part.shard].open >= settings_.max_outstanding) return part.shard;
  }
  return std::nullopt;
}

std::string Client::full_text(std::uint32_t shard) const {
  return format("{} operations of {} are on their way already; wait for their ends, or raise max_outstanding",
                lanes_[shard].open, servers_[shard]);
}

/// The parts of one server follow each other.
void Client::enter_lanes(Slot& slot) {
  slot.entered = true;
  std::uint32_t before = UINT32_MAX;
  for (const Call::Part& part : slot.call.parts()) {
    if (part.shard == std::exchange(before, part.shard)) continue;
    Lane& lane = lanes_[part.shard];
    if (lane.open++ == 0) lane.heard = dealer_->loop().now();
  }
}

/// After one of the server's parts has ended.
void Client::leave_lane(const Slot& slot, std::uint32_t shard) {
  if (!slot.entered) return;
  const auto parts = slot.call.parts();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].shard == shard && slot.call.waits_for(i)) return;
  }
  --lanes_[shard].open;
}

/// An operation that was made ready and is not begun.
void Client::put_back(const std::shared_ptr<Slot>& slot) {
  // Goes last of all: what it owns may do anything when it goes.
  const OnRows on_rows = slot->call.take_on_rows();
  for (std::size_t i = 0; i < slot->call.parts().size(); ++i) (void)slot->call.on_failure(i, "not begun");
  slot->done = nullptr;
  ++slot->generation;
  --outstanding_;
  free_.push_back(slot);
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
      leave_lane(*slot, slot->call.parts()[waiting.part].shard);
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
