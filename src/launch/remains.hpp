// Remains: processes that nobody waits for any more and that have to end: found, told to, killed, reaped.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include <sys/types.h>

#include <weft/core/processes.hpp>
#include <weft/transport/loop.hpp>

namespace weft::launch {

/// Of the main thread. `find` picks from all processes those that belong here; what they have started belongs
/// to them. It is asked until nothing is left, since processes start others while they are looked at.
class Remains {
 public:
  using Find = std::function<bool(const ProcessInfo&)>;
  Remains(Loop& loop, Find find, std::function<void()> on_gone);
  ~Remains();
  Remains(const Remains&) = delete;
  Remains& operator=(const Remains&) = delete;

  /// False: there is nothing, and on_gone is not called.
  bool look();
  /// To each of them, and to those that are found later; of those that there are now not to the group `but`.
  void signal(int number, pid_t but = 0);
  [[nodiscard]] std::size_t size() const { return left_.size(); }
  [[nodiscard]] bool contains(pid_t process) const { return left_.contains(process); }

 private:
  struct One {
    int pidfd = -1;
    pid_t group = 0;
    Loop::WatchId watch = 0;
  };
  void add(const ProcessInfo& process);
  void ended(pid_t process);
  void give_up();

  Loop& loop_;
  Find find_;
  std::function<void()> on_gone_;
  std::map<pid_t, One> left_;
  int last_signal_ = 0;
  Loop::TimerId limit_ = 0;
};

}  // namespace weft::launch
