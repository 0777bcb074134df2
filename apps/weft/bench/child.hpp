// Child: a process whose standard output is read line by line.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include <weft/core/time.hpp>

namespace weft::cli::bench {

/// Killed when it is forgotten.
class Child {
 public:
  /// The first word is a path. Throws Error{not_found}.
  explicit Child(const std::vector<std::string>& command);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Its next line. Throws Error{timed_out} when none comes.
  std::string line(Deadline deadline);
  /// Waits for its end, which comes soon after its last line. Throws Error{peer_lost} when it failed.
  void join();

 private:
  std::string name_;
  pid_t pid_ = -1;
  int out_ = -1;
  std::string text_;
};

}  // namespace weft::cli::bench
