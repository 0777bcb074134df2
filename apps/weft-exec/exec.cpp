#include "exec.hpp"

#include <csignal>
#include <cstdlib>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/program/records.hpp>
#include <weft/transport/loop.hpp>

namespace weft::exec {
namespace {

constexpr std::size_t kShown = 200;  // bytes of an offending line
constexpr std::size_t kNamed = 80;   // bytes of the command, in sentences
constexpr int kTerminated = 128 + SIGTERM;
constexpr Duration kNodesTurn = std::chrono::seconds(3);

// A text goes to the shell; a list is run as it is.
std::vector<std::string> command_of(const program::Options& options) {
  const Value& command = options.value("command");
  if (command.is_string() && !command.as_string().empty()) return {"/bin/sh", "-c", command.as_string()};
  std::vector<std::string> words;
  if (command.is_list()) {
    for (const Value& word : command.as_list()) {
      if (!word.is_string() && !word.is_number()) options.refuse("command", "its words must be texts");
      words.push_back(word.is_string() ? word.as_string() : to_json(word));
    }
  }
  if (words.empty())
    options.refuse("command", "expected a text for /bin/sh, or a list of a program and its arguments");
  return words;
}

std::string ending(int status) {
  return status > 128 ? format("was ended by signal {}", status - 128)
                      : format("ended with exit code {}", status);
}

}  // namespace

Exec::Exec(Node& node, const program::Options& options)
    : node_(node),
      command_(command_of(options)),
      skip_bad_(options.text("on-bad-line") == "skip"),
      hand_([this](const Receipt& receipt, const Verdict& verdict) { (void)in_->settle(receipt, verdict); }) {
  ::setenv("WEFT_NODE", node.plan().id.name.c_str(), 1);
  ::setenv("WEFT_REPLICA", format("{}", node.plan().id.replica).c_str(), 1);
  open_ports(options);
  make_command();  // lines that come before it is started wait
  // One that reads is there before records are. The lines of others may come at once, so they start when
  // there is somebody to take them.
  if (in_) {
    node.hold_ready([this] { return !there_; });
    node.loop().post([this] { start_early(); });
  }
  node.on_start([this] { on_start(); });
  node.on_drain([this] { begin_to_stop(); });
  node.hold_drain([this] { return started_ && !exited_ && !failed_; },
                  [this] { return format("the command {} has not ended", named()); });
  node.on_report([this] { return result(); });
  node.loop().on_idle([this] { on_turn(); });
}

void Exec::open_ports(const program::Options& options) {
  if (node_.linked("out")) {
    out_.emplace(node_, "out",
                 program::OutPort::Settings{.topic = options.text("topic"),
                                            .key_field = options.text("key-field"),
                                            .to_field = options.text("to-field"),
                                            .timeout = options.duration("timeout")});
    out_->on_room([this] { on_room(); });
  }
  if (node_.linked("in")) {
    auto topics = options.texts("topics");
    if (topics.empty()) topics.emplace_back();
    in_.emplace(node_, "in", program::InPort::Settings{.topics = std::move(topics)},
                [this](const wire::RecordView& record, const Meta& /*meta*/, program::Answer answer) {
                  take(record, std::move(answer));
                });
    promised_ = in_->pattern() == topology::Pattern::push_pull && in_->delivery() != Delivery::best_effort;
    if (in_->pattern() != topology::Pattern::pub_sub) {
      acknowledge_ = options.text("acknowledge") == "answer" ? Acknowledge::answer : Acknowledge::taken;
    }
    if (in_->delivery() == Delivery::exactly_once) {
      if (acknowledge_ != Acknowledge::answer) {
        options.refuse("acknowledge",
                       "its link \"in\" says exactly-once, which only \"answer\" can keep: nobody can say "
                       "what a command has done with a line that it does not answer");
      }
      acknowledge_ = Acknowledge::one_answer;
    }
  }
  if (!in_ && !out_) options.refuse("command", "neither \"in\" nor \"out\" is linked");
}

void Exec::make_command() {
  replies_ = {};
  child_ = std::make_unique<Child>(
      node_.loop(),
      Child::Events{.on_line = [this](std::string_view line) { on_line(line); },
                    .on_error_line =
                        [this](std::string_view line) {
                          last_words_ = std::string(line);
                          node_.log().info(line);
                        },
                    .on_room = [this] { on_input_room(); },
                    .on_left = [this] { on_replies_read(); },
                    .on_taken = [this](std::size_t left) { on_taken(left); },
                    .on_closed = [this] { on_input_closed(); },
                    .on_broken = [this](const std::string& how) { fail("the command: " + how); },
                    .on_exit = [this](int status) { on_exit(status); }});
  if (acknowledge_ == Acknowledge::taken) child_->tells_taken();
}

void Exec::start_command() {
  started_ = true;
  exited_ = false;
  try {
    child_->start(command_);
  } catch (const Error& e) {
    return fail(e.what());
  }
  if (acknowledge_ == Acknowledge::one_answer) {
    room_in_hand();  // one that came before waits
  } else {
    feed();
  }
}

// For people, so it is cut.
std::string Exec::named() const {
  const bool shell = command_.size() == 3 && command_[0] == "/bin/sh";
  return weft::quoted(shell ? command_[2] : join_words(command_, ""), kNamed);
}

void Exec::on_line(std::string_view line) {
  if (failed_) return;
  const bool blank = line.find_first_not_of(" \t\r") == std::string_view::npos;
  const bool answers = acknowledge_ == Acknowledge::answer || acknowledge_ == Acknowledge::one_answer;
  if (answers && promised_) return on_answer(blank ? std::string_view() : line);
  if (answers) {
    done_ = 1;
    release();
    feed();
  }
  if (blank) return;
  std::string why;
  const auto value = try_parse_json(line, &why);
  if (!value) return on_bad_line(line, why);
  ++lines_out_;
  if (in_ && in_->pattern() == topology::Pattern::dealer_router) return answer_with(*value);
  if (!out_) return node_.log().info(line);
  record_.clear();
  program::pack_value(*value, record_);
  if (send_record() == Sent::later) {
    held_ = true;
    child_->pause(true);
  }
}

void Exec::on_bad_line(std::string_view line, const std::string& why) {
  ++bad_lines_;
  const std::string sentence = format("line {} of the command is not JSON ({}): {}", lines_out_ + bad_lines_,
                                      why, weft::quoted(line, kShown));
  if (!skip_bad_) return fail(sentence);
  node_.log().warn(sentence + "; left out");
  // Line for line: a request whose reply cannot be read has failed.
  if (in_ && in_->pattern() == topology::Pattern::dealer_router && !waiting_.empty()) {
    waiting_.front().fail(wire::Code::failed, sentence);
    waiting_.pop_front();
  }
}

void Exec::answer_with(const Value& value) {
  if (waiting_.empty()) {
    ++dropped_;
    if (dropped_ == 1) node_.log().warn("the command wrote more lines than there were requests");
    return;
  }
  const Value* error = value.find("error");
  if (error && error->is_string() && value.as_map().size() == 1) {
    waiting_.front().fail(wire::Code::bad_request, error->as_string());
  } else {
    waiting_.front().reply_value(value);
  }
  waiting_.pop_front();
}

void Exec::on_input_room() {
  stop_reading_timer();
  if (std::exchange(awaits_reading_, false)) on_room();
  if (counts()) return feed();
  if (in_) in_->pause(false);
}

void Exec::on_room() {
  if (acknowledge_ == Acknowledge::one_answer) return room_in_hand();
  if (failed_ || (held_ && send_record() != Sent::yes)) return;
  held_ = false;
  if (std::exchange(answer_held_, false)) ++done_;
  child_->pause(false);
  release();
  feed();
}

// When all input has come, the command gets to know; its exit ends the drain.
void Exec::on_turn() {
  if (!draining_) return;
  const bool has_come = !in_ || in_->block().drained();
  if (has_come && child_->input_open() && !replies_are_due()) child_->close_input();
  node_.set_result(result());
}

void Exec::on_exit(int status) {
  status_ = status;
  if (verdict_timer_ != 0) node_.loop().cancel(std::exchange(verdict_timer_, 0));
  const std::string why = format("the command {} {}{}", named(), ending(status),
                                 last_words_.empty() ? "" : "; its last words: " + last_words_);
  const bool as_told = ended_as_told(status);
  if (promised_ && !failed_ && on_promised_exit(as_told, why)) return;
  exited_ = true;
  end_ = why;
  if (restart_timer_ != 0) node_.loop().cancel(std::exchange(restart_timer_, 0));
  for (program::Answer& answer : waiting_)
    answer.fail(wire::Code::failed, format("the command {}", ending(status)));
  waiting_.clear();
  promised_ ? give_back() : drop_hand();
  if (failed_) return;
  node_.set_result(result());
  if (as_told) {
    if (!draining_) node_.finish(result());
    return;
  }
  // Who stops all processes at once means the command as well; the node's turn comes.
  if (status == kTerminated && !told_term_ && !draining_) {
    verdict_timer_ = node_.loop().at(Clock::now() + kNodesTurn, [this, why] {
      verdict_timer_ = 0;
      if (!draining_) fail(why);
    });
    return;
  }
  fail(told_kill_ ? format("the command {} did not end after SIGTERM, and was killed", named()) : why);
}

void Exec::fail(const std::string& sentence) {
  if (failed_) return;
  failed_ = true;
  child_->signal(SIGTERM);
  node_.set_result(result());
  node_.fail(sentence);
}

Value Exec::result() const {
  Value out = Value::map();
  out["lines_in"] = lines_in_;
  out["lines_out"] = lines_out_;
  if (bad_lines_ != 0) out["bad_lines"] = bad_lines_;
  if (dropped_ != 0) out["dropped"] = dropped_;
  if (command_restarts_ != 0) out["command_restarts"] = command_restarts_;
  if (exited_) out["status"] = status_;
  return out;
}

}  // namespace weft::exec
