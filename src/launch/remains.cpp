#include "launch/remains.hpp"

#include <csignal>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft::launch {
namespace {

// A process that SIGKILL does not end hangs in the kernel, and would hold up the run for ever.
constexpr Duration kKilled = std::chrono::seconds(5);

int send(int pidfd, int number) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0));
}

}  // namespace

Remains::Remains(Loop& loop, Find find, std::function<void()> on_gone)
    : loop_(loop), find_(std::move(find)), on_gone_(std::move(on_gone)) {}

Remains::~Remains() {
  if (limit_ != 0) loop_.cancel(limit_);
  for (auto& [process, one] : left_) {
    send(one.pidfd, SIGKILL);
    loop_.unwatch(one.watch);
    ::close(one.pidfd);
  }
}

bool Remains::look() {
  const auto all = list_processes();
  std::map<pid_t, ProcessInfo> ours;
  for (const ProcessInfo& one : all) {
    if (!one.zombie && find_(one)) ours.emplace(one.id, one);
  }
  for (const auto& [root, found] : std::map(ours)) {
    for (const ProcessInfo& one : descendants(all, root)) {
      if (!one.zombie) ours.emplace(one.id, one);
    }
  }
  for (const auto& [process, found] : ours) {
    if (!left_.contains(process)) add(found);
  }
  return !left_.empty();
}

void Remains::add(const ProcessInfo& process) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, process.id, 0));
  if (pidfd < 0) return;  // it has ended meanwhile
  if (last_signal_ != 0) send(pidfd, last_signal_);
  const auto watch = loop_.watch_fd(pidfd, [this, id = process.id] { ended(id); });
  left_.emplace(process.id, One{pidfd, process.group, watch});
}

void Remains::signal(int number, pid_t but) {
  last_signal_ = number;
  for (const auto& [process, one] : left_) {
    if (but == 0 || one.group != but) send(one.pidfd, number);
  }
  if (number == SIGKILL && limit_ == 0) {
    limit_ = loop_.at(Clock::now() + kKilled, [this] {
      limit_ = 0;
      give_up();
    });
  }
}

void Remains::ended(pid_t process) {
  const auto found = left_.find(process);
  if (found == left_.end()) return;
  loop_.unwatch(found->second.watch);
  ::close(found->second.pidfd);
  left_.erase(found);
  // One whose parent has ended is ours to reap.
  while (waitpid(process, nullptr, WNOHANG) < 0 && errno == EINTR) {
  }
  if (!left_.empty() || look()) return;
  // The handler may destroy this object: nothing of it is touched afterwards.
  const auto gone = std::move(on_gone_);
  gone();
}

void Remains::give_up() {
  for (auto& [process, one] : left_) {
    loop_.unwatch(one.watch);
    ::close(one.pidfd);
  }
  left_.clear();
  const auto gone = std::move(on_gone_);
  gone();
}

}  // namespace weft::launch
