// Exec: a command as a node; its records are JSON lines.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <weft/node/node.hpp>
#include <weft/program/any_port.hpp>
#include <weft/program/options.hpp>
#include <weft/wire/buffer.hpp>

#include "child.hpp"

namespace weft::exec {

/// in:  pull, sub: each record is a line to the command; router: each request is a line, and the next line
/// that the
///      command writes is the reply ({"error": "text"} alone: an error reply).
/// out: push, pub: each line that the command writes is a record; dealer: is a request, whose reply comes
/// back as a
///      line ({"error": "text"} when there is none).
class Exec {
 public:
  Exec(Node& node, const program::Options& options);

 private:
  void take(const wire::RecordView& record, program::Answer answer);
  void on_line(std::string_view line);
  void on_bad_line(std::string_view line, const std::string& why);
  void answer_with(const Value& value);
  /// False: there is no room now.
  bool send_record();
  void on_room();
  void hold_input();
  void on_turn();
  void on_exit(int status);
  void fail(const std::string& sentence);
  [[nodiscard]] Value result() const;

  Node& node_;
  std::vector<std::string> command_;
  bool skip_bad_;
  Child child_;
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
};

}  // namespace weft::exec
