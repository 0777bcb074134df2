// Guard: a process that ends the nodes of a run, and what they have started, when its launcher was killed.
#pragma once

#include <string>

#include <sys/types.h>

namespace weft::launch {

/// Nodes die with their launcher by themselves (PR_SET_PDEATHSIG); what they have started does not hear of
/// it. The guard waits for the end of this process. Unless it was dismissed before, it kills every process
/// whose environment holds `mark`. It holds no file of the launcher's, and signals that ask it to end do not
/// reach it.
class Guard {
 public:
  /// `mark`: "NAME=value". Without a guard where none can be started.
  explicit Guard(const std::string& mark);
  /// Dismisses it.
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int word_ = -1;
};

}  // namespace weft::launch
