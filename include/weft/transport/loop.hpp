// Loop: one thread's sockets, timers and posted calls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <weft/core/log.hpp>
#include <weft/core/time.hpp>
#include <weft/transport/context.hpp>

namespace weft {

namespace transport {
class Socket;
}

/// Runs on the thread that calls run*(); everything but post() and stop() belongs to that thread. Uses no CPU
/// while nothing happens, and a turn costs what is ready, not what is watched. An exception that leaves a
/// handler ends run*() with that exception; the loop stays usable. Handlers, hooks and posted functions may
/// add and remove watches, timers and hooks, close sockets, and run the loop again until something is done,
/// up to 8 deep (then Error{internal}).
class Loop {
 public:
  /// With a context of its own.
  Loop();
  /// Shares a context (needed for inproc between loops). It must outlive the loop.
  explicit Loop(Context& context);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Context& context();

  /// Runs until stop().
  void run();
  /// Runs until `done()` is true (asked after every turn), stop(), or the deadline. True when done() was.
  bool run_until(const std::function<bool()>& done, Deadline deadline);
  /// One turn: waits for something to happen until the deadline at most, and handles it. False: nothing
  /// happened.
  bool run_once(Deadline deadline);
  /// One turn without waiting, from inside a long handler, so that heartbeats go on. Handlers of the block
  /// whose handler runs are not entered again.
  void breathe();
  /// Ends run*() after the present turn, those inside handlers included. Any thread. A stop that comes before
  /// run*() ends that one; the one after it runs as usual, so that a stopped program can still drain.
  void stop();
  /// A stop was asked for, and no run*() has begun since it was heeded.
  [[nodiscard]] bool stopped() const;

  /// Calls fn on the loop's thread soon. Any thread, any time while the loop lives; the only such call
  /// besides stop().
  void post(std::function<void()> fn);

  /// The time at the start of the present turn, outside of one the time; read the clock yourself for more.
  [[nodiscard]] TimePoint now() const;

  using TimerId = std::uint64_t;
  /// Calls fn once, at `when` or soon after.
  TimerId at(TimePoint when, std::function<void()> fn);
  /// Calls fn every `period`, first one period from now; a late turn does not make up for missed calls.
  TimerId every(Duration period, std::function<void()> fn);
  void cancel(TimerId timer);

  using WatchId = std::uint64_t;
  /// Calls on_readable in each turn in which the socket can be read. The handler should take a bounded number
  /// of messages and return; what is left brings it back in the next turn. A handler is never entered while
  /// it runs. Closing the socket ends the watch.
  WatchId watch(transport::Socket& socket, std::function<void()> on_readable);
  /// Calls on_writable in each turn in which the socket can take a message, until switched off with nullptr.
  /// Without an effect on a descriptor.
  void on_writable(WatchId watch, std::function<void()> on_writable);
  /// A file descriptor (pipe, pidfd, signalfd, timerfd); level-triggered, a hang-up counts as readable.
  /// Unwatch it before it is closed. Throws Error{invalid_argument} when it is watched already or is a plain
  /// file.
  WatchId watch_fd(int fd, std::function<void()> on_readable);
  void unwatch(WatchId watch);

  using HookId = std::uint64_t;
  /// Called at the end of every turn in which anything happened, and before waiting: where open batches
  /// leave.
  HookId on_idle(std::function<void()> fn);
  /// The same, but only in turns in which ask_for() named it: of any number of hooks, those that have nothing
  /// to do cost nothing. Called behind those of on_idle(), in the order in which they were asked for.
  HookId on_demand(std::function<void()> fn);
  /// A hook of on_demand() runs once more: at the end of the present turn, or before the next wait.
  void ask_for(HookId hook);
  void remove_hook(HookId hook);

  /// For what may have been destroyed by one of its own handlers, and be on the stack still. `gone` is called
  /// at once when no turn runs, and at the end of each turn that is inside no other one, until it is true; it
  /// is destroyed then, or with the loop, and what it holds with it.
  void retire(std::function<bool()> gone);

  struct Impl;

 private:
  std::unique_ptr<Context> own_context_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft
