// SlotBook: who holds which bytes of a segment that is lent to peers. Offsets and numbers only: no memory, no
// system calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace weft::protocol {

/// A segment is cut into slots as they are asked for, the lowest free place first, so that few pages stay
/// warm. A slot is held by its owner, once, and by any number of borrowers, each any number of times; it is
/// free when nobody holds it. What a borrower says is checked against what it holds, so that no word of a
/// broken or hostile one frees a slot that another holds.
class SlotBook {
 public:
  /// Slots at once. Their bookkeeping is here and not in the segment.
  static constexpr std::uint32_t kMostSlots = 4096;
  /// Slots begin and end at multiples of this.
  static constexpr std::uint64_t kGrain = 64;

  struct Slot {
    std::uint64_t number = 0;  ///< of this use of the slot: never 0, never given again
    std::uint64_t offset = 0;  ///< of its first byte
    std::uint64_t capacity = 0;
  };
  using Borrower = std::uint64_t;

  explicit SlotBook(std::uint64_t bytes);

  /// A slot of at least `bytes`, held by its owner. nullopt: no room now.
  std::optional<Slot> take(std::uint64_t bytes);
  /// The slot in use that all of [offset, offset + length) lies in, if one does.
  [[nodiscard]] std::optional<Slot> find(std::uint64_t offset, std::uint64_t length) const;
  /// The owner holds it no longer. False: it did not.
  bool release(std::uint64_t number);

  /// A borrower holds the slot, once more. False: no such slot is in use.
  bool lend(std::uint64_t number, Borrower to);
  /// ... and once less. False: it did not hold it; nothing has changed.
  bool give_back(std::uint64_t number, Borrower from);
  /// The borrower holds nothing any more: nobody is left who could read for it.
  void forget(Borrower gone);

  /// How often the borrower holds anything.
  [[nodiscard]] std::uint64_t lent(Borrower to) const;
  /// Bytes of slots in use.
  [[nodiscard]] std::uint64_t used() const { return used_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::size_t slots() const { return by_offset_.size(); }

 private:
  struct Entry {
    std::uint64_t number = 0;  // 0: the entry is free
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    bool owned = false;
    std::vector<std::pair<Borrower, std::uint32_t>> borrowers;
  };
  [[nodiscard]] Entry* at(std::uint64_t number);
  void settle(Entry& entry);

  std::uint64_t size_ = 0;
  std::uint64_t used_ = 0;
  std::uint64_t uses_ = 0;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> idle_;                   // entries that are free
  std::map<std::uint64_t, std::uint64_t> free_;       // start -> length, apart
  std::map<std::uint64_t, std::uint32_t> by_offset_;  // start of a slot in use -> its entry
  std::map<Borrower, std::uint64_t> lent_;
};

}  // namespace weft::protocol
