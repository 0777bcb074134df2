#include <weft/ps/synthetic.hpp>

#include <algorithm>
#include <cmath>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/ps/models.hpp>

#include "ps/random.hpp"

namespace weft::ps {
namespace {

constexpr std::uint64_t kWeightStream = 1;
constexpr std::uint64_t kTrainStream = 2;
constexpr std::uint64_t kTestStream = 3;

void require_parameter(bool holds, std::string_view field, std::uint64_t found, const std::string& expected) {
  if (holds) return;
  throw Error(Errc::invalid_argument,
              format("built-in data, {}: expected {}, found {}", field, expected, found));
}

}  // namespace

void SyntheticOptions::check() const {
  require_parameter(rows >= 1 && rows <= UINT32_MAX, "rows", rows, "1 to 4294967295");
  require_parameter(test_rows >= 1 && test_rows <= UINT32_MAX, "test_rows", test_rows, "1 to 4294967295");
  require_parameter(features >= 2 && features <= 10'000'000, "features", features, "2 to 10000000");
  const std::uint32_t most = std::min(features / 2, 1'000U);
  require_parameter(active >= 1 && active <= most, "active", active, format("1 to {}", most));
}

SyntheticData::SyntheticData(const SyntheticOptions& options) : options_((options.check(), options)) {
  Random random(options.seed, kWeightStream);
  weights_.resize(options.features);
  for (double& weight : weights_) weight = random.normal();
}

double SyntheticData::margin(std::span<const std::uint64_t> features) const {
  double sum = bias_;
  for (const std::uint64_t feature : features) sum += weights_[feature];
  return sum;
}

Dataset SyntheticData::draw(std::uint64_t rows, std::uint64_t stream, RowShare share) const {
  Dataset data;
  data.name = "built-in data";
  data.file_rows = rows;
  data.max_index = options_.features - 1;
  std::vector<std::uint64_t> features;
  for (std::uint64_t row = share.part; row < rows; row += share.parts) {
    Random random(mix64(options_.seed) + stream, row);
    features.clear();
    while (features.size() < options_.active) {
      const double u = random.uniform();
      const auto feature = static_cast<std::uint64_t>(u * u * options_.features);
      if (std::find(features.begin(), features.end(), feature) == features.end()) features.push_back(feature);
    }
    std::sort(features.begin(), features.end());
    data.indexes.insert(data.indexes.end(), features.begin(), features.end());
    data.values.insert(data.values.end(), features.size(), 1.0F);
    data.end_row(random.uniform() < sigmoid(margin(features)) ? 1.0F : 0.0F);
  }
  return data;
}

Dataset SyntheticData::train(RowShare share) const {
  return draw(options_.rows, kTrainStream, share);
}
Dataset SyntheticData::test(RowShare share) const {
  return draw(options_.test_rows, kTestStream, share);
}

SyntheticData::Best SyntheticData::best(const Dataset& data) const {
  Best best{0, 0, 0};
  for (std::size_t row = 0; row < data.rows(); ++row) {
    const double m = margin(data.row_indexes(row));
    const bool positive = data.labels[row] > 0;
    const double p = sigmoid(m);
    best.expected_logloss += p * softplus(-m) + (1 - p) * softplus(m);
    best.logloss += softplus(positive ? -m : m);
    best.accuracy += (m > 0) == positive ? 1 : 0;
  }
  const auto rows = static_cast<double>(std::max<std::size_t>(data.rows(), 1));
  best.expected_logloss /= rows;
  best.logloss /= rows;
  best.accuracy /= rows;
  return best;
}

}  // namespace weft::ps
