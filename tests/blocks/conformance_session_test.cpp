// How sessions begin, break, come back and end: restarts, names, silence, peers that break the protocol.
#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <random>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// Counts records and lets go of them.
std::shared_ptr<std::uint64_t> count(Pull<>& pull) {
  auto n = std::make_shared<std::uint64_t>(0);
  pull.on_record([n](const RawRecord&, const Meta&) { ++*n; });
  return n;
}

std::uint64_t rejected(const Block& block, wire::Rejection why) {
  return block.stats().rejections[static_cast<std::size_t>(why)];
}

/// A plain TCP connection that sends bytes and does not speak ZMTP; -1 when it cannot connect.
int plain_tcp(const std::string& endpoint) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

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

 private:
  struct End {
    int other;
    Loop::WatchId watch;
  };
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
    if (n <= 0 || ::send(to, bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) drop(from);
  }
  void drop(int one) {
    const int other = ends_.at(one).other;
    for (const int fd : {one, other}) {
      loop_.unwatch(ends_.at(fd).watch);
      ends_.erase(fd);
      ::close(fd);
    }
  }

  Loop& loop_;
  std::string target_;
  std::string endpoint_;
  int listener_ = -1;
  Loop::WatchId watch_ = 0;
  std::map<int, End> ends_;
};

/// One of the six blocks, bound, as something that garbage can be thrown at.
using Bound = std::pair<std::unique_ptr<Block>, std::vector<std::string>>;
std::vector<Bound> bound_blocks(Loop& loop, const std::string& ip) {
  std::vector<Bound> all;
  const auto add = [&](std::unique_ptr<Block> block) {
    auto at = block->endpoints();
    all.emplace_back(std::move(block), std::move(at));
  };
  add(std::make_unique<Push<>>(loop, PortOptions{.name = "push", .bind = {ip}}));
  add(std::make_unique<Pull<>>(loop, PortOptions{.name = "pull", .bind = {ip}}));
  add(std::make_unique<Dealer<>>(loop, PortOptions{.name = "dealer", .bind = {ip}}));
  add(std::make_unique<Router<>>(loop, PortOptions{.name = "router", .bind = {ip}}));
  add(std::make_unique<Pull<>>(loop, PortOptions{.name = "native", .bind = {ip}, .native = true}));
  auto pub = std::make_unique<Pub<>>(loop, PortOptions{.name = "pub", .bind = {ip}});
  auto at = pub->endpoints();
  at.push_back(pub->data_endpoint());
  all.emplace_back(std::move(pub), std::move(at));
  return all;
}

}  // namespace

WEFT_CONFORMS("sessions: a receiver that restarts goes on where it is; the loss is counted at the sender") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  auto pull = std::make_unique<Pull<>>(
      loop, PortOptions{.name = "in", .node = "pull/0", .bind = place.endpoints(), .epoch = 1});
  const auto at = pull->endpoints();
  Push<> push(loop, {.name = "out", .connect = at, .heartbeat = 20ms, .dead_after = 10s, .batch_records = 1});
  const Events events(push);
  const auto first = count(*pull);
  for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));
  pull->pause(true);
  for (int i = 0; i < 50; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.flush(soon()));

  pull.reset();
  const auto again = take_over<Pull<>>(loop, {.name = "in", .node = "pull/0", .bind = at, .epoch = 2});
  const auto second = count(*again);
  REQUIRE(eventually(loop,
                     [&] { return events.count(PeerEvent::What::restarted) == 1 && push.peers_up() == 1; }));
  for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(*first == 100);
  CHECK(*second == 100);
  CHECK(push.stats().sent_records == 250);
  CHECK(push.stats().lost_records == 50);
}

WEFT_CONFORMS("sessions: a sender that restarts takes its place again and starts anew") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto got = count(pull);
  const Events events(pull);
  for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
    Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints(), .epoch = epoch});
    for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.wait_for_peers(1, soon()));
    REQUIRE(push.settle(soon()));
  }

  CHECK(*got == 300);
  CHECK(events.count(PeerEvent::What::restarted) == 2);
  CHECK(pull.stats().missed_batches + pull.stats().duplicate_batches + pull.stats().fenced_batches == 0);
}

WEFT_CONFORMS("sessions: of two peers with one name the newest incarnation wins and the older one stops") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto got = count(pull);
  Push<> old(loop, {.name = "out",
                    .node = "push/0",
                    .connect = pull.endpoints(),
                    .epoch = 1,
                    .heartbeat = 20ms,
                    .dead_after = 10s});
  const Events events(old);
  REQUIRE(old.wait_for_peers(1, soon()));

  Push<> young(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints(), .epoch = 2});
  REQUIRE(young.send(as_bytes("x")) == SendStatus::ok);
  REQUIRE(eventually(loop, [&] { return events.count(PeerEvent::What::refused) == 1; }));
  REQUIRE(young.settle(soon()));

  CHECK(events.code(PeerEvent::What::refused) == wire::Code::fenced);
  CHECK(old.peers_up() == 0);
  CHECK(pull.peers_up() == 1);
  CHECK(*got == 1);
}

WEFT_CONFORMS("sessions: a silent receiver is suspected, then dead, and the others get its work") {
  Loop loop;
  Push<> push(
      loop,
      {.name = "out", .bind = place.endpoints(), .heartbeat = 20ms, .dead_after = 100ms, .batch_records = 1});
  const Events events(push);
  Stranger stuck(loop, push.endpoints()[0], "stuck/0");
  stuck.hello("pull");
  REQUIRE(push.wait_for_peers(1, soon()));

  REQUIRE(eventually(loop, [&] { return events.count(PeerEvent::What::dead) == 1; }));
  CHECK(events.count(PeerEvent::What::suspect) == 1);
  Pull<> pull(loop, {.name = "in", .node = "pull/0", .connect = push.endpoints()});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  for (int i = 0; i < 10; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(*got == 10);
  stuck.send(wire::Kind::ping, 0);  // it lives after all
  CHECK(eventually(loop, [&] { return push.peers_up() == 2; }));
}

WEFT_CONFORMS("sessions: a peer with a slow heartbeat is not suspected for it") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .heartbeat = 10ms, .dead_after = 30ms});
  Push<> slow(loop, {.name = "out", .connect = pull.endpoints(), .heartbeat = 500ms, .dead_after = 10s});
  const Events events(pull);
  REQUIRE(pull.wait_for_peers(1, soon()));

  (void)loop.run_until([] { return false; }, Deadline::after(200ms));

  CHECK(events.count(PeerEvent::What::suspect) == 0);
}

WEFT_CONFORMS("sessions: who says anything but HELLO is asked for one") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto got = count(pull);
  Stranger stranger(loop, pull.endpoints()[0], "py/0");

  stranger.data(1);
  REQUIRE(stranger.wait(wire::Kind::nack));
  CHECK(stranger.header().options.code_v == wire::Code::retry);
  stranger.hello("push");
  REQUIRE(stranger.wait(wire::Kind::hello));
  stranger.data(1);
  stranger.send(wire::Kind::ping, 1);
  REQUIRE(stranger.wait(wire::Kind::ack));

  CHECK(stranger.header().seq == 1);
  CHECK(*got == 1);
}

WEFT_CONFORMS("sessions: gaps, duplicates and old epochs are counted") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto got = count(pull);
  Stranger stranger(loop, pull.endpoints()[0], "py/0");
  stranger.hello("push");
  stranger.data(1);
  stranger.data(4);
  stranger.data(3);
  stranger.epoch = 999;
  stranger.data(5);

  REQUIRE(eventually(loop, [&] { return pull.stats().fenced_batches == 1; }));

  CHECK(*got == 2);
  CHECK(pull.stats().missed_batches == 2);
  CHECK(pull.stats().duplicate_batches == 1);
}

WEFT_CONFORMS("sessions: an acknowledgement beyond what was sent changes nothing and is counted") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints()});
  Stranger stranger(loop, push.endpoints()[0], "py/0");
  stranger.hello("pull");
  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);
  REQUIRE(stranger.wait(wire::Kind::data));

  stranger.send(wire::Kind::ack, 1000);
  REQUIRE(eventually(loop, [&] { return rejected(push, wire::Rejection::unexpected) == 1; }));

  CHECK(push.stats().outstanding_records == 1);
  stranger.send(wire::Kind::ack, 1);
  CHECK(eventually(loop, [&] { return push.stats().outstanding_records == 0; }));
}

WEFT_CONFORMS("sessions: a sender that ignores its credit is bounded, and the others are served") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .window_bytes = 4096});
  const auto got = count(pull);
  pull.pause(true);
  Stranger rude(loop, pull.endpoints()[0], "rude/0");
  rude.hello("push");
  for (std::uint64_t seq = 1; seq <= 40; ++seq) rude.data(seq, 1000);

  REQUIRE(eventually(loop, [&] { return rejected(pull, wire::Rejection::too_large) > 30; }));
  CHECK(pull.stats().received_bytes <= 3 * 4096);
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  REQUIRE(push.wait_for_peers(1, soon()));
  const auto before = pull.stats().received_records;
  REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);
  pull.pause(false);
  REQUIRE(push.settle(soon()));

  CHECK(*got == before + 1);
}

WEFT_CONFORMS("sessions: a flood of names is bounded by max_peers, and a place that is free is given again") {
  Loop loop;
  Pull<> pull(
      loop, {.name = "in", .bind = place.endpoints(), .heartbeat = 20ms, .dead_after = 60ms, .max_peers = 8});
  std::vector<std::unique_ptr<Stranger>> flood;
  for (int i = 0; i < 30; ++i) {
    flood.push_back(std::make_unique<Stranger>(loop, pull.endpoints()[0], "name/" + std::to_string(i)));
    flood.back()->hello("push");
  }
  REQUIRE(eventually(loop, [&] { return pull.stats().rejected_peers == 22; }));
  CHECK(pull.peers_up() <= 8);

  Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});
  CHECK(push.wait_for_peers(1, soon()));  // when some of the flood are dead
}

WEFT_CONFORMS(
    "sessions: another protocol version, a HELLO without a name and one with a broken name are refused") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto refusal = [&](const std::string& node, const Stranger::Fill& fill) {
    Stranger stranger(loop, pull.endpoints()[0], node);
    stranger.hello("push", 0, fill);
    REQUIRE(stranger.wait(wire::Kind::nack));
    return stranger.header().options.code_v;
  };

  CHECK(refusal("py/0", [](wire::Options& o) {
          o.version_low = 2;
          o.version_high = 3;
          o.mark(wire::Options::version);
        }) == wire::Code::unsupported);
  CHECK(refusal("py/1", [](wire::Options& o) { o.node_v = {}; }) == wire::Code::bad_request);
  CHECK(refusal("py/2", [](wire::Options& o) { o.node_v = "\xFF\xFE"; }) == wire::Code::bad_request);
  CHECK(pull.stats().rejected_peers == 3);
}

WEFT_CONFORMS("garbage: frames that break the protocol are counted by reason, and shut their peer out") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto got = count(pull);
  Stranger bad(loop, pull.endpoints()[0], "bad/0");
  bad.hello("push");
  REQUIRE(bad.wait(wire::Kind::hello));
  const std::string magic("\x96\xCD\x57\x46", 4);
  bad.raw({"hello world"});
  bad.raw({magic + std::string(5000, 'x')});
  bad.raw({magic + "\x02"});
  bad.raw({magic + "\x02\xDB\xFF\xFF\xFF\xFF"});               // a string of 4 GiB
  bad.raw({magic + "\x02\xA1s\x01\x01\xDF\xFF\xFF\xFF\xFF"});  // a map of four billion options
  bad.data(1);
  bad.send(wire::Kind::data, 2,
           [](wire::Options& o) {
             o.count_v = 1'000'000;
             o.mark(wire::Options::count);
           },
           {as_bytes("\x01")});

  REQUIRE(eventually(loop, [&] { return pull.stats().rejected_messages == 6; }));
  CHECK(rejected(pull, wire::Rejection::bad_magic) == 1);
  CHECK(rejected(pull, wire::Rejection::long_header) == 1);
  CHECK(rejected(pull, wire::Rejection::bad_body) == 1);
  CHECK(*got == 1);
  for (int i = 0; i < 60; ++i) bad.raw({"again"});
  REQUIRE(bad.wait(wire::Kind::nack));
  CHECK(bad.header().options.code_v == wire::Code::denied);
  bad.hello("push");
  REQUIRE(bad.wait(wire::Kind::nack));
  CHECK(bad.header().options.code_v == wire::Code::denied);
  bad.epoch = 2000;  // a new incarnation may be a better one
  bad.hello("push");
  CHECK(bad.wait(wire::Kind::hello));
}

WEFT_CONFORMS("garbage: random frames at every bound block while records flow lose nothing") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});
  const Place other(place.kind());
  Router<> router(loop, {.name = "answers", .bind = other.endpoints()});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 20; ++i) {
    const auto& at = i % 2 == 0 ? pull.endpoints() : router.endpoints();
    strangers.push_back(std::make_unique<Stranger>(loop, at[0], "noise/" + std::to_string(i)));
    if (i % 4 < 2) strangers.back()->hello(i % 2 == 0 ? "push" : "dealer");
  }

  for (int round = 0; round < 50; ++round) {
    for (auto& stranger : strangers) {
      std::string head = random() % 2 == 0 ? std::string("\x96\xCD\x57\x46", 4) : std::string();
      for (auto n = random() % 60; n > 0; --n) head += static_cast<char>(random());
      stranger->raw({head, "body"});
      stranger->send(static_cast<wire::Kind>(1 + random() % 10), random() % 100);
    }
    for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(*got == 5000);
  CHECK(push.stats().lost_records == 0);
  CHECK(pull.stats().rejected_messages > 0);
  CHECK(eventually(loop, [&] { return router.stats().rejected_messages > 0; }));
}

TEST_CASE("garbage: 1,000 connections of random bytes against every kind of bound socket while data flows") {
  Loop loop;
  const auto blocks = bound_blocks(loop, "tcp://127.0.0.1:*");
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  const auto got = count(pull);
  std::vector<std::string> targets{pull.endpoints()[0]};
  for (const auto& [block, at] : blocks) targets.insert(targets.end(), at.begin(), at.end());
  std::mt19937 random(11);
  std::uint64_t made = 0;

  for (int i = 0; i < 1000; ++i) {
    const int fd = plain_tcp(targets[static_cast<std::size_t>(i) % targets.size()]);
    REQUIRE(fd >= 0);
    std::string bytes(10 + random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::close(fd);
    ++made;
    for (int n = 0; n < 10; ++n) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(*got == 10'000);
  CHECK(push.stats().lost_records + pull.stats().missed_batches == 0);
  const auto counted = [&] {
    std::uint64_t n = pull.stats().rejected_connections + pull.stats().rejected_messages;
    for (const auto& [block, at] : blocks)
      n += block->stats().rejected_connections + block->stats().rejected_messages;
    return n;
  };
  CHECK(eventually(loop, [&] { return counted() >= made; }));
}

TEST_CASE("garbage: half-open connections do not disturb those that are whole") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  const auto got = count(pull);
  std::vector<int> open;
  for (int i = 0; i < 100; ++i) open.push_back(plain_tcp(pull.endpoints()[0]));  // and then say nothing
  REQUIRE(std::ranges::all_of(open, [](int fd) { return fd >= 0; }));
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});

  for (int i = 0; i < 1000; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(*got == 1000);
  for (const int fd : open) ::close(fd);
}

TEST_CASE("sessions: a connection that is cut is renewed; what it took with it is counted at both ends") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  Proxy proxy(loop, pull.endpoints()[0]);
  Push<> push(loop, {.name = "out",
                     .connect = proxy.endpoints(),
                     .heartbeat = 20ms,
                     .dead_after = 10s,
                     .batch_records = 1});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(pull.wait_for_peers(1, soon()));
  std::uint64_t sent = 0;
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const std::uint64_t before = *got;
    for (int i = 0; i < 200; ++i, ++sent) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(eventually(loop, [&] { return *got > before; }));
    for (int i = 0; i < 200; ++i, ++sent) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.flush(soon()));  // the proxy has not seen these yet
    proxy.cut();
    REQUIRE(eventually(loop, [&] {
      return push.stats().reconnects == round && push.peers_up() == 1 && pull.peers_up() == 1;
    }));
  }
  REQUIRE(push.settle(soon()));

  CHECK(push.stats().sent_records == sent);
  CHECK(push.stats().lost_records > 0);
  CHECK(*got + push.stats().lost_records == sent);
  CHECK(pull.stats().missed_batches == push.stats().lost_records);
  CHECK(pull.stats().duplicate_batches == 0);
}

TEST_CASE("sessions: a cut between a bound Push and its Pull is counted at both ends as well") {
  Loop loop;
  Push<> push(loop, {.name = "out",
                     .bind = {"tcp://127.0.0.1:*"},
                     .heartbeat = 20ms,
                     .dead_after = 10s,
                     .batch_records = 1});
  Proxy proxy(loop, push.endpoints()[0]);
  Pull<> pull(loop, {.name = "in", .connect = proxy.endpoints(), .heartbeat = 20ms, .dead_after = 10s});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(pull.wait_for_peers(1, soon()));
  std::uint64_t sent = 0;
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const std::uint64_t before = *got;
    for (int i = 0; i < 200; ++i, ++sent) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(eventually(loop, [&] { return *got > before; }));
    for (int i = 0; i < 200; ++i, ++sent) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.flush(soon()));  // the proxy has not seen these yet
    proxy.cut();
    REQUIRE(eventually(loop, [&] {
      return push.stats().reconnects == round && push.peers_up() == 1 && pull.peers_up() == 1;
    }));
  }
  REQUIRE(push.settle(soon()));

  CHECK(push.stats().sent_records == sent);
  CHECK(push.stats().lost_records > 0);
  CHECK(*got + push.stats().lost_records == sent);
  CHECK(pull.stats().missed_batches == push.stats().lost_records);
}

TEST_CASE("sessions: every request ends when connections are cut, and later ones are answered") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = {"tcp://127.0.0.1:*"}});
  router.on_request([](const RawRecord& q, Responder<Raw> respond) { respond.reply(q.bytes()); });
  Proxy proxy(loop, router.endpoints()[0]);
  Dealer<> dealer(loop, {.name = "ask", .connect = proxy.endpoints(), .heartbeat = 20ms, .dead_after = 10s});
  REQUIRE(dealer.wait_for_peers(1, soon()));
  int ended = 0;
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 100; ++i) {
      dealer.request(as_bytes("x"), Deadline::after(300ms), [&](Reply<RawRecord>&) { ++ended; });
    }
    (void)loop.run_once(soon());
    proxy.cut();
    REQUIRE(eventually(loop, [&] { return ended == 100 * round; }));
  }

  CHECK(dealer.ask(as_bytes("y"), soon()).ok());
  CHECK(dealer.open_requests() == 0);
  CHECK(eventually(loop, [&] { return router.open_requests() == 0; }));
}
