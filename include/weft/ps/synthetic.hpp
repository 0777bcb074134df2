// SyntheticData: a seeded data set whose best reachable loss is known.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <weft/ps/dataset.hpp>

namespace weft::ps {

struct SyntheticOptions {
  std::uint64_t rows = 40'000;       ///< training rows, at least 1
  std::uint64_t test_rows = 10'000;  ///< at least 1
  std::uint32_t features = 200;      ///< 2 .. 10,000,000
  std::uint32_t active = 10;         ///< features of a row, 1 .. features / 2, at most 1,000
  std::uint64_t seed = 1;

  /// Throws Error{invalid_argument} that names field, value and bound.
  void check() const;
};

/// Rows drawn from a logistic model with known weights (standard normal, bias -0.5): each row has `active`
/// features of value 1, low indexes more often, and label 1 with probability sigmoid(weights . features +
/// bias). A row depends on seed and row number only, so any share of the rows is the same on every worker and
/// machine.
class SyntheticData {
 public:
  explicit SyntheticData(const SyntheticOptions& options);

  [[nodiscard]] Dataset train(RowShare share = {}) const;
  [[nodiscard]] Dataset test(RowShare share = {}) const;

  /// What no model can beat, but by chance: the true model on these rows.
  struct Best {
    double expected_logloss;  ///< mean entropy of the true probabilities: the best expected loss
    double logloss;           ///< of the true model on the labels that were drawn
    double accuracy;          ///< of the true model on the labels that were drawn
  };
  /// `data` must come from train() or test() of the same options.
  [[nodiscard]] Best best(const Dataset& data) const;

 private:
  [[nodiscard]] Dataset draw(std::uint64_t rows, std::uint64_t stream, RowShare share) const;
  [[nodiscard]] double margin(std::span<const std::uint64_t> features) const;

  SyntheticOptions options_;
  std::vector<double> weights_;
  double bias_ = -0.5;
};

}  // namespace weft::ps
