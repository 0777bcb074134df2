// Loop::Impl: what a turn of the loop works on.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <zmq.h>

#include <weft/transport/loop.hpp>

#include "mailbox.hpp"
#include "socket_impl.hpp"
#include "timers.hpp"

namespace weft {

struct Loop::Impl {
  static constexpr int kMaxDepth = 8;  // of turns inside handlers

  struct Watch {
    WatchId id = 0;
    transport::Socket::Impl* socket = nullptr;  // null for a descriptor
    int fd = -1;
    std::function<void()> readable;
    std::shared_ptr<std::function<void()>> writable;
    bool running = false;  // one of its functions is on the stack
    bool removed = false;  // its memory goes when no turn is on the stack
  };
  struct Hook {
    HookId id = 0;
    std::function<void()> fn;
    bool running = false;
    bool removed = false;
  };
  struct Ready {
    Watch* watch;
    short events;
  };

  explicit Impl(Context& shared) : context(shared) {}
  ~Impl();

  bool turn(Deadline deadline);
  void wait(Deadline deadline);
  int millis_to_wait(Deadline deadline);
  void rebuild();
  void collect(std::vector<Ready>& ready);
  bool dispatch(const std::vector<Ready>& ready);
  void handle(Watch& watch, short events);
  void run_hooks();
  void bury();
  Watch* find(WatchId id);
  void remove(WatchId id);
  void check_thread() const;
  void begin_run();
  void end_run();

  Context& context;
  transport::Mailbox mailbox;
  transport::Timers timers;
  std::vector<std::unique_ptr<Watch>> watches;
  std::vector<std::unique_ptr<Watch>> dead_watches;
  std::vector<std::unique_ptr<Hook>> hooks;
  std::vector<zmq_pollitem_t> items;  // the mailbox, then one for each watch as of the last rebuild()
  std::vector<Watch*> polled;         // polled[i] belongs to items[i + 1]
  std::array<std::vector<Ready>, kMaxDepth> ready;  // one for each turn on the stack
  std::uint64_t turns = 0;
  std::uint64_t next_id = 1;
  TimePoint now = Clock::now();
  int depth = 0;             // turns on the stack
  int run_depth = 0;         // run*() on the stack
  bool changed = true;       // items must be built anew
  bool hooks_fresh = false;  // nothing happened since the hooks ran
  bool mail = false;         // the last wait saw the mailbox
  std::atomic<bool> stopped{false};
  std::atomic<std::thread::id> runner{};
};

}  // namespace weft
