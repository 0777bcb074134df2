#include <memory>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

struct Ask {
  int n = 0;
  WEFT_RECORD(Ask, n)
};
struct Told {
  int n = 0;
  WEFT_RECORD(Told, n)
};
struct Other {
  int m = 0;
  WEFT_RECORD(Other, m)
};

}  // namespace

WEFT_CONFORMS("dealer-router: 10,000 requests in flight get each its own reply") {
  Loop loop;
  Router<Ask, Told> router(loop, {.name = "answers", .node = "server/0", .bind = place.endpoints()});
  Dealer<Ask, Told> dealer(loop, {.name = "ask", .node = "worker/0", .connect = router.endpoints()});
  std::vector<std::pair<int, Responder<Told>>> parked;
  router.on_request(
      [&](const Ask& q, Responder<Told> respond) { parked.emplace_back(q.n, std::move(respond)); });
  int right = 0;
  for (int i = 0; i < 10'000; ++i) {
    dealer.request({.n = i}, soon(), [&, i](Reply<Told>& reply) {
      right += reply.ok() && reply.record->n == 2 * i && reply.peer == "server/0" ? 1 : 0;
    });
  }
  REQUIRE(eventually(loop, [&] { return parked.size() == 10'000; }));
  CHECK(dealer.open_requests() == 10'000);
  CHECK(router.open_requests() == 10'000);

  for (auto at = parked.rbegin(); at != parked.rend(); ++at) at->second.reply({.n = 2 * at->first});
  REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));

  CHECK(right == 10'000);
  CHECK(router.open_requests() == 0);
  CHECK(dealer.stats().late_replies == 0);
}

WEFT_CONFORMS("dealer-router: a bound Dealer asks a connected Router, also one that comes late") {
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask", .bind = place.endpoints()});
  std::string got;
  dealer.request(as_bytes("early"), soon(),
                 [&](Reply<RawRecord>& r) { got = r.ok() ? r.record->text() : "?"; });
  Router<> router(loop, {.name = "answers", .connect = dealer.endpoints()});
  echo(router);

  REQUIRE(eventually(loop, [&] { return !got.empty(); }));

  CHECK(got == "early");
}

WEFT_CONFORMS("dealer-router: tensors and raw bytes come back") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  router.on_request([](const RawRecord& q, Responder<Raw> respond) {
    const Tensor tensor{DType::u8, {static_cast<std::int64_t>(q.bytes().size())}, q.bytes(), nullptr};
    respond.reply(as_bytes("tensor"), {&tensor, 1});
  });

  const auto reply = dealer.ask(as_bytes("payload"), soon());

  REQUIRE(reply.ok());
  CHECK(reply.record->text() == "tensor");
  REQUIRE(reply.record->tensors().size() == 1);
  CHECK(as_text(reply.record->tensors()[0].data) == "payload");
}

WEFT_CONFORMS("dealer-router: an error arrives as an error, and so does a responder that was dropped") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  router.on_request([](const RawRecord& q, Responder<Raw> respond) {
    if (q.text() == "refuse") respond.fail(wire::Code::not_found, "no such table");
  });

  const auto refused = dealer.ask(as_bytes("refuse"), soon());
  const auto dropped = dealer.ask(as_bytes("drop"), soon());

  CHECK(refused.outcome == Outcome::remote_error);
  CHECK(refused.code == wire::Code::not_found);
  CHECK(refused.text == "no such table");
  CHECK(dropped.outcome == Outcome::remote_error);
  CHECK(dropped.code == wire::Code::failed);
}

WEFT_CONFORMS("dealer-router: a request that is not of the type fails and is counted, the next one works") {
  Loop loop;
  Router<Ask, Told> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  router.on_request([](const Ask& q, Responder<Told> respond) { respond.reply({.n = q.n}); });

  const auto bad = dealer.ask(as_bytes("not an Ask"), soon());

  CHECK(bad.outcome == Outcome::remote_error);
  CHECK(bad.code == wire::Code::failed);
  CHECK(router.stats().rejections[static_cast<std::size_t>(wire::Rejection::wrong_type)] == 1);
  CHECK(router.peers_up() == 1);
}

WEFT_CONFORMS("dealer-router: ports of other types are refused, requests and replies apart") {
  Loop loop;
  Router<Ask, Told> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<Ask, Other> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  const Events at_router(router);
  const Events at_dealer(dealer);

  REQUIRE(eventually(loop, [&] { return at_dealer.count(PeerEvent::What::refused) == 1; }));

  for (const std::string& text :
       {at_router.text(PeerEvent::What::refused), at_dealer.text(PeerEvent::What::refused)}) {
    CHECK(contains(text, "Told"));
    CHECK(contains(text, "Other"));
  }
}

WEFT_CONFORMS("dealer-router: a request ends at its deadline, and its late reply is counted") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .node = "server/0", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  std::vector<Responder<Raw>> kept;
  router.on_request([&](const RawRecord&, Responder<Raw> respond) { kept.push_back(std::move(respond)); });
  REQUIRE(dealer.wait_for_peers(1, soon()));

  const auto reply = dealer.ask(as_bytes("x"), Deadline::after(50ms));

  CHECK(reply.outcome == Outcome::timed_out);
  CHECK(reply.text == "no reply from server/0 (up)");
  REQUIRE(eventually(loop, [&] { return kept.size() == 1; }));
  kept[0].reply(as_bytes("late"));
  CHECK(eventually(loop, [&] { return dealer.stats().late_replies == 1; }));
}

WEFT_CONFORMS(
    "dealer-router: a request that expired before a router came is not sent, and its room is free") {
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask", .bind = place.endpoints(), .capacity_bytes = 2000});
  int expired = 0;
  int no_room = 0;
  const std::string query(500, 'q');
  for (int i = 0; i < 10; ++i) {
    dealer.request(as_bytes(query), Deadline::after(10ms),
                   [&](Reply<RawRecord>& r) { (r.outcome == Outcome::timed_out ? expired : no_room) += 1; });
  }
  REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));
  CHECK(expired >= 4);
  CHECK(no_room == 10 - expired);
  CHECK(dealer.stats().queued_bytes == 0);
  Router<> router(loop, {.name = "answers", .connect = dealer.endpoints()});
  int asked = 0;
  router.on_request([&](const RawRecord& q, Responder<Raw> respond) {
    ++asked;
    respond.reply(q.bytes());
  });

  CHECK(dealer.ask(as_bytes("now"), soon()).ok());

  CHECK(asked == 1);
}

WEFT_CONFORMS("dealer-router: a request to a router that dies ends as peer_lost") {
  Loop loop;
  const auto at = place.endpoints();
  Dealer<> dealer(loop, {.name = "ask", .bind = at, .heartbeat = 20ms, .dead_after = 100ms});
  auto router = std::make_unique<Router<>>(
      loop, PortOptions{.name = "answers", .node = "server/0", .connect = dealer.endpoints()});
  std::vector<Responder<Raw>> kept;
  router->on_request([&](const RawRecord&, Responder<Raw> respond) { kept.push_back(std::move(respond)); });
  std::optional<Outcome> outcome;
  std::string who;
  dealer.request(as_bytes("x"), soon(), [&](Reply<RawRecord>& r) {
    outcome = r.outcome;
    who = r.peer;
  });
  REQUIRE(eventually(loop, [&] { return kept.size() == 1; }));

  router.reset();
  REQUIRE(eventually(loop, [&] { return outcome.has_value(); }));

  CHECK(*outcome == Outcome::peer_lost);
  CHECK(who == "server/0");
  kept[0].reply(as_bytes("to nobody"));  // its router is gone: harmless
}

WEFT_CONFORMS("dealer-router: a router that restarts loses what it was asked, and is asked again") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  auto router = std::make_unique<Router<>>(
      loop, PortOptions{.name = "answers", .node = "server/0", .bind = place.endpoints(), .epoch = 1});
  const auto at = router->endpoints();
  Dealer<> dealer(loop, {.name = "ask", .connect = at, .heartbeat = 20ms, .dead_after = 10s});
  std::vector<Responder<Raw>> kept;
  router->on_request([&](const RawRecord&, Responder<Raw> respond) { kept.push_back(std::move(respond)); });
  std::optional<Outcome> outcome;
  dealer.request(as_bytes("x"), soon(), [&](Reply<RawRecord>& r) { outcome = r.outcome; });
  REQUIRE(eventually(loop, [&] { return kept.size() == 1; }));

  router.reset();
  const auto again =
      take_over<Router<>>(loop, {.name = "answers", .node = "server/0", .bind = at, .epoch = 2});
  echo(*again);
  REQUIRE(eventually(loop, [&] { return outcome.has_value(); }));

  CHECK(*outcome == Outcome::peer_lost);
  CHECK(dealer.ask(as_bytes("y"), soon()).ok());
}

WEFT_CONFORMS("dealer-router: closing a Dealer ends its requests as closed, and it takes no more") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  std::vector<Outcome> ends;
  const auto note = [&](Reply<RawRecord>& r) { ends.push_back(r.outcome); };
  for (int i = 0; i < 3; ++i) dealer.request(as_bytes("x"), soon(), note);

  dealer.close();
  dealer.request(as_bytes("y"), soon(), note);

  CHECK(ends == std::vector<Outcome>(4, Outcome::closed));
  CHECK(dealer.open_requests() == 0);
}

WEFT_CONFORMS("dealer-router: a Dealer may be closed by the end of one of its requests") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  echo(router);
  int ended = 0;
  for (int i = 0; i < 100; ++i) {
    dealer.request(as_bytes("x"), soon(), [&](Reply<RawRecord>&) {
      if (++ended == 10) dealer.close();
    });
  }

  REQUIRE(eventually(loop, [&] { return ended == 100; }));

  CHECK(dealer.open_requests() == 0);
}

WEFT_CONFORMS("dealer-router: explicit asks the router that is named, and says when it is not there") {
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask", .bind = place.endpoints(), .distribute = Distribute::explicit_});
  Router<> a(loop, {.name = "answers", .node = "server/0", .connect = dealer.endpoints()});
  Router<> b(loop, {.name = "answers", .node = "server/1", .connect = dealer.endpoints()});
  echo(a);
  echo(b);
  REQUIRE(dealer.wait_for_peers(2, soon()));

  const auto reply = dealer.ask(as_bytes("x"), soon(), {.key = {}, .peer = "server/1"});
  CHECK(reply.ok());
  CHECK(reply.peer == "server/1");
  Outcome outcome{};
  const auto note = [&](Reply<RawRecord>& r) { outcome = r.outcome; };
  dealer.request(as_bytes("x"), soon(), note, {.key = {}, .peer = "server/2"});
  CHECK(outcome == Outcome::no_peer);
  outcome = Outcome::ok;
  dealer.request(as_bytes("x"), soon(), note);
  CHECK(outcome == Outcome::no_peer);
}

WEFT_CONFORMS("dealer-router: hash asks the same router for the same key, round-robin each in turn") {
  Loop loop;
  Router<> a(loop, {.name = "answers", .node = "server/0", .bind = place.endpoints()});
  const Place second(place.kind());
  Router<> b(loop, {.name = "answers", .node = "server/1", .bind = second.endpoints()});
  echo(a);
  echo(b);
  const std::vector<std::string> both{a.endpoints()[0], b.endpoints()[0]};
  Dealer<> hash(loop, {.name = "ask", .node = "w/0", .connect = both, .distribute = Distribute::hash});
  Dealer<> turn(loop, {.name = "ask", .node = "w/1", .connect = both, .distribute = Distribute::round_robin});
  REQUIRE(hash.wait_for_peers(2, soon()));
  REQUIRE(turn.wait_for_peers(2, soon()));

  const std::string owner = hash.ask(as_bytes("x"), soon(), {.key = as_bytes("k"), .peer = {}}).peer;
  int same = 0;
  int at_a = 0;
  for (int i = 0; i < 10; ++i) {
    same += hash.ask(as_bytes("x"), soon(), {.key = as_bytes("k"), .peer = {}}).peer == owner ? 1 : 0;
    at_a += turn.ask(as_bytes("x"), soon()).peer == "server/0" ? 1 : 0;
  }

  CHECK(same == 10);
  CHECK(at_a == 5);
}

WEFT_CONFORMS("dealer-router: requests that wait for a Router without a handler are bounded by credit") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints(), .window_bytes = 4096});
  Dealer<> dealer(
      loop, {.name = "ask", .connect = router.endpoints(), .batch_bytes = 500, .capacity_bytes = 1 << 20});
  const std::string query(100, 'q');
  int ok = 0;
  REQUIRE(dealer.wait_for_peers(1, soon()));
  for (int i = 0; i < 1000; ++i) {
    dealer.request(as_bytes(query), soon(), [&](Reply<RawRecord>& r) { ok += r.ok() ? 1 : 0; });
  }
  REQUIRE(eventually(loop, [&] { return router.open_requests() >= 20; }));

  // Each turn would take in whatever is on its way.
  std::size_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    most = std::max<std::size_t>(most, router.open_requests());
    auto request = router.next(soon());
    REQUIRE(request);
    request->second.reply(as_bytes("a"));
    (void)loop.run_once(Deadline::after(0ms));
  }

  CHECK(most <= 41);
  CHECK(eventually(loop, [&] { return ok == 1000; }));
}

WEFT_CONFORMS("dealer-router: replies to an asker that does not read are bounded; others are served") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints(), .capacity_bytes = 4096});
  const std::string large(1000, 'l');
  router.on_request([&](const RawRecord&, Responder<Raw> respond) { respond.reply(as_bytes(large)); });
  Stranger deaf(loop, router.endpoints()[0], "deaf/0");
  deaf.hello("dealer", 2000);
  REQUIRE(deaf.wait(wire::Kind::hello));
  for (std::uint64_t seq = 1; seq <= 100; ++seq) {
    deaf.data(seq, 1, wire::Kind::request);
    REQUIRE(eventually(loop, [&] { return router.stats().received_records == seq; }));
  }

  CHECK(router.stats().queued_bytes <= 4096 + 1100 + 128);
  const std::uint64_t dropped = router.stats().dropped_records;
  CHECK(dropped > 80);
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  CHECK(dealer.ask(as_bytes("x"), soon()).ok());

  // It hears of each of them once it has read what came before.
  std::uint64_t told = 0;
  for (std::uint64_t got = 0; got < 100;) {
    deaf.send(wire::Kind::ack, got, [](wire::Options& o) {
      o.credit_bytes = 1 << 20;
      o.credit_batches = 1000;
      o.mark(wire::Options::credit);
    });
    REQUIRE(deaf.wait(wire::Kind::reply));
    const wire::Header& reply = deaf.header();
    CHECK(reply.seq == got + 1);
    const bool error = reply.options.has(wire::Options::code);
    if (error) CHECK(reply.options.code_v == wire::Code::gone);
    told += error ? 1 : 0;
    got += error ? 1 : reply.options.count_v;
  }
  CHECK(told == dropped);
  CHECK(eventually(loop, [&] { return router.stats().queued_bytes == 0; }));
}

WEFT_CONFORMS("dealer-router: a request acknowledges replies beside itself, but none that were never sent") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints()});
  router.on_request([&](const RawRecord& q, Responder<Raw> respond) { respond.reply(q.bytes()); });
  Stranger asker(loop, router.endpoints()[0], "asker/0");
  asker.hello("dealer");
  REQUIRE(asker.wait(wire::Kind::hello));
  const auto ask = [&](std::uint64_t seq, std::uint64_t processed) {
    asker.send(wire::Kind::request, seq,
               [&](wire::Options& o) {
                 o.count_v = 1;
                 o.mark(wire::Options::count);
                 o.processed_v = processed;
                 o.mark(wire::Options::processed);
               },
               {as_bytes("\xA1x")});
  };

  ask(1, 0);
  REQUIRE(asker.wait(wire::Kind::reply));
  CHECK(asker.header().options.processed_v == 1);
  CHECK(router.stats().outstanding_records == 1);
  ask(2, 1);
  REQUIRE(asker.wait(wire::Kind::reply));
  CHECK(router.stats().outstanding_records == 1);
  ask(3, 7);

  // Only what it says beside the request is refused.
  REQUIRE(asker.wait(wire::Kind::reply));
  CHECK(router.stats().rejected_messages == 1);
  CHECK(router.stats().received_records == 3);
  CHECK(router.stats().outstanding_records == 2);
}

WEFT_CONFORMS("dealer-router: a request and a reply beyond the largest frame end as too_large") {
  Loop loop;
  const PortOptions bound{.max_frame_bytes = 64 << 10};
  PortOptions here = bound;
  here.name = "answers";
  here.bind = place.endpoints();
  Router<> router(loop, here);
  PortOptions there = bound;
  there.name = "ask";
  there.connect = router.endpoints();
  Dealer<> dealer(loop, there);
  const std::string large(100 << 10, 'l');
  router.on_request([&](const RawRecord&, Responder<Raw> respond) { respond.reply(as_bytes(large)); });

  const auto asked = dealer.ask(as_bytes(large), soon());
  const auto told = dealer.ask(as_bytes("x"), soon());

  CHECK(asked.outcome == Outcome::no_room);
  CHECK(asked.code == wire::Code::too_large);
  CHECK(told.outcome == Outcome::remote_error);
  CHECK(told.code == wire::Code::too_large);
}

WEFT_CONFORMS("dealer-router: both ends drain when what was asked has been answered") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = place.endpoints()});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  std::vector<Responder<Raw>> kept;
  router.on_request([&](const RawRecord&, Responder<Raw> respond) { kept.push_back(std::move(respond)); });
  bool ok = false;
  dealer.request(as_bytes("x"), soon(), [&](Reply<RawRecord>& r) { ok = r.ok(); });
  REQUIRE(eventually(loop, [&] { return kept.size() == 1; }));

  router.begin_drain();
  dealer.begin_drain();
  CHECK(!router.drained());
  CHECK(!dealer.drained());
  kept[0].reply(as_bytes("y"));

  CHECK(eventually(loop, [&] { return router.drained() && dealer.drained(); }));
  CHECK(ok);
}
