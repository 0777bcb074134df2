// What a connecting socket tells of its connection.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;
using News = ConnectionNews;

namespace {

/// A dealer that tells what becomes of its connection.
struct Dealer {
  Loop& loop;
  Socket socket;
  std::vector<News> heard;
  Loop::WatchId watch;
  explicit Dealer(Loop& l, const std::string& endpoint) : loop(l), socket(l.context(), SocketType::dealer) {
    socket.tell_connections();
    watch = loop.watch(*socket.news(), [this] {
      while (const auto news = socket.next_news()) heard.push_back(*news);
    });
    socket.connect(endpoint);
  }
  bool hears(News wanted) {
    return loop.run_until([&] { return std::ranges::count(heard, wanted) != 0; }, soon());
  }
};

/// A port of this host at which nobody listens as long as this lives: it is bound, and not listening.
class SilentPort {
 public:
  SilentPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    endpoint = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~SilentPort() { ::close(fd_); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;
  std::string endpoint;

 private:
  int fd_;
};

}  // namespace

TEST_CASE("a connecting socket tells of a connection that is made, and that it is lost") {
  Folder folder;
  for (const std::string& endpoint : {std::string("tcp://127.0.0.1:*"), "ipc://" + folder.file("s")}) {
    CAPTURE(endpoint);
    Loop loop;
    Socket router(loop.context(), SocketType::router);
    Dealer dealer(loop, router.bind(endpoint));
    REQUIRE(dealer.hears(News::made));
    CHECK(dealer.heard.size() == 1);

    router.close_at_once();

    CHECK(dealer.hears(News::lost));
    CHECK(dealer.hears(News::refused));
  }
}

TEST_CASE("a connecting socket tells that nobody listens, and that a host name is unknown") {
  Loop loop;
  const SilentPort port;
  Dealer refused(loop, port.endpoint);
  Dealer unknown(loop, "tcp://no-such-host.invalid:5960");

  CHECK(refused.hears(News::refused));
  CHECK(unknown.hears(News::unresolved));
  CHECK(std::ranges::count(refused.heard, News::unresolved) == 0);
  CHECK(std::ranges::count(unknown.heard, News::refused) == 0);
}

TEST_CASE("a connecting socket tells of a listener that breaks its handshake off") {
  Loop loop;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener, 4) == 0);
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const auto watch = loop.watch_fd(listener, [&] { ::close(::accept(listener, nullptr, nullptr)); });
  Dealer dealer(loop, "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));

  CHECK(dealer.hears(News::broken_off));

  loop.unwatch(watch);
  ::close(listener);
}

TEST_CASE("the news of a socket do not count as a socket") {
  Context context({.max_sockets = 8});
  Loop loop(context);
  std::vector<std::unique_ptr<Dealer>> dealers;
  for (int i = 0; i < 8; ++i) dealers.push_back(std::make_unique<Dealer>(loop, "tcp://127.0.0.1:9"));

  CHECK_THROWS_WITH_AS(Dealer(loop, "tcp://127.0.0.1:9"), doctest::Contains("max_sockets is 8"), Error);
}
