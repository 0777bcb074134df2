#include "launch/process.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <system_error>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

extern char** environ;

namespace weft::launch {
namespace {

constexpr std::size_t kLongestLine = 16 * 1024;  // longer ones are cut into several
constexpr std::size_t kBytesPerTurn = 1 << 20;

std::vector<std::string> environment_of(const Command& command) {
  std::map<std::string, std::string> all;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string entry = *at;
    const auto equals = entry.find('=');
    if (equals != std::string::npos) all[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  for (const auto& [name, value] : command.environment) all[name] = value;
  std::vector<std::string> out;
  for (const auto& [name, value] : all) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  Pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
      throw Error(Errc::io, "cannot make a pipe: " + std::generic_category().message(errno));
    read_end = fds[0];
    write_end = fds[1];
  }
  ~Pipe() {
    if (read_end >= 0) ::close(read_end);
    if (write_end >= 0) ::close(write_end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
};

// In the child, between fork and exec: nothing but async-signal-safe calls.
[[noreturn]] void become(const char* path, char** argv, char** envp, pid_t parent, bool stdin_too, int output,
                         int errors) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above could tell
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &by_default, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = stdin_too ? -1 : open("/dev/null", O_RDONLY);
  if (nothing >= 0 && nothing != STDIN_FILENO) dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execve(path, argv, envp);
  const int why = errno;
  [[maybe_unused]] const ssize_t written = write(errors, &why, sizeof why);
  _exit(127);
}

double seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

}  // namespace

Process::Process(Loop& loop, const Command& command, Handlers handlers)
    : loop_(loop), handlers_(std::move(handlers)) {
  std::vector<std::string> arguments{command.path};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = environment_of(command);
  std::vector<char*> argv = pointers(arguments);
  std::vector<char*> envp = pointers(environment);
  Pipe output;
  Pipe errors;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0)
    throw Error(Errc::io,
                format("cannot start {}: {}", command.path, std::generic_category().message(errno)));
  if (pid_ == 0)
    become(command.path.c_str(), argv.data(), envp.data(), parent, command.inherit_stdin, output.write_end,
           errors.write_end);
  setpgid(pid_, pid_);  // whichever of us comes first
  ::close(std::exchange(errors.write_end, -1));
  int why = 0;
  ssize_t got = 0;
  do {
    got = read(errors.read_end, &why, sizeof why);  // ends with exec, which closes the other end
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    waitpid(pid_, nullptr, 0);
    reaped_ = true;
    throw Error(why == ENOENT ? Errc::not_found : Errc::io,
                format("cannot start {}: {}", command.path, std::generic_category().message(why)));
  }
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) {
    const std::string reason = std::generic_category().message(errno);
    kill_group();
    waitpid(pid_, nullptr, 0);
    reaped_ = true;
    throw Error(Errc::io, "pidfd_open: " + reason);
  }
  output_ = std::exchange(output.read_end, -1);
  fcntl(output_, F_SETFL, O_NONBLOCK);
  end_watch_ = loop_.watch_fd(pidfd_, [this] { ended(); });
  output_watch_ = loop_.watch_fd(output_, [this] { read_output(); });
}

Process::~Process() {
  if (output_watch_ != 0) loop_.unwatch(output_watch_);
  if (end_watch_ != 0) loop_.unwatch(end_watch_);
  if (!reaped_ && pid_ > 0) {
    kill_group();
    waitpid(pid_, nullptr, 0);
  }
  if (output_ >= 0) ::close(output_);
  if (pidfd_ >= 0) ::close(pidfd_);
}

void Process::terminate() {
  if (!reaped_ && pid_ > 0) kill(pid_, SIGTERM);
}

void Process::kill_group() {
  if (pid_ > 0 && !reaped_) kill(-pid_, SIGKILL);
}

void Process::read_output() {
  char chunk[64 * 1024];
  std::size_t total = 0;
  while (total < kBytesPerTurn) {
    const ssize_t got = read(output_, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 && output_watch_ != 0) {  // nobody can write any more
      loop_.unwatch(output_watch_);
      output_watch_ = 0;
    }
    if (got <= 0) return;
    take({chunk, static_cast<std::size_t>(got)});
    total += static_cast<std::size_t>(got);
  }
}

void Process::take(std::string_view chunk) {
  while (!chunk.empty()) {
    const auto end = chunk.find('\n');
    const std::size_t fits = kLongestLine - partial_.size();
    const std::size_t length = std::min({end, chunk.size(), fits});
    partial_.append(chunk.substr(0, length));
    chunk.remove_prefix(length);
    if (end == length) chunk.remove_prefix(1);
    const bool whole = end == length || partial_.size() == kLongestLine;
    if (!whole) return;
    if (handlers_.on_line) handlers_.on_line(partial_);
    partial_.clear();
  }
}

void Process::ended() {
  // What it wrote before it ended is in the pipe. A grandchild may hold the pipe open: that is not waited
  // for.
  read_output();
  if (!partial_.empty() && handlers_.on_line) handlers_.on_line(std::exchange(partial_, {}));
  int status = 0;
  rusage used{};
  // The group first, while the number is still ours: its leader is dead, and what it left behind must not
  // live on.
  kill(-pid_, SIGKILL);
  wait4(pid_, &status, 0, &used);
  reaped_ = true;
  loop_.unwatch(std::exchange(end_watch_, 0));
  Ending ending;
  if (WIFEXITED(status)) ending.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  ending.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  ending.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
  // The handler may destroy this object: nothing of it is touched afterwards.
  const auto on_end = std::move(handlers_.on_end);
  if (on_end) on_end(ending);
}

}  // namespace weft::launch
