#include "proxy.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "endpoint.hpp"

namespace weft::fault_proxy {
namespace {

constexpr int kAcceptBacklog = 128;
constexpr int kMostEvents = 64;
constexpr int kChunksPerTurn = 16;
constexpr int kWritesPerTurn = 256;
constexpr std::size_t kMostConnections = 4096;
constexpr std::uint64_t kListener = ~std::uint64_t{0};
constexpr std::uint64_t kWatch = std::uint64_t{1} << 63;  // | descriptor

// Neighbouring seeds must not give neighbouring sequences (Steele, Lea, Flood: SplitMix).
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

[[noreturn]] void fail(const std::string& what) {
  const Errc code = errno == EADDRINUSE ? Errc::address_in_use : Errc::io;
  throw Error(code, format("{}: {}", what, std::strerror(errno)));
}

void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Proxy::Proxy(const ProxyOptions& options)
    : faults_(options.faults), seed_(options.seed), engine_(mixed(options.seed)) {
  set_target(options.target);
  Address address = parse_endpoint(options.listen, true);
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  listener_ = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (epoll_ < 0 || listener_ < 0) fail("cannot make a socket");
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener_, address.get(), address.size) != 0 || ::listen(listener_, kAcceptBacklog) != 0 ||
      ::getsockname(listener_, address.get(), &address.size) != 0) {
    fail("cannot listen at " + options.listen);
  }
  endpoint_ = endpoint_text(address);
  listen_again();
}

Proxy::~Proxy() {
  for (auto& [id, connection] : connections_) close(*connection, true);
  if (listener_ >= 0) ::close(listener_);
  if (epoll_ >= 0) ::close(epoll_);
}

void Proxy::set_target(const std::string& endpoint) {
  target_ = parse_endpoint(endpoint, false);
}

void Proxy::listen_again() {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kListener}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) fail("cannot watch the listening socket");
  listening_ = true;
}

void Proxy::watch(int fd, std::function<void()> on_readable) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWatch | static_cast<std::uint32_t>(fd)}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("cannot watch a descriptor");
  watches_[fd] = std::move(on_readable);
}

void Proxy::unwatch(int fd) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(fd);
}

// ---- one turn ----

void Proxy::turn(Deadline deadline) {
  const TimePoint before = Clock::now();
  update_blackholes(before);
  const TimePoint until = busy_ ? before : wake_up(before, deadline.point());
  busy_ = false;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - before).count();
  std::array<epoll_event, kMostEvents> events{};
  const int got = ::epoll_wait(epoll_, events.data(), kMostEvents,
                               static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
  for (int i = 0; i < got; ++i)
    on_event(events[static_cast<std::size_t>(i)].data.u64, events[static_cast<std::size_t>(i)].events);
  const TimePoint now = Clock::now();
  update_blackholes(now);
  serve_all(now);
}

TimePoint Proxy::wake_up(TimePoint now, TimePoint latest) const {
  TimePoint out = latest;
  const auto sooner = [&](TimePoint when) {
    if (when > now) out = std::min(out, when);
  };
  for (const auto& [id, connection] : connections_) {
    for (const Pipe* pipe : {&connection->up, &connection->down}) {
      if (const auto when = pipe->next_time(now)) sooner(*when);
    }
  }
  for (const TimePoint when : dark_until_) sooner(when);
  sooner(closed_until_);
  if (next_blackhole_) sooner(*next_blackhole_);
  return out;
}

void Proxy::on_event(std::uint64_t tag, std::uint32_t events) {
  if (tag == kListener) return accept_all();
  if ((tag & kWatch) != 0) {
    const auto found = watches_.find(static_cast<int>(tag & ~kWatch));
    if (found == watches_.end()) return;
    const auto handler = found->second;  // it may unwatch itself
    return handler();
  }
  const auto found = connections_.find(tag / 2);
  if (found == connections_.end()) return;
  End& end = tag % 2 == 0 ? found->second->client : found->second->server;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end.readable = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) end.writable = true;
}

void Proxy::serve_all(TimePoint now) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    serve(*at->second, now);
    at = at->second->dead ? connections_.erase(at) : std::next(at);
  }
}

// ---- connections ----

void Proxy::accept_all() {
  while (connections_.size() < kMostConnections) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0) {
      add_connection(client);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Proxy::add_connection(int client) {
  const int server = ::socket(target_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (server < 0) {
    ::close(client);
    return;
  }
  ++counts_.connections;
  const std::uint64_t id = next_id_++;
  auto connection = std::make_unique<Connection>(faults_, counts_, mixed(seed_) + id);
  connection->client.fd = client;
  connection->server.fd = server;
  no_delay(client);
  no_delay(server);
  // Its outcome is read from the socket once that can be written, unless it fails at once.
  if (::connect(server, target_.get(), target_.size) != 0 && errno != EINPROGRESS) {
    ++counts_.refused;
    return reset(*connection, false);
  }
  connections_[id] = std::move(connection);
  add_end(client, id * 2);
  add_end(server, id * 2 + 1);
}

// Edge-triggered: what is known to be readable or writable stays so until the system says otherwise.
void Proxy::add_end(int fd, std::uint64_t tag) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.u64 = tag}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("cannot watch a connection");
}

void Proxy::finish_connecting(Connection& connection) {
  if (!connection.server.writable) return;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(connection.server.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  connection.connecting = false;
  if (error == 0) return;
  ++counts_.refused;
  reset(connection, false);
}

void Proxy::serve(Connection& connection, TimePoint now) {
  if (connection.connecting) finish_connecting(connection);
  if (connection.connecting || connection.dead) return;
  if (!is_dark(Direction::up)) {
    read(connection, connection.client, connection.up, now);
    write(connection, connection.server, connection.up, now);
  }
  if (!is_dark(Direction::down) && !connection.dead) {
    read(connection, connection.server, connection.down, now);
    write(connection, connection.client, connection.down, now);
  }
  if (connection.dead) return;
  for (const Pipe* pipe : {&connection.up, &connection.down}) {
    if (pipe->reset_at() && *pipe->reset_at() <= now) return reset(connection, true);
  }
  if (connection.up.has_ended() && connection.down.has_ended()) {
    close(connection, false);
  }
}

void Proxy::read(Connection& connection, End& from, Pipe& pipe, TimePoint now) {
  for (int i = 0; !connection.dead && !from.eof && from.readable && !pipe.full(); ++i) {
    if (i == kChunksPerTurn) {
      busy_ = true;
      return;
    }
    std::string chunk(faults_.chunk, '\0');
    const ssize_t got = ::recv(from.fd, chunk.data(), chunk.size(), 0);
    if (got > 0) {
      chunk.resize(static_cast<std::size_t>(got));
      if (!pipe.take(std::move(chunk), now)) reset(connection, true);
    } else if (got == 0) {
      from.eof = true;
      pipe.end(now);
    } else if (errno == EAGAIN) {
      from.readable = false;
    } else if (errno != EINTR) {
      reset(connection, false);  // one end was reset by its owner: so is the other
    }
  }
}

void Proxy::write(Connection& connection, End& to, Pipe& pipe, TimePoint now) {
  for (int i = 0; !connection.dead && to.writable; ++i) {
    const std::string_view bytes = pipe.ready(now);
    if (bytes.empty()) break;
    if (i == kWritesPerTurn) {
      busy_ = true;
      return;
    }
    const ssize_t done = ::send(to.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done >= 0) {
      const bool was_full = pipe.full();
      pipe.written(static_cast<std::size_t>(done), now);
      if (was_full && !pipe.full()) busy_ = true;  // what waits to be read makes no new event
    } else if (errno == EAGAIN) {
      to.writable = false;
    } else if (errno != EINTR) {
      reset(connection, false);
    }
  }
  if (connection.dead || !pipe.ends_now(now)) return;
  ::shutdown(to.fd, SHUT_WR);
  pipe.ended();
}

void Proxy::reset(Connection& connection, bool counted) {
  if (counted) ++counts_.resets;
  close(connection, true);
}

void Proxy::close(Connection& connection, bool abort) {
  for (End* end : {&connection.client, &connection.server}) {
    if (end->fd < 0) continue;
    const linger at_once{.l_onoff = 1, .l_linger = 0};  // RST instead of FIN
    if (abort) ::setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(std::exchange(end->fd, -1));
  }
  connection.dead = true;
}

// ---- faults by command ----

bool Proxy::is_dark(Direction direction) const {
  return dark_until_[direction == Direction::up ? 0 : 1] != TimePoint{};
}

void Proxy::update_blackholes(TimePoint now) {
  if (faults_.blackhole_every == Duration::zero()) {
    next_blackhole_.reset();
  } else if (!next_blackhole_) {
    next_blackhole_ = now + faults_.blackhole_every;
  } else if (now >= *next_blackhole_) {
    next_blackhole_ = now + faults_.blackhole_every;
    const auto most = static_cast<std::uint64_t>(faults_.blackhole_for.count());
    blackhole(Direction::both, Duration(static_cast<Duration::rep>(engine_() % (most + 1))));
  }
  for (TimePoint& until : dark_until_) {
    if (until != TimePoint{} && now >= until) until = {};
  }
  const bool listens = now >= closed_until_;
  if (listens == listening_) return;
  if (listens) {
    listen_again();
  } else {
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
    listening_ = false;
  }
}

void Proxy::blackhole(Direction direction, Duration span) {
  ++counts_.blackholes;
  const TimePoint until = Deadline::after(span).point();
  if (direction != Direction::down) dark_until_[0] = std::max(dark_until_[0], until);
  if (direction != Direction::up) dark_until_[1] = std::max(dark_until_[1], until);
  if (direction == Direction::both) closed_until_ = std::max(closed_until_, until);
}

void Proxy::heal() {
  dark_until_ = {};
  closed_until_ = {};
  busy_ = true;
}

std::size_t Proxy::reset_all() {
  const std::size_t all = connections_.size();
  for (auto& [id, connection] : connections_) reset(*connection, true);
  connections_.clear();
  return all;
}

std::size_t Proxy::half_close_all(Direction direction) {
  const TimePoint now = Clock::now();
  for (auto& [id, connection] : connections_) {
    if (direction != Direction::down) connection->up.close_behind(now);
    if (direction != Direction::up) connection->down.close_behind(now);
  }
  busy_ = true;
  return connections_.size();
}

std::size_t Proxy::drop_all(Direction direction) {
  const TimePoint now = Clock::now();
  for (auto& [id, connection] : connections_) {
    if (direction != Direction::down) connection->up.fall_silent(now);
    if (direction != Direction::up) connection->down.fall_silent(now);
  }
  return connections_.size();
}

Value Proxy::state() const {
  Value out;
  out["endpoint"] = endpoint_;
  out["target"] = endpoint_text(target_);
  out["connections_now"] = connections_.size();
  out["counts"] = to_value(counts_);
  out["faults"] = to_value(faults_);
  return out;
}

}  // namespace weft::fault_proxy
