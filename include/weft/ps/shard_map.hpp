// Which shard holds which row, and the splitting of a request by shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/ps/table_spec.hpp>

namespace weft::ps {

/// Rows begin .. end-1.
struct RowRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool operator==(const RowRange&) const = default;
};

/// The rows of a dense table that `shard` of `shards` holds: contiguous, in order, sizes that differ by at
/// most one (the first rows % shards shards hold one more). shard < shards, shards >= 1.
RowRange dense_range(std::uint64_t rows, std::uint32_t shards, std::uint32_t shard);

/// The shard whose dense_range holds `row`; row < rows.
std::uint32_t dense_shard(std::uint64_t rows, std::uint32_t shards, std::uint64_t row);

/// Jump consistent hash (Lamping & Veach 2014, arXiv:1406.2294): in [0, buckets), balanced, and growing from
/// n to n + 1 buckets moves only the keys that go to the new one. buckets >= 1.
std::uint32_t jump_hash(std::uint64_t key, std::uint32_t buckets);

/// Groups the keys of one request by shard, keeping their order within a shard, and remembers where each came
/// from. The buffers are reused from call to call; nothing is allocated a key. One thread.
///
/// After split(), the keys of shard s are `keys(s)[j]`, and `keys(s)[j] == input[positions(s)[j]]`.
class KeySplit {
 public:
  /// `keys` of `table` over `shards` shards. For a dense table every key must be below table.rows.
  /// With one shard nothing is copied: keys(0) is `keys` itself, which must then outlive the use of this
  /// split.
  void split(const TableSpec& table, std::uint32_t shards, std::span<const std::uint64_t> keys);

  [[nodiscard]] std::uint32_t shards() const { return shards_; }
  [[nodiscard]] std::span<const std::uint64_t> keys(std::uint32_t shard) const;
  [[nodiscard]] std::size_t offset(std::uint32_t shard) const { return offsets_[shard]; }
  [[nodiscard]] std::size_t size() const { return input_.size(); }

  /// Rows in the order of the input, `width` floats each, to the order of the shards: out[offset(s) * width
  /// ...] is what belongs to shard s. out.size() == rows.size() == size() * width.
  void group_rows(std::span<const float> rows, std::size_t width, std::span<float> out) const;
  /// The other way, for rows of one shard from its key `first` on: number j * width + k of `rows`, which may
  /// lie unaligned, goes to out[positions(s)[first + j] * width + k].
  void place_rows(std::uint32_t shard, std::size_t first, Bytes rows, std::size_t width,
                  std::span<float> out) const;

 private:
  std::span<const std::uint64_t> input_;
  std::uint32_t shards_ = 1;
  std::vector<std::uint32_t> shard_of_;  ///< by input position
  std::vector<std::size_t> offsets_;     ///< shards_ + 1
  std::vector<std::size_t> next_;        ///< scratch
  std::vector<std::uint64_t> grouped_;   ///< keys by shard
  std::vector<std::size_t> positions_;   ///< input position by place in grouped_
};

}  // namespace weft::ps
