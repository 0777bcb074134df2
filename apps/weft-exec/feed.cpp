// What the command is given and when, and how it is seen that it is done with that.
#include <algorithm>
#include <optional>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/units.hpp>
#include <weft/program/records.hpp>

#include "exec.hpp"

namespace weft::exec {
namespace {

constexpr std::size_t kMostInHand = 1UL << 20;  // bytes of lines that are not settled
constexpr std::size_t kAhead = 256UL << 10;     // bytes that the command is given at once
constexpr std::size_t kMostWaiting = 65536;     // requests that the command has not answered
constexpr std::size_t kMostAsked = 64UL << 20;  // bytes of requests that it is not done with, of all askers
constexpr Duration kFirstLook = std::chrono::milliseconds(1);
constexpr Duration kLastLook = std::chrono::milliseconds(128);
constexpr Duration kLong = std::chrono::seconds(5);
// A command that is not up when the run begins leaves its share to the others; one that reads nothing must
// not hold up the run.
constexpr Duration kToCome = std::chrono::seconds(2);

}  // namespace

void Exec::take(const wire::RecordView& record, program::Answer answer) {
  if (acknowledge_ == Acknowledge::one_answer) return take_one(program::record_to_json(record));
  const bool closed = reads_no_more();
  if (closed && promised_) return turn_away();
  if (!closed && answer.wanted() && (waiting_.size() >= kMostWaiting || hand_.bytes() >= kMostAsked)) {
    return answer.fail(wire::Code::full,
                       format("{} requests wait for the command {}, of which it has not taken {}; ask again "
                              "when it has answered some",
                              waiting_.size(), named(), humane_size(hand_.bytes())));
  }
  if (closed || (!counts() && !child_->write_line(program::record_to_json(record)))) {
    ++dropped_;
    answer.fail(wire::Code::failed, format("the command {} reads no more", named()));
    return await_end();
  }
  if (answer.wanted()) waiting_.push_back(std::move(answer));
  if (!counts()) {
    ++lines_in_;
    if (!child_->has_room()) in_->pause(true);
    return;
  }
  hand_.add(in_->defer(), program::record_to_json(record));
  feed();
  if (hand_.bytes() >= kMostInHand && !std::exchange(in_paused_, true)) in_->pause(true);
}

// taken: portion by portion as they are read; under a promise that is one line, so that it is known which one
// a crash was about. answer: as many as it may have ahead.
void Exec::feed() {
  if (!counts() || acknowledge_ == Acknowledge::one_answer) return;
  if (acknowledge_ == Acknowledge::answer) {
    while (child_->has_room() && give(SIZE_MAX)) {
    }
    return;
  }
  const std::size_t most = promised_ ? 1 : pace_.portion();
  const std::size_t ahead = promised_ ? 1 : pace_.ahead();
  while (pace_.unread() < ahead && give(most)) {
  }
}

// False: there is none, or it cannot have it now.
bool Exec::give(std::size_t most) {
  if (failed_ || !child_->running() || !child_->input_open()) return false;
  const bool taken = acknowledge_ == Acknowledge::taken;
  const std::size_t alone = taken ? Child::kWholePipe : kAhead;
  const std::size_t bytes = pace_.unread() == 0 ? alone : Child::kPortion;
  std::string lines;
  std::size_t count = 0;
  for (const std::string* line = hand_.next(); line != nullptr && count != most; line = hand_.next(count)) {
    if (count != 0 && lines.size() + line->size() + 2 > bytes) break;
    if (count++ != 0) lines += '\n';
    lines += *line;
  }
  if (count == 0 || !(taken ? child_->give(lines) : child_->write_line(lines))) return false;
  hand_.give(count);
  lines_in_ += count;
  if (taken) pace_.given(count, Clock::now());
  return true;
}

// It has come for these lines, so it is done with those before them.
void Exec::on_taken(std::size_t left) {
  pace_.taken(left, Clock::now());
  done_ = hand_.given() - std::min(hand_.given(), pace_.not_done());
  release();
  feed();
  if (pace_.unread() != 0) return;
  pace_.starved();
  wait_ = kFirstLook;
  waited_ = scanned_ = timed_ = Duration::zero();
  if (wait_timer_ != 0) node_.loop().cancel(std::exchange(wait_timer_, 0));
  look_whether_it_waits();
}

// There is nothing more for it: is it back for more all the same?
void Exec::look_whether_it_waits() {
  if (pace_.unread() != 0 || hand_.given() == 0 || exited_ || wait_timer_ != 0) return;
  const bool all = waited_ != Duration::zero() && waited_ >= 2 * scanned_;  // which costs more
  if (all) scanned_ = waited_;
  const PipeWait seen = child_->waits_for_input(all);
  timed_ = seen == PipeWait::timed ? timed_ + wait_ : Duration::zero();
  // Where nothing is promised, what cannot be seen is not waited for: its sender would wait for ever.
  const bool enough = seen == PipeWait::unknown || waited_ > kLong;
  if (seen == PipeWait::waits || timed_ > kLong || (enough && !promised_)) {
    done_ = hand_.given();
    return release();
  }
  if (waited_ > kLong && !std::exchange(told_long_, true)) {
    node_.log().warn(
        format("the command {} has had its last line for {}: it works on it, or waits for the next one in a "
               "way that cannot be seen; then it has to write a line for each, with acknowledge: answer",
               named(), humane_duration(waited_)));
  }
  wait_timer_ = node_.loop().at(Clock::now() + wait_, [this] {
    wait_timer_ = 0;
    waited_ += wait_;
    wait_ = std::clamp<Duration>(waited_ / 8, kFirstLook, kLastLook);
    look_whether_it_waits();
  });
}

// Under a promise what it wrote before it came back is sent first.
void Exec::release() {
  if (!counts() || acknowledge_ == Acknowledge::one_answer) return;
  if (promised_ && acknowledge_ == Acknowledge::taken) {
    if (done_ != 0) child_->read_now();
    if (child_->paused()) return;  // there may be more of it
  }
  if (done_ != 0) failures_ = 0;
  settle(std::exchange(done_, 0));
}

// The first of those given have this outcome. Once the node has failed nothing has one: its senders will see
// it die with all that it held.
void Exec::settle(std::size_t count, const Verdict& verdict) {
  if (failed_) return;
  hand_.settle(count, verdict);
  take_again();
}

void Exec::take_again() {
  if (in_paused_ && hand_.bytes() < kMostInHand / 2) {
    in_paused_ = false;
    in_->pause(false);
  }
}

// ---- a command that reads no more ----

bool Exec::reads_no_more() const {
  return exited_ || failed_ || (child_->running() && !child_->input_open());
}

// It lives, and has closed its input. Under a promise its end says what becomes of the records.
void Exec::on_input_closed() {
  if (!promised_) return drop_hand();
  if (hand_.size() > hand_.given() || child_->left_unread()) await_end();
  if (acknowledge_ == Acknowledge::one_answer) room_in_hand();
  if (draining_) give_back();
}

// The record at hand is one that the command will never get. It goes back to its sender, but not before that
// knows that this node takes no more: it would come straight back, at the cost of an attempt each time.
void Exec::turn_away() {
  if (draining_ && !failed_) return in_->judge(Verdict::requeue(Duration::zero(), end_));
  in_->postpone();
  await_end();
}

// A command that is about to end does so soon. Another one must not keep what it never reads from those who
// would.
void Exec::await_end() {
  if (closed_timer_ != 0 || exited_ || failed_ || told_closed_) return;
  closed_timer_ = node_.loop().at(Clock::now() + kLong, [this, before = answered_] {
    closed_timer_ = 0;
    if (!exited_ && !failed_ && !draining_) on_no_end(before);
  });
}

// One that answers has its time anew with each answer: it may have read a lot before it closed its input.
void Exec::on_no_end(std::uint64_t answered_before) {
  if (promised_ && answered_ != answered_before) return await_end();
  const std::string sentence = format(
      "the command {} has closed its standard input and goes on for {}, while there are records for "
      "it; let it read its input to the end, or end when it wants no more",
      named(), humane_duration(kLong));
  if (promised_) return fail(sentence);
  told_closed_ = true;
  node_.log().warn(format("{}; what comes for it is dropped, {} so far", sentence, dropped_));
}

// What it has not got, and never will, goes back to its senders, who know that this node takes no more.
void Exec::give_back() {
  if (!promised_ || !draining_ || failed_ || !reads_no_more()) return;
  hand_.take_back(exited_ ? hand_.given() : pace_.unread());
  pace_.reset();
  hand_.return_rest(Verdict::requeue(Duration::zero(), end_));
  in_paused_ = false;
  in_->pause(false);
}

void Exec::drop_hand() {
  if (hand_.size() != hand_.given()) await_end();
  dropped_ += hand_.size() - hand_.given();
  pace_.reset();
  done_ = 0;
  hand_.take_back();
  hand_.return_rest({});
  if (in_) take_again();
}

// ---- until the run begins ----

void Exec::look_whether_it_is_there() {
  if (there_) return;
  there_ = failed_ || !child_->running() || child_->waits_for_input(true) != PipeWait::no ||
           Clock::now() >= there_by_;
  (void)node_.loop().at(Clock::now() + kFirstLook, [this] { look_whether_it_is_there(); });
}

void Exec::start_early() {
  if (started_ || draining_) return;
  there_by_ = Clock::now() + kToCome;
  child_->pause(true);  // nobody can take its lines yet
  start_command();
  look_whether_it_is_there();
}

void Exec::on_start() {
  if (!started_) return start_command();
  child_->pause(false);
  release();
  feed();
}

}  // namespace weft::exec
