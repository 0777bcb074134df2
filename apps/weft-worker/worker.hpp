// Worker: reads its rows, trains, and evaluates.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <weft/program/program.hpp>
#include <weft/ps/batch.hpp>
#include <weft/ps/client.hpp>
#include <weft/ps/evaluation.hpp>

#include "background.hpp"
#include "data.hpp"

namespace weft::worker {

struct Settings {
  Model model = Model::logistic;
  std::string table;
  std::uint64_t epochs = 5;
  std::size_t batch = 100;
  bool bias = true;
  bool mean = true;  ///< gradients averaged over the batch, else summed
  std::optional<std::uint64_t> shuffle;
  Duration slow = {};
  Duration timeout = {};

  Settings(const program::Options& options, unsigned replica);
};

/// The batch at hand. Shared with the second thread, which may still be at it when the worker has gone on.
struct Work {
  ps::Batch batch;
  std::vector<float> weights, gradient;
  double loss = 0;
  ps::Evaluation evaluation;
};

/// Everything runs on the loop's thread in short steps, but for reading files and for batches that are large
/// enough to be felt, which a second thread does. A worker that starts again joins at the step that the
/// servers' clock names: the batches before are skipped. One that lost a server for a while, or that a server
/// took for dead, joins again and goes on with the batch that it had at hand, wherever the clocks are by
/// then.
class Worker {
 public:
  /// Sets the node's handlers, which refer to this object: it must live as long as they are called.
  Worker(Node& node, const program::Options& options);

  /// What a progress line shows.
  [[nodiscard]] Value progress() const;

 private:
  enum class Phase { loading, joining, training, finishing, waiting, evaluating, done };

  void load();
  void load_test();
  void start();
  void begin();
  void next_step();
  void pull_step();
  void compute(const ps::Result& pulled);
  void push_step();
  void finish_training();
  void wait_for_others();
  void evaluate();
  void evaluate_batch();
  void score_batch();
  void report_and_end();

  /// Calls `then` with the result, unless the operation failed or a failure since has made it pointless.
  ps::Client::Done checked(std::function<void(const ps::Result&)> then = {});
  void on_failure(const ps::Result& result);
  void on_server(const PeerEvent& event);
  void join();
  void check_table() const;
  void check_data(const ps::Dataset& data) const;
  void check_images(const ps::Dataset& test) const;
  void on_drain();
  void fail(const std::string& sentence, int exit_code = 1);
  /// `work` must not refer to this object.
  void in_background(std::size_t cost, const std::function<void()>& work, const std::function<void()>& then);
  /// Calls `step`; an Error that leaves it fails the node.
  void guarded(const std::function<void()>& step);
  [[nodiscard]] double seconds() const;
  [[nodiscard]] std::string nothing_to_do() const;
  [[nodiscard]] Value result() const;

  Node& node_;
  Settings settings_;
  DataSource source_;
  ps::RowShare share_;
  bool evaluates_;  ///< worker 0
  ps::Client client_;
  std::shared_ptr<ps::Dataset> train_, test_;  ///< shared with the thread that reads them
  std::optional<ps::BatchOrder> order_;
  std::shared_ptr<Work> work_ = std::make_shared<Work>();
  std::uint32_t table_ = 0;
  std::size_t width_ = 1;

  Phase phase_ = Phase::loading;
  bool started_ = false;
  bool ended_ = false;
  bool test_ready_ = false;
  bool server_stops_ = false;
  std::uint64_t attempt_ = 0;  ///< rises with every failure: what came before is void
  unsigned rejoins_in_a_row_ = 0;
  unsigned timeouts_in_a_row_ = 0;
  TimePoint asked_ = {};  ///< when this worker last heard something good, or joined again
  std::uint64_t rejoins_ = 0;
  std::uint64_t total_steps_ = 0;
  std::uint64_t position_ = 0;                   ///< the batch at hand, of all steps
  std::uint64_t resumed_ = 0;                    ///< steps of earlier starts
  std::uint64_t drawn_ = 0;                      ///< batches taken from the order
  std::span<const std::uint32_t> at_hand_ = {};  ///< rows of the batch that was drawn last
  std::uint64_t steps_ = 0;
  std::uint64_t rows_ = 0;
  std::uint64_t max_gap_ = 0;
  std::uint64_t gap_ = 0;
  double epoch_loss_ = 0;  ///< sums of the epoch at hand
  std::uint64_t epoch_rows_ = 0;
  std::optional<double> last_epoch_loss_;
  TimePoint first_, last_;

  std::optional<ps::BatchOrder> test_order_;
  std::optional<ps::Scores> scores_;
  std::optional<ps::SyntheticData::Best> best_;
  Background background_;  ///< last: goes first
};

}  // namespace weft::worker
