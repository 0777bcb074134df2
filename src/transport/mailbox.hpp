// Mailbox: the one way into a loop from other threads: functions to call, the wish to stop, and a descriptor
// to poll.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>

namespace weft::transport {

/// post() and stop() from any thread, the rest from the loop's.
class Mailbox {
 public:
  Mailbox();  ///< Throws Error{io} when no descriptor is left.
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  void post(std::function<void()> fn);
  /// Stays until it is taken.
  void stop();

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool stop_wanted() const { return stop_.load(std::memory_order_acquire); }
  bool take_stop() { return stop_.exchange(false, std::memory_order_acq_rel); }
  /// Some of what was taken is still to be called, because an exception came between.
  [[nodiscard]] bool backlog() const { return !taken_.empty(); }
  /// After fd() became readable.
  void acknowledge();
  /// Calls what was posted before the call. False: nothing was. After an exception, the next call goes on
  /// behind it.
  bool deliver();

 private:
  void signal() const;

  int fd_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;  // guarded by mutex_
  bool signalled_ = false;                    // guarded by mutex_
  std::deque<std::function<void()>> taken_;   // loop's thread
};

}  // namespace weft::transport
