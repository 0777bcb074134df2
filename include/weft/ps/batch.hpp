// Batch: some rows of a data set with the parameters that they need; BatchOrder: which rows come next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <weft/ps/dataset.hpp>
#include <weft/ps/table_spec.hpp>

namespace weft::ps {

/// Walks over the rows of a data set in batches, pass after pass: in the order of the file, or shuffled anew
/// before each pass by a seed. The last batch of a pass may be smaller. One thread.
class BatchOrder {
 public:
  BatchOrder(std::size_t rows, std::size_t batch, std::optional<std::uint64_t> shuffle_seed = std::nullopt);

  /// The next rows. Valid until the next call. Empty only when there are no rows at all.
  std::span<const std::uint32_t> next();
  /// Passes over the data that are complete.
  [[nodiscard]] std::uint64_t passes() const { return passes_; }
  /// Batches of one pass.
  [[nodiscard]] std::size_t batches() const { return (order_.size() + batch_ - 1) / batch_; }

 private:
  void shuffle();

  std::vector<std::uint32_t> order_;
  std::size_t batch_;
  std::optional<std::uint64_t> seed_;
  std::size_t at_ = 0;
  std::uint64_t passes_ = 0;
};

/// The rows of one step, with features renumbered to the places of their keys, so that gradients are computed
/// over the pulled rows alone. Feature j of row r is `locals()[j]` (a position in keys()) with `values()[j]`,
/// offsets()[r] <= j < offsets()[r + 1]. Reusable; one thread.
class Batch {
 public:
  /// The key of the bias in a sparse table. In a dense table the bias is the last row.
  static constexpr std::uint64_t kBiasKey = UINT64_MAX;

  /// For a sparse table keys() are the features of these rows, each once, ascending, then the bias if wanted.
  /// For a dense table keys() are all of its rows. Throws Error{invalid_argument} when a feature has no row
  /// in the dense table.
  void build(const Dataset& data, std::span<const std::uint32_t> rows, const TableSpec& table, bool bias);

  [[nodiscard]] std::span<const std::uint64_t> keys() const { return keys_; }
  [[nodiscard]] std::size_t rows() const { return labels_.size(); }
  [[nodiscard]] std::span<const float> labels() const { return labels_; }
  [[nodiscard]] std::span<const std::size_t> offsets() const { return offsets_; }
  [[nodiscard]] std::span<const std::uint32_t> locals() const { return locals_; }
  [[nodiscard]] std::span<const float> values() const { return values_; }

 private:
  void number_sparse(bool bias);
  void number_dense(const Dataset& data, const TableSpec& table, bool bias);

  std::vector<std::uint64_t> keys_;
  std::vector<float> labels_;
  std::vector<std::size_t> offsets_;
  std::vector<std::uint32_t> locals_;
  std::vector<float> values_;
  std::vector<std::uint64_t> indexes_;  ///< before renumbering, the bias included
};

}  // namespace weft::ps
