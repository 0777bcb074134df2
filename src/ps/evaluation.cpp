#include <weft/ps/evaluation.hpp>

#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/ps/models.hpp>

namespace weft::ps {

Value Scores::to_value() const {
  Value value;
  value["rows"] = rows;
  value["logloss"] = logloss;
  value["accuracy"] = accuracy;
  if (auc) value["auc"] = *auc;
  return value;
}

void Evaluation::add_logistic(const Batch& batch, std::span<const float> weights) {
  std::vector<double> margins(batch.rows());
  logistic_margins(batch, weights, margins);
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    const bool positive = batch.labels()[r] > 0;
    loss_ += softplus(positive ? -margins[r] : margins[r]);
    right_ += (margins[r] > 0) == positive ? 1 : 0;
    margins_.emplace_back(margins[r], positive);
  }
  rows_ += batch.rows();
}

void Evaluation::add_softmax(const Batch& batch, std::size_t classes, std::span<const float> weights) {
  std::vector<float> all(batch.rows() * classes);
  softmax_scores(batch, classes, weights, all);
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    const std::span<const float> scores(all.data() + r * classes, classes);
    const float label = batch.labels()[r];
    if (!(label >= 0 && label < static_cast<float>(classes))) {
      throw Error(Errc::invalid_argument,
                  format("label {} is no class of a model with {} classes", label, classes));
    }
    const auto truth = static_cast<std::size_t>(label);
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    loss_ += log_sum_exp(scores) - static_cast<double>(scores[truth]);
    right_ += static_cast<std::size_t>(best) == truth ? 1 : 0;
  }
  rows_ += batch.rows();
}

Scores Evaluation::scores() const {
  Scores scores;
  scores.rows = rows_;
  if (rows_ == 0) return scores;
  scores.logloss = loss_ / static_cast<double>(rows_);
  scores.accuracy = static_cast<double>(right_) / static_cast<double>(rows_);
  scores.auc = area_under_curve(margins_);
  return scores;
}

std::optional<double> area_under_curve(std::vector<std::pair<double, bool>> scored) {
  std::sort(scored.begin(), scored.end());
  double positives = 0;
  double rank_sum = 0;  // of the positives; rows that tie share the mean of their ranks
  for (std::size_t begin = 0; begin < scored.size();) {
    std::size_t end = begin;
    double tied_positives = 0;
    for (; end < scored.size() && scored[end].first == scored[begin].first; ++end) {
      tied_positives += scored[end].second ? 1 : 0;
    }
    rank_sum += tied_positives * (static_cast<double>(begin + 1) + static_cast<double>(end)) / 2;
    positives += tied_positives;
    begin = end;
  }
  const double negatives = static_cast<double>(scored.size()) - positives;
  if (positives == 0 || negatives == 0) return std::nullopt;
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

}  // namespace weft::ps
