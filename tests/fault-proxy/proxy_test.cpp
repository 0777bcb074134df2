// The proxy between two sockets of this process.
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <weft-fault-proxy/control.hpp>
#include <weft-fault-proxy/endpoint.hpp>
#include <weft-fault-proxy/proxy.hpp>
#include <weft/core/error.hpp>
#include <weft/core/json.hpp>

using namespace weft;
using namespace weft::fault_proxy;
using namespace std::chrono_literals;

namespace {

/// One end of a connection, non-blocking, with what came and how it ended.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() {
    if (fd_ >= 0) ::close(fd_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void send(std::string_view bytes) const {
    REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void shut() const { ::shutdown(fd_, SHUT_WR); }
  void read() {
    std::array<char, 65536> bytes;
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) text.append(bytes.data(), static_cast<std::size_t>(got));
    if (got == 0) ended = true;
    if (got < 0 && errno == ECONNRESET) reset = true;
  }
  std::string text;
  bool ended = false;
  bool reset = false;

 private:
  int fd_;
};

/// A target that listens, a proxy before it, and one connection through both.
struct Line {
  int listener = -1;
  std::unique_ptr<Proxy> proxy;
  std::unique_ptr<Peer> client;
  std::unique_ptr<Peer> server;

  explicit Line(Faults faults = {}, const std::string& at = "tcp://127.0.0.1:*") {
    Address address = parse_endpoint(at, true);
    listener = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(::bind(listener, address.get(), address.size) == 0);
    REQUIRE(::listen(listener, 8) == 0);
    ::getsockname(listener, address.get(), &address.size);
    proxy = std::make_unique<Proxy>(
        ProxyOptions{.listen = at, .target = endpoint_text(address), .faults = faults});
  }
  ~Line() { ::close(listener); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void connect() {
    const Address address = parse_endpoint(proxy->endpoint(), false);
    const int fd = ::socket(address.family(), SOCK_STREAM, 0);
    REQUIRE(::connect(fd, address.get(), address.size) == 0);
    client = std::make_unique<Peer>(fd);
  }
  void open() {
    connect();
    REQUIRE(turn_until([this] {
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
      if (fd >= 0) server = std::make_unique<Peer>(fd);
      return fd >= 0;
    }));
  }
  /// Turns the proxy until something holds; only a failing test waits for the deadline.
  template <class Holds>
  bool turn_until(const Holds& holds) {
    const Deadline deadline = Deadline::after(20s);
    while (!deadline.passed(Clock::now())) {
      if (client) client->read();
      if (server) server->read();
      if (holds()) return true;
      proxy->turn(Deadline::after(5ms));
    }
    return false;
  }
};

}  // namespace

TEST_CASE("bytes pass in both directions, and the end of each") {
  Line line;
  line.open();

  line.client->send("to the target");
  line.server->send("back");
  CHECK(line.turn_until([&] { return line.server->text == "to the target" && line.client->text == "back"; }));
  line.client->shut();
  CHECK(line.turn_until([&] { return line.server->ended; }));
  CHECK_FALSE(line.client->ended);
  line.server->send("still here");
  CHECK(line.turn_until([&] { return line.client->text == "backstill here"; }));
  line.server->shut();
  CHECK(line.turn_until([&] { return line.client->ended; }));

  CHECK(line.turn_until([&] { return line.proxy->connections() == 0; }));
  CHECK(line.proxy->counts().connections == 1);
  CHECK(line.proxy->counts().resets == 0);
}

TEST_CASE("it listens at and passes on to IPv6 addresses as well") {
  const int probe = ::socket(AF_INET6, SOCK_STREAM, 0);
  const Address loopback = parse_endpoint("tcp://[::1]:*", true);
  const bool there = probe >= 0 && ::bind(probe, loopback.get(), loopback.size) == 0;
  ::close(probe);
  if (!there) return;  // a machine without IPv6
  Line line({}, "tcp://[::1]:*");
  CHECK(line.proxy->endpoint().starts_with("tcp://[::1]:"));
  line.open();

  line.client->send("six");
  CHECK(line.turn_until([&] { return line.server->text == "six"; }));
}

TEST_CASE("a chunk that is hit resets both ends") {
  Line line({.reset = 1});
  line.open();

  line.client->send("x");

  CHECK(line.turn_until([&] { return line.client->reset && line.server->reset; }));
  CHECK(line.proxy->counts().resets == 1);
}

TEST_CASE("single bytes arrive as they were") {
  Line line({.slice = 1});
  line.open();
  std::string sent;
  for (int i = 0; i < 3000; ++i) sent += static_cast<char>('a' + i % 26);

  line.client->send(sent);

  CHECK(line.turn_until([&] { return line.server->text.size() == sent.size(); }));
  CHECK(line.server->text == sent);
  CHECK(line.proxy->counts().writes == sent.size());
}

TEST_CASE("latency delays what passes and loses none of it") {
  Line line({.latency = 20ms, .jitter = 20ms});
  line.open();
  const TimePoint start = Clock::now();

  line.client->send("late");

  CHECK(line.turn_until([&] { return line.server->text == "late"; }));
  CHECK(Clock::now() - start >= 20ms);
}

TEST_CASE("nothing passes a blackhole, and all of it afterwards") {
  Line line;
  line.open();
  line.proxy->blackhole(Direction::up, 1h);
  line.client->send("waits");
  line.server->send("passes");

  CHECK(line.turn_until([&] { return line.client->text == "passes"; }));
  CHECK(line.server->text.empty());
  line.proxy->heal();
  CHECK(line.turn_until([&] { return line.server->text == "waits"; }));
}

TEST_CASE("a blackhole accepts nobody until it ends by itself") {
  Line line;
  line.proxy->blackhole(Direction::both, 100ms);
  const TimePoint start = Clock::now();

  line.open();

  CHECK(Clock::now() - start >= 99ms);
  CHECK(line.proxy->counts().blackholes == 1);
}

TEST_CASE("dropped chunks vanish in silence before the reset") {
  Line line({.drop_for = 50ms});
  line.open();
  CHECK(line.proxy->drop_all(Direction::up) == 1);

  line.client->send("gone");
  line.server->send("the other way goes on");

  CHECK(line.turn_until([&] { return line.client->text == "the other way goes on"; }));
  CHECK(line.turn_until([&] { return line.client->reset && line.server->reset; }));
  CHECK(line.server->text.empty());
  CHECK(line.proxy->counts().drops == 1);
}

TEST_CASE("a half-close ends one direction and leaves the other") {
  Line line;
  line.open();
  CHECK(line.proxy->half_close_all(Direction::down) == 1);

  line.client->send("up goes on");

  CHECK(line.turn_until([&] { return line.client->ended && line.server->text == "up goes on"; }));
  CHECK_FALSE(line.server->ended);
}

TEST_CASE("a target that is not there resets who connects") {
  Line line;
  line.proxy->set_target("tcp://127.0.0.1:1");
  line.connect();

  CHECK(line.turn_until([&] { return line.client->reset; }));
  CHECK(line.proxy->counts().refused == 1);
  CHECK(line.proxy->connections() == 0);
}

TEST_CASE("commands are lines of JSON, and bad ones are answered") {
  Line line;
  bool stop = false;

  const Value set = obey(*line.proxy, R"({"do": "set", "latency": "20ms", "reset": 0.5})", stop);
  CHECK(set.get("ok") == Value(true));
  CHECK(set.get("state").get("faults").get("latency") == Value("20ms"));
  CHECK(line.proxy->faults().reset == doctest::Approx(0.5));
  const Value half = obey(*line.proxy, R"({"do": "set", "latency": "1s", "resett": 1})", stop);
  CHECK(half.get("error") == Value("there is no fault \"resett\"; did you mean \"reset\"?"));
  CHECK(line.proxy->faults().latency == 20ms);
  CHECK(obey(*line.proxy, R"({"do": "clear"})", stop).get("ok") == Value(true));
  CHECK(line.proxy->faults().latency == 0ms);
  for (const char* bad :
       {"", "[", "[1]", "7", "{}", R"({"do": 1})", R"({"do": "fly"})", R"({"do": "blackhole"})",
        R"({"do": "blackhole", "for": "1s", "direction": "left"})", R"({"do": "target"})",
        R"({"do": "target", "endpoint": "nowhere"})", "\xff\xfe"}) {
    CAPTURE(bad);
    const Value answer = obey(*line.proxy, bad, stop);
    CHECK(answer.get("ok") == Value(false));
    CHECK_FALSE(answer.get("error").as_string().empty());
  }
  CHECK_FALSE(stop);
  CHECK(obey(*line.proxy, R"({"do": "stop"})", stop).get("ok") == Value(true));
  CHECK(stop);
}

TEST_CASE("endpoints that are none are refused with an example") {
  for (const char* bad :
       {"", "tcp://", "here", "tcp://1.2.3.4", "tcp://1.2.3:5", "tcp://1.2.3.4:99999", "tcp://1.2.3.4:x",
        "tcp://1.2.3.4:*", "tcp://*:1", "tcp://::1:5", "tcp://[::1:5", "tcp://[1.2.3.4]:5", "tcp://[]:5"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_endpoint(bad, false), Error);
  }
  CHECK(endpoint_text(parse_endpoint("127.0.0.1:80", false)) == "tcp://127.0.0.1:80");
  CHECK(endpoint_text(parse_endpoint("[::1]:80", false)) == "tcp://[::1]:80");
}
