#include <weft/transport/context.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/processes.hpp>

#include "context_impl.hpp"
#include "zmq_error.hpp"

namespace weft {
namespace {

// How often it is looked whether descriptors are free again.
constexpr std::chrono::milliseconds kReliefEvery(200);

// A node has a descriptor for each peer; at the limit none can come any more.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // not being allowed to is no reason to stop
}

// libzmq allocates each large frame that it receives, and glibc gives what lies free at the end of a heap
// back to the system from 128 KiB on: most batches would bring their pages as page faults. Its thresholds
// follow the largest block that was freed, unless the program has set them itself; this one block makes them
// 4 MiB for a mapping of its own and 8 MiB for giving back. It is never touched, so it costs nothing.
void keep_freed_batches() {
#ifdef __GLIBC__
  constexpr std::size_t largest = 4ULL << 20;
  void* volatile block = std::malloc(largest);
  std::free(block);
#endif
}

// Signals belong to the threads that ask for them (signalfd needs them blocked everywhere).
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

std::string_view text_of(const zmq::message_t& message) {
  return {static_cast<const char*>(message.data()), message.size()};
}

}  // namespace

void ContextOptions::check() const {
  const auto refuse = [](std::string_view field, int value, int low, int high) {
    if (value >= low && value <= high) return;
    throw Error(Errc::invalid_argument,
                format("ContextOptions::{} is {}; it must be from {} to {}", field, value, low, high));
  };
  refuse("io_threads", io_threads, 1, 16);
  refuse("max_sockets", max_sockets, 8, 65536);
}

Context::Context(ContextOptions options) {
  options.check();
  open_standard_streams();  // a program that embeds this: what it prints must not go into a socket
  impl_ = std::make_unique<Impl>(options);
}

Context::~Context() = default;

Context::Impl::Impl(const ContextOptions& o) : options(o) {
  raise_descriptor_limit();
  keep_freed_batches();
  try {
    context.set(zmq::ctxopt::io_threads, options.io_threads);
    // A socket that binds or connects brings two of its monitor, and one that was closed is given back in the
    // background; what users may open is bounded by open_sockets.
    const int limit = context.get(zmq::ctxopt::socket_limit);
    context.set(zmq::ctxopt::max_sockets, std::min(limit, 4 * options.max_sockets + 64));
  } catch (const zmq::error_t& error) {
    throw transport::zmq_failure("cannot set up the ZeroMQ context", error.num());
  }
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) throw transport::zmq_failure("cannot set up the ZeroMQ context", errno);
  descriptors = std::make_unique<transport::Descriptors>(wake_fd_);
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { serve(); });
}

Context::Impl::~Impl() {
  assert(open_sockets.load() == 0 && "close every Socket before its Context");
  stopping_.store(true, std::memory_order_release);
  wake();
  if (thread_.joinable()) thread_.join();
  context.shutdown();
  for (auto& left : new_) left.pair.close();
  // Waits for lingering sockets, each within its linger. A socket that is still open would make that for
  // ever: leak.
  if (open_sockets.load() == 0) {
    context.close();
  } else {
    new zmq::context_t(std::move(context));
  }
  descriptors.reset();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void Context::Impl::monitor(zmq::socket_t pair, std::shared_ptr<Monitored> monitored) {
  descriptors->open();
  {
    const std::lock_guard lock(mutex_);
    new_.push_back({std::move(pair), std::move(monitored)});
  }
  wake();
}

void Context::Impl::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void Context::Impl::serve() {
  pthread_setname_np(pthread_self(), "weft/watch");
  while (serve_once()) {
  }
  watched_.clear();
}

// One wait and what it brought; false when the context ends.
bool Context::Impl::serve_once() {
  if (items_.empty()) {
    items_.push_back({nullptr, wake_fd_, ZMQ_POLLIN, 0});
    for (auto& watched : watched_) items_.push_back({watched.pair.handle(), 0, ZMQ_POLLIN, 0});
  }
  const long wait = relief_at_ ? kReliefEvery.count() : -1;
  if (zmq_poll(items_.data(), static_cast<int>(items_.size()), wait) < 0) return zmq_errno() == EINTR;

  bool changed = false;
  if (items_[0].revents != 0) {
    take_new();
    changed = true;
  }
  // Looked at behind that: the call that came with it may have been the one that take_new() has answered.
  if (stopping_.load(std::memory_order_acquire)) return false;
  try {
    for (std::size_t i = watched_.size(); i-- > 0;) {
      const bool readable = i + 1 < items_.size() && items_[i + 1].revents != 0;
      const bool ended = readable && !drain(watched_[i]);
      if (!ended && !watched_[i].monitored->finished.load(std::memory_order_acquire)) continue;
      watched_.erase(watched_.begin() + static_cast<std::ptrdiff_t>(i));
      changed = true;
    }
  } catch (const zmq::error_t& error) {
    if (error.num() == ETERM) return false;
    changed = true;
  }
  look_for_relief();
  if (changed) items_.clear();
  return true;
}

void Context::Impl::take_new() {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const auto got = ::read(wake_fd_, &ignored, sizeof ignored);
  const std::lock_guard lock(mutex_);
  for (auto& fresh : new_) watched_.push_back(std::move(fresh));
  new_.clear();
}

// Books all events that wait; false when the monitor has ended.
bool Context::Impl::drain(Watched& watched) {
  zmq::message_t frame;
  while (watched.pair.recv(frame, zmq::recv_flags::dontwait)) {
    std::uint16_t event = 0;
    std::int32_t value = 0;
    if (frame.size() == sizeof event + sizeof value) {
      std::memcpy(&event, frame.data(), sizeof event);
      std::memcpy(&value, static_cast<const char*>(frame.data()) + sizeof event, sizeof value);
    }
    while (frame.more()) {
      if (!watched.pair.recv(frame, zmq::recv_flags::dontwait)) break;  // the endpoint
    }
    if (event == ZMQ_EVENT_MONITOR_STOPPED) return false;
    book(watched, event, value, text_of(frame));
  }
  return true;
}

void Context::Impl::book(Watched& watched, std::uint16_t event, std::int32_t value,
                         std::string_view endpoint) {
  transport::ConnectionCount& count = watched.monitored->count;
  transport::Accepted& accepted = watched.monitored->accepted;
  switch (event) {
    case ZMQ_EVENT_ACCEPTED:
      count.on_accepted(value);
      if (relief_at_) accepted.on_exhausted(endpoint);
      return accepted.on_accepted(value, endpoint, Clock::now(), relief_at_.has_value());
    case ZMQ_EVENT_ACCEPT_FAILED:
      if (value == EMFILE || value == ENFILE) exhausted(watched, endpoint);
      return;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      return count.on_handshake();
    case ZMQ_EVENT_DISCONNECTED:
      return count.on_disconnected(value, accepted.on_disconnected(value));
    default:
      return;
  }
}

// Who connects waits in the system's queue, and libzmq's I/O thread asks for it without a pause as long as
// accept() fails: a whole core for nothing, and no word to anybody. The reserve lets it be accepted; it is
// then ended, or a stranger in its place. So peers hear at once that there is no room, come again at their
// own pace, and find it when there is some.
void Context::Impl::exhausted(Watched& watched, std::string_view endpoint) {
  if (!relief_at_) {
    descriptors->lend_reserve();
    relief_at_ = Clock::now() + kReliefEvery;
  }
  watched.monitored->accepted.on_exhausted(endpoint);
}

void Context::Impl::look_for_relief() {
  const TimePoint now = Clock::now();
  if (!relief_at_ || now < *relief_at_) return;
  relief_at_ = now + kReliefEvery;
  if (!descriptors->restore_reserve()) return;
  relief_at_.reset();
  for (auto& watched : watched_) watched.monitored->accepted.on_relieved();
}

}  // namespace weft
