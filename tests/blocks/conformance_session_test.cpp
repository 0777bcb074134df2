// How sessions begin, come back and end: restarts, names, silence, credit.
#include <list>
#include <memory>
#include <optional>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

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

WEFT_CONFORMS("sessions: a sender that drains waits for a receiver that is slow, not dead") {
  Loop loop;
  Push<> push(loop, {.name = "out",
                     .bind = place.endpoints(),
                     .heartbeat = 20ms,
                     .dead_after = 60s,
                     .batch_records = 1,
                     .distribute = Distribute::round_robin});
  const Events events(push);
  Stranger slow(loop, push.endpoints()[0], "slow/0");
  slow.hello("pull");
  Pull<> pull(loop, {.name = "in", .node = "pull/0", .connect = push.endpoints()});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(2, soon()));
  for (int i = 0; i < 2; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);

  push.begin_drain();
  REQUIRE(eventually(loop, [&] { return events.count(PeerEvent::What::suspect) == 1 && *got == 1; }));
  Stranger late(loop, push.endpoints()[0], "late/0");
  late.hello("pull");
  REQUIRE(eventually(loop, [&] { return late.next(); }));  // the suspicion has been acted on by now
  CHECK_FALSE(push.drained());
  slow.send(wire::Kind::ack, 1);

  CHECK(eventually(loop, [&] { return push.drained(); }));
  CHECK(push.stats().lost_records == 0);
}

WEFT_CONFORMS("sessions: a peer with a slow heartbeat is not suspected for it") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .heartbeat = 10ms, .dead_after = 30ms});
  Push<> slow(
      loop,
      {.name = "out", .node = "slow/0", .connect = pull.endpoints(), .heartbeat = 5s, .dead_after = 60s});
  const Events events(pull);
  REQUIRE(pull.wait_for_peers(1, soon()));
  Stranger stuck(loop, pull.endpoints()[0], "stuck/0");
  stuck.hello("push");

  // By the time that one who promised no slower heartbeat is dead, the other has been silent for longer.
  REQUIRE(eventually(loop, [&] { return events.count(PeerEvent::What::dead) == 1; }));

  CHECK(events.node(PeerEvent::What::dead) == "stuck/0");
  CHECK(events.count(PeerEvent::What::suspect) == 1);
  CHECK(pull.peers_up() == 1);
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

WEFT_CONFORMS("sessions: what a connection lost is told again to who did not hear the answer that told it") {
  for (const bool asks : {false, true}) {
    Loop loop;
    std::optional<Pull<>> pull;
    std::optional<Router<>> router;
    const PortOptions options{.name = "in", .bind = place.endpoints()};
    asks ? (void)router.emplace(loop, options) : (void)pull.emplace(loop, options);
    const std::string at = asks ? router->endpoints()[0] : pull->endpoints()[0];
    const auto kind = asks ? wire::Kind::request : wire::Kind::data;
    // On another connection each time: so many have been sent by then.
    std::list<Stranger> connections;
    const auto accepted = [&](std::uint64_t sent) {
      connections.emplace_back(loop, at, "sender/0");
      connections.back().hello(asks ? "dealer" : "push", 1 << 20,
                               [sent](wire::Options& o) { o.first_retained_v = sent + 1; });
      REQUIRE(connections.back().wait(wire::Kind::hello));
      return connections.back().header().seq;
    };
    CHECK(accepted(0) == 0);
    connections.back().data(1, 1, kind);

    CHECK(eventually(loop, [&] { return (asks ? router->stats() : pull->stats()).received_records == 1; }));
    CHECK(accepted(2) == 1);
    CHECK(accepted(2) == 1);
    connections.back().data(3, 1, kind);
    CHECK(eventually(loop, [&] { return (asks ? router->stats() : pull->stats()).received_records == 2; }));
    CHECK(accepted(3) == 3);
    CHECK((asks ? router->stats() : pull->stats()).missed_batches == 1);
  }
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

  REQUIRE(eventually(loop, [&] {
    return pull.stats().received_batches + rejected(pull, wire::Rejection::too_large) == 40;
  }));
  CHECK(rejected(pull, wire::Rejection::too_large) > 30);
  CHECK(pull.stats().received_bytes <= 3 * 4096);
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  REQUIRE(push.wait_for_peers(1, soon()));
  const auto before = pull.stats().received_records;
  REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);
  pull.pause(false);
  REQUIRE(push.settle(soon()));

  CHECK(*got == before + 1);
}

WEFT_CONFORMS("sessions: a flood of names is bounded by max_peers") {
  Loop loop;
  // Nobody is dead before all have asked, however long that takes.
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .dead_after = 60s, .max_peers = 8});
  std::vector<std::unique_ptr<Stranger>> flood;
  for (int i = 0; i < 30; ++i) {
    flood.push_back(std::make_unique<Stranger>(loop, pull.endpoints()[0], "name/" + std::to_string(i)));
    flood.back()->hello("push");
  }
  REQUIRE(eventually(loop, [&] { return pull.stats().rejected_peers == 22; }));
  CHECK(pull.peers_up() == 8);

  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  REQUIRE(eventually(loop, [&] { return pull.stats().rejected_peers > 22; }));
  CHECK(push.peers_up() == 0);
}

WEFT_CONFORMS("sessions: the place of a dead peer is given to one that asks") {
  Loop loop;
  Pull<> pull(
      loop, {.name = "in", .bind = place.endpoints(), .heartbeat = 20ms, .dead_after = 60ms, .max_peers = 1});
  Stranger stuck(loop, pull.endpoints()[0], "stuck/0");
  stuck.hello("push");
  REQUIRE(pull.wait_for_peers(1, soon()));

  Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});

  CHECK(push.wait_for_peers(1, soon()));
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
