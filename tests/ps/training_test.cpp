// What training must reach, through the same client and shard code as the programs use.
#include "ps/training.hpp"

#include <cmath>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/json.hpp>
#include <weft/ps/idx.hpp>
#include <weft/ps/libsvm.hpp>
#include <weft/ps/synthetic.hpp>

#include "ps/data_files.hpp"
#include "ps/tables.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

struct Trained {
  Scores scores;
  std::uint64_t max_gap;
};

Trained train_and_test(const TableSpec& table, std::uint32_t workers, std::uint32_t servers,
                       const TrainOptions& options, const std::function<Dataset(RowShare)>& load,
                       const Dataset& test) {
  Cluster cluster({table}, workers, servers);
  std::vector<Dataset> shares;
  for (std::uint32_t w = 0; w < workers; ++w) shares.push_back(load({w, workers}));
  std::deque<Trainer> trainers;
  for (std::uint32_t w = 0; w < workers; ++w) trainers.emplace_back(cluster, w, shares[w], options);
  train(trainers);
  return {evaluate(cluster, test, table, options), cluster.max_gap()};
}

std::vector<double> ftrl_trace(const std::string& file, std::uint32_t workers, std::uint32_t servers,
                               std::optional<std::uint64_t> arrival_seed = std::nullopt) {
  const TableSpec table = table_of(R"({"kind": "sparse", "consistency": "bsp", "aggregate": "sum",
      "optimizer": {"name": "ftrl", "learning_rate": 1, "beta": 1, "l1": 1, "l2": 1}})");
  Cluster cluster({table}, workers, servers, arrival_seed);
  std::vector<Dataset> shares;
  for (std::uint32_t w = 0; w < workers; ++w)
    shares.push_back(read_libsvm(file, Labels::binary, {w, workers}));
  const TrainOptions options{.batch = 100, .steps = 20, .bias = false, .mean = false};
  std::deque<Trainer> trainers;
  for (std::uint32_t w = 0; w < workers; ++w) trainers.emplace_back(cluster, w, shares[w], options);
  train(trainers);
  std::vector<double> trace(20);
  for (const Trainer& trainer : trainers) {
    for (std::size_t step = 0; step < trace.size(); ++step) trace[step] += trainer.losses()[step];
  }
  return trace;
}

}  // namespace

TEST_CASE("FTRL with one worker follows the golden trace within 5e-5") {
  const auto file = data_file("rcv1_100.libsvm");
  if (!file) return;

  const std::vector<double> trace = ftrl_trace(*file, 1, 1);

  for (std::size_t step = 0; step < kGoldenTrace.size(); ++step) {
    CAPTURE(step);
    CHECK(std::fabs(trace[step] - kGoldenTrace[step]) <= 5e-5);
  }
}

TEST_CASE("FTRL with four workers and two servers in bsp follows the golden trace within 1e-4 relative") {
  const auto file = data_file("rcv1_100.libsvm");
  if (!file) return;

  const std::vector<double> trace = ftrl_trace(*file, 4, 2);

  for (std::size_t step = 0; step < kGoldenTrace.size(); ++step) {
    CAPTURE(step);
    CHECK(std::fabs(trace[step] - kGoldenTrace[step]) <= 1e-4 * kGoldenTrace[step]);
  }
}

TEST_CASE("bsp training gives the same bits however messages arrive") {
  const auto file = data_file("rcv1_100.libsvm");
  if (!file) return;

  const std::vector<double> in_order = ftrl_trace(*file, 4, 3);

  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    CAPTURE(seed);
    CHECK(ftrl_trace(*file, 4, 3, seed) == in_order);
  }
}

TEST_CASE("logistic regression on a9a reaches the reference in every consistency") {
  const auto train_file = data_file("a9a");
  const auto test_file = data_file("a9a.t");
  if (!train_file || !test_file) return;
  struct Setup {
    const char* consistency;
    std::uint32_t workers;
    std::uint32_t servers;
  };
  const Dataset test = read_libsvm(*test_file, Labels::binary);
  for (const Setup& setup : {Setup{"bsp", 1, 1}, Setup{"bsp", 4, 2}, Setup{"ssp", 2, 2}, Setup{"ssp", 4, 2},
                             Setup{"asp", 2, 1}, Setup{"asp", 4, 2}}) {
    CAPTURE(std::string(setup.consistency));
    CAPTURE(setup.workers);
    const TableSpec table = table_of(std::string(R"({"optimizer": {"name": "adagrad", "learning_rate": 0.1},
        "consistency": ")") + setup.consistency +
                                     "\"}");

    const Trained outcome = train_and_test(
        table, setup.workers, setup.servers, {.batch = 100, .passes = 5},
        [&](RowShare share) { return read_libsvm(*train_file, Labels::binary, share); }, test);

    MESSAGE(std::string(setup.consistency)
            << " " << setup.workers << " workers " << setup.servers
            << " servers: " << to_json(outcome.scores.to_value()) << " gap " << outcome.max_gap);
    CHECK(outcome.scores.rows == 16281);
    CHECK(outcome.scores.logloss <= 0.332);
    CHECK(outcome.scores.accuracy >= 0.845);
    CHECK(outcome.scores.auc.value_or(0) >= 0.899);
    if (setup.consistency == std::string("bsp")) CHECK(outcome.max_gap == 0);
    if (setup.consistency == std::string("ssp")) CHECK(outcome.max_gap <= table.staleness);
  }
}

TEST_CASE("FTRL on a9a reaches the reference") {
  const auto train_file = data_file("a9a");
  const auto test_file = data_file("a9a.t");
  if (!train_file || !test_file) return;
  const TableSpec table = table_of(R"({"optimizer": {"name": "ftrl", "learning_rate": 1}})");

  const Trained outcome = train_and_test(
      table, 1, 2, {.batch = 100, .passes = 5},
      [&](RowShare share) { return read_libsvm(*train_file, Labels::binary, share); },
      read_libsvm(*test_file, Labels::binary));

  MESSAGE(to_json(outcome.scores.to_value()));
  CHECK(outcome.scores.logloss <= 0.326);
  CHECK(outcome.scores.accuracy >= 0.847);
  CHECK(outcome.scores.auc.value_or(0) >= 0.9);
}

TEST_CASE("logistic regression on agaricus is nearly perfect after three passes") {
  const auto train_file = data_file("agaricus.txt.train");
  const auto test_file = data_file("agaricus.txt.test");
  if (!train_file || !test_file) return;
  for (const char* consistency : {"bsp", "asp"}) {
    CAPTURE(std::string(consistency));
    const TableSpec table = table_of(std::string(R"({"optimizer": {"name": "adagrad", "learning_rate": 0.1},
        "consistency": ")") + consistency +
                                     "\"}");
    const std::uint32_t workers = 2;

    const Trained outcome = train_and_test(
        table, workers, 2, {.batch = 100 / workers, .passes = 3, .shuffle = 1},
        [&](RowShare share) { return read_libsvm(*train_file, Labels::binary, share); },
        read_libsvm(*test_file, Labels::binary));

    MESSAGE(to_json(outcome.scores.to_value()));
    CHECK(outcome.scores.accuracy >= 0.99);
  }
}

TEST_CASE("softmax regression on MNIST reaches the reference with two workers and two servers") {
  const auto images = data_file("train-images-idx3-ubyte.gz");
  if (!images) return;
  const std::string folder = images->substr(0, images->rfind('/'));
  const TableSpec table = table_of(R"({"kind": "dense", "rows": 785, "width": 10, "consistency": "bsp",
      "optimizer": {"name": "sgd", "learning_rate": 0.5}})");

  const Trained outcome = train_and_test(
      table, 2, 2, {.batch = 50, .steps = 1000, .classes = 10},
      [&](RowShare share) { return read_idx_folder(folder, IdxPart::train, share); },
      read_idx_folder(folder, IdxPart::test));

  MESSAGE(to_json(outcome.scores.to_value()));
  CHECK(outcome.scores.rows == 10000);
  CHECK(outcome.scores.accuracy >= 0.912);
  CHECK(!outcome.scores.auc);
}

TEST_CASE("training on the built-in data comes near to its best reachable loss") {
  const SyntheticData source({.rows = 20'000, .test_rows = 5'000, .seed = 7});
  const Dataset test = source.test();
  const SyntheticData::Best best = source.best(test);
  const TableSpec table = table_of(
      R"({"optimizer": {"name": "adagrad", "learning_rate": 0.3}, "consistency": "ssp", "staleness": 2})");

  const Trained outcome = train_and_test(
      table, 4, 2, {.batch = 50, .passes = 5}, [&](RowShare share) { return source.train(share); }, test);

  MESSAGE(to_json(outcome.scores.to_value())
          << " best " << best.logloss << " expected " << best.expected_logloss);
  CHECK(std::fabs(best.logloss - best.expected_logloss) < 0.02);
  CHECK(outcome.scores.logloss > best.logloss - 0.01);
  CHECK(outcome.scores.logloss < best.logloss + 0.02);
  CHECK(outcome.scores.accuracy > best.accuracy - 0.02);
}
