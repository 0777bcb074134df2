// Running another program to its end: its output, within bounds of time and size.
#pragma once

#include <string>
#include <vector>

#include <weft/core/time.hpp>

namespace weft::cli {

struct CommandResult {
  bool started = false;    ///< false: there is no such program, or it cannot be executed
  bool timed_out = false;  ///< it was killed at the deadline
  bool too_long = false;   ///< it was killed because it wrote more than was allowed
  int status = -1;         ///< exit code; 128 + signal when a signal ended it
  std::string out;
  std::string errors;  ///< the beginning of what it wrote to stderr
};

/// Runs `words` (the first is a path, or a name on PATH) with `input` as its standard input.
CommandResult run_command(const std::vector<std::string>& words, const std::string& input,
                          std::size_t most_bytes, Deadline deadline);

}  // namespace weft::cli
