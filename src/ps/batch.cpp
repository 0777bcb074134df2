#include <weft/ps/batch.hpp>

#include <algorithm>
#include <numeric>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "ps/random.hpp"

namespace weft::ps {

BatchOrder::BatchOrder(std::size_t rows, std::size_t batch, std::optional<std::uint64_t> shuffle_seed)
    : order_(rows), batch_(batch), seed_(shuffle_seed) {
  if (batch == 0) throw Error(Errc::invalid_argument, "batch: expected at least 1 row, found 0");
  std::iota(order_.begin(), order_.end(), 0U);
  shuffle();
}

void BatchOrder::shuffle() {
  if (!seed_) return;
  Random random(*seed_, passes_);
  for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
}

std::span<const std::uint32_t> BatchOrder::next() {
  if (at_ == order_.size()) {
    at_ = 0;
    shuffle();
  }
  const std::size_t count = std::min(batch_, order_.size() - at_);
  const std::span<const std::uint32_t> rows(order_.data() + at_, count);
  at_ += count;
  if (at_ == order_.size() && count > 0) ++passes_;
  return rows;
}

void Batch::build(const Dataset& data, std::span<const std::uint32_t> rows, const TableSpec& table,
                  bool bias) {
  labels_.clear();
  offsets_.assign(1, 0);
  indexes_.clear();
  values_.clear();
  for (const std::uint32_t row : rows) {
    const auto indexes = data.row_indexes(row);
    const auto values = data.row_values(row);
    indexes_.insert(indexes_.end(), indexes.begin(), indexes.end());
    values_.insert(values_.end(), values.begin(), values.end());
    if (bias) {
      indexes_.push_back(kBiasKey);
      values_.push_back(1.0F);
    }
    labels_.push_back(data.labels[row]);
    offsets_.push_back(indexes_.size());
  }
  locals_.resize(indexes_.size());
  if (table.kind == TableKind::sparse) {
    number_sparse(bias);
  } else {
    number_dense(data, table, bias);
  }
}

void Batch::number_sparse(bool bias) {
  keys_ = indexes_;
  std::sort(keys_.begin(), keys_.end());
  keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
  if (bias && keys_.empty()) keys_.push_back(kBiasKey);
  for (std::size_t j = 0; j < indexes_.size(); ++j) {
    locals_[j] =
        static_cast<std::uint32_t>(std::lower_bound(keys_.begin(), keys_.end(), indexes_[j]) - keys_.begin());
  }
}

void Batch::number_dense(const Dataset& data, const TableSpec& table, bool bias) {
  if (keys_.size() != table.rows) {
    keys_.resize(table.rows);
    std::iota(keys_.begin(), keys_.end(), std::uint64_t{0});
  }
  const std::uint64_t features = table.rows - (bias ? 1 : 0);
  for (std::size_t j = 0; j < indexes_.size(); ++j) {
    const std::uint64_t index = indexes_[j] == kBiasKey ? features : indexes_[j];
    if (index > features || (index == features && indexes_[j] != kBiasKey)) {
      throw Error(
          Errc::invalid_argument,
          format("{}: feature {} has no row in dense table {}: {} rows hold features 0 to {}{}", data.name,
                 index, table.name, table.rows, features - 1, bias ? " and the bias" : ""));
    }
    locals_[j] = static_cast<std::uint32_t>(index);
  }
}

}  // namespace weft::ps
