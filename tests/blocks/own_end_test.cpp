// A block that one of its own handlers closes or destroys: that handler runs to its end, none is called
// behind it but those of requests, and the loop goes on.
#include <memory>
#include <string>
#include <utility>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "acknowledged.hpp"
#include "fates.hpp"
#include "own_end.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;
using namespace weft::own_end;

namespace {

PortOptions port(std::string name, Delivery delivery) {
  PortOptions options{.name = std::move(name), .heartbeat = 20ms, .dead_after = 10s, .delivery = delivery};
  options.log = fates::quiet();
  return options;
}
PortOptions bound(std::string name, Delivery delivery) {
  PortOptions options = port(std::move(name), delivery);
  options.bind = {"tcp://127.0.0.1:*"};
  return options;
}
PortOptions to(const Block& peer, std::string name, Delivery delivery) {
  PortOptions options = port(std::move(name), delivery);
  options.connect = peer.endpoints();
  return options;
}

std::shared_ptr<Journal> journal_for(Delivery delivery) {
  return delivery == kOnce ? open_journal(std::make_shared<journal::testing::MemoryDisk>()) : nullptr;
}

void send_three(Push<>& push) {
  for (int i = 0; i < 3; ++i) REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);
}

}  // namespace

TEST_CASE("own end: a pull, by the handler of its records, batches, taps and peers") {
  for_each_way([](Delivery delivery, End how) {
    for (int where = 0; where < 4; ++where) {
      CAPTURE(where);
      Loop loop;
      PortOptions options = bound("in", delivery);
      options.journal = journal_for(delivery);
      auto pull = std::make_unique<Pull<>>(loop, options);
      Ender<Pull<>> ender{pull, how};
      pull->on_record([](const RawRecord&, const Meta&) {});
      if (where == 0) pull->on_record(ender.handler());
      if (where == 1) pull->on_batch_end(ender.handler());
      if (where == 2) pull->tap(ender.handler());
      if (where == 3) pull->on_peer(ender.handler());
      Push<> push(loop, to(*pull, "out", delivery));
      send_three(push);

      ender.check(loop);

      if (options.journal) CHECK(!options.journal->held());
      if (options.journal) CHECK(!options.journal->entered());
    }
  });
}

TEST_CASE("own end: a pull, by a handler that is set when records wait, outside of the loop") {
  for_each_way([](Delivery delivery, End how) {
    Loop loop;
    PortOptions options = bound("in", delivery);
    options.journal = journal_for(delivery);
    auto pull = std::make_unique<Pull<>>(loop, options);
    Push<> push(loop, to(*pull, "out", delivery));
    send_three(push);
    REQUIRE(eventually(loop, [&] { return pull->stats().received_records == 3; }));
    Ender<Pull<>> ender{pull, how};

    pull->on_record(ender.handler());

    ender.check(loop);
  });
}

TEST_CASE("own end: a push, by its taps, whomever its records are for") {
  for_each_way([](Delivery delivery, End how) {
    for (const auto distribute : {Distribute::balance, Distribute::hash, Distribute::explicit_}) {
      CAPTURE(static_cast<int>(distribute));
      Loop loop;
      PortOptions at = bound("in", delivery);
      at.node = "pull/0";
      at.journal = journal_for(delivery);
      Pull<> pull(loop, at);
      PortOptions options = to(pull, "out", delivery);
      options.distribute = distribute;
      options.batch_records = 1;
      auto push = std::make_unique<Push<>>(loop, options);
      Ender<Push<>> ender{push, how};
      REQUIRE(push->wait_for_peers(1, soon()));
      push->tap(ender.handler());
      PushBase::To where = PushBase::To::with_key("k");
      if (distribute == Distribute::explicit_) where = PushBase::To::with_peer("pull/0");
      (void)push->send(as_bytes("x"), where);

      ender.check(loop);

      if (!push) continue;
      const fates::Sum sum(push->stats());
      CHECK(sum.given == sum.named);
      CHECK(push->stats().queued_records == 0);
    }
  });
}

TEST_CASE("own end: a push of the native protocol, by its tap, with more that waits") {
  for_each_end([](End how) {
    const Place place(Place::Kind::ipc);
    Loop loop;
    PortOptions options = port("out", Delivery::best_effort);
    options.connect = place.endpoints();
    options.native = true;
    options.batch_records = 1;
    auto push = std::make_unique<Push<>>(loop, options);
    Ender<Push<>> ender{push, how};
    push->tap(ender.handler());
    send_three(*push);  // they wait: there is nobody yet
    PortOptions at = port("in", Delivery::best_effort);
    at.bind = place.endpoints();
    at.native = true;
    Pull<> pull(loop, at);

    ender.check(loop);

    if (!push) return;
    const PortStats stats = push->stats();  // what was sent has no other fate there
    CHECK(stats.sent_records + stats.dropped_records == stats.accepted_records);
    CHECK(stats.queued_records == 0);
  });
}

TEST_CASE("own end: a push, by those that hear of its peers and of its room") {
  for_each_way([](Delivery delivery, End how) {
    for (const bool room : {false, true}) {
      CAPTURE(room);
      Loop loop;
      PortOptions options = bound("out", delivery);
      options.capacity_bytes = 1024;
      auto push = std::make_unique<Push<>>(loop, options);
      while (push->send(as_bytes(kHundred)) == SendStatus::ok) {
      }
      Ender<Push<>> ender{push, how};
      if (room) push->on_room(ender.handler());
      if (!room) push->on_peer(ender.handler());
      PortOptions at = to(*push, "in", delivery);
      at.journal = journal_for(delivery);
      Pull<> pull(loop, at);
      pull.on_record([](const RawRecord&, const Meta&) {});

      ender.check(loop);
    }
  });
}

TEST_CASE("own end: a push, by those that are told of outcomes and of dead letters") {
  for_each_end([](End how) {
    for (const bool letters : {false, true}) {
      for (const bool journaled : {false, true}) {
        CAPTURE(letters);
        CAPTURE(journaled);
        Loop loop;
        Pull<> pull(loop, bound("in", kLeast));
        pull.on_record([&](const RawRecord&, const Meta&) {
          if (letters) pull.judge(Verdict::reject("no"));
        });
        PortOptions options = to(pull, "out", kLeast);
        options.journal = journal_for(journaled ? kOnce : kLeast);
        auto push = std::make_unique<Push<>>(loop, options);
        Ender<Push<>> ender{push, how};
        if (!letters) push->on_outcome(ender.handler());
        if (letters) {
          push->on_dead_letter([&, inner = ender.handler()](const DeadLetter&) {
            inner();
            return SendStatus::ok;
          });
        }
        REQUIRE(push->send(as_bytes("x"), {.correlation = 1}) == SendStatus::ok);

        ender.check(loop);

        if (options.journal) CHECK(!options.journal->held());
      }
    }
  });
}

TEST_CASE("own end: a push, by outcomes that it tells outside of the loop") {
  for_each_end([](End how) {
    for (const bool by_sending : {false, true}) {
      CAPTURE(by_sending);
      Loop loop;
      PortOptions options = bound("out", kLeast);
      options.capacity_records = 1;
      options.overflow = Overflow::drop_oldest;
      auto push = std::make_unique<Push<>>(loop, options);
      Ender<Push<>> ender{push, how};
      push->on_outcome(ender.handler());
      REQUIRE(push->send(as_bytes("x"), {.correlation = 1}) == SendStatus::ok);
      (void)loop.run_once(Deadline::after(1ms));

      if (by_sending) CHECK(push->send(as_bytes("y")) == SendStatus::closed);
      if (!by_sending) CHECK(push->purge() == 1);

      ender.check(loop);
    }
  });
}

TEST_CASE("own end: a publisher, by its taps, its snapshots, and those that hear of its peers") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast}) {
    CAPTURE(static_cast<int>(delivery));
    for_each_end([&](End how) {
      for (int where = 0; where < 3; ++where) {
        if (where == 1 && delivery == Delivery::best_effort) continue;
        CAPTURE(where);
        Loop loop;
        auto pub = std::make_unique<Pub<>>(loop, bound("news", delivery));
        Ender<Pub<>> ender{pub, how};
        if (where == 0) pub->tap(ender.handler());
        if (where == 1) pub->on_snapshot(ender.handler());
        if (where == 2) pub->on_peer(ender.handler());
        PortOptions at = to(*pub, "in", delivery);
        at.keep_last = true;
        Sub<> sub(loop, at);
        sub.on_record([](const RawRecord&, const Meta&) {});
        for (const char* topic : {"a", "b", "c"}) {
          REQUIRE(pub->publish(topic, as_bytes("x")) == SendStatus::ok);
        }

        ender.check(loop);

        if (!pub) continue;
        const PortStats s = pub->stats();
        CHECK(s.accepted_records == s.sent_records + s.dropped_records + s.queued_records);
      }
    });
  }
}

TEST_CASE(
    "own end: a subscriber, by the handler of its records, its taps, and those that hear of its peers") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast}) {
    CAPTURE(static_cast<int>(delivery));
    for_each_end([&](End how) {
      for (int where = 0; where < 3; ++where) {
        CAPTURE(where);
        Loop loop;
        Pub<> pub(loop, bound("news", delivery));
        auto sub = std::make_unique<Sub<>>(loop, to(pub, "in", delivery));
        Ender<Sub<>> ender{sub, how};
        sub->on_record([](const RawRecord&, const Meta&) {});
        if (where == 0) sub->on_record(ender.handler());
        if (where == 1) sub->tap(ender.handler());
        if (where == 2) sub->on_peer(ender.handler());
        if (where != 2) REQUIRE(eventually(loop, [&] { return pub.peers_up() == 1; }));
        for (int i = 0; i < 3; ++i) REQUIRE(pub.publish("a", as_bytes("x")) == SendStatus::ok);

        ender.check(loop);
      }
    });
  }
}

TEST_CASE("own end: a dealer, by the handlers of its requests, its taps, and those that hear of its peers") {
  for_each_way([](Delivery delivery, End how) {
    for (int where = 0; where < 4; ++where) {
      CAPTURE(where);
      Loop loop;
      PortOptions at = bound("answers", delivery);
      at.journal = journal_for(delivery);
      Router<> router(loop, at);
      echo(router);
      auto dealer = std::make_unique<Dealer<>>(loop, to(router, "ask", delivery));
      Ender<Dealer<>> ender{dealer, how};
      const auto tap = [&, inner = ender.handler()](bool outgoing, std::string_view, Bytes, std::uint64_t) {
        if (outgoing == (where == 1)) inner();
      };
      if (where == 1 || where == 2) dealer->tap(tap);
      if (where == 3) dealer->on_peer(ender.handler());
      int told = 0;
      for (int i = 0; i < 3; ++i) {
        dealer->request(as_bytes("x"), soon(), [&, inner = ender.handler()](Reply<RawRecord>&) {
          if (++told == 1 && where == 0) inner();
        });
      }

      ender.check(loop);

      CHECK(told == 3);
    }
  });
}

TEST_CASE("own end: a dealer, by handlers that are called outside of the loop") {
  for_each_way([](Delivery delivery, End how) {
    for (const bool refused : {false, true}) {
      CAPTURE(refused);
      Loop loop;
      auto dealer = std::make_unique<Dealer<>>(loop, bound("ask", delivery));
      Ender<Dealer<>> ender{dealer, how};
      const auto done = [inner = ender.handler()](Reply<RawRecord>&) { inner(); };
      if (refused) {
        dealer->begin_drain();
        CHECK(dealer->request(as_bytes("x"), soon(), done) == 0);
      } else {
        const RequestId id = dealer->request(as_bytes("x"), soon(), done);
        CHECK(dealer->cancel(id));
      }
      ender.check(loop);
    }
  });
}

TEST_CASE("own end: a dealer that only the callback of its request holds") {
  for (const Delivery delivery : kPromises) {
    for (const bool answered : {true, false}) {
      CAPTURE(static_cast<int>(delivery));
      CAPTURE(answered);
      Loop loop;
      PortOptions at = bound("answers", delivery);
      at.journal = journal_for(delivery);
      Router<> router(loop, at);
      if (answered) echo(router);
      auto dealer = std::make_shared<Dealer<>>(loop, to(router, "ask", delivery));
      const std::weak_ptr<Dealer<>> watched = dealer;
      int told = 0;
      const RequestId id =
          dealer->request(as_bytes("x"), soon(), [&told, held = dealer](Reply<RawRecord>&) { ++told; });
      Dealer<>& last = *dealer;
      dealer.reset();
      if (answered) {
        REQUIRE(eventually(loop, [&] { return watched.expired(); }));
      } else {
        CHECK(last.cancel(id));
        CHECK(watched.expired());
      }
      CHECK(told == 1);
      (void)loop.run_once(Deadline::after(1ms));
    }
  }
}

TEST_CASE("own end: a router, by the handler of its requests, its taps, and those that hear of its peers") {
  for_each_way([](Delivery delivery, End how) {
    for (int where = 0; where < 5; ++where) {
      CAPTURE(where);
      Loop loop;
      PortOptions at = bound("answers", delivery);
      at.journal = journal_for(delivery);
      auto router = std::make_unique<Router<>>(loop, at);
      Ender<Router<>> ender{router, how};
      const auto handler = [&, inner = ender.handler()](const RawRecord& query, Responder<Raw> respond) {
        if (where == 0 || where == 4) inner();
        respond.reply(query.bytes());
      };
      const auto tap = [&, inner = ender.handler()](bool outgoing, std::string_view, Bytes, std::uint64_t) {
        if (outgoing == (where == 1)) inner();
      };
      if (where != 4) router->on_request(handler);
      if (where == 1 || where == 2) router->tap(tap);
      if (where == 3) router->on_peer(ender.handler());
      Dealer<> dealer(loop, to(*router, "ask", delivery));
      for (int i = 0; i < 3; ++i) dealer.request(as_bytes("x"), soon(), [](Reply<RawRecord>&) {});
      if (where == 4) {  // when they wait, outside of the loop
        REQUIRE(eventually(loop, [&] { return router->open_requests() == 3; }));
        router->on_request(handler);
      }

      ender.check(loop);

      if (at.journal) CHECK(!at.journal->held());
    }
  });
}

TEST_CASE("own end: who waits for a block that ends meanwhile hears so at once") {
  for_each_end([](End how) {
    Loop loop;
    const auto end_in_loop = [&](auto& block) {
      loop.post([&] { how == End::destroyed ? block.reset() : block->close(); });
    };
    PortOptions options = bound("port", kLeast);
    options.capacity_bytes = 1024;
    auto push = std::make_unique<Push<>>(loop, options);
    while (push->send(as_bytes(kHundred)) == SendStatus::ok) {
    }
    end_in_loop(push);
    CHECK(push->send(as_bytes("x"), soon()) == SendStatus::closed);
    push = std::make_unique<Push<>>(loop, options);
    REQUIRE(push->send(as_bytes("x")) == SendStatus::ok);
    end_in_loop(push);
    CHECK(!push->settle(soon()));
    auto pull = std::make_unique<Pull<>>(loop, options);
    end_in_loop(pull);
    CHECK(!pull->receive(soon()));
    pull = std::make_unique<Pull<>>(loop, options);
    end_in_loop(pull);
    CHECK(!pull->wait_for_peers(1, soon()));
    auto sub = std::make_unique<Sub<>>(loop, port("port", kLeast));
    end_in_loop(sub);
    CHECK(!sub->receive(soon()));
    auto router = std::make_unique<Router<>>(loop, options);
    end_in_loop(router);
    CHECK(!router->next(soon()));
    auto dealer = std::make_unique<Dealer<>>(loop, options);
    end_in_loop(dealer);
    CHECK(dealer->ask(as_bytes("x"), soon()).outcome == Outcome::closed);
    dealer = std::make_unique<Dealer<>>(loop, options);
    while (dealer->request(as_bytes(kHundred), soon(), [](Reply<RawRecord>&) {}) != 0) {
    }
    end_in_loop(dealer);
    CHECK(dealer->ask(as_bytes("x"), soon()).outcome == Outcome::closed);
  });
}

TEST_CASE("own end: a handler that replaces itself runs to its end") {
  Loop loop;
  Pull<> pull(loop, bound("in", Delivery::best_effort));
  int first = 0, second = 0;
  pull.on_record([&, held = std::string(100, 'h')](const RawRecord&, const Meta&) {
    ++first;
    pull.on_record([&](const RawRecord&, const Meta&) { ++second; });
    CHECK(held == std::string(100, 'h'));
  });
  Push<> push(loop, to(pull, "out", Delivery::best_effort));
  send_three(push);
  REQUIRE(push.settle(soon()));
  send_three(push);

  REQUIRE(eventually(loop, [&] { return first + second == 6; }));

  CHECK(second >= 3);
}

TEST_CASE("own end: what a handler throws as its block is destroyed stands in the log") {
  struct Said : Logger::Sink {
    std::vector<std::string> texts;
    void write(LogLevel, std::string_view, std::string_view message) override { texts.emplace_back(message); }
  };
  const auto said = std::make_shared<Said>();
  Loop loop;
  Pull<> pull(loop, bound("in", Delivery::best_effort));
  {
    PortOptions options = to(pull, "out", Delivery::best_effort);
    options.node = "push/0";
    options.log = Logger(said, "test", LogLevel::error);
    Push<> push(loop, options);
    REQUIRE(push.wait_for_peers(1, soon()));
    push.tap([](bool, std::string_view, Bytes, std::uint64_t) { throw Error(Errc::internal, "enough"); });
    REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);
  }
  REQUIRE(said->texts.size() == 1);
  CHECK(said->texts[0] == "local/push/0.out: a handler threw as its port ended: enough");
}
