#include <weft/ps/row_index.hpp>

#include <algorithm>

#include "ps/random.hpp"

namespace weft::ps {

/// The cell that holds `key`, or the empty one where it belongs. The table is never full.
std::size_t RowIndex::place(std::uint64_t key) const {
  const std::size_t mask = cells_.size() - 1;
  const Cell* cells = cells_.data();
  std::size_t at = mix64(key) & mask;
  while (cells[at].row != kNone && cells[at].key != key) at = (at + 1) & mask;
  return at;
}

std::uint32_t RowIndex::find(std::uint64_t key) const {
  return cells_.empty() ? kNone : cells_[place(key)].row;
}

std::uint32_t RowIndex::find_or_add(std::uint64_t key) {
  if (2 * (keys_.size() + 1) > cells_.size()) grow();
  Cell& cell = cells_[place(key)];
  if (cell.row == kNone) {
    cell = {key, static_cast<std::uint32_t>(keys_.size())};
    keys_.push_back(key);
  }
  return cell.row;
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
