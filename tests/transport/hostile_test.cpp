// What a bound socket must bear from the network: it counts it, and its live connections do not notice.
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

// A connection below ZeroMQ, to send what a ZMTP peer would not.
class RawPeer {
 public:
  explicit RawPeer(const std::string& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
    REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~RawPeer() { close(); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;
  RawPeer(RawPeer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  void send(std::string_view bytes) const {
    [[maybe_unused]] const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

std::string random_bytes(std::mt19937& random, std::size_t size) {
  std::string out(size, '\0');
  for (auto& c : out) c = static_cast<char>(random());
  return out;
}

// A pull with one live push, whose messages must come through whatever else happens.
struct Target {
  Loop loop;
  Socket pull{loop.context(), SocketType::pull};
  Socket push{loop.context(), SocketType::push};
  std::string endpoint = pull.bind("tcp://127.0.0.1:*");
  int beats = 0;

  Target() {
    push.connect(endpoint);
    beat();
    REQUIRE(eventually(loop, [&] { return pull.accepted_connections() == 1; }));
    REQUIRE(pull.rejected_connections() == 0);
  }
  // The live connection carries a message; nothing but it ever arrives.
  void beat() {
    const auto content = "beat " + std::to_string(++beats);
    REQUIRE(push.send(text(content)) == SendStatus::sent);
    REQUIRE(receive(loop, pull) == Strings{content});
  }
  bool rejects(std::uint64_t count) {
    return eventually(loop, [&] { return pull.rejected_connections() >= count; });
  }
};

const std::string kGreeting3 = [] {
  std::string greeting("\xFF\0\0\0\0\0\0\0\x01\x7F\x03\x00", 12);
  greeting += std::string("NULL") + std::string(16, '\0');
  greeting.resize(64, '\0');
  return greeting;
}();

}  // namespace

TEST_CASE("connections that send random bytes are rejected and counted, and nothing of them arrives") {
  Target target;
  std::mt19937 random(20260);
  constexpr int kConnections = 60;

  for (int i = 0; i < kConnections; ++i) {
    RawPeer peer(target.endpoint);
    peer.send(random_bytes(random, 1 + random() % 300));
    if (i % 10 == 0) target.beat();
  }

  CHECK(target.rejects(kConnections));
  target.beat();
  CHECK(target.pull.rejected_connections() == kConnections);
  CHECK(target.pull.accepted_connections() == kConnections + 1);
}

TEST_CASE("connections that close at once, half-way through a greeting or after it are counted") {
  Target target;
  RawPeer(target.endpoint).close();
  for (const auto& bytes : {kGreeting3.substr(0, 1), kGreeting3.substr(0, 11), kGreeting3}) {
    RawPeer peer(target.endpoint);
    peer.send(bytes);
  }

  CHECK(target.rejects(4));
  target.beat();
  CHECK(target.pull.rejected_connections() == 4);
}

TEST_CASE("peers of other protocols and other security are rejected") {
  Target target;
  auto plain = kGreeting3;
  plain.replace(12, 5, "PLAIN");
  const std::string zmtp1("\x01\x00\x06\x00hello", 9);  // an identity, then a message
  const std::string zmtp2("\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x08\0\0\0\x05hello", 21);
  const Strings wrong{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", plain, zmtp1,
                      zmtp2};
  for (const auto& bytes : wrong) {
    RawPeer peer(target.endpoint);
    peer.send(bytes);
    peer.send(bytes);
  }

  CHECK(target.rejects(wrong.size()));
  target.beat();
  CHECK(target.pull.rejected_connections() == wrong.size());
}

TEST_CASE("connections that stay half-open are closed and counted, and do not keep others out") {
  Target target;
  std::vector<RawPeer> silent;
  for (int i = 0; i < 20; ++i) {
    silent.emplace_back(target.endpoint);
    if (i % 2 == 0) silent.back().send(kGreeting3.substr(0, 30));
  }

  Socket late(target.loop.context(), SocketType::push);  // joins while the others hang
  late.connect(target.endpoint);
  REQUIRE(late.send(text("late")) == SendStatus::sent);
  CHECK(receive(target.loop, target.pull) == Strings{"late"});

  CHECK(target.rejects(20));  // by the handshake interval
  target.beat();
  CHECK(target.pull.rejected_connections() == 20);
  CHECK(target.pull.accepted_connections() == 22);
}

TEST_CASE("garbage after a good handshake ends that connection only") {
  Target target;
  RawPeer peer(target.endpoint);
  const std::string ready("\x04\x19\x05READY\x0BSocket-Type\0\0\0\x04PUSH", 27);
  peer.send(kGreeting3 + ready);
  REQUIRE(eventually(target.loop, [&] { return target.pull.accepted_connections() == 2; }));
  std::mt19937 random(4711);

  peer.send(std::string("\xFF\xFF\xFF\xFF\xFF", 5) + random_bytes(random, 200));  // impossible flags

  target.beat();
  peer.close();
  target.beat();
}

TEST_CASE("rejected connections are counted on ipc as well") {
  Folder folder;
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);
  const auto path = folder.file("s");
  pull.bind("ipc://" + path);
  for (int i = 0; i < 5; ++i) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    [[maybe_unused]] const auto sent = ::send(fd, "garbage garbage", 15, MSG_NOSIGNAL);
    ::close(fd);
  }

  CHECK(eventually(loop, [&] { return pull.rejected_connections() == 5; }));
  CHECK(pull.accepted_connections() == 5);
}

TEST_CASE("good connections that come and go are accepted and never counted as rejected") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);
  const auto endpoint = pull.bind("tcp://127.0.0.1:*");
  constexpr int kPeers = 30;
  for (int i = 0; i < kPeers; ++i) {
    Socket push(loop.context(), SocketType::push);
    push.connect(endpoint);
    REQUIRE(push.send(text("x")) == SendStatus::sent);
    REQUIRE(receive(loop, pull) == Strings{"x"});
  }

  CHECK(eventually(loop, [&] { return pull.accepted_connections() == kPeers; }));
  CHECK(pull.rejected_connections() == 0);
}
