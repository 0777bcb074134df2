#include <weft/ps/models.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::ps {

double softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

double sigmoid(double x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}

double log_sum_exp(std::span<const float> scores) {
  const double top = static_cast<double>(*std::max_element(scores.begin(), scores.end()));
  double sum = 0;
  for (const float score : scores) sum += std::exp(static_cast<double>(score) - top);
  return top + std::log(sum);
}

void logistic_margins(const Batch& batch, std::span<const float> weights, std::span<double> margins) {
  assert(weights.size() == batch.keys().size() && margins.size() == batch.rows());
  const std::uint32_t* locals = batch.locals().data();
  const float* values = batch.values().data();
  const float* w = weights.data();
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    double margin = 0;
    const std::size_t end = batch.offsets()[r + 1];
    for (std::size_t j = batch.offsets()[r]; j < end; ++j) {
      margin += static_cast<double>(values[j]) * static_cast<double>(w[locals[j]]);
    }
    margins[r] = margin;
  }
}

double logistic_gradient(const Batch& batch, std::span<const float> weights, std::span<float> gradient,
                         float scale) {
  assert(gradient.size() == weights.size());
  std::vector<double> margins(batch.rows());
  logistic_margins(batch, weights, margins);
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  const std::uint32_t* locals = batch.locals().data();
  const float* values = batch.values().data();
  float* g = gradient.data();
  double loss = 0;
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    const bool positive = batch.labels()[r] > 0;
    loss += softplus(positive ? -margins[r] : margins[r]);
    const auto slope = static_cast<float>(sigmoid(margins[r]) - (positive ? 1 : 0)) * scale;
    const std::size_t end = batch.offsets()[r + 1];
    for (std::size_t j = batch.offsets()[r]; j < end; ++j) g[locals[j]] += slope * values[j];
  }
  return loss;
}

void softmax_scores(const Batch& batch, std::size_t classes, std::span<const float> weights,
                    std::span<float> scores) {
  assert(weights.size() == batch.keys().size() * classes && scores.size() == batch.rows() * classes);
  std::fill(scores.begin(), scores.end(), 0.0F);
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    float* row = scores.data() + r * classes;
    for (std::size_t j = batch.offsets()[r]; j < batch.offsets()[r + 1]; ++j) {
      const float value = batch.values()[j];
      const float* w = weights.data() + batch.locals()[j] * classes;
      for (std::size_t c = 0; c < classes; ++c) row[c] += value * w[c];
    }
  }
}

double softmax_gradient(const Batch& batch, std::size_t classes, std::span<const float> weights,
                        std::span<float> gradient, float scale) {
  assert(gradient.size() == weights.size());
  std::vector<float> scores(batch.rows() * classes);
  softmax_scores(batch, classes, weights, scores);
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  double loss = 0;
  for (std::size_t r = 0; r < batch.rows(); ++r) {
    const float label = batch.labels()[r];
    if (!(label >= 0 && label < static_cast<float>(classes))) {
      throw Error(Errc::invalid_argument,
                  format("label {} is no class of a model with {} classes", label, classes));
    }
    const std::span<float> row(scores.data() + r * classes, classes);
    const double total = log_sum_exp(row);
    const auto truth = static_cast<std::size_t>(label);
    loss += total - static_cast<double>(row[truth]);
    for (float& score : row) score = static_cast<float>(std::exp(static_cast<double>(score) - total)) * scale;
    row[truth] -= scale;
    for (std::size_t j = batch.offsets()[r]; j < batch.offsets()[r + 1]; ++j) {
      const float value = batch.values()[j];
      float* g = gradient.data() + batch.locals()[j] * classes;
      for (std::size_t c = 0; c < classes; ++c) g[c] += value * row[c];
    }
  }
  return loss;
}

}  // namespace weft::ps
