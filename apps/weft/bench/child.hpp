// Child: a process whose standard output is read line by line.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include <weft/core/time.hpp>

namespace weft::cli::bench {

/// SIGINT and SIGTERM as something to wait for, so that what a benchmark has started and made goes with it.
/// One at a time, of a process with one thread.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  /// Readable when there was one.
  [[nodiscard]] int descriptor() const { return fd_; }

 private:
  int fd_ = -1;
};

/// Killed when it is forgotten.
class Child {
 public:
  /// The first word is a path. Throws Error{not_found}.
  Child(const Interrupts& interrupts, const std::vector<std::string>& command);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Its next line. Throws Error{timed_out} when none comes, Error{io} when this process is interrupted.
  std::string line(Deadline deadline);
  /// Waits for its end, which comes soon after its last line. Throws Error{peer_lost} when it failed.
  void join();

 private:
  const Interrupts& interrupts_;
  std::string name_;
  pid_t pid_ = -1;
  int out_ = -1;
  std::string text_;
};

}  // namespace weft::cli::bench
