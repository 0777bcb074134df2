#include "child.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/processes.hpp>

namespace weft::exec {
namespace {

constexpr std::size_t kPiece = 64UL << 10;
constexpr std::size_t kLongestErrorLine = 4096;
constexpr std::size_t kKept = 4UL << 20;  // memory for input that waits no more
constexpr std::size_t kMostPages = 16;    // of its input, as the system makes a pipe
constexpr Duration kLookAgain = std::chrono::milliseconds(1);
// A grandchild may hold the streams open for ever; what it writes later than this is not waited for.
constexpr Duration kAfterExit = std::chrono::seconds(2);

struct Ends {
  int child = -1;
  int ours = -1;
};

Ends make_pipe(bool child_reads) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) {
    throw Error(Errc::io, format("cannot make a pipe: {}", std::strerror(errno)));
  }
  const Ends ends{fds[child_reads ? 0 : 1], fds[child_reads ? 1 : 0]};
  ::fcntl(ends.ours, F_SETFL, O_NONBLOCK);
  return ends;
}

// Between fork and exec: only calls that are safe in a signal handler.
[[noreturn]] void become(char* const* argv, const Ends& in, const Ends& out, const Ends& errors,
                         pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::setpgid(0, 0);
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &by_default, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(in.child, STDIN_FILENO);
  ::dup2(out.child, STDOUT_FILENO);
  ::dup2(errors.child, STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  ::execvp(argv[0], argv);
  const char* why = std::strerror(errno);
  for (const char* part : {"cannot run ", static_cast<const char*>(argv[0]), ": ", why, "\n"}) {
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  }
  ::_exit(127);
}

}  // namespace

Child::Child(Loop& loop, Events events) : loop_(loop), events_(std::move(events)) {}

Child::~Child() {
  end_group();
  // The loop may be gone: descriptors only.
  for (const Stream* stream : {&in_, &out_, &errors_, &exit_, &writable_, &step_, &stone_}) {
    if (stream->fd >= 0) ::close(stream->fd);
  }
}

// What the command left behind in its group ends with it.
void Child::end_group() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

void Child::start(const std::vector<std::string>& words) {
  started_ = true;
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const Ends in = make_pipe(true);
  struct stat named {};
  if (::fstat(in.ours, &named) == 0) pipe_ = named.st_ino;
  const Ends out = make_pipe(false);
  const Ends errors = make_pipe(false);
  if (tells_taken_) {
    const Ends own = make_pipe(false);
    step_.fd = own.ours, stone_.fd = own.child;
  }
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(argv.data(), in, out, errors, parent);
  for (const int fd : {in.child, out.child, errors.child}) ::close(fd);
  in_.fd = in.ours, out_.fd = out.ours, errors_.fd = errors.ours;
  if (tells_taken_) slots(1);
  if (pid_ < 0) throw Error(Errc::io, format("cannot start {}: {}", words.front(), std::strerror(errno)));
  ::setpgid(pid_, pid_);  // also here: whoever comes first
  exit_.fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (exit_.fd < 0) throw Error(Errc::io, format("cannot watch {}: {}", words.front(), std::strerror(errno)));
  ::fcntl(exit_.fd, F_SETFD, FD_CLOEXEC);
  exit_.watch = loop_.watch_fd(exit_.fd, [this] { reap(); });
  errors_.watch = loop_.watch_fd(errors_.fd, [this] { read_errors(); });
  if (!paused_) watch_output();
  writable_.fd = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event nothing{};
  if (writable_.fd < 0 || ::epoll_ctl(writable_.fd, EPOLL_CTL_ADD, in_.fd, &nothing) != 0) {
    throw Error(Errc::io, format("cannot watch a pipe: {}", std::strerror(errno)));
  }
  writable_.watch = loop_.watch_fd(writable_.fd, [this] { on_input_event(); });
  flush();
}

void Child::retire() {
  for (Loop::TimerId* timer : {&after_exit_, &told_closed_, &look_again_, &told_room_, &told_left_}) {
    if (*timer != 0) loop_.cancel(std::exchange(*timer, 0));
  }
  for (Stream* stream : {&in_, &out_, &errors_, &exit_, &writable_, &step_, &stone_}) close(*stream);
  end_group();
  told_ = true;
}

PipeWait Child::waits_for_input(bool all) {
  if (pid_ <= 0 || exited_) return PipeWait::no;
  PipeWait found = waits_for_pipe(pid_, pipe_);
  const auto look_at = [&](pid_t process) {
    const PipeWait seen = waits_for_pipe(process, pipe_);
    if (seen != PipeWait::waits && seen != PipeWait::timed) return;
    found = seen;
    reader_ = process;
  };
  if (found != PipeWait::waits && reader_ != 0) look_at(reader_);
  if (!all || found == PipeWait::waits || found == PipeWait::timed) return found;
  for (const ProcessInfo& one : list_processes()) {
    if (one.group == pid_ && one.id != pid_ && !one.zombie && found != PipeWait::waits) look_at(one.id);
  }
  return found;
}

void Child::unwatch(Stream& stream) {
  if (stream.watch != 0) loop_.unwatch(stream.watch);
  stream.watch = 0;
}

void Child::close(Stream& stream) {
  unwatch(stream);
  if (stream.fd >= 0) ::close(stream.fd);
  stream.fd = -1;
}

bool Child::write_line(std::string_view line) {
  if (closing_ || (started_ && in_.fd < 0)) return false;
  put(line, false);
  return true;
}

void Child::put(std::string_view line, bool portion) {
  input_ += line;
  input_ += '\n';
  queued_ever_ += line.size() + 1;
  if (tells_taken_) unread_.push_back({line.size() + 1, portion});
  flush();
  if (!has_room()) full_ = true;
}

bool Child::give(std::string_view lines) {
  if (closing_ || in_.fd < 0 || !input_.empty() || unread_.size() > 1) return false;
  if (!unread_.empty()) return put_beside(lines);
  // It is to fit in at once, and to fill the pipe: only one that is full says when a page of it is free.
  const std::size_t pages = lines.size() / static_cast<std::size_t>(::getpagesize());
  slots(static_cast<int>(std::bit_floor(std::clamp<std::size_t>(pages, 1, kMostPages))));
  put(lines, true);
  return true;
}

// What is written to a pipe joins the page that lies there; what is moved from another pipe keeps a page of
// its own. A pipe says that it can be written to when a page of it is free, so each is seen to be read.
bool Child::put_beside(std::string_view line) {
  if (line.size() >= kPortion) return false;
  slots(2);
  if (slots_ != 2) return false;
  const std::string whole = std::string(line) + '\n';
  if (::write(stone_.fd, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) return false;
  const ssize_t moved = ::splice(step_.fd, nullptr, in_.fd, nullptr, whole.size(), SPLICE_F_NONBLOCK);
  if (moved == static_cast<ssize_t>(whole.size())) {
    unread_.push_back({whole.size(), true});
    want_write(true);
    return true;
  }
  std::array<char, kPortion> back;  // it waits for the whole pipe
  (void)::read(step_.fd, back.data(), back.size());
  return false;
}

void Child::slots(int wanted) {
  if (slots_ != wanted && ::fcntl(in_.fd, F_SETPIPE_SZ, wanted * ::getpagesize()) >= 0) slots_ = wanted;
}

void Child::close_input() {
  closing_ = true;
  flush();
}

void Child::want_write(bool wanted) {
  epoll_event event{};
  event.events = wanted ? std::uint32_t{EPOLLOUT} : 0U;
  if (::epoll_ctl(writable_.fd, EPOLL_CTL_MOD, in_.fd, &event) != 0) close_pipe();
}

// The pipe can be written to, or its reader has closed it.
void Child::on_input_event() {
  epoll_event event{};
  if (::epoll_wait(writable_.fd, &event, 1, 0) <= 0) return;
  const bool lost = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
  if (!lost && (!input_.empty() || unread_.empty())) return flush();
  count_read();
  if (lost) return lose_pipe();
  if (in_.fd < 0 || !input_.empty()) return;
  unread_.empty() ? want_write(false) : await_reading();
}

// What its reader has left there, also when that is gone.
std::size_t Child::bytes_in_pipe() const {
  int left = 0;
  return ::ioctl(in_.fd, FIONREAD, &left) == 0 && left > 0 ? static_cast<std::size_t>(left) : 0;
}

void Child::count_read() {
  if (in_.fd < 0 || !input_.empty() || unread_.empty()) return;
  std::size_t read = 0;
  for (const Written& one : unread_) read += one.bytes;
  read -= std::min(read, bytes_in_pipe());
  const std::size_t before = unread_.size();
  for (; !unread_.empty() && unread_.front().bytes <= read; unread_.pop_front())
    read -= unread_.front().bytes;
  if (!unread_.empty()) unread_.front().bytes -= read;
  if (unread_.size() != before && events_.on_taken) {
    events_.on_taken(static_cast<std::size_t>(std::ranges::count_if(unread_, &Written::portion)));
  }
}

// A pipe with a free page says so all the time, and nothing more when the next one is read: it is made as
// small as what lies in it, and where that is not possible looked at again.
void Child::await_reading() {
  if (unread_.size() == 1) {
    for (int before = 0; slots_ > 1 && slots_ != before;) slots((before = slots_) / 2);
  }
  want_write(true);
  epoll_event event{};
  if (::epoll_wait(writable_.fd, &event, 1, 0) <= 0 || (event.events & (EPOLLERR | EPOLLHUP)) != 0) return;
  std::size_t written = 0;
  for (const Written& one : unread_) written += one.bytes;
  if (written >= bytes_in_pipe() + unread_.front().bytes) return;  // and that is told next
  want_write(false);
  if (look_again_ != 0) return;
  look_again_ = loop_.at(Clock::now() + kLookAgain, [this] {
    look_again_ = 0;
    if (in_.fd < 0) return;
    want_write(true);
    on_input_event();
  });
}

// It reads no more. Told later: whoever writes a line does not expect it.
void Child::lose_pipe() {
  left_unread_ = !input_.empty() || (in_.fd >= 0 && bytes_in_pipe() != 0);
  close_pipe();
  if (told_closed_ != 0) return;
  told_closed_ = loop_.at(Clock::now(), [this] {
    told_closed_ = 0;
    if (events_.on_closed && !exited_) events_.on_closed();
  });
}

// What nobody will read takes no memory, and holds nobody up.
void Child::close_pipe() {
  unread_.clear();
  std::string().swap(input_);  // `= {}` would keep its memory
  input_at_ = 0;
  if (full_) tell_room();
  close(writable_);
  close(in_);
}

void Child::flush() {
  if (in_.fd < 0) return;
  const std::uint64_t before = left_queue();
  while (input_at_ < input_.size()) {
    const ssize_t n = ::write(in_.fd, input_.data() + input_at_, input_.size() - input_at_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return lose_pipe();
    input_at_ += static_cast<std::size_t>(n);
  }
  if (input_at_ >= input_.size() / 2) input_.erase(0, std::exchange(input_at_, 0));
  if (input_.empty() && input_.capacity() > kKept) std::string().swap(input_);
  if (input_.empty() && closing_) return close_pipe();
  const bool written = input_.empty();
  want_write(!written || !unread_.empty());
  if (full_ && queued() < kMostQueued / 2) tell_room();
  if (tell_left_ && left_queue() != before) tell_that_some_left();
}

void Child::tell_that_some_left() {
  tell_left_ = false;
  if (told_left_ != 0) return;
  told_left_ = loop_.at(Clock::now(), [this] {
    told_left_ = 0;
    if (events_.on_left) events_.on_left();
  });
}

// Later, too: who is told writes the next line, and is perhaps about to note this one.
void Child::tell_room() {
  full_ = false;
  if (told_room_ != 0) return;
  told_room_ = loop_.at(Clock::now(), [this] {
    told_room_ = 0;
    if (events_.on_room && !full_) events_.on_room();
  });
}

void Child::watch_output() {
  if (out_.fd >= 0 && out_.watch == 0) out_.watch = loop_.watch_fd(out_.fd, [this] { read_output(); });
}

void Child::pause(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  if (paused) return unwatch(out_);
  give_lines();
  if (!paused_) {
    watch_output();
    await_streams();
  }
  end_when_done();
}

void Child::read_output() {
  (void)read_some();
}

// A command may write faster than its lines are taken: what comes meanwhile has its turn in the loop.
void Child::read_now() {
  int there = 0;
  if (out_.fd < 0 || ::ioctl(out_.fd, FIONREAD, &there) != 0) return;
  std::size_t left = static_cast<std::size_t>(std::max(there, 0));
  while (left != 0 && !paused_ && out_.fd >= 0) {
    const std::size_t got = read_some();
    if (got == 0) break;
    left -= std::min(left, got);
  }
}

// 0: there is nothing to read at the moment, or no more.
std::size_t Child::read_some() {
  const std::size_t before = out_.text.size();
  out_.text.resize(before + kPiece);
  const ssize_t got = ::read(out_.fd, out_.text.data() + before, kPiece);
  out_.text.resize(before + static_cast<std::size_t>(got > 0 ? got : 0));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got < 0) events_.on_broken(format("its output cannot be read: {}", std::strerror(errno)));
  if (got <= 0) {
    end_output();
    return 0;
  }
  give_lines();
  end_when_done();
  return static_cast<std::size_t>(got);
}

// What lacks its line end is a line all the same.
void Child::end_output() {
  close(out_);
  if (!out_.text.empty() && out_.text.back() != '\n') out_.text += '\n';
  give_lines();
  end_when_done();
}

// Until the output is paused or no whole line is left.
void Child::give_lines() {
  for (;;) {
    if (paused_) break;
    const std::size_t end = out_.text.find('\n', out_.at);
    if (end == std::string::npos) break;
    const std::string line = out_.text.substr(out_.at, end - out_.at);
    out_.at = end + 1;
    events_.on_line(line);
  }
  out_.text.erase(0, std::exchange(out_.at, 0));
  if (out_.text.size() > kLongestLine && !paused_) {
    out_.text.clear();
    close(out_);
    events_.on_broken(format("it wrote a line of more than {} bytes", kLongestLine));
  }
}

void Child::read_errors() {
  std::array<char, 8192> bytes;
  const ssize_t got = ::read(errors_.fd, bytes.data(), bytes.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) close(errors_);
  if (got > 0) errors_.text.append(bytes.data(), static_cast<std::size_t>(got));
  if (got <= 0 && !errors_.text.empty() && errors_.text.back() != '\n') errors_.text += '\n';
  for (;;) {
    const std::size_t end = errors_.text.find('\n');
    if (end == std::string::npos && errors_.text.size() < kLongestErrorLine) break;
    const std::size_t length = std::min(end, kLongestErrorLine);
    events_.on_error_line(std::string_view(errors_.text).substr(0, length));
    errors_.text.erase(0, end == length ? length + 1 : length);
  }
  end_when_done();
}

void Child::reap() {
  siginfo_t info{};
  // Looked at, not reaped: as long as it is a zombie, the number of its group cannot be given to others.
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
    return;
  status_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  exited_ = true;
  close(exit_);
  count_read();
  close_pipe();
  await_streams();
  end_when_done();
}

// Output that is paused is not read, nor ended; its time begins again when it goes on.
void Child::await_streams() {
  if (!exited_ || told_ || after_exit_ != 0) return;
  after_exit_ = loop_.at(Clock::now() + kAfterExit, [this] {
    after_exit_ = 0;
    if (!paused_ && out_.fd >= 0) end_output();
    close(errors_);
    end_when_done();
  });
}

void Child::end_when_done() {
  if (!exited_ || told_ || paused_ || out_.fd >= 0 || errors_.fd >= 0 || !out_.text.empty()) return;
  told_ = true;
  end_group();
  if (events_.on_exit) events_.on_exit(status_);
}

void Child::signal(int number) const {
  if (pid_ > 0) ::kill(-pid_, number);
}

}  // namespace weft::exec
