// Handlers that throw: what they threw comes out of the loop's turn, and nothing else comes of it.
#include <filesystem>
#include <memory>
#include <string>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "acknowledged.hpp"
#include "conformance.hpp"
#include "fates.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr const char* kThrown = "a handler's own";
constexpr Delivery kAll[] = {Delivery::best_effort, kLeast, kOnce};

/// Throws the first time.
struct Once {
  int calls = 0;
  void operator()() {
    if (++calls == 1) throw Error(Errc::internal, kThrown);
  }
};

std::function<void(Reply<RawRecord>&)> told(Once& once) {
  return [&once](Reply<RawRecord>&) { once(); };
}

/// A slow machine takes nobody for dead.
PortOptions patient(PortOptions options) {
  options.dead_after = 10s;
  return options;
}

void check_throws(Loop& loop) {
  CHECK_THROWS_WITH((void)loop.run_until([] { return false; }, soon()), kThrown);
}

}  // namespace

TEST_CASE("a handler that throws: those of requests that are too large") {
  for (const Delivery delivery : kAll) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Router<> router(loop, small_answers(delivery));
    echo(router);
    Dealer<> dealer(loop, asks(delivery, router.endpoints()));
    const std::string large(100 << 10, 'x');
    Once once;
    for (int i = 0; i < 3; ++i) dealer.request(as_bytes(large), soon(), told(once));

    check_throws(loop);

    CHECK(once.calls == 3);
    CHECK(dealer.ask(as_bytes("x"), soon()).ok());
  }
}

TEST_CASE("a handler that throws: those of requests that the only router refuses for good") {
  for (const Delivery delivery : kAll) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = {"tcp://127.0.0.1:*"}});
    Dealer<> dealer(loop, asks(delivery, pull.endpoints()));
    Once once;
    for (int i = 0; i < 3; ++i) dealer.request(as_bytes("x"), soon(), told(once));
    dealer.begin_drain();

    check_throws(loop);

    CHECK(once.calls == 3);
    CHECK(eventually(loop, [&] { return dealer.drained(); }));
  }
}

TEST_CASE("a handler that throws: those of requests that are open when their dealer is closed") {
  for (const Delivery delivery : kAll) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Dealer<> dealer(loop, asks(delivery, {"tcp://127.0.0.1:1"}));
    Once once;
    for (int i = 0; i < 3; ++i) dealer.request(as_bytes("x"), soon(), told(once));

    CHECK_THROWS_WITH(dealer.close(), kThrown);

    CHECK(once.calls == 3);
    CHECK(dealer.stats().dropped_records == 3);
    CHECK(dealer.stats().queued_bytes == 0);
  }
}

TEST_CASE("a handler that throws: those of requests whose router begins a new life elsewhere") {
  Loop loop;
  PortOptions at = answers(kOnce, "server/0", {"tcp://127.0.0.1:*"});
  at.epoch = 1;
  at.window_records = 1;  // those behind the first wait for the new one
  Router<> old(loop, at);
  Dealer<> dealer(loop, asks(kOnce, old.endpoints()));
  REQUIRE(dealer.wait_for_peers(1, soon()));
  Once once;
  for (int i = 0; i < 3; ++i) dealer.request(as_bytes("x"), soon(), told(once));
  REQUIRE(eventually(loop, [&] { return old.open_requests() == 1; }));
  at.epoch = 2;
  Router<> young(loop, at);
  echo(young);
  dealer.connect(young.endpoints()[0]);

  check_throws(loop);

  CHECK(once.calls == 1);
  CHECK(dealer.stats().sent_records == 2);  // at once, not with a heartbeat
  CHECK(eventually(loop, [&] { return once.calls == 3; }));
}

TEST_CASE("a handler that throws: taps, on both ends and both ways") {
  for (const Delivery delivery : kAll) {
    for (const bool at_dealer : {true, false}) {
      for (const bool on_way_out : {true, false}) {
        CAPTURE(static_cast<int>(delivery));
        CAPTURE(at_dealer);
        CAPTURE(on_way_out);
        Loop loop;
        Router<> router(loop, patient(answers(delivery, "server/0", {"tcp://127.0.0.1:*"})));
        echo(router);
        Dealer<> dealer(loop, patient(asks(delivery, router.endpoints())));
        REQUIRE(dealer.wait_for_peers(1, soon()));
        Once once;
        const auto tap = [&](bool outgoing, std::string_view, Bytes, std::uint64_t) {
          if (outgoing == on_way_out) once();
        };
        at_dealer ? dealer.tap(tap) : router.tap(tap);
        Ended ended;
        dealer.request(as_bytes("x"), soon(), ended.note());

        check_throws(loop);
        REQUIRE(eventually(loop, [&] { return ended.times == 1; }));

        CHECK(ended.outcome == Outcome::ok);
        CHECK(dealer.stats().retried_requests == 0);
        CHECK(dealer.ask(as_bytes("y"), soon()).ok());
      }
    }
  }
}

TEST_CASE("a handler that throws: a router's, amid a batch, with a journal that others share") {
  for (const Delivery delivery : kAll) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    PortOptions at = patient(answers(delivery, "server/0", {"tcp://127.0.0.1:*"}));
    at.window_bytes = 4096;
    const auto disk = std::make_shared<journal::testing::MemoryDisk>();
    if (delivery == kOnce) at.journal = open_journal(disk);
    Router<> router(loop, at);
    bool throws = false;
    router.on_request([&](const RawRecord& query, Responder<Raw> respond) {
      if (throws && query.text().starts_with('b')) throw Error(Errc::internal, kThrown);
      respond.reply(query.bytes());
    });
    Dealer<> dealer(loop, patient(asks(delivery, router.endpoints())));
    REQUIRE(dealer.wait_for_peers(1, soon()));
    for (int round = 0; round < 10; ++round) {  // several times its credit
      throws = true;
      std::vector<Ended> ended(3);
      for (std::size_t i = 0; i < 3; ++i) {
        const std::string payload(400, static_cast<char>('a' + i));
        dealer.request(as_bytes(payload), soon(), ended[i].note());
      }

      check_throws(loop);
      if (at.journal) CHECK(!at.journal->held());
      REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));

      CHECK(ended[0].outcome == Outcome::ok);
      CHECK(ended[1].code == wire::Code::failed);
      CHECK(ended[2].outcome == Outcome::ok);
    }
  }
}

TEST_CASE("a handler that throws: a router's, that is set when requests wait") {
  Loop loop;
  Router<> router(loop, answers(Delivery::best_effort, "server/0", {"tcp://127.0.0.1:*"}));
  Dealer<> dealer(loop, asks(Delivery::best_effort, router.endpoints()));
  std::vector<Ended> ended(3);
  for (Ended& one : ended) dealer.request(as_bytes("x"), soon(), one.note());
  REQUIRE(eventually(loop, [&] { return router.open_requests() == 3; }));
  Once once;

  CHECK_THROWS_WITH(router.on_request([&](const RawRecord& query, Responder<Raw> respond) {
    once();
    respond.reply(query.bytes());
  }),
                    kThrown);

  REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));
  CHECK(ended[0].code == wire::Code::failed);
  CHECK(ended[1].outcome == Outcome::ok);
  CHECK(ended[2].outcome == Outcome::ok);
}

TEST_CASE("a handler that throws: a push's, that is told of outcomes, and each record is counted and told") {
  for (const bool journaled : {false, true}) {
    for (const bool refused : {false, true}) {
      CAPTURE(journaled);
      CAPTURE(refused);
      Loop loop;
      Pull<> pull(loop, acknowledged({.name = "in", .bind = {"tcp://127.0.0.1:*"}}));
      pull.on_record([&](const RawRecord&, const Meta&) {
        if (refused) pull.judge(Verdict::reject("no"));
      });
      PortOptions options = acknowledged({.name = "out", .connect = pull.endpoints(), .batch_records = 1});
      options.log = fates::quiet();
      if (journaled) options.journal = open_journal(std::make_shared<journal::testing::MemoryDisk>());
      Push<> push(loop, options);
      Once once;
      push.on_outcome([&](std::uint64_t, RecordFate) { once(); });
      REQUIRE(push.wait_for_peers(1, soon()));
      for (int i = 0; i < 20; ++i) {
        REQUIRE(push.send(as_bytes("x"), PushBase::To{.correlation = 1}) == SendStatus::ok);
      }

      check_throws(loop);
      CHECK(fates::Sum(push.stats()).given == fates::Sum(push.stats()).named);
      REQUIRE(eventually(loop, [&] { return once.calls == 20; }));

      const PortStats s = push.stats();
      CHECK(s.processed_records == (refused ? 0 : 20));
      CHECK(s.dead_lettered_records == (refused ? 20 : 0));
      CHECK(s.outstanding_records + s.queued_records == 0);
    }
  }
}

TEST_CASE("a handler that throws: a push's, that is told of what it purges, and each of them is") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = {"tcp://127.0.0.1:*"}, .batch_records = 1}));
  Once once;
  push.on_outcome([&](std::uint64_t, RecordFate) { once(); });
  for (int i = 0; i < 3; ++i) {
    REQUIRE(push.send(as_bytes("x"), PushBase::To{.correlation = 1}) == SendStatus::ok);
  }

  CHECK_THROWS_WITH((void)push.purge(), kThrown);

  CHECK(once.calls == 3);
  CHECK(push.stats().dropped_records == 3);
  CHECK(fates::Sum(push.stats()).given == fates::Sum(push.stats()).named);
}

TEST_CASE("a handler that throws: the taps of a push and of a pull, and each record arrives all the same") {
  for (const Delivery delivery : kAll) {
    for (const bool at_push : {true, false}) {
      CAPTURE(static_cast<int>(delivery));
      CAPTURE(at_push);
      Loop loop;
      PortOptions at{.name = "in", .bind = {"tcp://127.0.0.1:*"}, .delivery = delivery};
      if (delivery == kOnce) at.journal = open_journal(std::make_shared<journal::testing::MemoryDisk>());
      Pull<> pull(loop, at);
      const auto taken = count(pull);
      Push<> push(loop, {.name = "out", .connect = pull.endpoints(), .delivery = delivery});
      REQUIRE(push.wait_for_peers(1, soon()));
      Once once;
      const auto tap = [&](bool, std::string_view, Bytes, std::uint64_t) { once(); };
      at_push ? push.tap(tap) : pull.tap(tap);
      for (int i = 0; i < 3; ++i) REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);

      check_throws(loop);
      REQUIRE(push.settle(soon()));

      CHECK(*taken == 3);
      CHECK(push.stats().sent_records == 3);
      CHECK(push.stats().processed_records == 3);
      CHECK(push.stats().retransmitted_batches == 0);
      CHECK(pull.stats().duplicate_batches == 0);
    }
  }
}

TEST_CASE("a handler that throws: the taps of a publisher and of a subscriber, and each record arrives") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast}) {
    for (const bool at_pub : {true, false}) {
      CAPTURE(static_cast<int>(delivery));
      CAPTURE(at_pub);
      Loop loop;
      Pub<> pub(loop, {.name = "news", .bind = {"tcp://127.0.0.1:*"}, .delivery = delivery});
      Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = delivery});
      int taken = 0;
      sub.on_record([&](const RawRecord&, const Meta&) { ++taken; });
      REQUIRE(eventually(loop, [&] { return pub.peers_up() == 1 && sub.peers_up() == 1; }));
      Once once;
      const auto tap = [&](bool, std::string_view, Bytes, std::uint64_t) { once(); };
      at_pub ? pub.tap(tap) : sub.tap(tap);
      for (const char* topic : {"a", "b", "c"}) {
        REQUIRE(pub.publish(topic, as_bytes("x")) == SendStatus::ok);
      }

      check_throws(loop);
      REQUIRE(eventually(loop, [&] { return taken == 3; }));

      const PortStats s = pub.stats();
      CHECK(s.accepted_records == 3);
      CHECK(s.sent_records == 3);
      CHECK(sub.stats().missed_batches == 0);
    }
  }
}

TEST_CASE("a handler that throws: a dealer's, and each request of the same turn is counted and told") {
  for (const Delivery delivery : kAll) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    PortOptions at = patient(answers(delivery, "server/0", {"tcp://127.0.0.1:*"}));
    if (delivery == kOnce) at.journal = open_journal(std::make_shared<journal::testing::MemoryDisk>());
    Router<> router(loop, at);
    echo(router);
    Dealer<> dealer(loop, patient(asks(delivery, router.endpoints())));
    REQUIRE(dealer.wait_for_peers(1, soon()));
    Once once;
    for (int i = 0; i < 20; ++i) dealer.request(as_bytes("x"), soon(), told(once));

    check_throws(loop);
    CHECK(fates::Sum(dealer.stats()).given == fates::Sum(dealer.stats()).named);
    REQUIRE(eventually(loop, [&] { return once.calls == 20; }));

    CHECK(dealer.stats().processed_records == 20);
    CHECK(dealer.stats().outstanding_records + dealer.stats().queued_records == 0);
  }
}
