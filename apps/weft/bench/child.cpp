#include "child.hpp"

#include <csignal>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

extern char** environ;

namespace weft::cli::bench {

Child::Child(const std::vector<std::string>& command)
    : name_(std::filesystem::path(command.at(0)).filename().string()) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) throw Error(Errc::io, "cannot make a pipe for a benchmark");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
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
    pollfd wait{out_, POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(Clock::now())).count();
    char chunk[4096];
    const ssize_t got = poll(&wait, 1, static_cast<int>(left)) > 0 ? read(out_, chunk, sizeof chunk) : 0;
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
