// A proxy in the test's own loop, whose connections can be cut.
#pragma once

#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conformance.hpp"

namespace weft::conformance {

/// Stands between two peers on TCP, on the loop's thread; cut() breaks what is connected.
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
  /// Changes the last byte of every `nth` larger piece that passes. 0: of none.
  void damage(int nth) { nth_ = nth; }
  [[nodiscard]] int damaged() const { return damaged_; }

 private:
  struct End {
    int other;
    std::optional<Loop::WatchId> watch;
  };
  void stop_watching(End& end) {
    if (end.watch) loop_.unwatch(*end.watch);
    end.watch.reset();
  }
  void join(int left) {
    const int right = plain_tcp(target_);
    if (left < 0 || right < 0) return;
    for (const auto& [from, to] : {std::pair(left, right), std::pair(right, left)}) {
      ends_[from] = {to, loop_.watch_fd(from, [this, from = from] { copy(from); })};
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
  Loop& loop_;
  std::string target_;
  std::string endpoint_;
  int listener_ = -1;
  Loop::WatchId watch_ = 0;
  std::map<int, End> ends_;
};

}  // namespace weft::conformance
