#include "command.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace weft::cli {
namespace {

constexpr std::size_t kMostErrors = 4096;  // bytes kept of stderr

class Fd {
 public:
  Fd() = default;
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  void set(int fd) {
    close();
    fd_ = fd;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read;
  Fd write;
  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read.set(ends[0]);
    write.set(ends[1]);
    return true;
  }
};

class Running {
 public:
  Pipe in, out, errors;
  pid_t pid = -1;

  bool start(const std::vector<std::string>& words) {
    if (!in.open() || !out.open() || !errors.open()) return false;
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, in.read.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors.write.get(), STDERR_FILENO);
    // A group of its own, so that a child of the child is ended with it; and default SIGPIPE.
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    const int failed = ::posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    in.read.close();
    out.write.close();
    errors.write.close();
    return failed == 0;
  }

  void kill() const { ::kill(-pid, SIGKILL); }
};

// False: the descriptor is at its end.
bool take(int fd, std::string& to, std::size_t most) {
  std::array<char, 16384> bytes;
  const ssize_t got = ::read(fd, bytes.data(), bytes.size());
  if (got <= 0) return got < 0 && (errno == EINTR || errno == EAGAIN);
  to.append(bytes.data(), std::min(static_cast<std::size_t>(got), most - std::min(most, to.size())));
  return true;
}

void exchange(Running& child, const std::string& input, std::size_t most, Deadline deadline,
              CommandResult& result) {
  std::string_view rest = input;
  ::fcntl(child.in.write.get(), F_SETFL, O_NONBLOCK);
  if (rest.empty()) child.in.write.close();
  while (child.out.read.get() >= 0 || child.errors.read.get() >= 0) {
    const TimePoint now = Clock::now();
    if (deadline.passed(now) || result.out.size() > most) {
      (result.out.size() > most ? result.too_long : result.timed_out) = true;
      return child.kill();
    }
    std::array<pollfd, 3> polls{pollfd{child.out.read.get(), POLLIN, 0},
                                pollfd{child.errors.read.get(), POLLIN, 0},
                                pollfd{child.in.write.get(), POLLOUT, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(now)).count();
    ::poll(polls.data(), polls.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (polls[0].revents != 0 && !take(polls[0].fd, result.out, most + 1)) child.out.read.close();
    if (polls[1].revents != 0 && !take(polls[1].fd, result.errors, kMostErrors)) child.errors.read.close();
    if (polls[2].revents != 0) {
      const ssize_t n = ::write(polls[2].fd, rest.data(), rest.size());
      if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
      if (rest.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) child.in.write.close();
    }
  }
}

}  // namespace

CommandResult run_command(const std::vector<std::string>& words, const std::string& input,
                          std::size_t most_bytes, Deadline deadline) {
  CommandResult result;
  Running child;
  result.started = child.start(words);
  if (!result.started) return result;
  exchange(child, input, most_bytes, deadline, result);
  int status = 0;
  // It has closed its output; one that lives on silently has had its time.
  while (!deadline.passed(Clock::now()) && !result.timed_out && !result.too_long) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid != 0) {
      break;
    }
    pollfd nothing{-1, 0, 0};
    ::poll(&nothing, 1, 1);
  }
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
      info.si_pid == 0) {
    result.timed_out = result.timed_out || !result.too_long;
    child.kill();
  }
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace weft::cli
