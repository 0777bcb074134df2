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
  explicit Pipe(int flags = 0) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | flags) != 0)
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
                         int errors, int last_word, int exec_failed) {
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
  dup2(errors, STDERR_FILENO);
  if (last_word >= 0) {
    // The descriptor that it takes may be the one by which a failure is told.
    exec_failed = fcntl(exec_failed, F_DUPFD_CLOEXEC, kLastWordFd + 1);
    if (last_word == kLastWordFd) last_word = dup(last_word);
    dup2(last_word, kLastWordFd);
  }
  // What others opened without the flag, the log files of the nodes among them, is none of its business.
  close_range(static_cast<unsigned>(last_word >= 0 ? kLastWordFd : STDERR_FILENO) + 1, ~0U,
              CLOSE_RANGE_CLOEXEC);
  execve(path, argv, envp);
  const int why = errno;
  [[maybe_unused]] const ssize_t written = write(exec_failed, &why, sizeof why);
  _exit(127);
}

Error exec_error(const std::string& path, int why) {
  const bool script = why == ENOENT && access(path.c_str(), F_OK) == 0;
  return {why == ENOENT ? Errc::not_found : Errc::io,
          format("cannot start {}: {}", path,
                 script ? "the interpreter that its first line names does not exist"
                        : std::generic_category().message(why))};
}

double seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

}  // namespace

Process::Process(Loop& loop, const Command& command, Handlers handlers)
    : loop_(loop), handlers_(std::move(handlers)), mark_(command.mark) {
  std::vector<std::string> arguments{command.path};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = environment_of(command);
  std::vector<char*> argv = pointers(arguments);
  std::vector<char*> envp = pointers(environment);
  Pipe output;
  Pipe errors;
  Pipe last_word(O_NONBLOCK);
  Pipe exec_failed;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) {
    throw Error(Errc::io,
                format("cannot start {}: {}", command.path, std::generic_category().message(errno)));
  }
  if (pid_ == 0) {
    become(command.path.c_str(), argv.data(), envp.data(), parent, command.inherit_stdin, output.write_end,
           errors.write_end, command.last_word ? last_word.write_end : -1, exec_failed.write_end);
  }
  setpgid(pid_, pid_);  // whichever of us comes first
  ::close(std::exchange(exec_failed.write_end, -1));
  int why = 0;
  ssize_t got = 0;
  do {
    got = read(exec_failed.read_end, &why, sizeof why);  // ends with exec, which closes the other end
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    waitpid(pid_, nullptr, 0);
    throw exec_error(command.path, why);
  }
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) {
    const std::string reason = std::generic_category().message(errno);
    kill_group();
    waitpid(pid_, nullptr, 0);
    throw Error(Errc::io, "pidfd_open: " + reason);
  }
  end_watch_ = loop_.watch_fd(pidfd_, [this] { ended(); });
  last_word_ = std::exchange(last_word.read_end, -1);
  watch_stream(output_, output.read_end);
  watch_stream(errors_, errors.read_end);
}

Process::~Process() {
  if (end_watch_ != 0) loop_.unwatch(end_watch_);
  if (!reaped_ && pid_ > 0) {
    kill_group();
    left_.reset();
    waitpid(pid_, nullptr, 0);
  }
  for (Stream* stream : {&output_, &errors_}) {
    if (stream->watch != 0) loop_.unwatch(stream->watch);
    if (stream->fd >= 0) ::close(stream->fd);
  }
  for (const int fd : {pidfd_, last_word_}) {
    if (fd >= 0) ::close(fd);
  }
}

void Process::terminate() {
  told_ = true;
  if (!left_) signal_group(SIGTERM);  // what is left was told when it ended, and a second time means at once
}

void Process::signal_group(int number) {
  if (left_) return left_->signal(number);
  if (pid_ > 0 && !reaped_) kill(-pid_, number);
}

void Process::watch_stream(Stream& stream, int& read_end) {
  stream.fd = std::exchange(read_end, -1);
  fcntl(stream.fd, F_SETFL, O_NONBLOCK);
  watch(stream);
}

void Process::watch(Stream& stream) {
  stream.watch = loop_.watch_fd(stream.fd, [this, &stream] { read_stream(stream); });
}

void Process::pause() {
  if (std::exchange(paused_, true)) return;
  for (Stream* stream : {&output_, &errors_}) {
    if (stream->watch != 0) loop_.unwatch(std::exchange(stream->watch, 0));
  }
}

void Process::resume() {
  if (!std::exchange(paused_, false)) return;
  for (Stream* stream : {&output_, &errors_}) {
    if (!stream->ended) watch(*stream);
  }
}

void Process::read_stream(Stream& stream) {
  char chunk[64 * 1024];
  std::size_t total = 0;
  while (total < kBytesPerTurn) {
    const ssize_t got = read(stream.fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) {
      stream.ended = true;
      if (stream.watch != 0) loop_.unwatch(std::exchange(stream.watch, 0));
    }
    if (got <= 0) return;
    take(stream, {chunk, static_cast<std::size_t>(got)});
    if (paused_ && !finishing_) return;
    total += static_cast<std::size_t>(got);
  }
}

void Process::take(Stream& stream, std::string_view chunk) {
  while (!chunk.empty()) {
    const std::size_t end = chunk.find('\n');
    const std::size_t line = std::min(end, chunk.size());
    const std::size_t fits = std::min(line, kLongestLine - stream.partial.size());
    stream.partial.append(chunk.substr(0, fits));
    chunk.remove_prefix(fits);
    if (fits < line) {
      end_line(stream);  // too long: what did not fit begins the next one
    } else if (end != std::string_view::npos) {
      chunk.remove_prefix(1);
      end_line(stream);
    }
  }
}

void Process::end_line(Stream& stream) {
  if (handlers_.on_line) handlers_.on_line(&stream == &errors_, stream.partial);
  stream.partial.clear();
}

// What left its group, or its session, still has its environment, and is below this process or a child of it.
bool Process::belongs(const ProcessInfo& process) const {
  if (process.id == pid_ || process.id == getpid()) return false;
  return process.group == pid_ || started_with(process.id, mark_);
}

// It is not reaped before what it left behind is gone: until then the number of its group is given to nobody
// else.
void Process::ended() {
  loop_.unwatch(std::exchange(end_watch_, 0));
  auto left = std::make_unique<Remains>(
      loop_, [this](const ProcessInfo& process) { return belongs(process); }, [this] { finish(); });
  if (!left->look()) return finish();
  left_ = std::move(left);
  // Those of the group have had theirs, if it was told to end; what has left it hears now of that.
  left_->signal(SIGTERM, told_ ? pid_ : 0);
  if (handlers_.on_left) handlers_.on_left(left_->size());
}

void Process::finish() {
  finishing_ = true;
  // What was written before is in the pipes.
  for (Stream* stream : {&output_, &errors_}) {
    read_stream(*stream);
    if (!stream->partial.empty()) end_line(*stream);
  }
  int status = 0;
  rusage used{};
  kill(-pid_, SIGKILL);  // what the kernel would not let go
  wait4(pid_, &status, 0, &used);
  reaped_ = true;
  Ending ending;
  if (WIFEXITED(status)) ending.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  ending.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  ending.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
  char chunk[4096];
  for (ssize_t got = 0; (got = read(last_word_, chunk, sizeof chunk)) > 0;) {
    ending.last_word.append(chunk, static_cast<std::size_t>(got));
  }
  // The handler may destroy this object: nothing of it is touched afterwards.
  const auto on_end = std::move(handlers_.on_end);
  if (on_end) on_end(ending);
}

}  // namespace weft::launch
