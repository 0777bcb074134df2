#include <algorithm>
#include <cassert>
#include <cerrno>
#include <climits>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

#include "loop_impl.hpp"
#include "zmq_error.hpp"

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

Loop::Impl::~Impl() {
  for (auto& watch : watches) {
    if (watch->socket != nullptr) watch->socket->on_close = nullptr;
  }
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
  if (depth == kMaxDepth) return false;
  const Scoped nesting(depth, depth + 1);
  if (!hooks_fresh) run_hooks();
  auto& found = ready[static_cast<std::size_t>(depth - 1)];
  bool happened = false;
  do {
    found.clear();
    wait(deadline);
    collect(found);
    now = Clock::now();
    ++turns;
    if (std::exchange(mail, false)) mailbox.acknowledge();
    happened = mailbox.deliver();
    happened = timers.fire(now) || happened;
    happened = dispatch(found) || happened;
  } while (!happened && !mailbox.stop_wanted() && !deadline.passed(now));
  if (happened) run_hooks();
  if (depth == 1) bury();
  return happened;
}

// Waits until a socket, a descriptor or the mailbox is ready, a timer is due, or the deadline.
void Loop::Impl::wait(Deadline deadline) {
  if (changed) rebuild();
  // What a handler on the stack still has to read would end each wait inside it at once.
  for (std::size_t i = 0; depth > 1 && i < polled.size(); ++i) {
    if (polled[i]->running) items[i + 1].events = 0, changed = true;
  }
  while (zmq_poll(items.data(), static_cast<int>(items.size()), millis_to_wait(deadline)) < 0) {
    if (zmq_errno() == EINTR) continue;
    if (zmq_errno() != ETERM) throw transport::zmq_failure("cannot wait for sockets", zmq_errno());
    mailbox.stop();  // nothing can happen any more
    return;
  }
  mail = items[0].revents != 0;
}

int Loop::Impl::millis_to_wait(Deadline deadline) {
  if (mailbox.stop_wanted() || mailbox.backlog()) return 0;
  const auto until = std::min(deadline.point(), timers.next());
  if (until == TimePoint::max()) return -1;
  // Rounded up: a wait that ends before its timer is due would be followed by useless short ones.
  const auto left = Deadline::at(until).left(Clock::now());
  return static_cast<int>(
      std::min<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count(), INT_MAX));
}

void Loop::Impl::rebuild() {
  items.clear();
  polled.clear();
  items.push_back({nullptr, mailbox.fd(), ZMQ_POLLIN, 0});
  for (auto& watch : watches) {
    const auto events =
        static_cast<short>((watch->readable ? ZMQ_POLLIN : 0) | (watch->writable ? ZMQ_POLLOUT : 0));
    void* handle = watch->socket != nullptr ? watch->socket->socket.handle() : nullptr;
    items.push_back({handle, watch->fd, events, 0});
    polled.push_back(watch.get());
  }
  changed = false;
}

// Starts at another watch each turn, so that none is always served last.
void Loop::Impl::collect(std::vector<Ready>& found) {
  const std::size_t count = polled.size();
  const std::size_t start = count != 0 ? turns % count : 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = start + i < count ? start + i : start + i - count;
    if (items[at + 1].revents != 0) found.push_back({polled[at], items[at + 1].revents});
  }
}

bool Loop::Impl::dispatch(const std::vector<Ready>& found) {
  bool any = false;
  for (const auto& [watch, events] : found) {
    if (watch->removed || watch->running) continue;
    any = true;
    handle(*watch, events);
  }
  return any;
}

void Loop::Impl::handle(Watch& watch, short events) {
  const Scoped running(watch.running, true);
  // A hang-up shows as an error; reading is how its handler learns of it.
  if ((events & ~ZMQ_POLLOUT) != 0 && watch.readable) watch.readable();
  if ((events & ZMQ_POLLOUT) != 0 && watch.writable && !watch.removed) {
    const auto fn = watch.writable;  // stays while it runs, also when it switches itself off
    (*fn)();
  }
}

void Loop::Impl::run_hooks() {
  hooks_fresh = true;
  for (std::size_t i = 0; i < hooks.size(); ++i) {
    auto& hook = *hooks[i];
    if (hook.removed || hook.running) continue;
    const Scoped running(hook.running, true);
    hook.fn();
  }
}

void Loop::Impl::bury() {
  dead_watches.clear();
  if (std::any_of(hooks.begin(), hooks.end(), [](const auto& hook) { return hook->removed; })) {
    std::erase_if(hooks, [](const auto& hook) { return hook->removed; });
  }
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
  if (watch.socket != nullptr) watch.socket->on_close = nullptr;
  watch.socket = nullptr;
  if (depth > 0) dead_watches.push_back(std::move(*found));
  watches.erase(found);
  changed = true;
}

Loop::Loop() : own_context_(std::make_unique<Context>()), impl_(std::make_unique<Impl>(*own_context_)) {}
Loop::Loop(Context& context) : impl_(std::make_unique<Impl>(context)) {}
Loop::~Loop() = default;

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
  const WatchId id = watch->id = impl_->next_id++;
  watch->socket = target;
  watch->fd = 0;
  watch->readable = std::move(on_readable);
  // A socket that dies while it is watched must not be polled again.
  target->on_close = [impl = impl_.get(), id] { impl->remove(id); };
  impl_->watches.push_back(std::move(watch));
  impl_->changed = true;
  return id;
}

void Loop::on_writable(WatchId watch, std::function<void()> on_writable) {
  impl_->check_thread();
  auto* found = impl_->find(watch);
  if (found == nullptr) return;
  const bool before = static_cast<bool>(found->writable);
  found->writable = on_writable ? std::make_shared<std::function<void()>>(std::move(on_writable)) : nullptr;
  if (before != static_cast<bool>(found->writable)) impl_->changed = true;
}

Loop::WatchId Loop::watch_fd(int fd, std::function<void()> on_readable) {
  impl_->check_thread();
  assert(fd >= 0);
  auto watch = std::make_unique<Impl::Watch>();
  const WatchId id = watch->id = impl_->next_id++;
  watch->fd = fd;
  watch->readable = std::move(on_readable);
  impl_->watches.push_back(std::move(watch));
  impl_->changed = true;
  return id;
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

void Loop::remove_hook(HookId hook) {
  impl_->check_thread();
  auto& hooks = impl_->hooks;
  const auto found =
      std::find_if(hooks.begin(), hooks.end(), [&](const auto& one) { return one->id == hook; });
  if (found == hooks.end()) return;
  if (impl_->depth > 0) {
    (*found)->removed = true;  // it may be on the stack
  } else {
    hooks.erase(found);
  }
}

}  // namespace weft
