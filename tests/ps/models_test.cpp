#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/ps/evaluation.hpp>
#include <weft/ps/libsvm.hpp>
#include <weft/ps/models.hpp>
#include <weft/ps/synthetic.hpp>

using namespace weft;
using namespace weft::ps;

namespace {

using Floats = std::vector<float>;
using Indexes = std::vector<std::uint64_t>;
using Scored = std::vector<std::pair<double, bool>>;

TableSpec dense_table(std::uint64_t rows, std::uint32_t width) {
  TableSpec table;
  table.name = "w";
  table.kind = TableKind::dense;
  table.rows = rows;
  table.width = width;
  return table;
}

Batch batch_of(const Dataset& data, const TableSpec& table, bool bias) {
  BatchOrder order(data.rows(), data.rows());
  Batch batch;
  batch.build(data, order.next(), table, bias);
  return batch;
}

/// Holds a gradient against the slope of its loss, weight by weight.
template <class Loss>
void check_slope(Floats weights, const Floats& gradient, const Loss& loss) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CAPTURE(i);
    const float kept = weights[i];
    const double step = 1e-2;
    weights[i] = kept + static_cast<float>(step);
    const double above = loss(weights);
    weights[i] = kept - static_cast<float>(step);
    const double below = loss(weights);
    weights[i] = kept;
    CHECK(static_cast<double>(gradient[i]) ==
          doctest::Approx((above - below) / (2 * step)).epsilon(0.01).scale(0.1));
  }
}

}  // namespace

TEST_CASE("a sparse batch has each of its features once, ascending, and the bias last") {
  const Dataset data = parse_libsvm("1 9:1 3:2\n0 3:4\n1 700:1\n", "f", Labels::binary);
  const std::vector<std::uint32_t> rows{0, 1};
  Batch batch;

  batch.build(data, rows, TableSpec{}, true);

  CHECK(Indexes(batch.keys().begin(), batch.keys().end()) == Indexes{3, 9, Batch::kBiasKey});
  const std::vector<std::uint32_t> locals(batch.locals().begin(), batch.locals().end());
  CHECK(locals == std::vector<std::uint32_t>{1, 0, 2, 0, 2});
  CHECK(batch.rows() == 2);
}

TEST_CASE("a dense batch has all rows of the table, with the bias in the last") {
  const Dataset data = parse_libsvm("1 0:1 2:2\n", "f");
  const Batch batch = batch_of(data, dense_table(4, 1), true);
  CHECK(Indexes(batch.keys().begin(), batch.keys().end()) == Indexes{0, 1, 2, 3});
  CHECK(batch.locals().back() == 3);
  Batch other;
  const std::vector<std::uint32_t> rows{0};
  CHECK_THROWS_WITH_AS(other.build(data, rows, dense_table(3, 1), true),
                       "f: feature 2 has no row in dense table w: 3 rows hold features 0 to 1 and the bias",
                       Error);
  CHECK_THROWS_AS(other.build(data, rows, dense_table(2, 1), false), Error);
}

TEST_CASE("batches visit each row once a pass, in file order or shuffled") {
  for (const bool shuffled : {false, true}) {
    CAPTURE(shuffled);
    BatchOrder order(10, 4, shuffled ? std::optional<std::uint64_t>(3) : std::nullopt);
    std::vector<std::vector<std::uint32_t>> passes(2);
    for (auto& pass : passes) {
      for (std::size_t i = 0; i < order.batches(); ++i) {
        const auto rows = order.next();
        CHECK(rows.size() == (i == 2 ? 2 : 4));
        pass.insert(pass.end(), rows.begin(), rows.end());
      }
      CHECK(std::set<std::uint32_t>(pass.begin(), pass.end()).size() == 10);
    }
    CHECK(order.passes() == 2);
    CHECK((passes[0] == passes[1]) == !shuffled);
  }
  CHECK(BatchOrder(0, 5).next().empty());
  CHECK_THROWS_AS(BatchOrder(5, 0), Error);
}

TEST_CASE("the logistic gradient is the slope of the loss") {
  const Dataset data = parse_libsvm("1 0:1 1:-2\n0 1:0.5 2:1\n1 2:3\n", "f", Labels::binary);
  const Batch batch = batch_of(data, TableSpec{}, true);
  const Floats weights{0.3F, -0.2F, 0.1F, 0.5F};
  Floats gradient(weights.size());
  Floats scratch(weights.size());

  const double loss = logistic_gradient(batch, weights, gradient, 1);

  // Margins 0.3 + 0.4 + 0.5, -0.1 + 0.1 + 0.5 and 0.3 + 0.5.
  CHECK(loss ==
        doctest::Approx(std::log1p(std::exp(-1.2)) + std::log1p(std::exp(0.5)) + std::log1p(std::exp(-0.8))));
  check_slope(weights, gradient, [&](const Floats& w) { return logistic_gradient(batch, w, scratch, 1); });
}

TEST_CASE("the softmax gradient is the slope of the loss") {
  const Dataset data = parse_libsvm("2 0:1 1:-2\n0 1:0.5\n1 0:3\n", "f", Labels::classes);
  const Batch batch = batch_of(data, dense_table(3, 3), true);
  const Floats weights{0.3F, -0.2F, 0.1F, 0.5F, 0.0F, -0.4F, 0.2F, 0.2F, -0.1F};
  Floats gradient(weights.size());
  Floats scratch(weights.size());

  softmax_gradient(batch, 3, weights, gradient, 1);

  check_slope(weights, gradient, [&](const Floats& w) { return softmax_gradient(batch, 3, w, scratch, 1); });
  CHECK_THROWS_WITH_AS(softmax_gradient(batch, 2, Floats(6), scratch = Floats(6), 1),
                       "label 2 is no class of a model with 2 classes", Error);
}

TEST_CASE("losses stay finite for extreme margins") {
  CHECK(softplus(1000) == 1000);
  CHECK(softplus(-1000) == 0);
  CHECK(softplus(0) == doctest::Approx(std::log(2.0)));
  CHECK(sigmoid(1000) == 1);
  CHECK(sigmoid(-1000) == 0);
  CHECK(log_sum_exp(Floats{1000, 1000}) == doctest::Approx(1000 + std::log(2.0)));
}

TEST_CASE("the area under the curve counts pairs, ties by half") {
  CHECK(area_under_curve(Scored{{1, false}, {2, false}, {3, true}, {4, true}}) == doctest::Approx(1));
  CHECK(area_under_curve(Scored{{4, false}, {3, true}}) == doctest::Approx(0));
  CHECK(area_under_curve(Scored{{1, false}, {1, true}, {1, true}}) == doctest::Approx(0.5));
  // Pairs (positive, negative): (2,1) 1, (2,2) 0.5, (3,1) 1, (3,2) 1.
  CHECK(area_under_curve(Scored{{2, true}, {1, false}, {3, true}, {2, false}}) == doctest::Approx(3.5 / 4));
  CHECK(!area_under_curve(Scored{{1, true}, {2, true}}));
  CHECK(!area_under_curve(Scored{}));
}

TEST_CASE("an evaluation over batches is the mean over rows") {
  const Dataset data = parse_libsvm("1 0:1\n0 0:1\n0 0:-1\n1 0:2\n", "f", Labels::binary);
  Evaluation evaluation;
  BatchOrder order(data.rows(), 3);
  Batch batch;
  const Floats weights{1};
  while (order.passes() == 0) {
    batch.build(data, order.next(), TableSpec{}, false);
    evaluation.add_logistic(batch, weights);
  }

  const Scores scores = evaluation.scores();

  CHECK(scores.rows == 4);
  CHECK(scores.accuracy == 0.75);
  CHECK(scores.logloss == doctest::Approx((softplus(-1) + softplus(1) + softplus(-1) + softplus(-2)) / 4));
  CHECK(scores.auc.value_or(0) == doctest::Approx(3.5 / 4));
  CHECK(Evaluation().scores().rows == 0);
}

TEST_CASE("built-in data is the same in shares as in whole and differs by seed") {
  const SyntheticData source({.rows = 100, .test_rows = 50, .features = 40, .active = 5, .seed = 4});
  const Dataset whole = source.train();
  const Dataset share = source.train({2, 3});

  REQUIRE(whole.rows() == 100);
  REQUIRE(share.rows() == 33);
  for (std::size_t i = 0; i < share.rows(); ++i) {
    const auto a = share.row_indexes(i);
    const auto b = whole.row_indexes(2 + 3 * i);
    REQUIRE(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    REQUIRE(share.labels[i] == whole.labels[2 + 3 * i]);
  }
  CHECK(SyntheticData({.rows = 100, .seed = 5}).train().indexes != whole.indexes);
  CHECK(source.test().rows() == 50);
}

TEST_CASE("built-in data knows the loss of the model that made it") {
  const SyntheticData source({.rows = 1, .test_rows = 40'000, .seed = 2});
  const SyntheticData::Best best = source.best(source.test());
  // The drawn labels agree with the probabilities up to chance, about 1 / sqrt(rows).
  CHECK(std::fabs(best.logloss - best.expected_logloss) < 0.01);
  CHECK(best.expected_logloss < 0.6);
  CHECK(best.accuracy > 0.7);
}

TEST_CASE("built-in data refuses options out of range by name") {
  SyntheticOptions options;
  options.active = 150;
  CHECK_THROWS_WITH_AS(SyntheticData{options}, "built-in data, active: expected 1 to 100, found 150", Error);
  options = {};
  options.rows = 0;
  CHECK_THROWS_AS(SyntheticData{options}, Error);
}
