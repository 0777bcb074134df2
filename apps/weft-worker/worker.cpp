#include "worker.hpp"

#include <algorithm>
#include <cmath>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/ps/models.hpp>

namespace weft::worker {
namespace {

constexpr std::size_t kTestBatch = 1000;
/// Multiplications that may run on the loop's thread: a few milliseconds.
constexpr std::size_t kShortWork = 4'000'000;
constexpr unsigned kMostRejoinsInARow = 20;
/// A request that was not answered in time may be lost; the second one is an answer.
constexpr unsigned kMostTimeoutsInARow = 2;
/// A server that stops may have failed, and with it the run, which is told first; and it still answers what
/// it has.
constexpr auto kOthersTurn = std::chrono::seconds(2);
/// Goodbyes that are not answered by then are not waited for.
constexpr auto kGoodbye = std::chrono::seconds(2);

ps::ClientSettings client_settings(const Node& node, const Settings& settings) {
  ps::ClientSettings out = ps::Client::settings_for(node, "params");
  out.timeout = settings.timeout;
  return out;
}

double rounded(double value, double parts) {
  return std::round(value * parts) / parts;
}

}  // namespace

Settings::Settings(const program::Options& options, unsigned replica)
    : model(options.text("model") == "softmax" ? Model::softmax : Model::logistic),
      table(options.text("table")),
      epochs(static_cast<std::uint64_t>(options.integer("epochs"))),
      batch(static_cast<std::size_t>(options.integer("batch"))),
      bias(options.boolean("bias")),
      mean(options.text("gradient") == "mean"),
      timeout(options.duration("timeout")) {
  if (options.boolean("shuffle"))
    shuffle = static_cast<std::uint64_t>(options.integer("seed")) + replica;  // each worker its own order
  const std::int64_t slow_one = options.integer("slow-replica");
  if (slow_one < 0 || slow_one == static_cast<std::int64_t>(replica)) slow = options.duration("slow");
}

Worker::Worker(Node& node, const program::Options& options)
    : node_(node),
      settings_(options, node.plan().id.replica),
      source_(options, settings_.model),
      share_{node.plan().id.replica, node.plan().replicas},
      evaluates_(node.plan().id.replica == 0 && source_.has_test()),
      client_(*node.open<ps::ParamsDealer>("params"), client_settings(node, settings_)),
      background_(node.loop()) {
  node.on_start([this] {
    started_ = true;
    start();
  });
  node.on_drain([this] { on_drain(); });
  node.on_peer([this](std::string_view, const PeerEvent& event) { on_server(event); });
  load();
}

// ---- reading ----

void Worker::load() {
  const auto train = std::make_shared<ps::Dataset>();
  background_.run([train, source = source_, share = share_] { *train = source.train(share); },
                  [this, train](std::exception_ptr failure) {
                    if (ended_) return;
                    guarded([&] {
                      if (failure) std::rethrow_exception(failure);
                      train_ = train;
                      if (evaluates_) load_test();
                      start();
                    });
                  });
}

void Worker::load_test() {
  const auto test = std::make_shared<ps::Dataset>();
  const auto best = std::make_shared<std::optional<ps::SyntheticData::Best>>();
  background_.run(
      [test, best, source = source_] {
        *test = source.test();
        if (source.builtin()) *best = source.best(*test);
      },
      [this, test, best](std::exception_ptr failure) {
        if (ended_) return;
        guarded([&] {
          if (failure) std::rethrow_exception(failure);
          test_ = test;
          best_ = *best;
          test_ready_ = true;
          check_images(*test_);
          if (order_) check_data(*test_);
          if (phase_ == Phase::evaluating) evaluate();
        });
      });
}

// ---- training ----

/// Goes on when both the node has started and the rows are there.
void Worker::start() {
  if (!started_ || !train_ || ended_ || phase_ != Phase::loading) return;
  join();
}

void Worker::join() {
  phase_ = Phase::joining;
  asked_ = Clock::now();
  client_.join(checked([this](const ps::Result&) { begin(); }));
}

/// Also after a failure, whatever was under way then: the batches that are left, and then the evaluation.
void Worker::begin() {
  if (!order_) {
    table_ = client_.table(settings_.table);
    width_ = client_.tables()[table_].width;
    check_table();
    check_data(*train_);
    if (test_ready_) check_data(*test_);
    order_.emplace(train_->rows(), settings_.batch, settings_.shuffle);
    total_steps_ = train_->rows() == 0 ? 0 : settings_.epochs * order_->batches();
    position_ = client_.clocks();
    resumed_ = std::min(position_, total_steps_);
    if (const std::string note = nothing_to_do(); !note.empty()) {
      node_.log().warn(note);
    } else if (client_.clocks() != 0) {
      node_.log().info(format("joined at clock {}: the batches before are skipped", client_.clocks()));
    }
    first_ = last_ = Clock::now();
  }
  phase_ = Phase::training;
  next_step();
}

void Worker::check_table() const {
  const ps::TableSpec& table = client_.tables()[table_];
  if (settings_.model == Model::logistic && table.width != 1) {
    throw Error(
        Errc::invalid_argument,
        format("logistic regression needs a table of width 1, {} has width {}", table.name, table.width));
  }
  if (settings_.model == Model::softmax && table.kind != ps::TableKind::dense) {
    throw Error(Errc::invalid_argument,
                format("softmax regression needs a dense table with a column for each class, {} is sparse",
                       table.name));
  }
}

// What the rows are must be what the model has been made for.
void Worker::check_data(const ps::Dataset& data) const {
  const ps::TableSpec& table = client_.tables()[table_];
  const bool softmax = settings_.model == Model::softmax;
  if (!data.max_label_place.empty() && data.max_label >= (softmax ? static_cast<float>(table.width) : 2.0F)) {
    throw Error(
        Errc::invalid_file,
        softmax ? format("{}: found {}, which is no class: the table {} has {} columns, for the classes 0 to "
                         "{}; correct the label, or give the table width: {}",
                         data.max_label_place, data.max_label, table.name, table.width, table.width - 1,
                         data.max_label + 1)
                : format("{}: found {}, which is none of the two classes of logistic regression, 0 and 1; "
                         "use model: softmax",
                         data.max_label_place, data.max_label));
  }
  if (data.pixels == 0 || table.kind != ps::TableKind::dense) return;
  const std::uint64_t wanted = data.pixels + (settings_.bias ? 1 : 0);
  if (table.rows == wanted || (!settings_.bias && table.rows == wanted + 1)) return;
  throw Error(
      Errc::invalid_file,
      format("{}: its images have {} pixels ({}), and the table {} has {} rows; a model of them has one for "
             "each pixel{}: give the table rows: {}",
             data.name, data.pixels, data.image_size, table.name, table.rows,
             settings_.bias ? " and one for the bias" : "", wanted));
}

void Worker::check_images(const ps::Dataset& test) const {
  if (test.pixels == 0 || train_->pixels == 0 || test.image_size == train_->image_size) return;
  throw Error(
      Errc::invalid_file,
      format(
          "{}: its images are {} pixels large, and those of {}, which are learnt from, {}; take test images "
          "of the same size",
          test.name, test.image_size, train_->name, train_->image_size));
}

void Worker::next_step() {
  if (position_ >= total_steps_) return finish_training();
  if (settings_.slow == Duration::zero()) return pull_step();
  node_.loop().at(Clock::now() + settings_.slow, [this, attempt = attempt_] {
    if (!ended_ && attempt == attempt_) guarded([this] { pull_step(); });
  });
}

void Worker::pull_step() {
  while (drawn_ <= position_) {
    at_hand_ = order_->next();
    ++drawn_;
  }
  Work& work = *work_;
  work.batch.build(*train_, at_hand_, client_.tables()[table_], settings_.bias);
  work.weights.resize(work.batch.keys().size() * width_);
  work.gradient.resize(work.weights.size());
  if (work.batch.keys().empty()) {  // rows without features, and no bias: nothing to learn from
    ++steps_;
    ++position_;
    rows_ += work.batch.rows();
    return client_.clock(checked([this](const ps::Result&) { next_step(); }));
  }
  // The pull writes to this work until it ends, also when a failure has made it pointless.
  client_.pull(table_, work.batch.keys(), work.weights,
               checked([this, keep = work_](const ps::Result& result) { compute(result); }));
}

void Worker::compute(const ps::Result& pulled) {
  gap_ = client_.clocks() - std::min(client_.clocks(), pulled.min_clock);
  max_gap_ = std::max(max_gap_, gap_);
  const float scale = settings_.mean ? 1.0F / static_cast<float>(work_->batch.rows()) : 1.0F;
  in_background(
      work_->batch.values().size() * width_,
      [work = work_, model = settings_.model, width = width_, scale] {
        work->loss = model == Model::logistic
                         ? ps::logistic_gradient(work->batch, work->weights, work->gradient, scale)
                         : ps::softmax_gradient(work->batch, width, work->weights, work->gradient, scale);
      },
      [this] {
        epoch_loss_ += work_->loss;
        epoch_rows_ += work_->batch.rows();
        push_step();
      });
}

void Worker::push_step() {
  client_.push(table_, work_->batch.keys(), work_->gradient, checked());
  client_.clock(checked());
  ++steps_;
  ++position_;
  rows_ += work_->batch.rows();
  last_ = Clock::now();
  if (drawn_ % order_->batches() == 0) {
    last_epoch_loss_ = epoch_loss_ / static_cast<double>(std::max<std::uint64_t>(epoch_rows_, 1));
    epoch_loss_ = 0;
    epoch_rows_ = 0;
  }
  // The next pull need not wait for the answers: it is handled after this push.
  next_step();
}

void Worker::finish_training() {
  phase_ = Phase::finishing;
  client_.finish(checked([this](const ps::Result&) {
    if (evaluates_) return wait_for_others();
    report_and_end();
  }));
}

void Worker::wait_for_others() {
  phase_ = Phase::waiting;
  client_.barrier(checked([this](const ps::Result&) {
    phase_ = Phase::evaluating;
    evaluate();
  }));
}

// ---- evaluation ----

void Worker::evaluate() {
  if (!test_ready_) return;
  test_order_.emplace(test_->rows(), kTestBatch);
  work_ = std::make_shared<Work>();
  evaluate_batch();
}

void Worker::evaluate_batch() {
  if (test_->rows() == 0 || test_order_->passes() != 0) {
    scores_ = work_->evaluation.scores();
    return report_and_end();
  }
  Work& work = *work_;
  work.batch.build(*test_, test_order_->next(), client_.tables()[table_], settings_.bias);
  work.weights.resize(work.batch.keys().size() * width_);
  client_.pull(table_, work.batch.keys(), work.weights,
               checked([this, keep = work_](const ps::Result&) { score_batch(); }));
}

void Worker::score_batch() {
  in_background(
      work_->batch.values().size() * width_,
      [work = work_, model = settings_.model, width = width_] {
        if (model == Model::logistic) {
          work->evaluation.add_logistic(work->batch, work->weights);
        } else {
          work->evaluation.add_softmax(work->batch, width, work->weights);
        }
      },
      [this] { evaluate_batch(); });
}

// ---- failures and ends ----

ps::Client::Done Worker::checked(std::function<void(const ps::Result&)> then) {
  return [this, then = std::move(then), attempt = attempt_](const ps::Result& result) {
    if (ended_ || attempt != attempt_) return;
    if (!result.ok()) return on_failure(result);
    asked_ = Clock::now();
    if (phase_ != Phase::joining) rejoins_in_a_row_ = timeouts_in_a_row_ = 0;
    if (then) guarded([&] { then(result); });
  };
}

void Worker::on_failure(const ps::Result& result) {
  if (node_.state() == NodeState::failed) {  // it has said why: another process has taken its place, say
    ended_ = true;
    return;
  }
  if (server_stops_) return;  // said soon
  if (result.status == ps::Status::unusable || result.status == ps::Status::fenced)
    return fail(result.text, program::kExitUsage);  // another start would not bring the rows back
  // A server that did not hear from us for too long, or a connection that broke, at whatever moment: join
  // again and go on. What was pushed last may be lost, or be counted: it is not sent twice.
  const bool may_come_back =
      result.status == ps::Status::not_joined || result.status == ps::Status::unreachable;
  const std::string sentence = client_.missing().empty()
                                   ? result.text
                                   : format("{} ({} not joined yet)", result.text, client_.missing());
  if (Clock::now() - asked_ >= settings_.timeout) ++timeouts_in_a_row_;
  const bool hopeless = rejoins_in_a_row_ >= kMostRejoinsInARow || timeouts_in_a_row_ >= kMostTimeoutsInARow;
  if (!may_come_back || hopeless) return fail(sentence);
  ++attempt_;
  work_ = std::make_shared<Work>();
  ++rejoins_;
  ++rejoins_in_a_row_;
  node_.log().warn(format("{}; joining again", sentence));
  join();
}

/// What would come to nothing is not waited for until its timeout: a server that will not have this worker,
/// or one that stops and takes its rows with it. One that died may only be out of reach.
void Worker::on_server(const PeerEvent& event) {
  using What = PeerEvent::What;
  if (ended_) return;
  if (event.what == What::refused && event.for_good) {
    return fail(format("{} refuses {} for good: {} ({})", event.node, node_.plan().id.text(), event.text,
                       wire::to_string(event.code)),
                program::kExitUsage);
  }
  if (server_stops_ || (event.what != What::draining && event.what != What::finished)) return;
  server_stops_ = true;
  node_.loop().at(Clock::now() + kOthersTurn, [this, server = event.node] {
    fail(format("{} has stopped before this worker was done, and its rows are gone", server),
         program::kExitUsage);
  });
}

void Worker::fail(const std::string& sentence, int exit_code) {
  if (ended_) return;
  ended_ = true;
  node_.set_result(result());
  node_.fail(sentence, exit_code);
}

void Worker::report_and_end() {
  if (scores_) {
    node_.log().info(
        format("{} test rows: logloss {:.4f}, accuracy {:.4f}{}{}", scores_->rows, scores_->logloss,
               scores_->accuracy, scores_->auc ? format(", AUC {:.4f}", *scores_->auc) : std::string(),
               best_ ? format("; the best reachable logloss is {:.4f}", best_->logloss) : std::string()));
  }
  phase_ = Phase::done;
  ended_ = true;
  node_.finish(result());
}

void Worker::on_drain() {
  if (phase_ == Phase::done) return;
  ended_ = true;
  node_.set_result(result());
  if (phase_ == Phase::loading || phase_ == Phase::joining) {
    client_.dealer().close();
    return;
  }
  // Ends also what is parked for us; a server that does not answer is not waited for.
  client_.leave([](const ps::Result&) {});
  node_.loop().at(Clock::now() + kGoodbye, [this] {
    if (client_.outstanding() != 0) client_.dealer().close();
  });
}

/// Runs `work` at once when it is short, else on the second thread; then `then`, unless it has become
/// pointless.
void Worker::in_background(std::size_t cost, const std::function<void()>& work,
                           const std::function<void()>& then) {
  if (cost <= kShortWork) {
    work();
    return then();
  }
  background_.run(work, [this, then, attempt = attempt_](std::exception_ptr failure) {
    if (ended_ || attempt != attempt_) return;
    guarded([&] {
      if (failure) std::rethrow_exception(failure);
      then();
    });
  });
}

void Worker::guarded(const std::function<void()>& step) {
  try {
    step();
  } catch (const std::exception& e) {
    // Data, table and options do not fit together: another start would end the same way.
    fail(e.what(), program::kExitUsage);
  }
}

// ---- what it says ----

double Worker::seconds() const {
  return std::chrono::duration<double>(last_ - first_).count();
}

Value Worker::progress() const {
  static constexpr const char* kNames[] = {"loading", "joining",    "training", "finishing",
                                           "waiting", "evaluating", "done"};
  Value out = Value::map();
  out["phase"] = kNames[static_cast<std::size_t>(phase_)];
  if (total_steps_ == 0) return out;
  out["clock"] = client_.clocks();
  out["of"] = client_.clocks() + (total_steps_ - std::min(position_, total_steps_));
  out["gap"] = gap_;
  const double span = seconds();
  if (span > 0) out["rate"] = std::round(static_cast<double>(rows_) / span);
  if (epoch_rows_ > 0) {
    out["loss"] = rounded(epoch_loss_ / static_cast<double>(epoch_rows_), 1e6);
  } else if (last_epoch_loss_) {
    out["loss"] = rounded(*last_epoch_loss_, 1e6);
  }
  return out;
}

/// Empty: there is, or was, something to train.
std::string Worker::nothing_to_do() const {
  if (!order_ || resumed_ < total_steps_) return {};
  if (total_steps_ == 0) {
    return format("there was nothing to do: its share of the rows, {} of {}, is empty", share_.part + 1,
                  share_.parts);
  }
  return format(
      "there was nothing to do: it joined at clock {}, and all {} batches of its {} rows were over before "
      "this "
      "start, trained or passed by the others; to train on, give more epochs than {}, or start the servers "
      "anew",
      position_, total_steps_, train_->rows(), settings_.epochs);
}

Value Worker::result() const {
  Value out = Value::map();
  const double span = seconds();
  out["rows"] = rows_;
  out["steps"] = steps_;
  out["seconds"] = rounded(span, 1e3);
  out["rate"] = span > 0 ? std::round(static_cast<double>(rows_) / span) : 0.0;
  if (last_epoch_loss_) out["loss"] = rounded(*last_epoch_loss_, 1e6);
  out["max_gap"] = max_gap_;
  if (rejoins_ != 0) out["rejoins"] = rejoins_;
  if (resumed_ != 0) out["resumed"] = resumed_;
  if (const std::string note = nothing_to_do(); !note.empty()) out["note"] = note;
  if (!scores_) return out;
  out["test_rows"] = scores_->rows;
  out["logloss"] = rounded(scores_->logloss, 1e6);
  out["accuracy"] = rounded(scores_->accuracy, 1e6);
  if (scores_->auc) out["auc"] = rounded(*scores_->auc, 1e6);
  if (best_) {
    out["best_logloss"] = rounded(best_->logloss, 1e6);
    out["best_accuracy"] = rounded(best_->accuracy, 1e6);
  }
  return out;
}

}  // namespace weft::worker
