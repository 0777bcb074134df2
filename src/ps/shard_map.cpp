#include <weft/ps/shard_map.hpp>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace weft::ps {

RowRange dense_range(std::uint64_t rows, std::uint32_t shards, std::uint32_t shard) {
  assert(shard < shards);
  const std::uint64_t each = rows / shards;
  const std::uint64_t longer = rows % shards;
  const std::uint64_t begin = each * shard + std::min<std::uint64_t>(shard, longer);
  return {begin, begin + each + (shard < longer ? 1 : 0)};
}

std::uint32_t dense_shard(std::uint64_t rows, std::uint32_t shards, std::uint64_t row) {
  assert(row < rows);
  const std::uint64_t each = rows / shards;
  const std::uint64_t longer = rows % shards;
  const std::uint64_t in_longer = (each + 1) * longer;
  if (row < in_longer) return static_cast<std::uint32_t>(row / (each + 1));
  return static_cast<std::uint32_t>(longer + (row - in_longer) / each);
}

std::uint32_t jump_hash(std::uint64_t key, std::uint32_t buckets) {
  std::int64_t bucket = -1;
  std::int64_t next = 0;
  while (next < static_cast<std::int64_t>(buckets)) {
    bucket = next;
    key = key * 2862933555777941757ULL + 1;
    next = static_cast<std::int64_t>(static_cast<double>(bucket + 1) *
                                     (static_cast<double>(1LL << 31) / static_cast<double>((key >> 33) + 1)));
  }
  return static_cast<std::uint32_t>(bucket);
}

void KeySplit::split(const TableSpec& table, std::uint32_t shards, std::span<const std::uint64_t> keys) {
  input_ = keys;
  shards_ = shards;
  offsets_.assign(shards + 1, 0);
  offsets_[shards] = keys.size();
  if (shards == 1) return;

  shard_of_.resize(keys.size());
  const bool dense = table.kind == TableKind::dense;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint32_t shard = dense ? dense_shard(table.rows, shards, keys[i]) : jump_hash(keys[i], shards);
    shard_of_[i] = shard;
    ++offsets_[shard];
  }
  std::size_t sum = 0;
  for (std::uint32_t s = 0; s < shards; ++s) sum += std::exchange(offsets_[s], sum);
  offsets_[shards] = sum;
  next_.assign(offsets_.begin(), offsets_.end());
  grouped_.resize(keys.size());
  positions_.resize(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::size_t at = next_[shard_of_[i]]++;
    grouped_[at] = keys[i];
    positions_[at] = i;
  }
}

std::span<const std::uint64_t> KeySplit::keys(std::uint32_t shard) const {
  if (shards_ == 1) return input_;
  return {grouped_.data() + offsets_[shard], offsets_[shard + 1] - offsets_[shard]};
}

void KeySplit::group_rows(std::span<const float> rows, std::size_t width, std::span<float> out) const {
  assert(rows.size() == size() * width && out.size() == rows.size());
  if (shards_ == 1) {
    std::copy(rows.begin(), rows.end(), out.begin());
    return;
  }
  for (std::size_t at = 0; at < size(); ++at) {
    std::copy_n(rows.data() + positions_[at] * width, width, out.data() + at * width);
  }
}

void KeySplit::place_rows(std::uint32_t shard, std::size_t first, Bytes rows, std::size_t width,
                          std::span<float> out) const {
  const std::size_t row_bytes = width * sizeof(float);
  assert(rows.size() % row_bytes == 0 && first + rows.size() / row_bytes <= keys(shard).size());
  assert(out.size() == size() * width);
  if (rows.empty()) return;
  if (shards_ == 1) {
    std::memcpy(out.data() + first * width, rows.data(), rows.size());
    return;
  }
  const std::size_t* positions = positions_.data() + offsets_[shard] + first;
  for (std::size_t j = 0; j < rows.size() / row_bytes; ++j) {
    std::memcpy(out.data() + positions[j] * width, rows.data() + j * row_bytes, row_bytes);
  }
}

}  // namespace weft::ps
