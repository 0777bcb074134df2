// Whether a process waits for a pipe, by the system call that /proc shows each of its threads in.
#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <vector>

#include <poll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <weft/core/format.hpp>
#include <weft/core/processes.hpp>

#include "core/proc_files.hpp"

namespace weft {
namespace {

constexpr std::size_t kMostPolled = 4096;  // descriptors of one call that are looked at
constexpr unsigned kReadable = 1;          // POLLIN, EPOLLIN

struct Pipe {
  pid_t process = 0;
  std::uint64_t inode = 0;

  [[nodiscard]] bool is(int fd) const {
    struct stat found {};
    return fd >= 0 && ::stat(format("/proc/{}/fd/{}", process, fd).c_str(), &found) == 0 &&
           S_ISFIFO(found.st_mode) && found.st_ino == inode;
  }
  /// Memory of the process. False: it cannot be read.
  bool peek(unsigned long at, void* to, std::size_t bytes) const {
    iovec here{to, bytes}, there{reinterpret_cast<void*>(at), bytes};
    return bytes == 0 || ::process_vm_readv(process, &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes);
  }
};

/// The system call that a thread is blocked in.
struct Call {
  long number = -1;
  std::array<unsigned long, 4> with{};
};

bool in_poll(const Pipe& pipe, const Call& call) {
  std::vector<pollfd> polled(std::min<std::size_t>(call.with[1], kMostPolled));
  if (!pipe.peek(call.with[0], polled.data(), polled.size() * sizeof(pollfd))) return false;
  return std::ranges::any_of(
      polled, [&](const pollfd& one) { return (one.events & kReadable) != 0 && pipe.is(one.fd); });
}

bool in_select(const Pipe& pipe, const Call& call) {
  const std::size_t count = std::min<std::size_t>(call.with[0], kMostPolled);
  std::vector<std::uint8_t> readable((count + 63) / 64 * 8);
  if (call.with[1] == 0 || !pipe.peek(call.with[1], readable.data(), readable.size())) return false;
  for (std::size_t fd = 0; fd < count; ++fd) {
    if ((readable[fd / 8] >> (fd % 8) & 1) != 0 && pipe.is(static_cast<int>(fd))) return true;
  }
  return false;
}

/// "tfd:  5 events:  1 data: ...", a line for each descriptor that an epoll watches.
bool in_epoll(const Pipe& pipe, const Call& call) {
  std::string text;
  if (!proc::read_file(format("/proc/{}/fdinfo/{}", pipe.process, call.with[0]), text)) return false;
  for (std::size_t at = text.find("tfd:"); at != std::string::npos; at = text.find("tfd:", at + 1)) {
    int fd = -1;
    unsigned events = 0;
    if (std::sscanf(text.c_str() + at, "tfd: %d events: %x", &fd, &events) != 2) continue;
    if ((events & kReadable) != 0 && pipe.is(fd)) return true;
  }
  return false;
}

PipeWait in_epoll(const Pipe& pipe, const Call& call, bool for_ever) {
  if (!in_epoll(pipe, call)) return PipeWait::no;
  return for_ever ? PipeWait::waits : PipeWait::timed;
}

PipeWait waits(const Pipe& pipe, const Call& call) {
  const auto when = [](bool holds) { return holds ? PipeWait::waits : PipeWait::no; };
  switch (call.number) {
    case SYS_read:
    case SYS_readv:
      return when(pipe.is(static_cast<int>(call.with[0])));
#ifdef SYS_poll
    case SYS_poll:
#endif
    case SYS_ppoll:
      return when(in_poll(pipe, call));
#ifdef SYS_select
    case SYS_select:
#endif
    case SYS_pselect6:
      return when(in_select(pipe, call));
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
    case SYS_epoll_pwait:
      return in_epoll(pipe, call, static_cast<int>(call.with[3]) < 0);
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
      return in_epoll(pipe, call, call.with[3] == 0);
#endif
    default:
      return PipeWait::no;
  }
}

}  // namespace

PipeWait waits_for_pipe(pid_t process, std::uint64_t inode) {
  const Pipe pipe{process, inode};
  const std::string folder = format("/proc/{}/task", process);
  PipeWait found = PipeWait::no;
  std::string text;
  proc::for_each_number(folder, [&](pid_t thread) {
    if (found == PipeWait::waits) return;
    if (!proc::read_file(format("{}/{}/syscall", folder, thread), text)) {
      const bool lives = ::access(format("{}/{}", folder, thread).c_str(), F_OK) == 0;
      if (lives && found == PipeWait::no) found = PipeWait::unknown;
      return;
    }
    Call call;
    if (std::sscanf(text.c_str(), "%ld %lx %lx %lx %lx", &call.number, call.with.data(), &call.with[1],
                    &call.with[2], &call.with[3]) != 5) {
      return;  // it runs
    }
    const PipeWait one = waits(pipe, call);
    if (one != PipeWait::no) found = one;
  });
  return found;
}

}  // namespace weft
