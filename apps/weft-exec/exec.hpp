// Exec: a command as a node; its records are JSON lines.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weft/node/node.hpp>
#include <weft/program/any_port.hpp>
#include <weft/program/options.hpp>
#include <weft/wire/buffer.hpp>

#include "child.hpp"
#include "hand.hpp"
#include "pace.hpp"
#include "spans.hpp"

namespace weft::exec {

/// in:  pull, sub: each record is a line to the command; router: each request is a line, and the next line
/// that the
///      command writes is the reply ({"error": "text"} alone: an error reply).
/// out: push, pub: each line that the command writes is a record; dealer: is a request, whose reply comes
/// back as a
///      line ({"error": "text"} when there is none). One that does not read its replies is not read either.
/// A record, or request, counts as handled when the command is done with it (the option `acknowledge`):
///   taken:  it has come back for more. With a promise it gets one line at a time.
///   answer: it has written a line for it. Under exactly-once the line is sent in one commit with the
///   acknowledgement.
/// With a promise it is acknowledged then; else its sender only knows what this receiver still has to do.
/// What a sub takes counts at once. A command that crashes is started again as the node's `restart:` says;
/// the record that it had in its hands has had one more attempt, and no other.
class Exec {
 public:
  Exec(Node& node, const program::Options& options);

 private:
  enum class Acknowledge { nothing, taken, answer, one_answer };
  enum class Sent { yes, later, never };  // later: there is no room now; never: the node has failed

  // exec.cpp
  void open_ports(const program::Options& options);
  void make_command();
  void start_command();
  void on_line(std::string_view line);
  void on_bad_line(std::string_view line, const std::string& why);
  void answer_with(const Value& value);
  void on_room();
  void on_input_room();
  void on_turn();
  void on_exit(int status);
  void fail(const std::string& sentence);
  [[nodiscard]] std::string named() const;
  [[nodiscard]] Value result() const;

  // feed.cpp
  void take(const wire::RecordView& record, program::Answer answer);
  void feed();
  bool give(std::size_t most);
  void on_taken(std::size_t left);
  void look_whether_it_waits();
  void release();
  void settle(std::size_t count, const Verdict& verdict = {});
  void take_again();
  void on_input_closed();
  [[nodiscard]] bool reads_no_more() const;
  void turn_away();
  void await_end();
  void on_no_end(std::uint64_t answered_before);
  void give_back();
  void drop_hand();
  void look_whether_it_is_there();
  void start_early();
  void on_start();
  /// What it is done with is told to the port, record by record.
  [[nodiscard]] bool counts() const { return acknowledge_ != Acknowledge::nothing; }

  // promises.cpp
  void take_one(const std::string& line);
  void on_answer(std::string_view line);
  /// True: the node goes on, with a new command.
  bool on_promised_exit(bool as_told, const std::string& why);
  void start_again(const std::string& why);
  void room_in_hand();

  // replies.cpp
  Sent send_record();
  [[nodiscard]] bool asks() const;
  [[nodiscard]] bool replies_have_room();
  [[nodiscard]] std::size_t unread_replies();
  Sent await_reading();
  void say_that_it_does_not_read();
  void stop_reading_timer();
  void on_replies_read();
  void on_reply(const program::OutPort::Result& result);
  void give_reply(const std::string& line);
  bool write_reply(const std::string& line);
  bool replies_are_due();

  // stop.cpp
  void begin_to_stop();
  void tell_to_end();
  [[nodiscard]] bool ended_as_told(int status) const;

  Node& node_;
  std::vector<std::string> command_;
  bool skip_bad_;
  std::unique_ptr<Child> child_;
  std::optional<program::OutPort> out_;
  std::optional<program::InPort> in_;
  std::deque<program::Answer> waiting_;  // requests, in the order of their lines
  wire::Buffer record_;                  // a line that waits for room
  bool held_ = false;
  bool started_ = false;
  bool draining_ = false;
  bool exited_ = false;
  bool failed_ = false;
  int status_ = 0;
  std::uint64_t lines_in_ = 0;
  std::uint64_t lines_out_ = 0;
  std::uint64_t bad_lines_ = 0;
  std::uint64_t dropped_ = 0;
  std::string last_words_;  // its last line on stderr

  std::size_t open_ = 0;                 // its requests that have not ended
  std::size_t reply_bytes_ = 8UL << 10;  // what one more reply may need, by those that came
  Spans replies_;                        // in the command's queue
  bool awaits_reading_ = false;          // a request waits until the command has read replies
  bool told_reading_ = false;
  Loop::TimerId reading_timer_ = 0;
  std::uint64_t read_before_ = 0;  // of its queue, when the timer began

  Acknowledge acknowledge_ = Acknowledge::nothing;
  bool promised_ = false;
  Hand hand_;
  Pace pace_;
  std::size_t done_ = 0;      // of those given, not settled yet: their output waits for room
  bool answer_held_ = false;  // the line that waits for room answers the first of them
  bool in_paused_ = false;
  Loop::TimerId wait_timer_ = 0;
  Duration wait_ = Duration::zero();
  Duration waited_ = Duration::zero();
  Duration scanned_ = Duration::zero();  // waited_, when all of its processes were looked at
  Duration timed_ = Duration::zero();    // so long it waits for input and for a time
  bool told_long_ = false;
  // one_answer: the record at hand, which the handler has postponed.
  bool one_given_ = false;
  std::optional<Verdict> one_outcome_;
  std::string one_answer_;
  // Commands that crashed, in a row without a record that was done.
  unsigned failures_ = 0;
  std::uint64_t command_restarts_ = 0;
  Loop::TimerId restart_timer_ = 0;
  Loop::TimerId closed_timer_ = 0;
  std::uint64_t answered_ = 0;  // records of a promise, by lines
  bool told_closed_ = false;
  std::string end_ = "the command reads no more";  // why it gets nothing

  bool there_ = false;  // it waits for its first line, or was waited for long enough
  TimePoint there_by_ = TimePoint::max();

  bool told_term_ = false;
  bool told_kill_ = false;
  Loop::TimerId stop_timer_ = 0;
  Loop::TimerId verdict_timer_ = 0;
};

}  // namespace weft::exec
