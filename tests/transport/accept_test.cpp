// Whom a bound socket keeps: connections of strangers end, and those of whom its owner knows do not, also
// when no descriptor is left.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"
#include "transport/descriptors.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

/// Lowers the bound of this process's descriptors for as long as it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t most) {
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    set(most);
  }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  void set(rlim_t most) const {
    const rlimit limit{most, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }

 private:
  rlimit before_{};
};

/// A ROUTER that knows who sends "hello", and peers that connect to it.
struct Bound {
  Loop loop;
  Socket router{loop.context(), SocketType::router};
  std::atomic<int> news{0};
  Message message;

  std::string bind(const std::string& endpoint) {
    router.watch_accepts(true, [this] { ++news; });
    return router.bind(endpoint);
  }
  std::unique_ptr<Socket> peer(const std::string& endpoint) {
    auto socket = std::make_unique<Socket>(loop.context(), SocketType::dealer);
    socket->tell_connections();
    socket->connect(endpoint);
    return socket;
  }
  void hello(Socket& peer) {
    REQUIRE(peer.send(text("hello")) == SendStatus::sent);
    REQUIRE(eventually(loop, [&] { return router.receive(message); }));
    router.know(message);
  }
  bool accepted(std::uint64_t count) {
    return eventually(loop, [&] { return router.accepted_connections() >= count; });
  }
  bool becomes(Socket& peer, ConnectionNews wanted) {
    return eventually(loop, [&] {
      const auto told = peer.next_news();
      return told == wanted;
    });
  }
};

int plain_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(fd >= 0);
  return fd;
}

bool connect_to(int fd, const std::string& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// The other end has closed it.
bool ended(int fd) {
  pollfd item{fd, POLLRDHUP, 0};
  return ::poll(&item, 1, 0) == 1;
}

}  // namespace

TEST_CASE("strangers: a connection that never says a word can be ended, and one that did stays") {
  const Folder folder;
  std::string at;
  SUBCASE("tcp") {
    at = "tcp://127.0.0.1:*";
  }
  SUBCASE("ipc") {
    at = "ipc://" + folder.file("a");
  }
  Bound bound;
  const std::string endpoint = bound.bind(at);
  CHECK_FALSE(bound.router.oldest_stranger());
  const auto known = bound.peer(endpoint);
  bound.hello(*known);
  REQUIRE(bound.accepted(1));
  const auto silent = bound.peer(endpoint);
  REQUIRE(bound.becomes(*silent, ConnectionNews::made));
  REQUIRE(bound.accepted(2));
  REQUIRE(eventually(bound.loop, [&] { return bound.router.oldest_stranger().has_value(); }));
  CHECK(bound.news >= 1);

  CHECK(bound.router.end_strangers(*bound.router.oldest_stranger()) == 0);
  CHECK(bound.router.end_strangers(TimePoint::max()) == 1);
  CHECK(bound.becomes(*silent, ConnectionNews::lost));
  CHECK(eventually(bound.loop, [&] { return bound.router.rejected_connections() == 1; }));
  REQUIRE(known->send(text("still here")) == SendStatus::sent);
  CHECK(receive(bound.loop, bound.router).at(1) == "still here");
}

TEST_CASE("strangers: there are never more than a quarter of the descriptors; known ones do not count") {
  Bound bound;
  const std::string endpoint = bound.bind("tcp://127.0.0.1:*");
  const auto known = bound.peer(endpoint);
  bound.hello(*known);
  std::vector<int> plain;
  for (int i = 0; i < 60; ++i) plain.push_back(plain_socket());
  const DescriptorLimit limit(200);

  for (const int fd : plain) REQUIRE(connect_to(fd, endpoint));

  const auto still_open = [&] {
    std::size_t count = 0;
    for (const int fd : plain) count += ended(fd) ? 0U : 1U;
    return count;
  };
  CHECK(eventually(bound.loop, [&] { return still_open() == 200 / 4; }));
  CHECK(bound.router.accept_alarm().crowded_out == plain.size() - 200 / 4);
  REQUIRE(known->send(text("still here")) == SendStatus::sent);
  CHECK(receive(bound.loop, bound.router).at(1) == "still here");
  for (const int fd : plain) ::close(fd);
}

TEST_CASE("accepting: without a descriptor whoever comes is turned away, and later ones are taken again") {
  Bound bound;
  bool strangers = true;
  SUBCASE("with strangers") {}
  SUBCASE("where nobody is one") {
    strangers = false;
  }
  bound.router.watch_accepts(strangers, [&] { ++bound.news; });
  const std::string endpoint = bound.router.bind("tcp://127.0.0.1:*");
  const auto known = bound.peer(endpoint);
  bound.hello(*known);
  REQUIRE(bound.accepted(1));
  std::vector<int> plain;
  for (int i = 0; i < 20; ++i) plain.push_back(plain_socket());
  const int latest = plain_socket();
  const int lowest_free = ::dup(latest);
  ::close(lowest_free);
  const DescriptorLimit limit(static_cast<rlim_t>(lowest_free) + 2);

  for (const int fd : plain) REQUIRE(connect_to(fd, endpoint));
  REQUIRE(eventually(bound.loop, [&] { return bound.router.accept_alarm().exhausted; }));
  const AcceptAlarm alarm = bound.router.accept_alarm();
  CHECK(alarm.endpoint == endpoint);
  CHECK(alarm.limit == static_cast<std::uint64_t>(lowest_free) + 2);
  CHECK(eventually(bound.loop, [&] {
    std::size_t count = 0;
    for (const int fd : plain) count += ended(fd) ? 1U : 0U;
    return count >= plain.size() - 8;
  }));
  CHECK(bound.router.accept_alarm().turned_away > 0);
  REQUIRE(known->send(text("still here")) == SendStatus::sent);
  CHECK(receive(bound.loop, bound.router).at(1) == "still here");

  limit.set(static_cast<rlim_t>(lowest_free) + 40);
  CHECK(eventually(bound.loop, [&] { return !bound.router.accept_alarm().exhausted; }));
  const std::uint64_t before = bound.router.accepted_connections();
  REQUIRE(connect_to(latest, endpoint));
  CHECK(bound.accepted(before + 1));
  CHECK_FALSE(ended(latest));
  for (const int fd : plain) ::close(fd);
  ::close(latest);
}

TEST_CASE("descriptors: what stands behind a number is ended only when it is what was meant") {
  const int idle = plain_socket();
  Descriptors descriptors(idle);
  descriptors.open();
  int pair[2] = {-1, -1};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  const auto inode = socket_inode(pair[0]);
  REQUIRE(inode);

  CHECK_FALSE(descriptors.end(pair[0], *inode + 1));
  CHECK_FALSE(descriptors.end(-1, *inode));
  CHECK_FALSE(ended(pair[1]));
  CHECK_FALSE(descriptors.connection(pair[0], "tcp://127.0.0.1:5555"));  // accepted nowhere
  CHECK_FALSE(descriptors.connection(pair[0], "ipc:///tmp/a"));
  CHECK(descriptors.end(pair[0], *inode));
  CHECK(ended(pair[1]));
  ::close(pair[0]);
  ::close(pair[1]);
  ::close(idle);
}
