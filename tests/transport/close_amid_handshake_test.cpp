// Sockets that are closed while they shake hands again with a peer that comes and goes: libzmq must not take
// the process with it.
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/transport/context.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

/// Greets who connects, as ZMTP 3 does, and breaks each connection off a little later than the one before.
class Fickle {
 public:
  Fickle() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 256) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    for (auto& thread : threads_) thread = std::thread([this] { serve(); });
  }
  ~Fickle() {
    ::shutdown(listener_, SHUT_RDWR);  // ends accept()
    for (auto& thread : threads_) thread.join();
    ::close(listener_);
  }
  Fickle(const Fickle&) = delete;
  Fickle& operator=(const Fickle&) = delete;
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  [[nodiscard]] int served() const { return served_; }

 private:
  void serve() {
    std::string greeting("\xFF\0\0\0\0\0\0\0\x01\x7F\x03\x00", 12);
    greeting += "NULL";
    greeting.resize(64, '\0');
    for (int fd = ::accept(listener_, nullptr, nullptr); fd >= 0;
         fd = ::accept(listener_, nullptr, nullptr)) {
      (void)!::send(fd, greeting.data(), greeting.size(), MSG_NOSIGNAL);
      std::array<char, 256> bytes;
      (void)!::recv(fd, bytes.data(), bytes.size(), served_++ % 2 == 0 ? 0 : MSG_DONTWAIT);
      ::close(fd);
    }
  }

  int listener_;
  std::string endpoint_;
  std::atomic<int> served_{0};
  std::array<std::thread, 3> threads_;
};

}  // namespace

TEST_CASE("a socket can be closed, and its context end, amid a second handshake of its connection") {
  constexpr int kRounds = 30;
  constexpr int kSockets = 20;
  Fickle fickle;
  for (int round = 1; round <= kRounds; ++round) {
    Context context;
    Loop loop(context);
    std::vector<std::unique_ptr<Socket>> sockets;
    for (int i = 0; i < kSockets; ++i) {
      sockets.push_back(std::make_unique<Socket>(context, SocketType::dealer, SocketOptions{.linger = 0ms}));
      sockets.back()->connect(fickle.endpoint());
    }
    const int enough = fickle.served() + (round % 3 + 1) * kSockets;
    REQUIRE(eventually(loop, [&] { return fickle.served() >= enough; }));
  }
  CHECK(fickle.served() > kRounds);
}
