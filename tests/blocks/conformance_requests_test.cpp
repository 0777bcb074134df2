// Requests that are tried again: at-least-once and exactly-once.
#include <memory>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "proxy.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

WEFT_CONFORMS("requests: a router killed with requests in flight loses none of them") {
  Loop loop;
  auto first = std::make_unique<Router<>>(loop, answers(kLeast, "server/0", place.endpoints()));
  const Place other(place.kind());
  Router<> second(loop, answers(kLeast, "server/1", other.endpoints()));
  Dealer<> dealer(loop, asks(kLeast, {first->endpoints()[0], second.endpoints()[0]}));
  REQUIRE(dealer.wait_for_peers(2, soon()));
  const auto parked = std::make_unique<Parked>(*first);
  echo(second);
  int ok = 0;
  int ended = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = std::to_string(i);
    dealer.request(as_bytes(text), soon(), [&, text](Reply<RawRecord>& r) {
      ++ended;
      ok += r.ok() && r.record->text() == text ? 1 : 0;
    });
  }
  REQUIRE(eventually(loop, [&] { return parked->kept.size() > 100 && ended > 100; }));

  first->close();
  REQUIRE(eventually(loop, [&] { return ended == 1000; }));

  CHECK(ok == 1000);
  CHECK(dealer.open_requests() == 0);
  CHECK(dealer.stats().queued_bytes == 0);
  CHECK(dealer.stats().retried_requests >= parked->kept.size());
}

WEFT_CONFORMS("requests: a router that restarts is asked again, under at-least-once") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  PortOptions here = answers(kLeast, "server/0", place.endpoints());
  here.epoch = 1;
  auto router = std::make_unique<Router<>>(loop, here);
  here.bind = router->endpoints();
  Dealer<> dealer(loop, asks(kLeast, here.bind));
  const auto parked = std::make_unique<Parked>(*router);
  Ended ended;
  dealer.request(as_bytes("x"), soon(), ended.note());
  REQUIRE(eventually(loop, [&] { return parked->kept.size() == 1; }));

  router.reset();
  here.epoch = 2;
  const auto again = take_over<Router<>>(loop, here);
  echo(*again);
  REQUIRE(eventually(loop, [&] { return ended.times != 0; }));

  CHECK(ended.outcome == Outcome::ok);
  CHECK(ended.text == "x");
  CHECK(dealer.stats().retried_requests >= 1);
}

WEFT_CONFORMS("requests: one that is being handled is not handled twice, and is answered once it is done") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  Parked parked(router);
  PortOptions impatient = asks(kLeast, router.endpoints());
  impatient.attempt_timeout = 30ms;
  impatient.circuit_failures = 0;
  Dealer<> dealer(loop, impatient);
  Ended ended;
  dealer.request(as_bytes("x"), soon(), ended.note());

  REQUIRE(eventually(loop, [&] { return router.stats().repeated_requests >= 3; }));
  CHECK(parked.kept.size() == 1);
  CHECK(router.open_requests() == 1);
  parked.kept[0].reply(as_bytes("done"));
  REQUIRE(eventually(loop, [&] { return ended.times != 0; }));

  CHECK(ended.outcome == Outcome::ok);
  CHECK(ended.text == "done");
  CHECK(parked.asked.size() == 1);
}

WEFT_CONFORMS("requests: a reply that was lost is given again from the window") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  int handled = 0;
  router.on_request([&](const RawRecord&, Responder<Raw> respond) {
    ++handled;
    respond.reply(as_bytes("a" + std::to_string(handled)));
  });
  Stranger asker(loop, router.endpoints()[0], "worker/9");
  asker.hello("dealer", kLeast);
  REQUIRE(asker.wait(wire::Kind::hello));

  for (int attempt = 1; attempt <= 3; ++attempt) {
    asker.data(7, 2, wire::Kind::request);
    REQUIRE(asker.wait(wire::Kind::reply));
    CHECK(asker.header().seq == 7);
    CHECK(asker.header().options.count_v == 2);
    CHECK(as_text(asker.message()[1].view()) == std::string("\xC4\x02"
                                                            "a1"
                                                            "\xC4\x02"
                                                            "a2"));
  }

  CHECK(handled == 2);
  CHECK(router.stats().repeated_requests == 4);
}

WEFT_CONFORMS("requests: one that fell out of the window is refused, not done again") {
  Loop loop;
  PortOptions small = answers(kLeast, "server/0", place.endpoints());
  small.reply_window = 2;
  Router<> router(loop, small);
  int handled = 0;
  router.on_request([&](const RawRecord&, Responder<Raw> respond) {
    ++handled;
    respond.reply(as_bytes("x"));
  });
  Stranger asker(loop, router.endpoints()[0], "worker/9");
  asker.hello("dealer", kLeast);
  REQUIRE(asker.wait(wire::Kind::hello));
  for (std::uint64_t seq = 1; seq <= 4; ++seq) {
    asker.data(seq, 1, wire::Kind::request);
    REQUIRE(asker.wait(wire::Kind::reply));
  }

  asker.data(1, 1, wire::Kind::request);
  REQUIRE(asker.wait(wire::Kind::reply));
  CHECK(asker.header().options.code_v == wire::Code::gone);
  asker.data(4, 1, wire::Kind::request);
  REQUIRE(asker.wait(wire::Kind::reply));
  CHECK(!asker.header().options.has(wire::Options::code));

  CHECK(handled == 4);
}

WEFT_CONFORMS("requests: what an asker has settled is forgotten by the router") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  echo(router);
  Stranger asker(loop, router.endpoints()[0], "worker/9");
  asker.hello("dealer", kLeast);
  REQUIRE(asker.wait(wire::Kind::hello));
  asker.data(1, 1, wire::Kind::request);
  REQUIRE(asker.wait(wire::Kind::reply));

  asker.send(wire::Kind::request, 2,
             [](wire::Options& o) {
               o.count_v = 1;
               o.mark(wire::Options::count);
               o.first_retained_v = 2;
               o.mark(wire::Options::first_retained);
             },
             {as_bytes("\xA1x")});
  REQUIRE(asker.wait(wire::Kind::reply));
  asker.data(1, 1, wire::Kind::request);
  REQUIRE(asker.wait(wire::Kind::reply));

  CHECK(asker.header().options.code_v == wire::Code::gone);
}

TEST_CASE("requests: what a cut connection took with it is sent again at once, and done once") {
  Loop loop;
  for (const Delivery delivery : {kLeast, kOnce}) {
    Router<> router(loop, answers(delivery, "server/0", {"tcp://127.0.0.1:*"}));
    Parked parked(router);
    Proxy proxy(loop, router.endpoints()[0]);
    PortOptions there = asks(delivery, proxy.endpoints());
    there.dead_after = 10s;
    Dealer<> dealer(loop, there);
    REQUIRE(dealer.wait_for_peers(1, soon()));
    std::vector<Ended> ended(20);
    for (int i = 0; i < 10; ++i) dealer.request(as_bytes(std::to_string(i)), soon(), ended[i].note());
    REQUIRE(eventually(loop, [&] { return parked.kept.size() == 10; }));

    proxy.cut();
    for (auto& responder : parked.kept) responder.reply(as_bytes("done"));  // goes nowhere
    parked.kept.clear();
    for (int i = 10; i < 20; ++i) dealer.request(as_bytes(std::to_string(i)), soon(), ended[i].note());
    REQUIRE(eventually(loop, [&] { return parked.kept.size() == 10; }));
    for (auto& responder : parked.kept) responder.reply(as_bytes("done"));
    REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));

    for (const Ended& end : ended) {
      CHECK(end.times == 1);
      CHECK(end.text == "done");
    }
    CHECK(parked.asked.size() == 20);
    CHECK(dealer.stats().reconnects >= 1);
    CHECK(dealer.stats().lost_records == 0);
  }
}

WEFT_CONFORMS("requests: ends of different deliveries refuse each other with a sentence") {
  Loop loop;
  Router<> router(loop, answers(Delivery::best_effort, "server/0", place.endpoints()));
  echo(router);
  // Its repeats would be dropped as duplicates by a router that keeps no replies.
  Dealer<> retrying(loop, asks(kLeast, router.endpoints()));
  const Events at_dealer(retrying);
  const Events at_router(router);

  REQUIRE(eventually(loop, [&] {
    return at_dealer.count(PeerEvent::What::refused) == 1 && at_router.count(PeerEvent::What::refused) == 1;
  }));

  CHECK(contains(at_dealer.text(PeerEvent::What::refused), "best-effort"));
  CHECK(contains(at_dealer.text(PeerEvent::What::refused), "at-least-once"));
  CHECK(router.peers_up() == 0);
}

WEFT_CONFORMS("requests: exactly-once past its deadline ends as outcome unknown, and names the router") {
  Loop loop;
  Router<> router(loop, answers(kOnce, "server/0", place.endpoints()));
  Parked parked(router);
  Dealer<> dealer(loop, asks(kOnce, router.endpoints()));
  REQUIRE(dealer.wait_for_peers(1, soon()));

  const auto reply = dealer.ask(as_bytes("x"), Deadline::after(100ms));

  CHECK(reply.outcome == Outcome::unknown);
  CHECK(reply.code == wire::Code::outcome_unknown);
  CHECK(reply.peer == "server/0");
  CHECK(contains(reply.text, "outcome unknown"));
  CHECK(contains(reply.text, "server/0 is up"));
}

WEFT_CONFORMS("requests: exactly-once is not offered to a second router when the first one dies") {
  Loop loop;
  auto first = std::make_unique<Router<>>(loop, answers(kOnce, "server/0", place.endpoints()));
  Dealer<> dealer(loop, asks(kOnce, first->endpoints()));
  Parked parked(*first);
  Ended ended;
  dealer.request(as_bytes("x"), Deadline::after(1s), ended.note());
  REQUIRE(eventually(loop, [&] { return parked.kept.size() == 1; }));
  const Place other(place.kind());
  Router<> second(loop, answers(kOnce, "server/1", other.endpoints()));
  Parked at_second(second);
  dealer.connect(second.endpoints()[0]);
  REQUIRE(dealer.wait_for_peers(2, soon()));

  first->close();
  REQUIRE(eventually(loop, [&] { return ended.times != 0; }));

  CHECK(ended.outcome == Outcome::unknown);
  CHECK(contains(ended.text, "server/0"));
  CHECK(at_second.asked.empty());
}

WEFT_CONFORMS(
    "requests: exactly-once that no router was offered ends as timed out, because nothing was done") {
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask", .bind = place.endpoints(), .delivery = kOnce});
  Ended ended;

  dealer.request(as_bytes("x"), Deadline::after(50ms), ended.note());
  REQUIRE(eventually(loop, [&] { return ended.times != 0; }));

  CHECK(ended.outcome == Outcome::timed_out);
  CHECK(contains(ended.text, "never sent"));
  CHECK(contains(ended.text, "no router is known"));
}

WEFT_CONFORMS("requests: exactly-once at a router that restarted and remembers nothing is unknown") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  PortOptions here = answers(kOnce, "server/0", place.endpoints());
  here.epoch = 1;
  auto router = std::make_unique<Router<>>(loop, here);
  here.bind = router->endpoints();
  Dealer<> dealer(loop, asks(kOnce, here.bind));
  const auto parked = std::make_unique<Parked>(*router);
  Ended ended;
  dealer.request(as_bytes("x"), soon(), ended.note());
  REQUIRE(eventually(loop, [&] { return parked->kept.size() == 1; }));

  router.reset();
  here.epoch = 2;
  const auto again = take_over<Router<>>(loop, here);
  const Parked anew(*again);
  REQUIRE(eventually(loop, [&] { return ended.times != 0; }));

  CHECK(ended.outcome == Outcome::unknown);
  CHECK(contains(ended.text, "restarted"));
  CHECK(anew.asked.empty());
}

WEFT_CONFORMS("requests: a router that fails every request gets nothing for a while, then works again") {
  Loop loop;
  Router<> bad(loop, answers(kLeast, "server/0", place.endpoints()));
  const Place other(place.kind());
  Router<> good(loop, answers(kLeast, "server/1", other.endpoints()));
  PortOptions there = asks(kLeast, {bad.endpoints()[0], good.endpoints()[0]});
  there.circuit_failures = 3;
  there.circuit_first = 100ms;
  there.circuit_longest = 200ms;
  Dealer<> dealer(loop, there);
  REQUIRE(dealer.wait_for_peers(2, soon()));
  bool broken = true;
  int failed = 0;
  int served_by_bad = 0;
  bad.on_request([&](const RawRecord&, Responder<Raw> respond) {
    broken ? respond.fail(wire::Code::failed, "out of order") : respond.reply(as_bytes("x"));
  });
  echo(good);

  for (int i = 0; i < 100 && dealer.stats().circuits_opened == 0; ++i) {
    failed += dealer.ask(as_bytes("x"), soon()).ok() ? 0 : 1;
  }
  CHECK(failed == 3);
  CHECK(dealer.stats().circuits_opened == 1);
  broken = false;
  REQUIRE(eventually(loop, [&] {
    const auto reply = dealer.ask(as_bytes("x"), soon());
    served_by_bad += reply.ok() && reply.peer == "server/0" ? 1 : 0;
    return served_by_bad >= 3;
  }));

  CHECK(dealer.stats().circuits_opened == 1);
}
