#include "launch/guard.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weft::launch {
namespace {

// Everything below runs in the child of a process that may have threads: no allocation, only system calls.

constexpr std::size_t kMostOfAnEnvironment = 1UL << 20;
constexpr std::size_t kMostOfAMark = 512;
constexpr int kOneEnd = 1000;  // milliseconds
constexpr int kRounds =
    1000;  // processes may start others while they are killed; one that cannot die ends this

struct Entry {  // what getdents64 writes
  std::uint64_t inode;
  std::int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

struct Mark {
  std::array<char, kMostOfAMark> text;  // with a zero byte at both ends
  std::size_t size = 0;
};

std::array<char, kMostOfAnEnvironment> environ_bytes;
std::array<char, 32768> entries;

/// The guard of a run within this run has work to do now.
bool is_guard(int process) {
  const int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char name[16] = {};
  const ssize_t got = read(fd, name, sizeof name - 1);
  close(fd);
  return got > 0 && std::strcmp(name, "weft-guard\n") == 0;
}

bool has_mark(int process, const Mark& mark) {
  const int fd = openat(process, "environ", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  std::size_t size = 1;  // the first entry has a zero byte before it as well
  environ_bytes[0] = 0;
  ssize_t got = 0;
  while (size < environ_bytes.size() &&
         (got = read(fd, environ_bytes.data() + size, environ_bytes.size() - size)) > 0) {
    size += static_cast<std::size_t>(got);
  }
  close(fd);
  return memmem(environ_bytes.data(), size, mark.text.data(), mark.size) != nullptr;
}

// Pinned first and looked at then, so that a number that was given anew is not taken for the old one.
bool kill_marked(int proc, const char* name, pid_t id, const Mark& mark) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, id, 0));
  if (pidfd < 0) return false;
  const int folder = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool ours = folder >= 0 && has_mark(folder, mark) && !is_guard(folder);
  if (ours) {
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    pollfd end{pidfd, POLLIN, 0};
    poll(&end, 1, kOneEnd);
  }
  if (folder >= 0) close(folder);
  close(pidfd);
  return ours;
}

bool kill_all(int proc, const Mark& mark) {
  bool any = false;
  lseek(proc, 0, SEEK_SET);
  for (long got = 0; (got = syscall(SYS_getdents64, proc, entries.data(), entries.size())) > 0;) {
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const Entry*>(entries.data() + at);
      at += entry->length;
      pid_t id = 0;
      const char* digit = entry->name;
      for (; *digit >= '0' && *digit <= '9'; ++digit) id = id * 10 + (*digit - '0');
      if (*digit != 0 || id == 0 || id == getpid()) continue;
      any = kill_marked(proc, entry->name, id, mark) || any;
    }
  }
  return any;
}

[[noreturn]] void watch_over(int word, const Mark& mark) {
  setsid();
  prctl(PR_SET_NAME, "weft-guard");
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_IGN);
  if (word != 3) dup2(word, 3);
  close_range(4, ~0U, 0);
  const int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  close_range(0, 2, 0);
  [[maybe_unused]] const int moved = chdir("/");
  char byte = 0;
  ssize_t got = 0;
  while ((got = read(3, &byte, 1)) < 0 && errno == EINTR) {
  }
  if (got == 0 && proc >= 0) {
    for (int round = 0; round < kRounds && kill_all(proc, mark); ++round) {
    }
  }
  _exit(0);
}

}  // namespace

Guard::Guard(const std::string& text) {
  Mark mark;
  if (text.size() + 2 > mark.text.size()) return;
  mark.text.fill(0);
  std::memcpy(mark.text.data() + 1, text.data(), text.size());
  mark.size = text.size() + 2;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  pid_ = fork();
  if (pid_ == 0) watch_over(ends[0], mark);
  close(ends[0]);
  word_ = ends[1];
}

Guard::~Guard() {
  if (word_ < 0) return;
  const char byte = 0;
  // It may have been killed: that raises no signal here.
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  if (write(word_, &byte, 1) < 0 && errno == EPIPE) {
    const timespec now{0, 0};
    sigtimedwait(&pipe, nullptr, &now);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(word_);
  while (pid_ > 0 && waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace weft::launch
