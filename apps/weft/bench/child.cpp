#include "child.hpp"

#include <csignal>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

extern char** environ;

namespace weft::cli::bench {
namespace {

sigset_t interrupts() {
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGINT);
  sigaddset(&both, SIGTERM);
  return both;
}

}  // namespace

Interrupts::Interrupts() {
  sigset_t both = interrupts();
  sigprocmask(SIG_BLOCK, &both, nullptr);
  fd_ = signalfd(-1, &both, SFD_CLOEXEC | SFD_NONBLOCK);
}

Interrupts::~Interrupts() {
  // One that has been heeded shall not end the process all the same.
  signalfd_siginfo heeded;
  while (read(fd_, &heeded, sizeof heeded) > 0) {
  }
  ::close(fd_);
  sigset_t both = interrupts();
  sigprocmask(SIG_UNBLOCK, &both, nullptr);
}

Child::Child(const Interrupts& interrupts, const std::vector<std::string>& command)
    : interrupts_(interrupts), name_(std::filesystem::path(command.at(0)).filename().string()) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) throw Error(Errc::io, "cannot make a pipe for a benchmark");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  // It is to be ended by what this process waits for.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawn(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  ::close(fds[1]);
  out_ = fds[0];
  if (error != 0) {
    ::close(out_);
    pid_ = -1;
    throw Error(Errc::not_found,
                format("cannot start {}: {}", command[0], std::generic_category().message(error)));
  }
}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  ::close(out_);
}

std::string Child::line(Deadline deadline) {
  for (;;) {
    if (const auto end = text_.find('\n'); end != std::string::npos) {
      std::string first = text_.substr(0, end);
      text_.erase(0, end + 1);
      return first;
    }
    pollfd waits[] = {{out_, POLLIN, 0}, {interrupts_.descriptor(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(Clock::now())).count();
    const int ready = poll(waits, 2, static_cast<int>(left));
    if (waits[1].revents != 0) throw Error(Errc::io, "the benchmark was interrupted");
    char chunk[4096];
    const ssize_t got = ready > 0 ? read(out_, chunk, sizeof chunk) : 0;
    if (got <= 0) {
      throw Error(Errc::timed_out, format("{} ended, or said nothing, before its figures", name_));
    }
    text_.append(chunk, static_cast<std::size_t>(got));
  }
}

void Child::join() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error(Errc::peer_lost, format("{} failed; its own message is above", name_));
  }
}

}  // namespace weft::cli::bench
