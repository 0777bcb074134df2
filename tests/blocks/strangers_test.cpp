// Who connects and never says who it is does not stay, at any block that binds; who has said it does.
#include <memory>
#include <string>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"
#include "proxy.hpp"

using namespace weft;
using namespace weft::conformance;
using transport::ConnectionNews;
using transport::SocketType;

namespace {

/// Finishes ZeroMQ's handshake, and tells how its connection ends.
class Mute {
 public:
  Mute(Loop& loop, SocketType type, const std::string& endpoint) : socket_(loop.context(), type) {
    socket_.tell_connections();
    socket_.connect(endpoint);
  }
  bool was_lost() {
    while (const auto news = socket_.next_news()) lost_ = lost_ || *news == ConnectionNews::lost;
    return lost_;
  }
  transport::Socket& socket() { return socket_; }

 private:
  transport::Socket socket_;
  bool lost_ = false;
};

/// StrangerLines that a block logs.
class StrangerLines : public Logger::Sink {
 public:
  void write(LogLevel, std::string_view, std::string_view message) override { all.emplace_back(message); }
  [[nodiscard]] bool has(std::string_view part) const {
    return std::ranges::any_of(all, [&](const auto& line) { return contains(line, part); });
  }
  std::vector<std::string> all;
};

}  // namespace

TEST_CASE("strangers: every block that binds ends connections on which nobody says HELLO, and counts them") {
  for (const auto kind : {Place::Kind::tcp, Place::Kind::ipc}) {
    const std::vector<std::unique_ptr<Place>> places = [&] {
      std::vector<std::unique_ptr<Place>> out;
      for (int i = 0; i < 5; ++i) out.push_back(std::make_unique<Place>(kind));
      return out;
    }();
    Loop loop;
    const auto lines = std::make_shared<StrangerLines>();
    const auto at = [&](std::string name, std::size_t i) {
      return PortOptions{.name = std::move(name),
                         .bind = places[i]->endpoints(),
                         .heartbeat = 50ms,
                         .dead_after = 300ms,
                         .log = Logger(lines, "test", LogLevel::info)};
    };
    Pull<> pull(loop, at("pull", 0));
    Push<> push(loop, at("push", 1));
    Router<> router(loop, at("router", 2));
    Dealer<> dealer(loop, at("dealer", 3));
    Pub<> pub(loop, at("pub", 4));
    const std::vector<Block*> blocks{&pull, &push, &router, &dealer, &pub};
    Push<> known(loop, {.name = "known", .connect = pull.endpoints(), .heartbeat = 50ms});
    REQUIRE(known.wait_for_peers(1, soon()));
    std::vector<std::unique_ptr<Mute>> mutes;
    for (Block* block : blocks)
      mutes.push_back(std::make_unique<Mute>(loop, SocketType::dealer, block->endpoints()[0]));
    mutes.push_back(std::make_unique<Mute>(loop, SocketType::sub, pub.data_endpoint()));

    for (const auto& mute : mutes) CHECK(eventually(loop, [&] { return mute->was_lost(); }));
    for (Block* block : blocks)
      CHECK(eventually(loop, [&] { return block->stats().rejected_connections >= 1; }));
    CHECK(eventually(loop, [&] { return pub.stats().rejected_connections >= 2; }));
    CHECK(lines->has("pull: ended"));
    CHECK(lines->has("not said HELLO within"));
    CHECK(lines->has("not said a subscription within"));
    CHECK(known.peers_up() == 1);
    CHECK(known.stats().reconnects == 0);
  }
}

TEST_CASE("strangers: a plain subscriber has said enough, also when another one has said the same before") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 50ms, .dead_after = 300ms});
  std::vector<std::unique_ptr<Mute>> plain;
  for (int i = 0; i < 2; ++i) {
    plain.push_back(std::make_unique<Mute>(loop, SocketType::sub, pub.data_endpoint()));
    plain.back()->socket().subscribe(as_bytes("t"));
  }
  Mute mute(loop, SocketType::sub, pub.data_endpoint());

  REQUIRE(eventually(loop, [&] { return mute.was_lost(); }));
  transport::Message message;
  for (const auto& one : plain) {
    CHECK_FALSE(one->was_lost());
    CHECK(eventually(loop, [&] {
      (void)pub.publish("t", as_bytes("x"));
      return one->socket().receive(message);
    }));
  }
}

TEST_CASE("strangers: a connection that its peer has replaced is ended as well") {
  ProxiedLine line(false);

  line.proxy->hold();
  line.send(1);
  REQUIRE(line.push->settle(soon()));

  CHECK(line.proxy->joined() >= 2);
  CHECK(eventually(line.loop, [&] { return line.proxy->ended_by_target() >= 1; }));
}
