// RowIndex: from 64-bit key to row number, open addressing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weft::ps {

/// Rows are numbered 0, 1, 2, ... in the order in which their keys came. Any key is allowed. At most 2^32 - 2
/// rows. Linear probing over a power of two, at most half full: a lookup costs one or two cache lines. One
/// thread.
class RowIndex {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  /// The row of `key`, or kNone.
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const;
  /// The row of `key`; a new key gets the next row.
  std::uint32_t find_or_add(std::uint64_t key);
  /// The same for many keys: rows[i] belongs to keys[i]. Their cache lines are asked for together, so that
  /// the misses of a large index overlap.
  void find(std::span<const std::uint64_t> keys, std::uint32_t* rows) const;
  void find_or_add(std::span<const std::uint64_t> keys, std::uint32_t* rows);
  /// The keys by row number.
  [[nodiscard]] const std::vector<std::uint64_t>& keys() const { return keys_; }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  /// Forgets all keys; keeps the memory.
  void clear();

 private:
  struct Cell {
    std::uint64_t key = 0;
    std::uint32_t row = kNone;
  };

  /// Keys whose cells are asked for at once.
  static constexpr std::size_t kAhead = 128;

  [[nodiscard]] std::size_t place(std::uint64_t key) const;
  [[nodiscard]] std::size_t place_from(std::size_t at, std::uint64_t key) const;
  /// Where the search for each key begins; asks for those cells.
  void prefetch(std::span<const std::uint64_t> keys, std::size_t* at) const;
  void grow();

  std::vector<Cell> cells_;
  std::vector<std::uint64_t> keys_;
};

}  // namespace weft::ps
