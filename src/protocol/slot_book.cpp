#include <weft/protocol/slot_book.hpp>

#include <algorithm>
#include <iterator>
#include <limits>

namespace weft::protocol {

SlotBook::SlotBook(std::uint64_t bytes) : size_(bytes / kGrain * kGrain) {
  if (size_ != 0) free_[0] = size_;
}

std::optional<SlotBook::Slot> SlotBook::take(std::uint64_t bytes) {
  if (bytes > size_) return std::nullopt;
  if (idle_.empty() && entries_.size() == kMostSlots) return std::nullopt;
  const std::uint64_t length = std::max((bytes + kGrain - 1) / kGrain, std::uint64_t{1}) * kGrain;
  const auto fits = std::ranges::find_if(free_, [&](const auto& gap) { return gap.second >= length; });
  if (fits == free_.end()) return std::nullopt;
  const std::uint64_t start = fits->first, gap = fits->second;
  if (gap == length) {
    free_.erase(fits);
  } else {
    auto rest = free_.extract(fits);
    rest.key() = start + length;
    rest.mapped() = gap - length;
    free_.insert(std::move(rest));
  }
  std::uint32_t index = static_cast<std::uint32_t>(entries_.size());
  if (idle_.empty()) {
    entries_.emplace_back();
  } else {
    index = idle_.back();
    idle_.pop_back();
  }
  Entry& entry = entries_[index];
  entry.number = ++uses_ * kMostSlots + index;
  entry.start = start;
  entry.length = length;
  entry.owned = true;
  by_offset_[start] = index;
  used_ += length;
  return Slot{entry.number, start, length};
}

std::optional<SlotBook::Slot> SlotBook::find(std::uint64_t offset, std::uint64_t length) const {
  auto after = by_offset_.upper_bound(offset);
  if (after == by_offset_.begin()) return std::nullopt;
  const Entry& entry = entries_[std::prev(after)->second];
  const std::uint64_t end = entry.start + entry.length;
  if (offset > end || length > end - offset) return std::nullopt;
  return Slot{entry.number, entry.start, entry.length};
}

SlotBook::Entry* SlotBook::at(std::uint64_t number) {
  const std::uint64_t index = number % kMostSlots;
  if (number == 0 || index >= entries_.size() || entries_[index].number != number) return nullptr;
  return &entries_[index];
}

bool SlotBook::release(std::uint64_t number) {
  Entry* entry = at(number);
  if (!entry || !entry->owned) return false;
  entry->owned = false;
  settle(*entry);
  return true;
}

bool SlotBook::lend(std::uint64_t number, Borrower to) {
  Entry* entry = at(number);
  if (!entry) return false;
  ++lent_[to];
  for (auto& [borrower, times] : entry->borrowers) {
    if (borrower == to && times != std::numeric_limits<std::uint32_t>::max()) return ++times, true;
  }
  entry->borrowers.emplace_back(to, 1);
  return true;
}

bool SlotBook::give_back(std::uint64_t number, Borrower from) {
  Entry* entry = at(number);
  if (!entry) return false;
  const auto held = std::ranges::find(entry->borrowers, from, &std::pair<Borrower, std::uint32_t>::first);
  if (held == entry->borrowers.end()) return false;
  if (--held->second == 0) entry->borrowers.erase(held);
  const auto total = lent_.find(from);
  if (--total->second == 0) lent_.erase(total);
  settle(*entry);
  return true;
}

void SlotBook::forget(Borrower gone) {
  if (lent_.erase(gone) == 0) return;
  for (Entry& entry : entries_) {
    if (entry.number == 0) continue;
    if (std::erase_if(entry.borrowers, [&](const auto& held) { return held.first == gone; }) != 0)
      settle(entry);
  }
}

std::uint64_t SlotBook::lent(Borrower to) const {
  const auto found = lent_.find(to);
  return found == lent_.end() ? 0 : found->second;
}

// Frees the slot when nobody holds it, and joins the gap with its neighbours.
void SlotBook::settle(Entry& entry) {
  if (entry.owned || !entry.borrowers.empty()) return;
  std::uint64_t start = entry.start, length = entry.length;
  const auto own = by_offset_.find(start);
  idle_.push_back(own->second);
  by_offset_.erase(own);
  used_ -= length;
  entry.number = 0;
  auto next = free_.lower_bound(start);
  if (next != free_.end() && next->first == start + length) {
    length += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == start) {
      before->second += length;
      return;
    }
  }
  free_.emplace_hint(next, start, length);
}

}  // namespace weft::protocol
