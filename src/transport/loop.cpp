#include <weft/transport/loop.hpp>

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/transport/socket.hpp>

#include "loop_impl.hpp"

namespace weft {
namespace {

// Sets a value for the life of a scope, exceptions included.
template <class T>
class Scoped {
 public:
  Scoped(T& target, T value) : target_(target), before_(std::exchange(target, value)) {}
  ~Scoped() { target_ = before_; }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;

 private:
  T& target_;
  T before_;
};

}  // namespace

Loop::Impl::Impl(Context& shared) : context(shared) {
  mail.fd = mailbox.fd();
  poller.add(mail);  // with id 0, which no watch has
}

Loop::Impl::~Impl() {
  while (!watches.empty()) remove(watches.back()->id);
}

void Loop::Impl::check_thread() const {
  [[maybe_unused]] const auto id = runner.load(std::memory_order_relaxed);
  assert((id == std::thread::id{} || id == std::this_thread::get_id()) &&
         "a running Loop belongs to the thread that runs it; use post()");
}

void Loop::Impl::begin_run() {
  check_thread();
  if (run_depth++ != 0) return;
  runner.store(std::this_thread::get_id(), std::memory_order_relaxed);
  hooks_fresh = false;
  if (!mailbox.stop_wanted()) stopped = false;
}

// The outermost run takes the stop, so that it ends those inside as well.
void Loop::Impl::end_run() {
  if (--run_depth != 0) return;
  if (mailbox.stop_wanted()) {
    stopped = true;
    mailbox.take_stop();
  }
  runner.store(std::thread::id{}, std::memory_order_relaxed);
}

// One turn: hooks, wait, posted calls, timers, sockets, hooks.
bool Loop::Impl::turn(Deadline deadline) {
  if (depth == kMaxDepth) {
    throw Error(Errc::internal,
                "a handler waits inside a handler that waits ...: more than 8 turns of the loop are "
                "inside each other; post() the inner work instead");
  }
  const Scoped nesting(depth, depth + 1);
  auto& found = ready[static_cast<std::size_t>(depth - 1)];
  bool happened = false;
  do {
    if (!hooks_fresh) run_hooks();
    found.clear();
    wait(deadline, found);
    const auto number = ++turns;
    now = Clock::now();
    happened = mailbox.deliver();
    happened = timers.fire(now) || happened;
    happened = dispatch(found, number) || happened;
  } while (!happened && !mailbox.stop_wanted() && !deadline.passed(now));
  if (happened) run_hooks();
  if (depth == 1) bury();
  return happened;
}

// Waits until a socket, a descriptor or the mailbox is ready, a timer is due, or the deadline.
void Loop::Impl::wait(Deadline deadline, Ready& found) {
  // A hook below this turn on the stack is not called before the wait is over.
  const bool asked_for = std::ranges::any_of(asked, [](const Hook* hook) { return !hook->running; });
  const bool busy = asked_for || mailbox.stop_wanted() || mailbox.backlog();
  if (!poller.wait(busy ? TimePoint::min() : std::min(deadline.point(), timers.next()), found)) {
    mailbox.stop();  // nothing can happen any more
  }
  if (std::erase_if(found, [this](const auto& one) { return one.entry == &mail; }) != 0)
    mailbox.acknowledge();
  // Another one goes first in each turn, so that none is always served last.
  if (found.size() > 1) {
    std::rotate(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(turns % found.size()),
                found.end());
  }
}

// `number`: of the turn that found them. A turn inside it may have served one since; to read again could
// block.
bool Loop::Impl::dispatch(const Ready& found, std::uint64_t number) {
  bool any = false;
  for (const auto& [entry, readable, writable] : found) {
    auto& watch = static_cast<Watch&>(*entry);
    if (watch.removed || watch.running || watch.served > number) continue;
    any = true;
    handle(watch, readable, writable);
  }
  return any;
}

void Loop::Impl::handle(Watch& watch, bool readable, bool writable) {
  struct Running {
    explicit Running(Impl& i, Watch& w) : impl(i), watch(w) { watch.running = true, watch.served = i.turns; }
    ~Running() {
      watch.running = false;
      if (!watch.removed) impl.poller.released(watch);
    }
    Impl& impl;
    Watch& watch;
  } const running(*this, watch);
  if (readable && watch.readable) watch.readable();
  if (writable && watch.writable && !watch.removed) {
    const auto fn = watch.writable;  // stays while it runs, also when it switches itself off
    (*fn)();
  }
}

void Loop::Impl::run(Hook& hook) {
  if (hook.removed || hook.running) return;
  const Scoped running(hook.running, true);
  hook.fn();
}

void Loop::Impl::run_hooks() {
  hooks_fresh = true;
  for (std::size_t i = 0; i < hooks.size(); ++i) run(*hooks[i]);
  // By count: what one of them asks for comes before the next wait. Taken off the front, so that an exception
  // leaves the rest asked for.
  for (std::size_t left = asked.size(); left > 0 && !asked.empty(); --left) {
    Hook& hook = *asked.front();
    asked.pop_front();
    if (hook.running) {  // on the stack below this turn: after it
      asked.push_back(&hook);
      continue;
    }
    hook.asked = false;
    run(hook);
  }
  if (!asked.empty()) hooks_fresh = false;
}

void Loop::Impl::bury() {
  dead_watches.clear();
  dead_hooks.clear();
  if (std::exchange(hooks_removed, false))
    std::erase_if(hooks, [](const auto& hook) { return hook->removed; });
  if (!retired.empty()) let_go();
}

// Their ends may retire others.
void Loop::Impl::let_go() {
  auto asked_now = std::exchange(retired, {});
  std::erase_if(asked_now, [](const auto& gone) { return gone(); });
  std::ranges::move(asked_now, std::back_inserter(retired));
}

Loop::Impl::Watch* Loop::Impl::find(WatchId id) {
  const auto found = std::lower_bound(watches.begin(), watches.end(), id,
                                      [](const auto& watch, WatchId wanted) { return watch->id < wanted; });
  return found != watches.end() && (*found)->id == id ? found->get() : nullptr;
}

void Loop::Impl::remove(WatchId id) {
  const auto found = std::lower_bound(watches.begin(), watches.end(), id,
                                      [](const auto& watch, WatchId wanted) { return watch->id < wanted; });
  if (found == watches.end() || (*found)->id != id) return;
  auto& watch = **found;
  watch.removed = true;
  poller.remove(watch);
  if (watch.socket != nullptr) {
    watch.socket->on_close = nullptr;
    watch.socket->poller = nullptr;
    watch.socket->entry = nullptr;
  }
  if (depth > 0) dead_watches.push_back(std::move(*found));
  watches.erase(found);
}

Loop::WatchId Loop::Impl::add(std::unique_ptr<Watch> watch) {
  const WatchId id = watch->id = next_id++;
  watch->want_read = true;
  poller.add(*watch);
  if (watch->socket != nullptr) {
    // A socket that dies while it is watched must not be asked again.
    watch->socket->on_close = [this, id] { remove(id); };
    watch->socket->poller = &poller;
    watch->socket->entry = watch.get();
  }
  watches.push_back(std::move(watch));
  return id;
}

Loop::Loop() : own_context_(std::make_unique<Context>()), impl_(std::make_unique<Impl>(*own_context_)) {}
Loop::Loop(Context& context) : impl_(std::make_unique<Impl>(context)) {}
Loop::~Loop() {
  // Their ends may use the loop, and retire others.
  while (!impl_->retired.empty()) {
    const auto last = std::move(impl_->retired.back());
    impl_->retired.pop_back();
  }
}

Context& Loop::context() {
  return impl_->context;
}

namespace {

// Keeps begin and end of a run together, exceptions included.
class Run {
 public:
  explicit Run(Loop::Impl& impl) : impl_(impl) { impl_.begin_run(); }
  ~Run() { impl_.end_run(); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

 private:
  Loop::Impl& impl_;
};

}  // namespace

void Loop::run() {
  const Run running(*impl_);
  while (!impl_->mailbox.stop_wanted()) impl_->turn(Deadline::never());
}

bool Loop::run_until(const std::function<bool()>& done, Deadline deadline) {
  const Run running(*impl_);
  for (bool last = false;;) {
    if (done()) return true;
    if (last || impl_->mailbox.stop_wanted()) return false;
    last = deadline.passed(Clock::now());
    impl_->turn(deadline);
  }
}

bool Loop::run_once(Deadline deadline) {
  const Run running(*impl_);
  return impl_->turn(deadline);
}

void Loop::breathe() {
  if (impl_->depth == Impl::kMaxDepth) return;
  const Run running(*impl_);
  impl_->turn(Deadline::at(TimePoint::min()));
}

void Loop::stop() {
  impl_->mailbox.stop();
}

bool Loop::stopped() const {
  return impl_->stopped || impl_->mailbox.stop_wanted();
}

void Loop::post(std::function<void()> fn) {
  impl_->mailbox.post(std::move(fn));
}

TimePoint Loop::now() const {
  // Outside of a turn the last one may be long ago, and what counts from it would be over too early.
  if (impl_->depth == 0) impl_->now = Clock::now();
  return impl_->now;
}

Loop::TimerId Loop::at(TimePoint when, std::function<void()> fn) {
  impl_->check_thread();
  return impl_->timers.add(when, Duration::zero(), std::move(fn));
}

Loop::TimerId Loop::every(Duration period, std::function<void()> fn) {
  impl_->check_thread();
  assert(period > Duration::zero());
  const auto at_least = std::max<Duration>(period, std::chrono::microseconds(1));
  return impl_->timers.add(Deadline::after(at_least).point(), at_least, std::move(fn));
}

void Loop::cancel(TimerId timer) {
  impl_->check_thread();
  impl_->timers.cancel(timer);
}

Loop::WatchId Loop::watch(transport::Socket& socket, std::function<void()> on_readable) {
  impl_->check_thread();
  auto* target = socket.impl();
  assert(target != nullptr && !target->on_close && "the socket is closed or watched already");
  auto watch = std::make_unique<Impl::Watch>();
  watch->socket = target;
  watch->readable = std::move(on_readable);
  return impl_->add(std::move(watch));
}

void Loop::on_writable(WatchId watch, std::function<void()> on_writable) {
  impl_->check_thread();
  auto* found = impl_->find(watch);
  if (found == nullptr || found->socket == nullptr) return;
  found->want_write = static_cast<bool>(on_writable);
  found->writable = on_writable ? std::make_shared<std::function<void()>>(std::move(on_writable)) : nullptr;
  impl_->poller.touch(*found);
}

Loop::WatchId Loop::watch_fd(int fd, std::function<void()> on_readable) {
  impl_->check_thread();
  assert(fd >= 0);
  auto watch = std::make_unique<Impl::Watch>();
  watch->fd = fd;
  watch->readable = std::move(on_readable);
  return impl_->add(std::move(watch));
}

void Loop::unwatch(WatchId watch) {
  impl_->check_thread();
  impl_->remove(watch);
}

Loop::HookId Loop::on_idle(std::function<void()> fn) {
  impl_->check_thread();
  auto hook = std::make_unique<Impl::Hook>();
  const HookId id = hook->id = impl_->next_id++;
  hook->fn = std::move(fn);
  impl_->hooks.push_back(std::move(hook));
  impl_->hooks_fresh = false;
  return id;
}

Loop::HookId Loop::on_demand(std::function<void()> fn) {
  impl_->check_thread();
  auto hook = std::make_unique<Impl::Hook>();
  const HookId id = hook->id = impl_->next_id++;
  hook->fn = std::move(fn);
  impl_->demand_hooks.emplace(id, std::move(hook));
  return id;
}

void Loop::ask_for(HookId hook) {
  impl_->check_thread();
  const auto found = impl_->demand_hooks.find(hook);
  if (found == impl_->demand_hooks.end() || std::exchange(found->second->asked, true)) return;
  impl_->asked.push_back(found->second.get());
  impl_->hooks_fresh = false;
}

void Loop::remove_hook(HookId hook) {
  impl_->check_thread();
  if (const auto demand = impl_->demand_hooks.find(hook); demand != impl_->demand_hooks.end()) {
    if (demand->second->asked) std::erase(impl_->asked, demand->second.get());
    if (impl_->depth > 0) {  // it may be on the stack
      demand->second->removed = true;
      impl_->dead_hooks.push_back(std::move(demand->second));
    }
    impl_->demand_hooks.erase(demand);
    return;
  }
  auto& hooks = impl_->hooks;
  const auto found =
      std::find_if(hooks.begin(), hooks.end(), [&](const auto& one) { return one->id == hook; });
  if (found == hooks.end()) return;
  if (impl_->depth > 0) {
    (*found)->removed = impl_->hooks_removed = true;  // it may be on the stack
  } else {
    hooks.erase(found);
  }
}

void Loop::retire(std::function<bool()> gone) {
  impl_->check_thread();
  if (impl_->depth == 0 && gone()) return;
  impl_->retired.push_back(std::move(gone));
}

}  // namespace weft
