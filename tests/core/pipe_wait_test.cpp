// Whether a process is seen to wait for a pipe, however it waits.
#include <array>
#include <csignal>
#include <functional>

#include <doctest/doctest.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/processes.hpp>
#include <weft/core/time.hpp>

using namespace weft;

namespace {

/// A process that does something with the reading end of a pipe, and ends with this object.
class Waiter {
 public:
  explicit Waiter(const std::function<void(int)>& wait) {
    REQUIRE(::pipe(pipe_.data()) == 0);
    struct stat named {};
    REQUIRE(::fstat(pipe_[0], &named) == 0);
    inode_ = named.st_ino;
    process_ = ::fork();
    REQUIRE(process_ >= 0);
    if (process_ != 0) return;
    wait(pipe_[0]);
    ::_exit(0);
  }
  ~Waiter() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    for (const int fd : pipe_) ::close(fd);
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  [[nodiscard]] bool comes_to(PipeWait expected) const {
    const TimePoint end = Clock::now() + std::chrono::seconds(30);
    while (waits_for_pipe(process_, inode_) != expected) {
      if (Clock::now() > end) return false;
      ::sched_yield();
    }
    return true;
  }
  [[nodiscard]] PipeWait now() const { return waits_for_pipe(process_, inode_); }

 private:
  std::array<int, 2> pipe_{};
  std::uint64_t inode_ = 0;
  pid_t process_ = -1;
};

void wait_in_epoll(int fd, int limit) {
  const int set = ::epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  (void)::epoll_wait(set, &event, 1, limit);
}

/// Nothing comes on that: it has no writer but the process itself.
int another_pipe() {
  std::array<int, 2> fds{};
  return ::pipe(fds.data()) == 0 ? fds[0] : -1;
}

constexpr int kLong = 600'000;  // milliseconds; the process is killed before

}  // namespace

TEST_CASE("pipe wait: a read, a poll, a select and an epoll of the pipe are seen") {
  const Waiter reads([](int fd) {
    char byte = 0;
    (void)!::read(fd, &byte, 1);
  });
  CHECK(reads.comes_to(PipeWait::waits));
  const Waiter polls([](int fd) {
    std::array<pollfd, 2> both{{{another_pipe(), POLLIN, 0}, {fd, POLLIN, 0}}};
    (void)::poll(both.data(), both.size(), kLong);
  });
  CHECK(polls.comes_to(PipeWait::waits));
  const Waiter selects([](int fd) {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    (void)::select(fd + 1, &readable, nullptr, nullptr, nullptr);
  });
  CHECK(selects.comes_to(PipeWait::waits));
  const Waiter in_epoll([](int fd) { wait_in_epoll(fd, -1); });
  CHECK(in_epoll.comes_to(PipeWait::waits));
}

TEST_CASE("pipe wait: an event loop that also waits for a time is told apart") {
  const Waiter loops([](int fd) { wait_in_epoll(fd, kLong); });
  CHECK(loops.comes_to(PipeWait::timed));
}

TEST_CASE("pipe wait: who waits for something else does not wait for the pipe") {
  const Waiter waits([](int) {
    char byte = 0;
    (void)!::read(another_pipe(), &byte, 1);
  });
  const Waiter polls([](int) {
    pollfd other{another_pipe(), POLLIN, 0};
    (void)::poll(&other, 1, kLong);
  });
  const Waiter in_epoll([](int) { wait_in_epoll(another_pipe(), -1); });
  const Waiter reads([](int fd) {
    char byte = 0;
    (void)!::read(fd, &byte, 1);
  });
  CHECK(reads.comes_to(PipeWait::waits));  // by then the others have had their time as well
  CHECK(waits.now() == PipeWait::no);
  CHECK(polls.now() == PipeWait::no);
  CHECK(in_epoll.now() == PipeWait::no);
}
