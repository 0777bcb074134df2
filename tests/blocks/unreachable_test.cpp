// Ends that are refused, gone or unreachable: they are told of at once, named, and nothing waits for them in
// vain.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;
using What = PeerEvent::What;

namespace {

constexpr const char* kUnknown = "tcp://no-such-host.invalid:5960";

/// Heartbeats that nobody waits for: only the end of a connection can tell of a death.
PortOptions deaf(std::string name) {
  return {.name = std::move(name), .heartbeat = 60s, .dead_after = 10min};
}

}  // namespace

TEST_CASE("who connects hears at once that its peer was killed, and that it is back") {
  for (const auto kind : {Place::Kind::tcp, Place::Kind::ipc}) {
    const Place place(kind);
    Loop loop;
    auto pull = std::make_unique<Pull<>>(
        loop, PortOptions{.name = "in", .node = "pull/0", .bind = place.endpoints(), .epoch = 1});
    const auto at = pull->endpoints();
    PortOptions options = deaf("out");
    options.connect = at;
    Push<> push(loop, options);
    const Events events(push);
    REQUIRE(push.wait_for_peers(1, soon()));

    pull.reset();

    REQUIRE(eventually(loop, [&] { return events.count(What::dead) == 1; }));
    CHECK(events.count(What::suspect) == 1);
    CHECK(contains(events.text(What::dead), "nobody listens there"));
    CHECK(push.peers_up() == 0);
    const auto again = take_over<Pull<>>(loop, {.name = "in", .node = "pull/0", .bind = at, .epoch = 2});
    again->on_record([](const RawRecord&, const Meta&) {});
    REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    CHECK(push.settle(soon()));
  }
}

TEST_CASE("a request to a router that was killed fails at once, and names it") {
  Loop loop;
  auto router = std::make_unique<Router<>>(
      loop, PortOptions{.name = "in", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}});
  std::vector<Responder<Raw>> kept;
  router->on_request([&](const RawRecord&, Responder<Raw> respond) { kept.push_back(std::move(respond)); });
  PortOptions options = deaf("out");
  options.connect = router->endpoints();
  Dealer<> dealer(loop, options);
  REQUIRE(dealer.wait_for_peers(1, soon()));
  std::string text;
  dealer.request_packed(as_bytes("x"), Deadline::after(10min), [&](Reply<RawRecord>& reply) {
    CHECK(reply.outcome == Outcome::peer_lost);
    text = reply.text;
  });
  REQUIRE(eventually(loop, [&] { return router->stats().received_records == 1; }));

  router.reset();

  REQUIRE(eventually(loop, [&] { return !text.empty(); }));
  CHECK(contains(text, "server/0 was lost"));
}

TEST_CASE("a host name that is unknown is told of early, and in the errors of what waits for it") {
  Loop loop;
  Push<> push(loop, {.name = "out", .connect = {kUnknown}});
  Pull<> pull(loop, {.name = "in", .connect = {kUnknown}});
  Sub<> sub(loop, {.name = "in", .connect = {kUnknown}});
  Dealer<> dealer(loop, {.name = "out", .connect = {kUnknown}});
  const Events pushed(push), pulled(pull), subscribed(sub), asked(dealer);
  for (const Events* events : {&pushed, &pulled, &subscribed, &asked}) {
    REQUIRE(eventually(loop, [&] { return events->count(What::unreachable) == 1; }));
    CHECK(contains(events->text(What::unreachable), "host name is unknown"));
    CHECK(events->node(What::unreachable) == kUnknown);
  }

  const auto reply = dealer.ask(as_bytes("x"), Deadline::after(1ms));

  CHECK(contains(reply.text, "is connecting: its host name is unknown"));
}

TEST_CASE("a wait for peers gives up when the only one has refused for good") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  PortOptions options{.name = "out", .node = "push/0", .connect = pull.endpoints(), .epoch = 1};
  Push<> old(loop, options);
  const Events events(old);
  REQUIRE(old.wait_for_peers(1, soon()));
  options.epoch = 2;
  Push<> young(loop, options);
  REQUIRE(young.wait_for_peers(1, soon()));
  REQUIRE(old.send(as_bytes("x")) == SendStatus::ok);
  const auto deadline = soon();

  CHECK(!old.settle(deadline));
  CHECK(!old.wait_for_peers(1, deadline));
  CHECK(!deadline.passed(Clock::now()));
  CHECK(events.code(What::refused) == wire::Code::fenced);
  CHECK(events.for_good(What::refused));

  Dealer<> wrong(loop, {.name = "out", .connect = pull.endpoints()});
  CHECK(!wrong.wait_for_peers(1, deadline));
  const auto reply = wrong.ask(as_bytes("x"), deadline);
  CHECK(!deadline.passed(Clock::now()));
  CHECK(reply.outcome == Outcome::no_peer);
  CHECK(contains(reply.text, "needs a push"));
}

TEST_CASE("a request that waits for its router fails when the only one refuses for good") {
  for (const auto delivery : {Delivery::best_effort, Delivery::at_least_once, Delivery::exactly_once}) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = {"tcp://127.0.0.1:*"}});
    Dealer<> wrong(loop, {.name = "out", .connect = pull.endpoints(), .delivery = delivery});
    const auto deadline = soon();

    const auto reply = wrong.ask(as_bytes("x"), deadline);

    CHECK(!deadline.passed(Clock::now()));
    CHECK(reply.outcome == Outcome::no_peer);
    CAPTURE(reply.text);
    CHECK(contains(reply.text, "denied"));
  }
}

TEST_CASE("a request says at once, and not at its deadline, that the only router has refused for good") {
  for (const auto delivery : {Delivery::best_effort, Delivery::at_least_once, Delivery::exactly_once}) {
    for (const auto distribute : {Distribute::balance, Distribute::hash, Distribute::explicit_}) {
      CAPTURE(static_cast<int>(delivery));
      CAPTURE(static_cast<int>(distribute));
      Loop loop;
      Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = {"tcp://127.0.0.1:*"}});
      PortOptions options{.name = "out", .connect = pull.endpoints(), .delivery = delivery};
      options.distribute = distribute;
      Dealer<> dealer(loop, options);
      RequestTo to;
      if (distribute == Distribute::hash) to.key = as_bytes("k");
      if (distribute == Distribute::explicit_) to.peer = "pull/0";
      const auto deadline = soon();
      for (int i = 0; i < 2; ++i) {  // when it waits, and when it comes too late to wait
        const auto reply = dealer.ask(as_bytes("x"), deadline, to);

        CHECK(!deadline.passed(Clock::now()));
        CHECK(reply.outcome == Outcome::no_peer);
        CAPTURE(reply.text);
        CHECK(contains(reply.text, "denied"));
      }
      dealer.begin_drain();
      CHECK(loop.run_until([&] { return dealer.drained(); }, deadline));
    }
  }
}

TEST_CASE("a request fails when the last one that might have taken it is told to disconnect") {
  for (const auto delivery : {Delivery::best_effort, Delivery::at_least_once, Delivery::exactly_once}) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = {"tcp://127.0.0.1:*"}});
    const std::string nobody = "tcp://127.0.0.1:1";
    Dealer<> dealer(loop, {.name = "out", .connect = {pull.endpoints()[0], nobody}, .delivery = delivery});
    const Events events(dealer);
    Outcome outcome = Outcome::ok;
    dealer.request(as_bytes("x"), soon(), [&](Reply<RawRecord>& reply) { outcome = reply.outcome; });
    REQUIRE(eventually(loop, [&] { return events.count(What::refused) == 1; }));
    CHECK(dealer.open_requests() == 1);

    dealer.disconnect(nobody);

    CHECK(loop.run_until([&] { return dealer.open_requests() == 0; }, soon()));
    CHECK(outcome == Outcome::no_peer);
  }
}

TEST_CASE("a request for which there is no room by its deadline says who is there, and how") {
  Loop loop;
  Router<> router(loop, {.name = "in", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}});
  Dealer<> dealer(loop, {.name = "out", .connect = router.endpoints(), .distribute = Distribute::explicit_});
  REQUIRE(dealer.wait_for_peers(1, soon()));

  const auto reply = dealer.ask(as_bytes("x"), Deadline::after(5ms), {.key = {}, .peer = "server/7"});

  CHECK(reply.outcome == Outcome::timed_out);
  CHECK(contains(reply.text, "server/7 is not known; server/0 is up"));
}

TEST_CASE("who waits for a record or a request gives up when the only peer has refused for good") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  Router<> router(loop, {.name = "in", .connect = pull.endpoints()});
  Sub<> sub(loop, {.name = "in", .connect = pull.endpoints()});
  const auto deadline = soon();

  CHECK(!router.next(deadline));
  CHECK(!router.wait_for_peers(1, deadline));
  CHECK(!sub.receive(deadline));

  CHECK(!deadline.passed(Clock::now()));
  router.begin_drain();
  CHECK(router.drained());
}

TEST_CASE("who has said BYE is never told to be silent or dead") {
  Loop loop;
  Pull<> bound(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 10ms, .dead_after = 50ms});
  const Events at_pull(bound);
  auto push = std::make_unique<Push<>>(
      loop, PortOptions{.name = "out", .node = "push/0", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 10ms});
  Pull<> connected(loop, {.name = "in", .connect = push->endpoints(), .heartbeat = 10ms, .dead_after = 50ms});
  const Events at_other(connected);
  Stranger done(loop, bound.endpoints()[0], "done/0"), stuck(loop, bound.endpoints()[0], "stuck/0");
  done.hello("push");
  stuck.hello("push");
  REQUIRE(bound.wait_for_peers(2, soon()));
  REQUIRE(connected.wait_for_peers(1, soon()));

  done.send(wire::Kind::bye, 0);
  push->begin_drain();
  REQUIRE(eventually(loop, [&] { return at_other.count(What::finished) == 1; }));
  push.reset();
  REQUIRE(eventually(loop, [&] { return at_pull.count(What::dead) == 1; }));
  stuck.send(wire::Kind::ping, 0);
  REQUIRE(eventually(loop, [&] { return bound.peers_up() == 1; }));
  REQUIRE(eventually(loop, [&] { return at_pull.count(What::dead) == 2; }));

  CHECK(at_pull.node(What::dead) == "stuck/0");
  CHECK(at_pull.count(What::finished) == 1);
  CHECK(at_pull.count(What::suspect) == 2);
  CHECK(at_other.count(What::suspect) == 0);
  CHECK(at_other.count(What::dead) == 0);
}

TEST_CASE("best-effort: what a dead receiver had is lost, not on its way, until it says what it got") {
  Loop loop;
  Push<> push(loop, {.name = "out",
                     .bind = {"tcp://127.0.0.1:*"},
                     .heartbeat = 20ms,
                     .dead_after = 100ms,
                     .batch_records = 1});
  Events events(push);
  Stranger stuck(loop, push.endpoints()[0], "stuck/0");
  stuck.hello("pull");
  REQUIRE(push.wait_for_peers(1, soon()));
  for (int i = 0; i < 10; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.flush(soon()));
  CHECK(push.stats().outstanding_records == 10);

  REQUIRE(eventually(loop, [&] { return events.count(What::dead) == 1; }));

  CHECK(events.lost(What::dead) == 10);
  REQUIRE(eventually(loop, [&] { return push.stats().lost_records == 10; }));
  CHECK(push.stats().outstanding_records == 0);
  stuck.send(wire::Kind::ack, 10);  // it lives, and has got all of it
  REQUIRE(eventually(loop, [&] { return push.peers_up() == 1; }));
  CHECK(push.stats().lost_records == 0);
  CHECK(push.stats().outstanding_records == 0);
}

TEST_CASE("a handler that throws takes no reply, and no deadline, from the requests behind it") {
  for (const auto delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    Loop loop;
    Router<> router(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}, .delivery = delivery});
    bool answers = true;
    std::vector<Responder<Raw>> kept;
    router.on_request([&](const RawRecord&, Responder<Raw> respond) {
      answers ? respond.reply(as_bytes("x")) : kept.push_back(std::move(respond));
    });
    Dealer<> dealer(loop, {.name = "out", .connect = router.endpoints(), .delivery = delivery});
    REQUIRE(dealer.wait_for_peers(1, soon()));
    for (const bool answered : {true, false}) {
      answers = answered;
      int told = 0;
      const auto deadline = answered ? soon() : Deadline::after(5ms);
      for (int i = 0; i < 10; ++i) {
        dealer.request_packed(as_bytes("x"), deadline, [&](Reply<RawRecord>&) {
          if (++told == 3) throw Error(Errc::internal, "the third one");
        });
      }

      CHECK_THROWS_WITH((void)loop.run_until([&] { return told == 10; }, soon()), "the third one");
      CHECK(loop.run_until([&] { return told == 10; }, soon()));
    }
  }
}

TEST_CASE(
    "a sender without room that is refused by its only peer says so, and does not wait for the deadline") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    for (const Distribute distribute : {Distribute::balance, Distribute::hash}) {
      CAPTURE(static_cast<int>(delivery));
      CAPTURE(static_cast<int>(distribute));
      const Place place(Place::Kind::tcp);
      Loop loop;
      const Pull<> pull(loop, {.name = "in", .scope = "elsewhere", .bind = place.endpoints()});
      PortOptions options{.name = "out", .connect = pull.endpoints(), .capacity_bytes = 1024};
      options.delivery = delivery;
      options.distribute = distribute;
      Push<> push(loop, options);
      const Deadline deadline = soon();
      SendStatus status = SendStatus::ok;
      for (int i = 0; i < 100 && status == SendStatus::ok; ++i) {
        status = distribute == Distribute::hash
                     ? push.send(as_bytes(kHundred), PushBase::To::with_key("k"), deadline)
                     : push.send(as_bytes(kHundred), deadline);
      }
      CHECK(status == SendStatus::refused);
      CHECK(!deadline.passed(Clock::now()));
      // The same word where nobody waits.
      const auto to = distribute == Distribute::hash ? PushBase::To::with_key("k") : PushBase::To{};
      CHECK(push.send(as_bytes(kHundred), to) == SendStatus::refused);
      const Pull<> better(loop, {.name = "in", .bind = place.endpoints(), .delivery = delivery});
      push.connect(better.endpoints()[0]);
      CHECK(push.send(as_bytes(kHundred), to) == SendStatus::would_block);
    }
  }
}
