// The records of a pull that promises something: when is the command done with one, and whose fault was a
// crash.
#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/program/records.hpp>

#include "exec.hpp"

namespace weft::exec {
namespace {

constexpr std::size_t kMostInHand = 1UL << 20;  // bytes of lines that are not settled
constexpr std::size_t kAhead = 256UL << 10;  // answer: bytes that the command is given ahead of its answers
constexpr Duration kFirstLook = std::chrono::milliseconds(1);
constexpr Duration kLastLook = std::chrono::milliseconds(128);
constexpr Duration kLong = std::chrono::seconds(5);
constexpr Duration kFirstBackOff = std::chrono::milliseconds(200);
constexpr Duration kLastBackOff = std::chrono::seconds(10);

// {"error": "text"} alone: the command could not do it. nullopt: it could.
std::optional<std::string> error_of(std::string_view line) {
  const auto value = line.empty() ? std::nullopt : try_parse_json(line);
  if (!value || !value->is_map() || value->as_map().size() != 1) return std::nullopt;
  const Value* error = value->find("error");
  return error && error->is_string() ? std::optional(error->as_string()) : std::nullopt;
}

}  // namespace

void Exec::take_promised(std::string line) {
  if (exited_) return in_->judge(Verdict::requeue(Duration::zero(), "the command reads no more"));
  hand_.add(in_->defer(), std::move(line));
  feed();
  if (hand_.bytes() >= kMostInHand && !std::exchange(in_paused_, true)) in_->pause(true);
}

// taken: a line when the one before it has been read. answer: as many as it may have ahead.
void Exec::feed() {
  if (acknowledge_ == Acknowledge::one_answer || !child_->running() || !child_->input_open()) return;
  const bool one = acknowledge_ == Acknowledge::taken;
  std::size_t bytes = 0;
  while (const std::string* line = hand_.next()) {
    if (one ? reading_ : (!child_->has_room() || bytes > kAhead)) return;
    if (!child_->write_line(*line)) return;
    bytes += line->size();
    ++lines_in_;
    hand_.give();
    reading_ = one;
  }
}

// It has come for this line, so it is done with those before it.
void Exec::on_taken() {
  reading_ = false;
  done_ = hand_.given() - std::min<std::size_t>(hand_.given(), 1);
  release();
  feed();
  wait_ = kFirstLook;
  waited_ = Duration::zero();
  if (!reading_) look_whether_it_waits();
}

// There is nothing more for it: is it back for more all the same?
void Exec::look_whether_it_waits() {
  if (reading_ || hand_.given() == 0 || exited_ || wait_timer_ != 0) return;
  if (child_->waits_for_input()) {
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
    wait_ = std::min<Duration>(2 * wait_, kLastLook);
    look_whether_it_waits();
  });
}

// What it wrote before it came back is sent first.
void Exec::release() {
  if (!promised() || acknowledge_ == Acknowledge::one_answer) return;
  if (acknowledge_ == Acknowledge::taken && done_ != 0) child_->read_now();
  if (held_ && acknowledge_ == Acknowledge::taken) return;
  if (done_ != 0) failures_ = 0;
  hand_.settle(std::exchange(done_, 0));
  if (in_paused_ && hand_.bytes() < kMostInHand / 2) {
    in_paused_ = false;
    in_->pause(false);
  }
}

// ---- a line for each record ----

void Exec::on_answer(std::string_view line) {
  const auto error = error_of(line);
  const bool sends = !line.empty() && !error && out_;
  std::string why;
  if (sends && !try_parse_json(line, &why)) return on_bad_line(line, why);
  if (!line.empty()) ++lines_out_;
  if (acknowledge_ == Acknowledge::one_answer) {
    if (!one_given_ || one_outcome_) {
      ++dropped_;
      return;
    }
    one_outcome_ = error ? Verdict::requeue(Duration::zero(), *error) : Verdict{};
    one_answer_ = sends ? std::string(line) : std::string();
    failures_ = 0;
    return room_in_hand();
  }
  if (hand_.given() == 0) {
    if (++dropped_ == 1) node_.log().warn("the command wrote more lines than it was given");
    return;
  }
  if (error) {
    hand_.settle(1, Verdict::requeue(Duration::zero(), *error));
    return feed();
  }
  if (sends) {
    record_.clear();
    program::pack_value(*try_parse_json(line), record_);
    if (!send_record()) {
      held_ = answer_held_ = true;
      return child_->pause(true);
    }
  }
  ++done_;
  release();
  feed();
}

// ---- exactly once: one record after the other, each within the commit of its batch ----

void Exec::take_one(const std::string& line) {
  if (one_outcome_) {
    if (!one_answer_.empty()) {
      record_.clear();
      program::pack_value(*try_parse_json(one_answer_), record_);
      if (!send_record()) return in_->postpone();  // on_room() comes back here
      one_answer_.clear();
    }
    in_->judge(*one_outcome_);
    one_outcome_.reset();
    one_given_ = false;
    return;
  }
  if (exited_) return in_->judge(Verdict::requeue(Duration::zero(), "the command reads no more"));
  if (!one_given_ && child_->running() && child_->write_line(line)) {
    one_given_ = true;
    ++lines_in_;
  }
  in_->postpone();
}

void Exec::room_in_hand() {
  if (one_outcome_ || !one_given_) in_->pause(false);
}

// ---- crashes ----

bool Exec::on_promised_exit(bool as_told, const std::string& why) {
  if (wait_timer_ != 0) node_.loop().cancel(std::exchange(wait_timer_, 0));
  if (as_told) {
    // What it had read it has done; the rest goes back.
    hand_.settle(hand_.given() - (reading_ && hand_.given() != 0 ? 1 : 0));
    hand_.return_all(why);
    reading_ = false;
    if (one_given_ && !one_outcome_) {
      one_outcome_ = Verdict::requeue(Duration::zero(), why);
      room_in_hand();
    }
    return false;
  }
  const bool stranger = status_ == 128 + SIGTERM && !told_term_;
  if (!stranger) {
    hand_.settle(1, Verdict::requeue(Duration::zero(), why));
    if (one_given_ && !one_outcome_) {
      one_outcome_ = Verdict::requeue(Duration::zero(), why);
      one_answer_.clear();
    }
  }
  hand_.take_back();
  done_ = 0;
  reading_ = answer_held_ = held_ = false;
  const bool may = node_.plan().restart != topology::Restart::never && !told_term_;
  if (!may || failures_ >= node_.plan().max_restarts) return false;
  start_again(why);
  return true;
}

void Exec::start_again(const std::string& why) {
  const Duration wait = std::min<Duration>(kLastBackOff, kFirstBackOff * (1LL << std::min(failures_, 10U)));
  ++failures_;
  ++command_restarts_;
  node_.log().warn(format("{}; starting it again in {} ({} of {})", why, humane_duration(wait), failures_,
                          node_.plan().max_restarts));
  last_words_.clear();
  restart_timer_ = node_.loop().at(Clock::now() + wait, [this] {
    restart_timer_ = 0;
    child_->retire();
    make_command();
    start_command();
    if (acknowledge_ == Acknowledge::one_answer) {
      if (!one_outcome_) one_given_ = false;
      in_->pause(false);
    }
  });
}

}  // namespace weft::exec
