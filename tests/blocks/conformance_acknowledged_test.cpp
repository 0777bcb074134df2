// Acknowledged push-pull: every record is processed, whoever goes and comes back.
#include "acknowledged.hpp"
#include "proxy.hpp"

using namespace weft;
using namespace weft::conformance;

WEFT_CONFORMS("acknowledged: every record is processed once, and its outcome comes with its correlation") {
  Loop loop;
  Pull<> pull(loop, acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()}));
  Push<> push(loop, acknowledged({.name = "out", .connect = pull.endpoints(), .batch_records = 7}));
  const Processed got(pull);
  const Fates fates(push);

  for (std::uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(push.send(as_bytes(std::to_string(i)), PushBase::To{.correlation = i + 1}, soon()) ==
            SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(got.texts == numbers(1000));
  CHECK(fates.told == 1000);
  REQUIRE(fates.by_correlation.size() == 1000);
  for (const auto& [correlation, fate] : fates.by_correlation) REQUIRE(fate == RecordFate::processed);
  const PortStats stats = push.stats();
  CHECK(stats.sent_records == 1000);
  CHECK(stats.processed_records == 1000);
  CHECK(stats.outstanding_records + stats.queued_records + stats.queued_bytes == 0);
  CHECK(stats.redelivered_records + stats.retransmitted_batches == 0);
  CHECK(push.accepted_total() == 1000);
}

WEFT_CONFORMS("acknowledged: settle waits until records are processed, not only there") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints()}));
  Pull<> pull(loop, acknowledged({.name = "in", .connect = push.endpoints()}));
  const Processed got(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  pull.pause(true);
  send_numbers(push, 10);
  REQUIRE(push.flush(soon()));
  REQUIRE(eventually(loop, [&] { return pull.stats().received_records == 10; }));

  CHECK(!push.settle(Deadline::after(100ms)));
  CHECK(push.stats().outstanding_records == 10);
  CHECK(push.stats().processed_records == 0);
  pull.pause(false);
  REQUIRE(push.settle(soon()));

  CHECK(got.texts == numbers(10));
  CHECK(push.stats().processed_records == 10);
}

WEFT_CONFORMS("acknowledged: what a receiver leaves unprocessed goes to another one, as a further attempt") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 1}, 200ms));
  auto leaving = std::make_unique<Pull<>>(
      loop, acknowledged({.name = "in", .node = "pull/0", .connect = push.endpoints()}));
  std::vector<std::string> texts;
  leaving->on_record([&](const RawRecord& r, const Meta&) {
    texts.emplace_back(r.text());
    leaving->pause(texts.size() == 10);
  });
  REQUIRE(push.wait_for_peers(1, soon()));
  send_numbers(push, 100);
  REQUIRE(push.flush(soon()));
  REQUIRE(eventually(loop, [&] { return leaving->stats().received_records == 100; }));

  leaving.reset();
  Pull<> next(loop, acknowledged({.name = "in", .node = "pull/1", .connect = push.endpoints()}));
  const Processed got(next);
  REQUIRE(push.settle(soon()));

  texts.insert(texts.end(), got.texts.begin(), got.texts.end());
  const auto all = counted(texts);
  CHECK(all.size() == 100);
  CHECK(got.texts.size() >= 90);
  CHECK(std::ranges::any_of(got.attempts, [](auto n) { return n > 1; }));
  CHECK(next.stats().redelivered_records >= 90);
  CHECK(push.stats().redelivered_records >= 90);
  CHECK(push.stats().processed_records == 100);
  CHECK(push.stats().lost_records + push.stats().dropped_records == 0);
}

WEFT_CONFORMS("acknowledged: the same receiver comes back to a bound sender with a higher epoch") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 1}));
  std::vector<std::string> texts;
  for (std::uint64_t life = 1; life <= 3; ++life) {
    auto pull = std::make_unique<Pull<>>(
        loop, acknowledged({.name = "in", .node = "pull/0", .connect = push.endpoints(), .epoch = life}));
    const std::size_t before = texts.size();
    pull->on_record([&](const RawRecord& r, const Meta&) {
      texts.emplace_back(r.text());
      pull->pause(life < 3 && texts.size() == before + 10);
    });
    send_numbers(push, static_cast<int>(50 * life), static_cast<int>(50 * (life - 1)));
    if (life == 3) {
      REQUIRE(push.settle(soon()));
    } else {
      REQUIRE(eventually(loop, [&] { return texts.size() == before + 10; }));
    }
  }

  CHECK(counted(texts).size() == 150);
  CHECK(push.stats().processed_records == 150);
}

WEFT_CONFORMS("acknowledged: the same receiver binds again with a higher epoch") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  auto pull = std::make_unique<Pull<>>(
      loop, acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints(), .epoch = 1}));
  const auto at = pull->endpoints();
  Push<> push(loop, acknowledged({.name = "out", .connect = at, .batch_records = 1}));
  std::vector<std::string> texts;
  pull->on_record([&](const RawRecord& r, const Meta&) {
    texts.emplace_back(r.text());
    pull->pause(texts.size() == 10);
  });
  send_numbers(push, 50);
  REQUIRE(eventually(loop, [&] { return texts.size() == 10; }));

  pull.reset();
  pull = take_over<Pull<>>(loop, acknowledged({.name = "in", .node = "pull/0", .bind = at, .epoch = 2}));
  const Processed got(*pull);
  send_numbers(push, 100, 50);
  REQUIRE(push.settle(soon()));

  texts.insert(texts.end(), got.texts.begin(), got.texts.end());
  CHECK(counted(texts).size() == 100);
}

WEFT_CONFORMS("acknowledged: a sender that binds again with a higher epoch begins anew and loses nothing") {
  if (place.kind() == Place::Kind::inproc) return;
  Loop loop;
  auto push = std::make_unique<Push<>>(
      loop,
      acknowledged(
          {.name = "out", .node = "push/0", .bind = place.endpoints(), .epoch = 1, .batch_records = 1}));
  const auto at = push->endpoints();
  Pull<> pull(loop, acknowledged({.name = "in", .node = "pull/0", .connect = at}));
  const Processed got(pull);
  send_numbers(*push, 50);
  REQUIRE(push->settle(soon()));

  // What the receiver says of the former stream must not be taken for a word on this one.
  push.reset();
  (void)loop.run_until([] { return false; }, Deadline::after(300ms));
  push = take_over<Push<>>(
      loop, acknowledged({.name = "out", .node = "push/0", .bind = at, .epoch = 2, .batch_records = 1}));
  send_numbers(*push, 150, 50);
  REQUIRE(push->settle(soon()));

  CHECK(counted(got.texts) == counted(numbers(150)));
  CHECK(push->stats().processed_records == 100);
}

WEFT_CONFORMS("acknowledged: ends of different deliveries refuse each other with a sentence") {
  Loop loop;
  Pull<> pull(loop, acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()}));
  Push<> plain(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});
  PortOptions once{.name = "out", .node = "push/1", .connect = pull.endpoints()};
  once.delivery = Delivery::exactly_once;
  Push<> other(loop, once);
  const Events at_pull(pull);
  const Events at_plain(plain);
  const Events at_other(other);

  REQUIRE(eventually(loop, [&] {
    return at_plain.count(PeerEvent::What::refused) == 1 && at_other.count(PeerEvent::What::refused) == 1 &&
           at_pull.count(PeerEvent::What::refused) == 2;
  }));

  CHECK(contains(at_plain.text(PeerEvent::What::refused), "best-effort"));
  CHECK(contains(at_plain.text(PeerEvent::What::refused), "at-least-once"));
  CHECK(contains(at_other.text(PeerEvent::What::refused), "exactly-once"));
  CHECK(pull.peers_up() == 0);
}

TEST_CASE("acknowledged: connections that are cut lose nothing, and keep the order of each sender") {
  for (const bool push_binds : {false, true}) {
    CAPTURE(push_binds);
    Loop loop;
    PortOptions out{.name = "out", .node = "push/0"};
    PortOptions in{.name = "in", .node = "pull/0"};
    out.batch_records = 1;
    (push_binds ? out : in).bind = {"tcp://127.0.0.1:*"};
    std::optional<Push<>> push;
    std::optional<Pull<>> pull;
    push_binds ? (void)push.emplace(loop, acknowledged(out)) : (void)pull.emplace(loop, acknowledged(in));
    Proxy proxy(loop, push_binds ? push->endpoints()[0] : pull->endpoints()[0]);
    (push_binds ? in : out).connect = proxy.endpoints();
    push_binds ? (void)pull.emplace(loop, acknowledged(in)) : (void)push.emplace(loop, acknowledged(out));
    const Processed got(*pull);
    REQUIRE(push->wait_for_peers(1, soon()));

    int sent = 0;
    for (std::uint64_t round = 1; round <= 5; ++round) {
      const std::size_t before = got.texts.size();
      send_numbers(*push, sent + 200, sent);
      REQUIRE(eventually(loop, [&] { return got.texts.size() > before; }));
      proxy.hold();
      send_numbers(*push, sent + 400, sent + 200);
      sent += 400;
      REQUIRE(push->flush(soon()));
      proxy.cut();
      REQUIRE(eventually(loop, [&] { return push->stats().reconnects >= round && push->peers_up() == 1; }));
    }
    REQUIRE(push->settle(soon()));

    CHECK(got.texts == numbers(sent));
    CHECK(push->stats().lost_records == 0);
    CHECK(push->stats().retransmitted_batches > 0);
    CHECK(push->stats().redelivered_records == 0);
  }
}

TEST_CASE("acknowledged: exactly-once receivers without a journal are refused when they are made") {
  Loop loop;
  PortOptions options{.name = "in", .bind = {"inproc://never"}};
  options.delivery = Delivery::exactly_once;

  CHECK_THROWS_WITH_AS(
      Pull<>(loop, options),
      "port in: exactly-once needs a journal at the receiving end; give PortOptions::journal", Error);
}

WEFT_CONFORMS("acknowledged: a sender is drained when all is processed") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints()}));
  Pull<> pull(loop, acknowledged({.name = "in", .connect = push.endpoints()}));
  const Processed got(pull);
  const Events events(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  pull.pause(true);
  send_numbers(push, 100);

  push.begin_drain();
  CHECK(push.send(as_bytes("late")) == SendStatus::closed);
  REQUIRE(eventually(loop, [&] { return pull.stats().received_records == 100; }));
  CHECK(!push.drained());
  pull.pause(false);
  REQUIRE(eventually(loop, [&] { return push.drained() && events.count(PeerEvent::What::finished) == 1; }));

  CHECK(got.texts == numbers(100));
  CHECK(push.stats().processed_records == 100);
}

WEFT_CONFORMS("acknowledged: a draining receiver finishes what it has, and the rest goes elsewhere") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 10}));
  Pull<> leaving(
      loop, acknowledged({.name = "in", .node = "pull/0", .connect = push.endpoints(), .window_batches = 8}));
  const Processed at_leaving(leaving);
  REQUIRE(push.wait_for_peers(1, soon()));
  leaving.pause(true);
  send_numbers(push, 1000);
  REQUIRE(eventually(loop, [&] { return leaving.stats().received_records == 80; }));

  leaving.begin_drain();
  Pull<> next(loop, acknowledged({.name = "in", .node = "pull/1", .connect = push.endpoints()}));
  const Processed at_next(next);
  REQUIRE(eventually(loop, [&] { return at_next.texts.size() == 920; }));
  CHECK(!leaving.drained());
  leaving.pause(false);
  REQUIRE(eventually(loop, [&] { return leaving.drained(); }));
  REQUIRE(push.settle(soon()));

  CHECK(at_leaving.texts == numbers(80));
  CHECK(at_next.texts == numbers(1000, 80));
  CHECK(push.stats().redelivered_records == 0);
}

WEFT_CONFORMS("acknowledged: what its sender has given up takes no room at a paused receiver") {
  Loop loop;
  PortOptions options = acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()});
  options.window_bytes = 4096;
  Pull<> pull(loop, options);
  const Processed got(pull);
  pull.pause(true);
  Stranger sender(loop, pull.endpoints()[0], "push/0");
  std::uint64_t seq = 0;
  const auto meet = [&] {
    sender.hello("push", 0, [&](wire::Options& o) {
      o.delivery_v = static_cast<std::uint8_t>(Delivery::at_least_once);
      o.mark(wire::Options::delivery);
      o.first_retained_v = seq + 1;
    });
    return sender.wait(wire::Kind::hello);
  };

  // Each time it has filled the window, been away for long, and gives that to others.
  for (int away = 0; away < 6; ++away) {
    REQUIRE(meet());
    CHECK(sender.header().seq == seq);
    for (int i = 0; i < 2; ++i) sender.data(++seq, 1000);
    REQUIRE(eventually(loop, [&] { return pull.stats().received_batches == seq; }));
  }
  REQUIRE(meet());
  sender.data(++seq);
  REQUIRE(eventually(loop, [&] { return pull.stats().received_batches == seq; }));
  pull.pause(false);

  CHECK(eventually(loop, [&] { return !got.texts.empty(); }));
  CHECK(got.texts == std::vector<std::string>{"x"});
  CHECK(pull.stats().rejected_messages == 0);
}
