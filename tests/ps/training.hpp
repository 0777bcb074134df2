// Training in a test cluster: one object a worker, stepped by hand so that any speed can be played.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <vector>

#include <weft/ps/batch.hpp>
#include <weft/ps/evaluation.hpp>
#include <weft/ps/models.hpp>

#include "ps/cluster.hpp"

namespace weft::ps::test {

struct TrainOptions {
  std::size_t batch = 100;
  std::uint64_t steps = 0;  ///< 0: by passes
  std::uint64_t passes = 1;
  bool bias = true;
  bool mean = true;  ///< gradients averaged over the batch, else summed
  std::optional<std::uint64_t> shuffle = std::nullopt;
  std::size_t classes = 1;  ///< 1: logistic
};

class Trainer {
 public:
  Trainer(Cluster& cluster, std::uint32_t worker, const Dataset& data, TrainOptions options)
      : cluster_(cluster),
        worker_(worker),
        data_(data),
        options_(options),
        order_(data.rows(), options.batch, seed_for(options, worker)),
        core_(cluster.client(worker)) {}

  /// Posts what comes next: a pull, or what follows when it is answered. The cluster's pump() delivers it, so
  /// that messages of several workers meet. False when it waits.
  bool advance() {
    if (done_) return false;
    if (!pulled_.done() || !pushed_.done() || !clocked_.done()) return false;
    if (computing_) {
      finish_step();
    } else {
      begin_step();
    }
    return true;
  }

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] Cluster& cluster() { return cluster_; }
  [[nodiscard]] std::uint64_t step() const { return losses_.size(); }
  /// Loss sums, by step.
  [[nodiscard]] const std::vector<double>& losses() const { return losses_; }

 private:
  static std::optional<std::uint64_t> seed_for(const TrainOptions& options, std::uint32_t worker) {
    if (!options.shuffle) return std::nullopt;
    return *options.shuffle + worker;
  }
  void begin_step() {
    batch_.build(data_, order_.next(), core_.tables()[0], options_.bias);
    weights_.resize(batch_.keys().size() * options_.classes);
    core_.pull(pulled_, 0, batch_.keys(), weights_);
    cluster_.post(worker_, pulled_);
    computing_ = true;
  }

  void finish_step() {
    if (!pulled_.ok()) throw std::runtime_error(pulled_.text());
    gradient_.resize(weights_.size());
    const float scale = options_.mean ? 1.0F / static_cast<float>(batch_.rows()) : 1.0F;
    losses_.push_back(options_.classes == 1
                          ? logistic_gradient(batch_, weights_, gradient_, scale)
                          : softmax_gradient(batch_, options_.classes, weights_, gradient_, scale));
    core_.push(pushed_, 0, batch_.keys(), gradient_);
    cluster_.post(worker_, pushed_);
    core_.clock(clocked_);
    cluster_.post(worker_, clocked_);
    computing_ = false;
    done_ = options_.steps > 0 ? losses_.size() == options_.steps : order_.passes() == options_.passes;
    if (!done_) return;
    core_.finish(finished_);
    cluster_.post(worker_, finished_);
  }

  Cluster& cluster_;
  std::uint32_t worker_;
  const Dataset& data_;
  TrainOptions options_;
  BatchOrder order_;
  ClientCore core_;
  Call pulled_, pushed_, clocked_, finished_;
  Batch batch_;
  std::vector<float> weights_, gradient_;
  std::vector<double> losses_;
  bool computing_ = false;
  bool done_ = false;
};

/// Steps all workers in turn until all are done. Throws when nobody can go on: a deadlock.
inline void train(std::deque<Trainer>& workers) {
  for (bool all_done = false; !all_done;) {
    bool moved = false;
    all_done = true;
    for (Trainer& worker : workers) {
      moved = worker.advance() || moved;
      all_done = all_done && worker.done();
    }
    workers.front().cluster().pump();
    if (!moved && !all_done) throw std::logic_error("every worker waits");
  }
}

inline Scores evaluate(Cluster& cluster, const Dataset& data, const TableSpec& table, TrainOptions options) {
  ClientCore reader({cluster.shards(), kObserver, 0});
  reader.set_tables({table});
  BatchOrder order(data.rows(), 1000);
  Evaluation evaluation;
  Batch batch;
  std::vector<float> weights;
  Call call;
  while (order.passes() == 0) {
    batch.build(data, order.next(), table, options.bias);
    weights.resize(batch.keys().size() * options.classes);
    reader.pull(call, 0, batch.keys(), weights);
    if (!cluster.run(kObserver, call) || !call.ok()) throw std::runtime_error(call.text());
    if (options.classes == 1) {
      evaluation.add_logistic(batch, weights);
    } else {
      evaluation.add_softmax(batch, options.classes, weights);
    }
  }
  return evaluation.scores();
}

}  // namespace weft::ps::test
