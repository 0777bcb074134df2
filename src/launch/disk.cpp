#include "launch/disk.hpp"

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::launch {

void replace_file(const std::string& path, const std::string& text) {
  namespace fs = std::filesystem;
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << text;
    if (!file.flush()) throw Error(Errc::io, format("cannot write {}", temporary));
  }
  std::error_code error;
  fs::rename(temporary, path, error);
  if (error) throw Error(Errc::io, format("cannot write {}: {}", path, error.message()));
}

// Shared with the thread, which may hang in a call when everybody else is gone.
struct Disk::Work {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> waiting;
  std::map<std::string, std::string> texts;  // path -> what is to be written there
  std::uint64_t asked = 0;
  std::uint64_t done = 0;
  std::string error;
  bool ended = false;
  int news = -1;  // eventfd
  std::thread thread;

  Work() = default;
  ~Work() {
    if (news >= 0) ::close(news);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  std::string text_for(const std::string& path) {
    const std::lock_guard lock(mutex);
    return std::move(texts.extract(path).mapped());
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ended || !waiting.empty(); });
      if (ended) return;
      auto next = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      std::string why;
      try {
        next();
      } catch (const std::exception& failure) {
        why = failure.what();
      }
      next = nullptr;  // what it owns goes before anybody hears that it is done
      lock.lock();
      ++done;
      if (!why.empty()) error = std::move(why);
      const std::uint64_t one = 1;
      [[maybe_unused]] const ssize_t told = ::write(news, &one, sizeof one);
    }
  }
};

Disk::Disk() : work_(std::make_shared<Work>()) {
  work_->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (work_->news < 0) throw Error(Errc::io, "eventfd: " + std::generic_category().message(errno));
  sigset_t all, before;
  sigfillset(&all);
  // Signals are for the thread that has the loop.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    work_->thread = std::thread([work = work_] { work->run(); });
  } catch (const std::system_error& failure) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw Error(Errc::io, format("cannot start a thread: {}", failure.what()));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Disk::~Disk() {
  bool at_work = false;
  {
    const std::lock_guard lock(work_->mutex);
    work_->ended = true;
    at_work = work_->done + work_->waiting.size() != work_->asked;
  }
  work_->changed.notify_all();
  if (at_work) {
    work_->thread.detach();
  } else {
    work_->thread.join();
  }
}

void Disk::post(std::function<void()> work) {
  {
    const std::lock_guard lock(work_->mutex);
    work_->waiting.push_back(std::move(work));
    ++work_->asked;
  }
  work_->changed.notify_all();
}

void Disk::replace(const std::string& path, std::string text) {
  {
    const std::lock_guard lock(work_->mutex);
    const auto [at, is_new] = work_->texts.insert_or_assign(path, std::move(text));
    if (!is_new) return;
  }
  // Not the shared one: the work would own itself.
  post([work = work_.get(), path] { replace_file(path, work->text_for(path)); });
}

std::uint64_t Disk::asked() const {
  const std::lock_guard lock(work_->mutex);
  return work_->asked;
}

std::uint64_t Disk::done() const {
  const std::lock_guard lock(work_->mutex);
  return work_->done;
}

std::string Disk::take_error() {
  const std::lock_guard lock(work_->mutex);
  return std::exchange(work_->error, {});
}

int Disk::fd() const {
  return work_->news;
}

void Disk::acknowledge() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(work_->news, &count, sizeof count);
}

}  // namespace weft::launch
