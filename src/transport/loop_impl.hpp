// Loop::Impl: what a turn of the loop works on.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include <weft/transport/loop.hpp>

#include "mailbox.hpp"
#include "poller.hpp"
#include "socket_impl.hpp"
#include "timers.hpp"

namespace weft {

struct Loop::Impl {
  static constexpr int kMaxDepth = 8;  // of turns inside handlers

  struct Watch : transport::Poller::Entry {
    std::function<void()> readable;
    std::shared_ptr<std::function<void()>> writable;
    std::uint64_t served = 0;  // the last turn when its handler was called
    bool removed = false;      // its memory goes when no turn is on the stack
  };
  struct Hook {
    HookId id = 0;
    std::function<void()> fn;
    bool running = false;
    bool removed = false;
    bool asked = false;  // of those on demand
  };
  using Ready = std::vector<transport::Poller::Ready>;

  explicit Impl(Context& shared);
  ~Impl();

  bool turn(Deadline deadline);
  void wait(Deadline deadline, Ready& found);
  bool dispatch(const Ready& found, std::uint64_t number);
  void handle(Watch& watch, bool readable, bool writable);
  WatchId add(std::unique_ptr<Watch> watch);
  void run_hooks();
  static void run(Hook& hook);
  void bury();
  void let_go();
  Watch* find(WatchId id);
  void remove(WatchId id);
  void check_thread() const;
  void begin_run();
  void end_run();

  Context& context;
  transport::Mailbox mailbox;
  transport::Poller poller;
  transport::Poller::Entry mail;  // of the mailbox
  transport::Timers timers;
  std::vector<std::unique_ptr<Watch>> watches;
  std::vector<std::unique_ptr<Watch>> dead_watches;
  std::vector<std::unique_ptr<Hook>> hooks;
  std::unordered_map<HookId, std::unique_ptr<Hook>> demand_hooks;
  std::deque<Hook*> asked;  // of demand_hooks
  std::vector<std::unique_ptr<Hook>> dead_hooks;
  std::vector<std::function<bool()>> retired;
  std::array<Ready, kMaxDepth> ready;  // one for each turn on the stack
  std::uint64_t turns = 0;
  std::uint64_t next_id = 1;
  TimePoint now = Clock::now();
  int depth = 0;             // turns on the stack
  int run_depth = 0;         // run*() on the stack
  bool hooks_fresh = false;  // nothing happened since the hooks ran
  bool hooks_removed = false;
  std::atomic<bool> stopped{false};
  std::atomic<std::thread::id> runner{};
};

}  // namespace weft
