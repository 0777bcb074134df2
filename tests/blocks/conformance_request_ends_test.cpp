// How requests that are tried again end, and what bounds them.
#include <memory>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

WEFT_CONFORMS("requests: a cancelled one ends as cancelled, and its reply is late") {
  Loop loop;
  for (const Delivery delivery : {Delivery::best_effort, kLeast, kOnce}) {
    const Place here(place.kind());
    Router<> router(loop, answers(delivery, "server/0", here.endpoints()));
    Parked parked(router);
    Dealer<> dealer(loop, asks(delivery, router.endpoints()));
    Ended ended;
    const RequestId id = dealer.request(as_bytes("x"), soon(), ended.note());
    REQUIRE(eventually(loop, [&] { return parked.kept.size() == 1; }));

    CHECK(dealer.cancel(id));
    CHECK(!dealer.cancel(id));
    CHECK(ended.outcome == Outcome::cancelled);
    CHECK(ended.peer == "server/0");
    CHECK(dealer.open_requests() == 0);
    parked.kept[0].reply(as_bytes("late"));

    CHECK(eventually(loop, [&] { return dealer.stats().late_replies == 1; }));
    CHECK(ended.times == 1);
  }
}

WEFT_CONFORMS("requests: one that is cancelled before a handler saw it is not done") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  Dealer<> dealer(loop, asks(kLeast, router.endpoints()));
  Ended first;
  Ended second;
  const RequestId id = dealer.request(as_bytes("not this"), soon(), first.note());
  dealer.request(as_bytes("this"), soon(), second.note());
  REQUIRE(eventually(loop, [&] { return router.open_requests() == 2; }));

  dealer.cancel(id);
  REQUIRE(eventually(loop, [&] { return router.open_requests() == 1; }));
  auto next = router.next(soon());

  REQUIRE(next);
  CHECK(next->first.text() == "this");
  next->second.reply(as_bytes("y"));
  CHECK(eventually(loop, [&] { return second.times == 1; }));
  CHECK(first.outcome == Outcome::cancelled);
}

WEFT_CONFORMS("requests: max_attempts ends a request before its deadline") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  const Parked parked(router);
  PortOptions there = asks(kLeast, router.endpoints());
  there.attempt_timeout = 30ms;
  there.max_attempts = 2;
  Dealer<> dealer(loop, there);
  REQUIRE(dealer.wait_for_peers(1, soon()));

  const auto reply = dealer.ask(as_bytes("x"), soon());

  CHECK(reply.outcome == Outcome::timed_out);
  CHECK(contains(reply.text, "after 2 attempts"));
  CHECK(contains(reply.text, "server/0 is up"));
}

WEFT_CONFORMS("requests: one that nobody could take says at its deadline who was there, and how") {
  Loop loop;
  auto router = std::make_unique<Router<>>(loop, answers(kLeast, "server/0", place.endpoints()));
  Dealer<> dealer(loop, asks(kLeast, router->endpoints()));
  REQUIRE(dealer.wait_for_peers(1, soon()));
  router.reset();
  REQUIRE(eventually(loop, [&] { return dealer.peers_up() == 0; }));

  const auto any = dealer.ask(as_bytes("x"), Deadline::after(300ms));
  const auto named = dealer.ask(as_bytes("x"), Deadline::after(50ms), {.key = {}, .peer = "server/7"});

  CHECK(any.outcome == Outcome::timed_out);
  CHECK(contains(any.text, "server/0 is "));
  CHECK(contains(any.text, "never sent"));
  CHECK(named.outcome == Outcome::timed_out);
  CHECK(contains(named.text, "server/7 is not known"));
}

WEFT_CONFORMS("requests: the bound of what is kept holds until requests end, and says so") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  Parked parked(router);
  PortOptions there = asks(kLeast, router.endpoints());
  there.capacity_bytes = 2000;
  Dealer<> dealer(loop, there);
  const std::string query(500, 'q');
  int no_room = 0;
  int ok = 0;
  for (int i = 0; i < 10; ++i) {
    dealer.request(as_bytes(query), soon(), [&](Reply<RawRecord>& r) {
      no_room += r.outcome == Outcome::no_room ? 1 : 0;
      ok += r.ok() ? 1 : 0;
    });
  }
  CHECK(no_room == 6);
  REQUIRE(eventually(loop, [&] { return parked.kept.size() == 4; }));
  for (auto& responder : parked.kept) responder.reply(as_bytes("x"));
  REQUIRE(eventually(loop, [&] { return ok == 4; }));

  CHECK(dealer.stats().queued_bytes == 0);
  parked.kept.clear();
  echo(router);
  CHECK(dealer.ask(as_bytes(query), soon()).ok());
}

WEFT_CONFORMS("requests: least outstanding: a router that is busy gets no more while another one is free") {
  Loop loop;
  Router<> busy(loop, answers(kLeast, "server/0", place.endpoints()));
  const Place other(place.kind());
  Router<> idle(loop, answers(kLeast, "server/1", other.endpoints()));
  Parked parked(busy);
  echo(idle);
  Dealer<> dealer(loop, asks(kLeast, {busy.endpoints()[0], idle.endpoints()[0]}));
  REQUIRE(dealer.wait_for_peers(2, soon()));
  Ended stuck;
  dealer.request(as_bytes("x"), soon(), stuck.note(), {.key = {}, .peer = "server/0"});
  REQUIRE(eventually(loop, [&] { return parked.kept.size() == 1; }));

  for (int i = 0; i < 20; ++i) CHECK(dealer.ask(as_bytes("y"), soon()).peer == "server/1");

  CHECK(parked.kept.size() == 1);
  parked.kept[0].reply(as_bytes("z"));
  CHECK(eventually(loop, [&] { return stuck.times == 1; }));
}

WEFT_CONFORMS(
    "requests: those for a named router arrive there in order, whatever was asked of others between them") {
  Loop loop;
  Router<> named(loop, answers(kLeast, "server/0", place.endpoints()));
  const Place other(place.kind());
  Router<> any(loop, answers(kLeast, "server/1", other.endpoints()));
  std::string seen;
  named.on_request([&](const RawRecord& query, Responder<Raw> respond) {
    seen += as_text(query.bytes());
    respond.reply(query.bytes());
  });
  any.on_request([&](const RawRecord& query, Responder<Raw> respond) { respond.reply(query.bytes()); });
  PortOptions there = asks(kLeast, {named.endpoints()[0], any.endpoints()[0]});
  there.distribute = Distribute::round_robin;  // what names nobody goes to both
  Dealer<> dealer(loop, there);
  REQUIRE(dealer.wait_for_peers(2, soon()));
  std::string asked;
  std::size_t by_others = 0;
  std::size_t ended = 0;

  for (char c = 'a'; c <= 'z'; ++c) {
    const std::string text(1, c);
    asked += text;
    dealer.request(as_bytes(text), soon(),
                   [&, text](Reply<RawRecord>& r) {
                     CHECK((r.ok() && r.peer == "server/0" && as_text(r.record->bytes()) == text));
                     ++ended;
                   },
                   {.key = {}, .peer = "server/0"});
    if (c % 3 != 0) continue;
    dealer.request(as_bytes("-"), soon(), [&](Reply<RawRecord>& r) {
      by_others += r.ok() && r.peer == "server/1" ? 1 : 0;
      ++ended;
    });
  }

  REQUIRE(eventually(loop, [&] { return ended == 26 + 8; }));
  std::erase(seen, '-');
  CHECK(seen == asked);
  CHECK(by_others > 0);
}

WEFT_CONFORMS("requests: tensors come along however often a request is sent") {
  Loop loop;
  Router<> router(loop, answers(kLeast, "server/0", place.endpoints()));
  router.on_request([](const RawRecord& q, Responder<Raw> respond) {
    const Tensor tensor{DType::u8, {static_cast<std::int64_t>(q.bytes().size())}, q.bytes(), nullptr};
    respond.reply(as_bytes("tensor"), {&tensor, 1});
  });
  Dealer<> dealer(loop, asks(kLeast, router.endpoints()));
  int right = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string text = "payload " + std::to_string(i);
    dealer.request(as_bytes(text), soon(), [&, text](Reply<RawRecord>& r) {
      right +=
          r.ok() && r.record->tensors().size() == 1 && as_text(r.record->tensors()[0].data) == text ? 1 : 0;
    });
  }

  CHECK(eventually(loop, [&] { return right == 100; }));
}

WEFT_CONFORMS("requests: both ends drain when what was asked has been answered, under every delivery") {
  Loop loop;
  for (const Delivery delivery : {kLeast, kOnce}) {
    const Place here(place.kind());
    Router<> router(loop, answers(delivery, "server/0", here.endpoints()));
    Parked parked(router);
    Dealer<> dealer(loop, asks(delivery, router.endpoints()));
    Ended ended;
    dealer.request(as_bytes("x"), soon(), ended.note());
    REQUIRE(eventually(loop, [&] { return parked.kept.size() == 1; }));

    router.begin_drain();
    dealer.begin_drain();
    CHECK(!dealer.drained());
    parked.kept[0].reply(as_bytes("y"));

    CHECK(eventually(loop, [&] { return router.drained() && dealer.drained(); }));
    CHECK(ended.outcome == Outcome::ok);
  }
}
