#include "output.hpp"

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/format.hpp>

namespace weft::cli {
namespace {

constexpr std::size_t kMostWaiting = 4UL << 20;  // bytes
constexpr auto kPatience = std::chrono::seconds(30);
constexpr auto kHurry = std::chrono::seconds(1);

bool same_file(int a, int b) {
  struct stat one {
  }, other{};
  if (::fstat(a, &one) != 0 || ::fstat(b, &other) != 0) return false;
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace

// Shared with its thread, which may hang in a write when everybody else is gone.
class Output::Writer : public std::enable_shared_from_this<Writer> {
 public:
  explicit Writer(int fd) : fd_(fd) {}

  void start() {
    sigset_t all, before;
    sigfillset(&all);
    // Signals are for the thread that has the loop.
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([self = shared_from_this()] { self->work(); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void put(std::string text) {
    {
      const std::lock_guard lock(mutex_);
      if (broken_) return;
      if (bytes_ + text.size() > kMostWaiting) {
        ++dropped_;
        return;
      }
      if (dropped_ != 0) add(missing());
      add(std::move(text));
    }
    changed_.notify_all();
  }

  bool finish(std::chrono::steady_clock::duration patience) {
    std::unique_lock lock(mutex_);
    if (dropped_ != 0) add(missing());
    ended_ = true;
    changed_.notify_all();
    for (;;) {
      if (done_) return !broken_;
      const std::uint64_t before = pieces_;
      if (!changed_.wait_for(lock, patience, [&] { return done_ || pieces_ != before; })) return false;
    }
  }

 private:
  void add(std::string text) {
    bytes_ += text.size();
    waiting_.push_back(std::move(text));
  }

  std::string missing() {
    return format("weft: {} lines are missing here: nobody read them\n", std::exchange(dropped_, 0));
  }

  void work() {
    for (;;) {
      std::string text;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return ended_ || !waiting_.empty(); });
        if (waiting_.empty() || broken_) {
          done_ = true;
          changed_.notify_all();
          return;
        }
        text = std::move(waiting_.front());
        waiting_.pop_front();
      }
      const bool good = write(text);
      const std::lock_guard lock(mutex_);
      bytes_ -= text.size();
      broken_ = broken_ || !good;
      if (broken_) waiting_.clear();
      changed_.notify_all();
    }
  }

  bool write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t written = ::write(fd_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno == EAGAIN) {  // somebody who shares the file made it so
        pollfd room{fd_, POLLOUT, 0};
        ::poll(&room, 1, -1);
        continue;
      }
      if (written <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(written));
      const std::lock_guard lock(mutex_);
      ++pieces_;
      changed_.notify_all();
    }
    return true;
  }

  const int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t pieces_ = 0;  // written
  bool ended_ = false;
  bool done_ = false;
  bool broken_ = false;
};

Output::Output() : out_(std::make_shared<Writer>(STDOUT_FILENO)), err_(out_) {
  if (!same_file(STDOUT_FILENO, STDERR_FILENO)) {
    err_ = std::make_shared<Writer>(STDERR_FILENO);
    err_->start();
  }
  out_->start();
}

Output::~Output() {
  finish(true);
}

void Output::put(bool to_stderr, std::string text) {
  const auto& writer = to_stderr ? err_ : out_;
  if (writer) writer->put(std::move(text));
}

bool Output::finish(bool in_a_hurry) {
  if (!out_) return true;
  const auto patience = in_a_hurry ? std::chrono::steady_clock::duration(kHurry) : kPatience;
  const bool out = out_->finish(patience);
  const bool err = err_ == out_ || err_->finish(patience);
  out_.reset();
  err_.reset();
  return out && err;
}

struct LastWords::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool said = false;
};

LastWords::LastWords(bool in_a_hurry, int code) : state_(std::make_shared<State>()) {
  std::thread([state = state_, in_a_hurry, code] {
    std::unique_lock lock(state->mutex);
    const auto patience = in_a_hurry ? std::chrono::steady_clock::duration(kHurry) : kPatience;
    if (!state->changed.wait_for(lock, patience, [&] { return state->said; })) ::_exit(code);
  }).detach();
}

LastWords::~LastWords() {
  std::fflush(nullptr);
  {
    const std::lock_guard lock(state_->mutex);
    state_->said = true;
  }
  state_->changed.notify_all();
}

}  // namespace weft::cli
