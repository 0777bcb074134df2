// Background: work that is too long for the loop's thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>

#include <weft/transport/loop.hpp>

namespace weft::worker {

/// One thread that does one piece of work after another; the loop goes on with its heartbeats meanwhile.
/// Made, used and destroyed on the loop's thread, before the loop. Destroyed while it works, it does not
/// wait: what comes out is dropped.
class Background {
 public:
  explicit Background(Loop& loop);
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// `work` runs on the other thread; then `done` on the loop's, with the exception that left `work`, or
  /// null.
  void run(std::function<void()> work, std::function<void(std::exception_ptr)> done);

 private:
  struct Job {
    std::function<void()> work;
    std::function<void(std::exception_ptr)> done;
  };
  /// Shared with the thread, which may outlive this object.
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::shared_ptr<Job>> jobs;
    Loop* loop = nullptr;  // null: nobody wants the results any more
  };
  static void serve(const std::shared_ptr<State>& state);
  static void finish(const std::shared_ptr<State>& state, std::shared_ptr<Job> job,
                     std::exception_ptr failure);

  std::shared_ptr<State> state_;
};

}  // namespace weft::worker
