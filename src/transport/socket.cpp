#include <weft/transport/socket.hpp>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/wire/limits.hpp>

#include "endpoint.hpp"
#include "socket_impl.hpp"
#include "tsan.hpp"
#include "zmq_error.hpp"

namespace weft::transport {
namespace {

constexpr int kHandshakeMillis = 3000;
constexpr int kReconnectMillis = 100;
// Twice a second: a peer that is back, or a network that has healed, is found at once. The system asks again
// one second after the first try; a try of two seconds and the pause behind it leave no longer gap.
constexpr int kReconnectMaxMillis = 500;
constexpr int kConnectMillis = 2000;
constexpr std::size_t kMaxStored = wire::kMaxFrames + 2;  // with a routing id and a topic

zmq::socket_type native(SocketType type) {
  switch (type) {
    case SocketType::router:
      return zmq::socket_type::router;
    case SocketType::dealer:
      return zmq::socket_type::dealer;
    case SocketType::push:
      return zmq::socket_type::push;
    case SocketType::pull:
      return zmq::socket_type::pull;
    case SocketType::xpub:
      return zmq::socket_type::xpub;
    case SocketType::sub:
      return zmq::socket_type::sub;
    case SocketType::pair:
      return zmq::socket_type::pair;
  }
  assert(false && "unknown SocketType");
  return zmq::socket_type::pair;
}

void check(const SocketOptions& options) {
  const auto refuse = [](std::string_view field, auto value, std::string_view expected) {
    throw Error(Errc::invalid_argument,
                format("SocketOptions::{} is {}; it must be {}", field, value, expected));
  };
  if (options.send_high_water < 0) refuse("send_high_water", options.send_high_water, "0 or more messages");
  if (options.receive_high_water < 0)
    refuse("receive_high_water", options.receive_high_water, "0 or more messages");
  if (options.send_buffer_bytes < 0)
    refuse("send_buffer_bytes", options.send_buffer_bytes, "0 or more bytes");
  if (options.receive_buffer_bytes < 0) {
    refuse("receive_buffer_bytes", options.receive_buffer_bytes, "0 or more bytes");
  }
  if (options.linger < Duration::zero()) refuse("linger", options.linger.count(), "0 or more nanoseconds");
  if (options.max_frame_bytes == 0 || options.max_frame_bytes > static_cast<std::uint64_t>(INT64_MAX)) {
    refuse("max_frame_bytes", options.max_frame_bytes, "from 1 to 2^63-1 bytes");
  }
}

int whole_millis(Duration span) {
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(span).count();
  return static_cast<int>(std::min<std::int64_t>(millis, INT_MAX));
}

// Sends one part; false with errno when libzmq refuses it. The frame is untouched then.
bool send_part(void* socket, zmq_msg_t* part, int flags) {
#ifdef WEFT_TSAN
  tsan_handed_over(zmq_msg_data(part));
#endif
  for (;;) {
    if (zmq_msg_send(part, socket, flags | ZMQ_DONTWAIT) >= 0) return true;
    if (zmq_errno() != EINTR) return false;
  }
}

bool descriptors_left() {
  const int fd = ::dup(STDERR_FILENO);
  if (fd < 0) return errno != EMFILE && errno != ENFILE;
  ::close(fd);
  return true;
}

}  // namespace

Socket::Impl::Impl(Context::Impl& c, SocketType t, const SocketOptions& options, bool count)
    : context(c), type(t), counted(count) {
  check(options);
  if (counted && context.open_sockets.fetch_add(1) >= context.options.max_sockets) {
    context.open_sockets.fetch_sub(1);
    throw Error(Errc::io,
                format("cannot open a socket: ContextOptions::max_sockets is {} and as many are open",
                       context.options.max_sockets));
  }
  try {
    socket = zmq::socket_t(context.context, native(type));
    apply(options);
  } catch (const zmq::error_t& error) {
    if (counted) context.open_sockets.fetch_sub(1);
    throw zmq_failure("cannot open a socket", error.num());
  }
}

Socket::Impl::~Impl() {
  if (on_close) std::exchange(on_close, nullptr)();
  stop_monitor();
  // A monitor that goes on without a reader would block libzmq's I/O thread.
  if (news) zmq_socket_monitor(socket.handle(), nullptr, 0);
  news.reset();
  listeners.clear();
  socket.close();
  if (counted) context.open_sockets.fetch_sub(1);
}

void Socket::Impl::apply(const SocketOptions& options) {
  socket.set(zmq::sockopt::zap_domain, kZapDomain);
  socket.set(zmq::sockopt::linger, whole_millis(options.linger));
  socket.set(zmq::sockopt::immediate, options.immediate);
  socket.set(zmq::sockopt::sndhwm, options.send_high_water);
  socket.set(zmq::sockopt::rcvhwm, options.receive_high_water);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(options.max_frame_bytes));
  socket.set(zmq::sockopt::handshake_ivl, kHandshakeMillis);
  socket.set(zmq::sockopt::reconnect_ivl, kReconnectMillis);
  socket.set(zmq::sockopt::reconnect_ivl_max, kReconnectMaxMillis);
  socket.set(zmq::sockopt::connect_timeout, kConnectMillis);
  if (options.send_buffer_bytes > 0) socket.set(zmq::sockopt::sndbuf, options.send_buffer_bytes);
  if (options.receive_buffer_bytes > 0) socket.set(zmq::sockopt::rcvbuf, options.receive_buffer_bytes);
  if (type == SocketType::router) socket.set(zmq::sockopt::router_mandatory, true);
  // Else the second of two equal subscriptions says nothing, and its connection looks like a stranger's.
  if (type == SocketType::xpub) socket.set(zmq::sockopt::xpub_verbose, true);
}

// The pair has no bound on what it queues: a full one would block libzmq's I/O thread. The service thread
// drains it.
void Socket::Impl::start_monitor() {
  if (monitored) return;
  const auto name = format("inproc://weft-monitor-{}", context.next_name.fetch_add(1));
  const int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
                     ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_MONITOR_STOPPED;
  if (zmq_socket_monitor(socket.handle(), name.c_str(), events) != 0) {
    throw zmq_failure("cannot monitor a socket", zmq_errno());
  }
  zmq::socket_t pair(context.context, zmq::socket_type::pair);
  pair.set(zmq::sockopt::linger, 0);
  pair.set(zmq::sockopt::rcvhwm, 0);
  pair.connect(name);
  monitored = std::make_shared<Monitored>(*context.descriptors, strangers, std::move(on_accept_news));
  context.monitor(std::move(pair), monitored);
}

void Socket::Impl::stop_monitor() {
  if (!monitored) return;
  monitored->accepted.close();
  zmq_socket_monitor(socket.handle(), nullptr, 0);
  monitored->finished.store(true, std::memory_order_release);
  context.wake();
}

void Socket::Impl::check_thread() {
#ifndef NDEBUG
  if (owner == std::thread::id{}) owner = std::this_thread::get_id();
  assert(owner == std::this_thread::get_id() && "a Socket is used by one thread");
#endif
}

int Socket::Impl::events() {
  int events = 0;
  std::size_t size = sizeof events;
  while (zmq_getsockopt(socket.handle(), ZMQ_EVENTS, &events, &size) != 0) {
    if (zmq_errno() != EINTR) return -1;
  }
  return events;
}

int Socket::Impl::descriptor() {
  int fd = -1;
  std::size_t size = sizeof fd;
  if (zmq_getsockopt(socket.handle(), ZMQ_FD, &fd, &size) != 0)
    throw zmq_failure("cannot watch a socket", zmq_errno());
  return fd;
}

Socket::Socket(Context& context, SocketType type, const SocketOptions& options)
    : impl_(std::make_unique<Impl>(context.impl(), type, options, true)) {}
Socket::Socket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Socket::~Socket() = default;
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;

void Socket::tell_connections() {
  assert(impl_ && !impl_->news && !impl_->monitored);
  const auto name = format("inproc://weft-monitor-{}", impl_->context.next_name.fetch_add(1));
  constexpr int events = ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED |
                         ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
  auto pair = std::make_unique<Impl>(impl_->context, SocketType::pair, SocketOptions{}, false);
  std::unique_ptr<Socket> reader(new Socket(std::move(pair)));
  if (zmq_socket_monitor(impl_->socket.handle(), name.c_str(), events) != 0) {
    throw zmq_failure("cannot monitor a socket", zmq_errno());
  }
  impl_->news = std::move(reader);
  impl_->news->impl_->socket.connect(name);
}

Socket* Socket::news() {
  return impl_ ? impl_->news.get() : nullptr;
}

std::optional<ConnectionNews> Socket::next_news() {
  if (!impl_ || !impl_->news) return std::nullopt;
  Message message;
  while (impl_->news->receive(message)) {
    std::uint16_t event = 0;
    if (message.empty() || message[0].size() < sizeof event) continue;
    std::memcpy(&event, message[0].view().data(), sizeof event);
    const bool none_left = event == ZMQ_EVENT_CONNECT_RETRIED && !descriptors_left();
    if (const auto news = impl_->story.on_event(event, Clock::now(), none_left)) return news;
  }
  return std::nullopt;
}

void Socket::close() {
  impl_.reset();
}

void Socket::close_at_once() {
  if (!impl_) return;
  impl_->socket.set(zmq::sockopt::linger, 0);
  impl_.reset();
}

std::string Socket::bind(const std::string& endpoint) {
  assert(impl_ && "the socket is closed");
  impl_->news_eaten();
  const auto parsed = bindable(read_endpoint(endpoint, EndpointUse::bind));
  auto& socket = impl_->socket;
  try {
    if (parsed.kind != Endpoint::Kind::inproc) impl_->start_monitor();
    if (parsed.kind != Endpoint::Kind::ipc) {
      socket.set(zmq::sockopt::ipv6, parsed.is_ipv6());
      socket.bind(parsed.text());
      return socket.get(zmq::sockopt::last_endpoint);
    }
    auto listener = std::make_unique<IpcListener>(parsed.path);
    socket.set(zmq::sockopt::use_fd, listener->release_fd());  // libzmq closes it
    const int rc = zmq_bind(socket.handle(), parsed.text().c_str());
    const int number = zmq_errno();
    socket.set(zmq::sockopt::use_fd, -1);
    if (rc != 0) throw endpoint_failure("bind", endpoint, number);
    impl_->listeners.push_back(std::move(listener));
    return endpoint;
  } catch (const zmq::error_t& error) {
    throw endpoint_failure("bind", endpoint, error.num());
  }
}

void Socket::connect(const std::string& endpoint, bool ipv6) {
  assert(impl_ && "the socket is closed");
  impl_->news_eaten();
  const auto parsed = read_endpoint(endpoint, EndpointUse::connect);
  impl_->by_ipv6 = parsed.is_ipv6() || (ipv6 && parsed.is_tcp() && !parsed.is_ipv4());
  try {
    // Read by what this call makes, which keeps it. A name that has an IPv6 address is then met by that one.
    impl_->socket.set(zmq::sockopt::ipv6, impl_->by_ipv6);
    impl_->socket.connect(endpoint);
  } catch (const zmq::error_t& error) {
    throw endpoint_failure("connect to", endpoint, error.num());
  }
}

bool Socket::connects_by_ipv6() const {
  return impl_ && impl_->by_ipv6;
}

void Socket::disconnect(const std::string& endpoint) {
  assert(impl_ && "the socket is closed");
  impl_->news_eaten();
  if (zmq_disconnect(impl_->socket.handle(), endpoint.c_str()) == 0 || zmq_errno() == ENOENT) return;
  throw endpoint_failure("disconnect from", endpoint, zmq_errno());
}

void Socket::subscribe(Bytes prefix) {
  assert(impl_ && impl_->type == SocketType::sub);
  impl_->news_eaten();
  if (zmq_setsockopt(impl_->socket.handle(), ZMQ_SUBSCRIBE, prefix.data(), prefix.size()) != 0) {
    throw zmq_failure("cannot subscribe", zmq_errno());
  }
}

void Socket::unsubscribe(Bytes prefix) {
  assert(impl_ && impl_->type == SocketType::sub);
  impl_->news_eaten();
  // EINVAL: there was no such subscription, so nothing is left to do.
  if (zmq_setsockopt(impl_->socket.handle(), ZMQ_UNSUBSCRIBE, prefix.data(), prefix.size()) != 0 &&
      zmq_errno() != EINVAL) {
    throw zmq_failure("cannot unsubscribe", zmq_errno());
  }
}

SendStatus Socket::send(std::span<Frame> frames) {
  assert(impl_ && !frames.empty());
  impl_->touched();
  void* socket = impl_->socket.handle();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    auto* part = static_cast<zmq_msg_t*>(frames[i].raw());
    if (send_part(socket, part, i + 1 < frames.size() ? ZMQ_SNDMORE : 0)) continue;
    const int number = zmq_errno();
    assert(number != ENOTSUP && "this kind of socket cannot send");
    if (i == 0) return number == EHOSTUNREACH ? SendStatus::unroutable : SendStatus::would_block;
    // The connection went away amid the message, which libzmq takes back as a whole: lost like any queued
    // one.
    frames[i] = Frame();
  }
  return SendStatus::sent;
}

SendStatus Socket::send_to(Bytes routing_id, std::span<Frame> frames) {
  assert(impl_ && impl_->type == SocketType::router && !frames.empty());
  impl_->touched();
  Frame id(routing_id);
  if (!send_part(impl_->socket.handle(), static_cast<zmq_msg_t*>(id.raw()), ZMQ_SNDMORE)) {
    return zmq_errno() == EHOSTUNREACH ? SendStatus::unroutable : SendStatus::would_block;
  }
  void* socket = impl_->socket.handle();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    auto* part = static_cast<zmq_msg_t*>(frames[i].raw());
    if (!send_part(socket, part, i + 1 < frames.size() ? ZMQ_SNDMORE : 0)) frames[i] = Frame();
  }
  return SendStatus::sent;
}

bool Socket::receive(Message& out) {
  assert(impl_);
  impl_->touched();
  out.clear();
  void* socket = impl_->socket.handle();
  bool more = true;
  while (more) {
    Frame surplus;
    const bool stored = out.frames_.size() < kMaxStored;
    out.oversize_ = out.oversize_ || !stored;
    auto* part = static_cast<zmq_msg_t*>((stored ? out.frames_.emplace_back() : surplus).raw());
    int rc = 0;
    do rc = zmq_msg_recv(part, socket, ZMQ_DONTWAIT);
    while (rc < 0 && zmq_errno() == EINTR);
    if (rc < 0) {
      assert(zmq_errno() != ENOTSUP && "this kind of socket cannot receive");
      out.clear();
      return false;
    }
#ifdef WEFT_TSAN
    tsan_taken_over(zmq_msg_data(part));
#endif
    more = zmq_msg_more(part) != 0;
  }
  return true;
}

void Socket::watch_accepts(bool strangers, std::function<void()> on_news) {
  assert(impl_ && !impl_->monitored && "before bind()");
  impl_->strangers = strangers;
  impl_->on_accept_news = std::move(on_news);
}

ConnectionId Socket::know(Message& message) {
  if (!impl_ || !impl_->monitored || message.empty()) return {};
  // Not the first one, where there are several: the frame of a routing id may come without.
  const int fd = zmq_msg_get(static_cast<zmq_msg_t*>(message[message.size() - 1].raw()), ZMQ_SRCFD);
  return fd < 0 ? ConnectionId{} : impl_->monitored->accepted.know(fd);
}

void Socket::end(const ConnectionId& connection) {
  if (impl_ && connection.fd >= 0) impl_->context.descriptors->end(connection.fd, connection.inode);
}

std::optional<TimePoint> Socket::oldest_stranger() {
  if (!impl_ || !impl_->monitored) return std::nullopt;
  return impl_->monitored->accepted.oldest();
}

std::size_t Socket::end_strangers(TimePoint came_before) {
  return impl_ && impl_->monitored ? impl_->monitored->accepted.end_before(came_before) : 0;
}

AcceptAlarm Socket::accept_alarm() const {
  return impl_ && impl_->monitored ? impl_->monitored->accepted.alarm() : AcceptAlarm{};
}

bool Socket::readable() {
  if (!impl_) return false;
  impl_->touched();
  const int events = impl_->events();
  return events > 0 && (events & ZMQ_POLLIN) != 0;
}

bool Socket::writable() {
  if (!impl_) return false;
  impl_->touched();
  const int events = impl_->events();
  return events > 0 && (events & ZMQ_POLLOUT) != 0;
}

std::uint64_t Socket::rejected_connections() const {
  return impl_ && impl_->monitored ? impl_->monitored->count.rejected() : 0;
}

std::uint64_t Socket::accepted_connections() const {
  return impl_ && impl_->monitored ? impl_->monitored->count.accepted() : 0;
}

}  // namespace weft::transport
