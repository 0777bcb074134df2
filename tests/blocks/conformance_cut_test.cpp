// Connections that break: every record is accounted for at both ends.
#include <filesystem>
#include <memory>
#include <optional>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"
#include "proxy.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// Of this process, of any kind.
std::size_t open_sockets() {
  std::size_t out = 0;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    if (std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:")) ++out;
  }
  return out;
}

}  // namespace

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
    proxy.hold();
    for (int i = 0; i < 200; ++i, ++sent) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.flush(soon()));
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
    proxy.hold();
    for (int i = 0; i < 200; ++i, ++sent) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.flush(soon()));
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

// Nobody is told that these connections are dead: they take what is sent, and nothing arrives.
TEST_CASE("sessions: an acknowledging port that connects replaces a connection that is silently dead") {
  for (const bool push_binds : {false, true}) {
    CAPTURE(push_binds);
    ProxiedLine line(push_binds);
    for (int round = 0; round < 3; ++round) {
      line.send(100);
      line.proxy->hold();
      line.send(100);
      REQUIRE(line.push->settle(soon()));
    }

    CHECK(*line.got == 600);
    CHECK(line.push->stats().processed_records == 600);
    if (!push_binds) CHECK(line.push->stats().reconnects >= 3);
  }
}

TEST_CASE("sessions: best effort replaces a connection when its peer is dead, and counts what it held") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  Proxy proxy(loop, pull.endpoints()[0]);
  Push<> push(loop, {.name = "out",
                     .connect = proxy.endpoints(),
                     .heartbeat = 20ms,
                     .dead_after = 200ms,
                     .batch_records = 1,
                     .close_linger = 0ms});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));
  proxy.hold();
  for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.flush(soon()));
  REQUIRE(eventually(loop, [&] { return push.stats().reconnects == 1 && push.peers_up() == 1; }));
  for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(*got == 200);
  CHECK(push.stats().lost_records == 100);
  CHECK(pull.stats().missed_batches == 100);
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

TEST_CASE("sessions: what a cut took with it ends when the connection is renewed, and nothing else does") {
  Loop loop;
  PortOptions options{.heartbeat = 20ms, .dead_after = 10s};
  bool router_binds = true;
  SUBCASE("the router binds") {}
  SUBCASE("the dealer binds") {
    router_binds = false;
  }
  PortOptions bound = options, connecting = options;
  bound.bind = {"tcp://127.0.0.1:*"};
  std::optional<Proxy> proxy;
  std::optional<Router<>> router;
  std::optional<Dealer<>> dealer;
  const auto open = [&](bool is_router, const PortOptions& port) {
    is_router ? void(router.emplace(loop, port)) : void(dealer.emplace(loop, port));
    return is_router ? router->endpoints() : dealer->endpoints();
  };
  proxy.emplace(loop, open(router_binds, bound)[0]);
  connecting.connect = proxy->endpoints();
  (void)open(!router_binds, connecting);
  Parked parked(*router);
  REQUIRE(dealer->wait_for_peers(1, soon()));
  REQUIRE(router->wait_for_peers(1, soon()));
  Ended arrived, reply_lost, request_lost;
  dealer->request(as_bytes("arrived"), Deadline::never(), arrived.note());
  dealer->request(as_bytes("reply lost"), Deadline::never(), reply_lost.note());
  REQUIRE(eventually(loop, [&] { return parked.kept.size() == 2; }));

  proxy->hold();
  parked.kept[1].reply(as_bytes("nobody reads this"));
  dealer->request(as_bytes("request lost"), Deadline::never(), request_lost.note());
  REQUIRE(eventually(loop,
                     [&] { return dealer->stats().sent_records == 3 && router->stats().sent_records == 1; }));
  proxy->cut();

  REQUIRE(eventually(loop, [&] { return request_lost.times == 1 && reply_lost.times == 1; }));
  CHECK(request_lost.outcome == Outcome::peer_lost);
  if (!router_binds) {
    // A binding end that sees the connection go before the next one comes takes that for the peer's death.
    parked.kept[0].reply(as_bytes("as before"));
    CHECK(eventually(loop, [&] { return arrived.times == 1; }));
    CHECK(dealer->open_requests() == 0);
    return;
  }
  CHECK(reply_lost.outcome == Outcome::remote_error);
  CHECK(reply_lost.code == wire::Code::gone);
  CHECK(arrived.times == 0);
  parked.kept[0].reply(as_bytes("here"));
  REQUIRE(eventually(loop, [&] { return arrived.times == 1; }));
  CHECK(arrived.text == "here");
  CHECK(parked.asked.size() == 2);
  CHECK(dealer->open_requests() == 0);
}

// An asker that does not run its loop is a process that was stopped.
TEST_CASE("sessions: an asker that was taken for dead is told which replies are gone when it is back") {
  Loop here, there;
  Router<> router(here,
                  {.name = "answers", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 20ms, .dead_after = 100ms});
  Parked parked(router);
  Dealer<> dealer(there,
                  {.name = "ask", .connect = router.endpoints(), .heartbeat = 20ms, .dead_after = 10s});
  const auto both = [&](const std::function<bool()>& holds) {
    for (const Deadline end = soon(); !holds() && !end.passed(Clock::now());) {
      (void)here.run_once(Deadline::after(1ms));
      (void)there.run_once(Deadline::after(1ms));
    }
    return holds();
  };
  Ended while_away, before;
  REQUIRE(both([&] { return dealer.peers_up() == 1; }));
  dealer.request(as_bytes("answered while it is away"), Deadline::never(), while_away.note());
  REQUIRE(both([&] { return parked.kept.size() == 1; }));

  bool dead = false;
  router.on_peer([&](const PeerEvent& event) { dead = dead || event.what == PeerEvent::What::dead; });
  REQUIRE(eventually(here, [&] { return dead; }));
  parked.kept[0].reply(as_bytes("into the void"));

  REQUIRE(both([&] { return while_away.times == 1; }));
  CHECK(while_away.code == wire::Code::gone);
  dealer.request(as_bytes("and on"), Deadline::never(), before.note());
  REQUIRE(both([&] { return parked.kept.size() == 2; }));
  parked.kept[1].reply(as_bytes("as before"));
  REQUIRE(both([&] { return before.times == 1; }));
  CHECK(before.text == "as before");
}

TEST_CASE(
    "sessions: who is suspected of silence is asked for a new HELLO, in case only its way here is dead") {
  Loop loop;
  PortOptions options{.name = "in", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 20ms, .dead_after = 10s};
  options.delivery = Delivery::at_least_once;
  Pull<> pull(loop, options);
  Stranger peer(loop, pull.endpoints()[0], "push/0");
  peer.hello("push", Delivery::at_least_once);
  REQUIRE(peer.wait(wire::Kind::hello));

  REQUIRE(peer.wait(wire::Kind::nack));
  CHECK(peer.header().options.code_v == wire::Code::retry);
  peer.hello("push", Delivery::at_least_once);
  CHECK(peer.wait(wire::Kind::hello));
  CHECK(eventually(loop, [&] { return pull.peers_up() == 1; }));
}

TEST_CASE("sessions: what a connection that is gone has left ends no other one that has its descriptor") {
  Loop loop, theirs;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  const auto got = count(pull);
  const std::string at = pull.endpoints()[0];
  const std::size_t before = open_sockets();
  const auto eventually_open = [&](std::size_t more) {
    return eventually(theirs, [&] { return open_sockets() == before + more; });
  };
  {
    Stranger gone(theirs, at, "sender/0");
    REQUIRE(eventually_open(2));
    gone.hello("push");
    gone.close();
    REQUIRE(eventually_open(0));
  }
  Stranger other(theirs, at, "sender/1");
  REQUIRE(eventually_open(2));  // the lowest numbers that are free
  other.hello("push");
  REQUIRE(eventually(loop, [&] { return other.next(wire::Kind::hello); }));
  REQUIRE(pull.stats().missed_batches == 0);

  Stranger back(theirs, at, "sender/0");
  back.hello("push");
  REQUIRE(eventually(loop, [&] { return back.next(wire::Kind::hello); }));
  other.data(1);

  CHECK(eventually(loop, [&] { return *got == 1; }));
  CHECK(pull.stats().rejected_messages == 0);
}
