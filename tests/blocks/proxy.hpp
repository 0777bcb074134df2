// A proxy in the test's own loop, whose connections can be cut.
#pragma once

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/un.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "conformance.hpp"

namespace weft::conformance {

/// Stands between two peers, on the loop's thread; cut() breaks what is connected.
class Proxy {
 public:
  Proxy(Loop& loop, const std::string& target) : loop_(loop), target_(target) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_, 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    watch_ = loop_.watch_fd(listener_, [this] { join(::accept(listener_, nullptr, nullptr)); });
  }
  /// Takes the place of a socket in the file system; who knows its path comes here.
  Proxy(Loop& loop, const std::filesystem::path& place) : loop_(loop), target_(place.string() + ".behind") {
    std::filesystem::rename(place, target_);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = unix_address(place.string());
    REQUIRE(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_, 16) == 0);
    watch_ = loop_.watch_fd(listener_, [this] { join(::accept(listener_, nullptr, nullptr)); });
  }
  ~Proxy() {
    cut();
    loop_.unwatch(watch_);
    ::close(listener_);
  }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  [[nodiscard]] std::vector<std::string> endpoints() const { return {endpoint_}; }
  void cut() {
    while (!ends_.empty()) drop(ends_.begin()->first);
  }
  /// Passes on nothing more through the connections that there are: what is sent from here on is lost by the
  /// next cut.
  void hold() {
    for (auto& [fd, end] : ends_) stop_watching(end);
  }
  /// Connections that were made through it and that the target has ended, as far as they are still held.
  [[nodiscard]] std::size_t ended_by_target() const {
    std::size_t count = 0;
    for (const auto& [fd, end] : ends_) {
      pollfd item{fd, POLLRDHUP, 0};
      if (end.at_target && ::poll(&item, 1, 0) == 1) ++count;
    }
    return count;
  }
  [[nodiscard]] std::size_t joined() const { return joined_; }
  /// Changes the last byte of every `nth` larger piece that passes. 0: of none.
  void damage(int nth) { nth_ = nth; }
  [[nodiscard]] int damaged() const { return damaged_; }

 private:
  struct End {
    int other;
    bool at_target;
    std::optional<Loop::WatchId> watch;
  };
  static sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
  }
  [[nodiscard]] int reach_target() const {
    if (target_.starts_with("tcp:")) return plain_tcp(target_);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = unix_address(target_);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
  }
  void stop_watching(End& end) {
    if (end.watch) loop_.unwatch(*end.watch);
    end.watch.reset();
  }
  void join(int left) {
    const int right = reach_target();
    if (left < 0 || right < 0) return;
    ++joined_;
    for (const auto& [from, to] : {std::pair(left, right), std::pair(right, left)}) {
      ends_[from] = {to, from == right, loop_.watch_fd(from, [this, from = from] { copy(from); })};
    }
  }
  void copy(int from) {
    std::array<char, 16384> bytes{};
    const auto n = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    const int to = ends_.at(from).other;
    if (nth_ != 0 && n > 1000 && ++pieces_ % nth_ == 0) {
      bytes[static_cast<std::size_t>(n) - 1] ^= 0x10;
      ++damaged_;
    }
    if (n <= 0 || ::send(to, bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) drop(from);
  }
  void drop(int one) {
    const int other = ends_.at(one).other;
    for (const int fd : {one, other}) {
      stop_watching(ends_.at(fd));
      ends_.erase(fd);
      ::close(fd);
    }
  }

  int nth_ = 0, pieces_ = 0, damaged_ = 0;
  std::size_t joined_ = 0;
  Loop& loop_;
  std::string target_;
  std::string endpoint_;
  int listener_ = -1;
  Loop::WatchId watch_ = 0;
  std::map<int, End> ends_;
};

/// A Push that sends through a Proxy to a Pull, at least once, one record a batch. The one end is bound, the
/// other one connects.
struct ProxiedLine {
  Loop loop;
  std::optional<Push<>> push;
  std::optional<Pull<>> pull;
  std::optional<Proxy> proxy;
  std::shared_ptr<std::uint64_t> got;  // records

  explicit ProxiedLine(bool push_binds) {
    PortOptions out{.name = "out", .heartbeat = 20ms, .dead_after = 10s, .batch_records = 1};
    out.delivery = Delivery::at_least_once;
    PortOptions in = out;
    in.name = "in";
    (push_binds ? out : in).bind = {"tcp://127.0.0.1:*"};
    if (push_binds) push.emplace(loop, out);
    if (!push_binds) pull.emplace(loop, in);
    proxy.emplace(loop, (push_binds ? push->endpoints() : pull->endpoints())[0]);
    (push_binds ? in : out).connect = proxy->endpoints();
    if (push_binds) pull.emplace(loop, in);
    if (!push_binds) push.emplace(loop, out);
    got = count(*pull);
    REQUIRE(push->wait_for_peers(1, soon()));
  }
  void send(int records) {
    for (int i = 0; i < records; ++i) REQUIRE(push->send(as_bytes("x"), soon()) == SendStatus::ok);
  }
};

}  // namespace weft::conformance
