#include <weft/ps/row_index.hpp>

#include <algorithm>
#include <array>

#include "ps/random.hpp"

namespace weft::ps {

/// The cell that holds `key`, or the empty one where it belongs. The table is never full.
std::size_t RowIndex::place(std::uint64_t key) const {
  return place_from(mix64(key) & (cells_.size() - 1), key);
}

inline std::size_t RowIndex::place_from(std::size_t at, std::uint64_t key) const {
  const std::size_t mask = cells_.size() - 1;
  const Cell* cells = cells_.data();
  while (cells[at].row != kNone && cells[at].key != key) at = (at + 1) & mask;
  return at;
}

inline void RowIndex::prefetch(std::span<const std::uint64_t> keys, std::size_t* at) const {
  const std::size_t mask = cells_.size() - 1;
  const Cell* cells = cells_.data();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    at[i] = mix64(keys[i]) & mask;
    __builtin_prefetch(cells + at[i]);
  }
}

std::uint32_t RowIndex::find(std::uint64_t key) const {
  return cells_.empty() ? kNone : cells_[place(key)].row;
}

std::uint32_t RowIndex::find_or_add(std::uint64_t key) {
  std::uint32_t row = kNone;
  find_or_add({&key, 1}, &row);
  return row;
}

void RowIndex::find(std::span<const std::uint64_t> keys, std::uint32_t* rows) const {
  if (cells_.empty()) {
    std::fill_n(rows, keys.size(), kNone);
    return;
  }
  std::array<std::size_t, kAhead> at;
  for (; !keys.empty(); keys = keys.subspan(std::min(kAhead, keys.size()))) {
    const auto some = keys.first(std::min(kAhead, keys.size()));
    prefetch(some, at.data());
    for (std::size_t i = 0; i < some.size(); ++i) *rows++ = cells_[place_from(at[i], some[i])].row;
  }
}

void RowIndex::find_or_add(std::span<const std::uint64_t> keys, std::uint32_t* rows) {
  std::array<std::size_t, kAhead> at;
  for (; !keys.empty(); keys = keys.subspan(std::min(kAhead, keys.size()))) {
    const auto some = keys.first(std::min(kAhead, keys.size()));
    while (2 * (keys_.size() + some.size()) > cells_.size()) grow();
    prefetch(some, at.data());
    for (std::size_t i = 0; i < some.size(); ++i) {
      Cell& cell = cells_[place_from(at[i], some[i])];
      if (cell.row == kNone) {
        cell = {some[i], static_cast<std::uint32_t>(keys_.size())};
        keys_.push_back(some[i]);
      }
      *rows++ = cell.row;
    }
  }
}

void RowIndex::clear() {
  std::fill(cells_.begin(), cells_.end(), Cell{});
  keys_.clear();
}

void RowIndex::grow() {
  cells_.assign(std::max<std::size_t>(16, 2 * cells_.size()), Cell{});
  for (std::size_t row = 0; row < keys_.size(); ++row) {
    cells_[place(keys_[row])] = {keys_[row], static_cast<std::uint32_t>(row)};
  }
}

}  // namespace weft::ps
