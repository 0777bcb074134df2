// Evaluation: how good a model is on rows that it did not learn from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <weft/core/value.hpp>
#include <weft/ps/batch.hpp>

namespace weft::ps {

struct Scores {
  std::uint64_t rows = 0;
  double logloss = 0;         ///< mean of -ln p(label), nats
  double accuracy = 0;        ///< share of rows whose most probable label is right
  std::optional<double> auc;  ///< logistic only, and only when both labels occur

  [[nodiscard]] Value to_value() const;
};

/// Adds up batches of a test set. Keeps one score a row for the AUC. One thread.
class Evaluation {
 public:
  /// weights[l] belongs to batch.keys()[l].
  void add_logistic(const Batch& batch, std::span<const float> weights);
  /// weights[l * classes + c].
  void add_softmax(const Batch& batch, std::size_t classes, std::span<const float> weights);
  [[nodiscard]] Scores scores() const;

 private:
  std::vector<std::pair<double, bool>> margins_;  ///< logistic: margin and label
  std::uint64_t rows_ = 0;
  std::uint64_t right_ = 0;
  double loss_ = 0;
};

/// The probability that a random positive row has a higher score than a random negative one, ties counting
/// half, by rank sums (Mann & Whitney 1947). nullopt unless both labels occur.
std::optional<double> area_under_curve(std::vector<std::pair<double, bool>> scored);

}  // namespace weft::ps
