// The records of a pull that promises something: what the command says of one, and whose fault was a crash.
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

// ---- a line for each record ----

void Exec::on_answer(std::string_view line) {
  const auto error = error_of(line);
  const bool sends = !line.empty() && !error && out_;
  std::string why;
  if (sends && !try_parse_json(line, &why)) {
    on_bad_line(line, why);
    if (!failed_) on_answer({});  // an answer without a record, or the next line would answer for this one
    return;
  }
  if (!line.empty()) ++lines_out_;
  if (acknowledge_ == Acknowledge::one_answer) {
    if (!one_given_ || one_outcome_) {
      ++dropped_;
      return;
    }
    one_outcome_ = error ? Verdict::requeue(Duration::zero(), *error) : Verdict{};
    one_answer_ = sends ? std::string(line) : std::string();
    failures_ = 0;
    ++answered_;
    return room_in_hand();
  }
  if (hand_.given() == 0) {
    if (++dropped_ == 1) node_.log().warn("the command wrote more lines than it was given");
    return;
  }
  ++answered_;
  if (error) {
    settle(1, Verdict::requeue(Duration::zero(), *error));
    return feed();
  }
  if (sends) {
    record_.clear();
    program::pack_value(*try_parse_json(line), record_);
    const Sent sent = send_record();
    if (sent == Sent::later) {
      held_ = answer_held_ = true;
      child_->pause(true);
    }
    if (sent != Sent::yes) return;
  }
  ++done_;
  release();
  feed();
}

// ---- exactly once: one record after the other, each within the commit of its batch ----

void Exec::take_one(const std::string& line) {
  if (failed_) return turn_away();
  if (one_outcome_) {
    if (!one_answer_.empty()) {
      record_.clear();
      program::pack_value(*try_parse_json(one_answer_), record_);
      if (send_record() != Sent::yes) return in_->postpone();  // on_room() comes back here
      one_answer_.clear();
    }
    in_->judge(*one_outcome_);
    one_outcome_.reset();
    one_given_ = false;
    return;
  }
  if (exited_ || (!one_given_ && reads_no_more())) return turn_away();
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
  for (Loop::TimerId* timer : {&wait_timer_, &closed_timer_}) {
    if (*timer != 0) node_.loop().cancel(std::exchange(*timer, 0));
  }
  if (done_ != 0) failures_ = 0;
  settle(std::exchange(done_, 0));  // its last output has just been sent
  const bool taken = acknowledge_ == Acknowledge::taken;
  const std::size_t unread = std::min(hand_.given(), pace_.unread());
  if (as_told) {
    // Who ends of itself, and in order, has done what it has read. After a SIGTERM nobody knows what became
    // of the line in work, and an answer is never given by an end.
    if (taken && status_ == 0 && !told_term_) settle(hand_.given() - unread);
    hand_.take_back();
    pace_.reset();
    return false;
  }
  const bool stranger = status_ == 128 + SIGTERM && !told_term_;
  if (!stranger) {
    if (!taken || hand_.given() > unread) settle(1, Verdict::requeue(Duration::zero(), why));
    if (one_given_ && !one_outcome_) {
      one_outcome_ = Verdict::requeue(Duration::zero(), why);
      one_answer_.clear();
    }
  }
  hand_.take_back();
  pace_.reset();
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
    if (acknowledge_ == Acknowledge::one_answer && !one_outcome_) one_given_ = false;
    // What came when the one before had closed its input, and had not ended yet, waits as well.
    in_paused_ = false;
    in_->pause(false);
  });
}

}  // namespace weft::exec
