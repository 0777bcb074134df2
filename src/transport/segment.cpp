#include "segment.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "shared_layout.hpp"

namespace weft::transport {

std::shared_ptr<Segment> Segment::make(std::uint64_t bytes) {
  constexpr std::uint64_t kPage = 4096;
  const std::uint64_t size = kTableBytes + (bytes + kPage - 1) / kPage * kPage;
  auto memory = SharedMemory::make(std::min(size, kLargestSegment));
  std::byte random[4];
  if (!memory || !random_bytes(random)) return nullptr;
  std::uint32_t id = 0;
  std::memcpy(&id, random, sizeof id);
  return std::shared_ptr<Segment>(new Segment(std::move(*memory), id));
}

Segment::Segment(SharedMemory memory, std::uint64_t id)
    : memory_(std::move(memory)), id_(id), book_(memory_.size() - kTableBytes) {}

std::optional<protocol::SlotBook::Slot> Segment::take_slot(std::uint64_t bytes) {
  auto slot = book_.take(bytes);
  if (!slot) {
    collect_all();
    slot = book_.take(bytes);
  }
  if (slot) {
    store_shared(memory_.writable() + table_entry(slot->number), slot->number, std::memory_order_release);
  }
  return slot;
}

wire::BlockSource::Room Segment::take(std::size_t capacity) {
  if (lending_.load(std::memory_order_relaxed) == 0) return {};
  std::optional<protocol::SlotBook::Slot> slot;
  {
    const std::lock_guard lock(mutex_);
    slot = take_slot(capacity);
  }
  if (!slot) return {};
  std::byte* data = memory_.writable() + kTableBytes + slot->offset;
  std::shared_ptr<const void> owner(
      data, [self = shared_from_this(), number = slot->number](const void*) { self->release(number); });
  return {data, slot->capacity, std::move(owner)};
}

void Segment::release(std::uint64_t slot) {
  const std::lock_guard lock(mutex_);
  (void)book_.release(slot);
}

void Segment::add_link(std::uint64_t link, SharedMemory ring) {
  const std::lock_guard lock(mutex_);
  links_.emplace(link, Link{std::move(ring), 0, false});
}

void Segment::begin_link(std::uint64_t link) {
  const std::lock_guard lock(mutex_);
  const auto found = links_.find(link);
  if (found != links_.end() && !std::exchange(found->second.lends, true)) ++lending_;
}

void Segment::end_link(std::uint64_t link) {
  const std::lock_guard lock(mutex_);
  const auto found = links_.find(link);
  if (found != links_.end() && std::exchange(found->second.lends, false)) --lending_;
}

void Segment::forget_link(std::uint64_t link) {
  end_link(link);
  const std::lock_guard lock(mutex_);
  links_.erase(link);
  book_.forget(link);
}

// What the receiver has given back since. It may write anything: nothing is believed that the book does not
// say.
void Segment::collect(std::uint64_t id, Link& link) {
  const std::uint64_t written = load_shared(link.ring.data(), std::memory_order_acquire);
  if (written == link.read) return;
  bool honest = written - link.read <= kRingEntries;
  for (; honest && link.read != written; ++link.read) {
    honest =
        book_.give_back(load_shared(link.ring.data() + ring_entry(link.read), std::memory_order_relaxed), id);
  }
  if (honest) return;
  // It is not heard any more; what it holds comes back when it is gone.
  link.read = written;
  ++broken_;
  if (std::exchange(link.lends, false)) --lending_;
}

void Segment::collect_all() {
  for (auto& [id, link] : links_) collect(id, link);
}

wire::SharedRef Segment::place(std::uint64_t slot, std::uint64_t offset, std::uint64_t length) const {
  return {id_, slot, kTableBytes + offset, length};
}

std::optional<wire::SharedRef> Segment::lend(std::uint64_t link, Bytes bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = links_.find(link);
  if (found == links_.end()) return std::nullopt;
  collect(link, found->second);
  if (!found->second.lends || book_.lent(link) >= kRingEntries) return std::nullopt;

  const std::byte* start = memory_.data() + kTableBytes;
  if (bytes.data() >= start && bytes.data() < memory_.data() + memory_.size()) {
    const auto offset = static_cast<std::uint64_t>(bytes.data() - start);
    const auto slot = book_.find(offset, bytes.size());
    if (!slot || !book_.lend(slot->number, link)) return std::nullopt;
    return place(slot->number, offset, bytes.size());
  }
  const auto slot = take_slot(bytes.size());
  if (!slot) return std::nullopt;
  std::memcpy(memory_.writable() + kTableBytes + slot->offset, bytes.data(), bytes.size());
  (void)book_.lend(slot->number, link);
  (void)book_.release(slot->number);
  return place(slot->number, slot->offset, bytes.size());
}

void Segment::take_back(std::uint64_t link, std::uint64_t slot) {
  const std::lock_guard lock(mutex_);
  (void)book_.give_back(slot, link);
}

std::uint64_t Segment::used() {
  const std::lock_guard lock(mutex_);
  collect_all();
  return book_.used();
}

}  // namespace weft::transport
