// Table: one shard's part of a table, its rows and the optimiser's state beside them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weft/ps/row_index.hpp>
#include <weft/ps/shard_map.hpp>
#include <weft/ps/table_spec.hpp>

namespace weft::ps {

/// Shapes: `values[i * width + k]` belongs to `keys[i]`. Keys may come in any order; a repeated key is served
/// each time. Owns its memory; one thread.
///
/// Dense: the rows of dense_range() in one array, state in another. Sparse: one slab in which a row's weights
/// and state lie side by side; a row is made by its first update or assign. Reading a row that does not exist
/// gives its initial values and makes nothing, so that pulls cannot fill the memory.
class Table {
 public:
  Table(TableSpec spec, std::uint32_t shard, std::uint32_t shards);

  [[nodiscard]] const TableSpec& spec() const { return spec_; }
  /// Rows that exist here.
  [[nodiscard]] std::uint64_t rows() const;
  [[nodiscard]] std::uint64_t bytes() const { return (weights_.size() + state_.size()) * sizeof(float); }
  /// Rows updated or assigned so far.
  [[nodiscard]] std::uint64_t updates() const { return updates_; }

  /// Why `keys` cannot be served here (a dense key outside of this shard's rows): a sentence; else nullopt.
  [[nodiscard]] std::optional<std::string> key_fault(std::span<const std::uint64_t> keys) const;
  /// False when making the missing rows would pass max_rows.
  [[nodiscard]] bool has_room(std::span<const std::uint64_t> keys) const;

  // The calls below require that key_fault() is nullopt and, where they write, has_room().

  /// out[i * width + k], out.size() == keys.size() * width.
  void read(std::span<const std::uint64_t> keys, std::span<float> out) const;
  /// Runs the optimiser once for each key with `scale * gradients[i * width + k]`. Returns where the rows
  /// lie, for a read of the same keys; valid until the next call that writes.
  std::span<const std::uint32_t> update(std::span<const std::uint64_t> keys, std::span<const float> gradients,
                                        float scale);
  /// As read(), of rows that an update has found.
  void read_at(std::span<const std::uint32_t> slots, std::span<float> out) const;
  /// Makes the missing rows with their initial values.
  void make_rows(std::span<const std::uint64_t> keys);
  /// Sets rows and resets their state, as if they had just been made with these values.
  void assign(std::span<const std::uint64_t> keys, std::span<const float> values);

 private:
  [[nodiscard]] RowArena arena();
  /// Where the rows of `keys` lie; makes the missing ones. Valid until the next call.
  std::span<const std::uint32_t> slots_of(std::span<const std::uint64_t> keys);
  void make_row(std::uint32_t slot, std::uint64_t key);

  TableSpec spec_;
  std::size_t width_;
  std::size_t state_width_;
  RowRange range_;                    ///< dense
  RowIndex index_;                    ///< sparse
  std::vector<float> weights_;        ///< dense: weights; sparse: weights and state, interleaved
  std::vector<float> state_;          ///< dense
  std::vector<std::uint32_t> slots_;  ///< scratch
  std::uint64_t updates_ = 0;
};

}  // namespace weft::ps
