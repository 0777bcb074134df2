#include <type_traits>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

struct Point {
  int x = 0;
  int y = 0;
  WEFT_RECORD(Point, x, y)
};
struct Line {
  int from = 0;
  WEFT_RECORD(Line, from)
};

template <class B>
concept CanSend = requires(B& b) {
  b.send(Bytes{});
};
template <class B>
concept CanReceive = requires(B& b) {
  b.receive(Deadline::never());
};

/// Sends until it would block; how many were taken.
std::uint64_t fill(Push<>& push, SendStatus& last) {
  std::uint64_t n = 0;
  while ((last = push.send(as_bytes(kHundred))) == SendStatus::ok && n < 10'000'000) ++n;
  return n;
}

PortOptions small(PortOptions options) {
  options.batch_bytes = 1000;
  options.capacity_bytes = 10'000;
  return options;
}

}  // namespace

TEST_CASE("push-pull: a Pull cannot send and a Push cannot receive, by type") {
  CHECK(CanSend<Push<>>);
  CHECK(!CanReceive<Push<>>);
  CHECK(CanReceive<Pull<>>);
  CHECK(!CanSend<Pull<>>);
}

WEFT_CONFORMS("push-pull: records arrive once, in order, with the name of their sender") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});
  std::uint64_t next = 0;
  bool good = true;
  pull.on_record([&](const RawRecord& r, const Meta& meta) {
    good = good && r.text() == std::to_string(next++) && meta.peer == "push/0";
  });

  for (int i = 0; i < 20'000; ++i) REQUIRE(push.send(as_bytes(std::to_string(i)), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(good);
  CHECK(next == 20'000);
  CHECK(push.stats().sent_records == 20'000);
  CHECK(push.stats().outstanding_records == 0);
  CHECK(pull.stats().received_records == 20'000);
  CHECK(pull.stats().missed_batches + pull.stats().duplicate_batches + pull.stats().rejected_messages == 0);
}

WEFT_CONFORMS("push-pull: a bound Push serves a connected Pull") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints()});
  Pull<> pull(loop, {.name = "in", .connect = push.endpoints()});
  const Collector got(pull);

  for (int i = 0; i < 1000; ++i) REQUIRE(push.send(as_bytes(std::to_string(i)), soon()) == SendStatus::ok);
  REQUIRE(push.flush(soon()));
  REQUIRE(push.settle(soon()));

  REQUIRE(got.texts.size() == 1000);
  CHECK(got.texts[999] == "999");
}

WEFT_CONFORMS("push-pull: what was sent before the receiver came arrives, whichever end binds") {
  Loop loop;
  const auto at = [&] {  // a wildcard port cannot be known before it is bound
    return place.kind() == Place::Kind::tcp
               ? Pull<>(loop, {.name = "probe", .bind = place.endpoints()}).endpoints()
               : place.endpoints();
  }();
  Push<> push(loop, {.name = "out", .connect = at});
  for (int i = 0; i < 100; ++i) CHECK(push.send(as_bytes(std::to_string(i))) == SendStatus::ok);
  // Several HELLOs wait in the socket by now: each is answered, and records follow the first answer.
  (void)loop.run_until([] { return false; }, Deadline::after(400ms));
  Pull<> pull(loop, {.name = "in", .bind = at});
  const Collector got(pull);

  REQUIRE(push.settle(soon()));

  CHECK(got.texts.size() == 100);
  CHECK(push.stats().lost_records == 0);
  CHECK(pull.stats().rejected_messages == 0);
  CHECK(pull.stats().missed_batches == 0);
}

TEST_CASE("push-pull: a Push that binds late loses nothing to the HELLOs that waited for it") {
  Loop loop;
  const Place place(Place::Kind::ipc);
  Pull<> pull(loop, {.name = "in", .connect = place.endpoints()});
  const Collector got(pull);
  (void)loop.run_until([] { return false; }, Deadline::after(500ms));
  Push<> push(loop, {.name = "out", .bind = place.endpoints(), .batch_records = 1});
  for (int i = 0; i < 100; ++i) CHECK(push.send(as_bytes(std::to_string(i))) == SendStatus::ok);

  REQUIRE(eventually(loop, [&] { return got.texts.size() == 100; }));
  REQUIRE(push.settle(soon()));

  CHECK(pull.stats().rejected_messages == 0);
  CHECK(push.stats().lost_records == 0);
}

WEFT_CONFORMS("push-pull: a full sender says would_block, holds no more than its capacity, and goes on") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .window_bytes = 4096});
  Push<> push(loop, small({.name = "out", .connect = pull.endpoints()}));
  std::uint64_t got = 0;
  pull.on_record([&](const RawRecord&, const Meta&) { ++got; });
  pull.pause(true);
  REQUIRE(push.wait_for_peers(1, soon()));
  bool room = false;
  push.on_room([&] { room = true; });

  SendStatus last{};
  const std::uint64_t taken = fill(push, last);

  CHECK(last == SendStatus::would_block);
  CHECK(!push.has_room());
  CHECK(push.stats().queued_bytes <= 10'000 + 2 * 1102);
  CHECK(push.send(as_bytes(kHundred), Deadline::after(20ms)) == SendStatus::timed_out);
  pull.pause(false);
  REQUIRE(eventually(loop, [&] { return room; }));
  CHECK(push.send(as_bytes(kHundred)) == SendStatus::ok);
  REQUIRE(push.settle(soon()));
  CHECK(got == taken + 1);
}

WEFT_CONFORMS("push-pull: overflow fail refuses and counts nothing as sent") {
  Loop loop;
  Push<> push(loop, small({.name = "out", .bind = place.endpoints(), .overflow = Overflow::fail}));

  SendStatus last{};
  const std::uint64_t taken = fill(push, last);

  CHECK(last == SendStatus::full);
  CHECK(push.stats().queued_records == taken);
  CHECK(push.stats().dropped_records == 0);
}

WEFT_CONFORMS("push-pull: overflow drop_newest keeps the oldest records and counts the others") {
  Loop loop;
  Push<> push(loop, small({.name = "out", .bind = place.endpoints(), .overflow = Overflow::drop_newest}));
  std::uint64_t taken = 0;
  std::uint64_t dropped = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto status = push.send(as_bytes(std::to_string(i) + kHundred));
    (status == SendStatus::ok ? taken : dropped) += 1;
  }
  Pull<> pull(loop, {.name = "in", .connect = push.endpoints()});
  const Collector got(pull);

  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(push.settle(soon()));

  CHECK(dropped == push.stats().dropped_records);
  CHECK(taken + dropped == 1000);
  REQUIRE(got.texts.size() == taken);
  CHECK(got.texts.front() == "0" + kHundred);
}

WEFT_CONFORMS("push-pull: overflow drop_oldest keeps the newest records and counts the others") {
  Loop loop;
  Push<> push(loop, small({.name = "out", .bind = place.endpoints(), .overflow = Overflow::drop_oldest}));
  for (int i = 0; i < 1000; ++i) REQUIRE(push.send(as_bytes(std::to_string(i) + kHundred)) == SendStatus::ok);
  Pull<> pull(loop, {.name = "in", .connect = push.endpoints()});
  const Collector got(pull);

  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(push.settle(soon()));

  CHECK(push.stats().dropped_records > 0);
  CHECK(got.texts.size() + push.stats().dropped_records == 1000);
  CHECK(got.texts.back() == "999" + kHundred);
}

WEFT_CONFORMS("push-pull: batches close by count, by size, when idle, and after the linger") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const Collector got(pull);
  const auto batches_for = [&](PortOptions options, int records) {
    options.name = "out";
    options.connect = pull.endpoints();
    Push<> push(loop, options);
    REQUIRE(push.wait_for_peers(1, soon()));
    for (int i = 0; i < records; ++i) REQUIRE(push.send(as_bytes(kHundred)) == SendStatus::ok);
    REQUIRE(eventually(loop, [&] { return push.stats().sent_records == static_cast<unsigned>(records); }));
    return push.stats().sent_batches;
  };

  CHECK(batches_for({.batch_records = 10}, 100) == 10);
  CHECK(batches_for({.batch_bytes = 1020}, 100) == 10);
  CHECK(batches_for({}, 100) == 1);
  CHECK(batches_for({.linger = 20ms}, 100) == 1);
}

WEFT_CONFORMS("push-pull: linger collects the records of several turns") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints(), .linger = 1h});
  const Collector got(pull);
  REQUIRE(push.wait_for_peers(1, soon()));

  for (int i = 0; i < 5; ++i) {
    CHECK(push.send(as_bytes("x")) == SendStatus::ok);
    loop.post([] {});
    (void)loop.run_once(soon());
  }
  CHECK(push.stats().sent_batches == 0);
  REQUIRE(push.settle(soon()));

  CHECK(push.stats().sent_batches == 1);
  CHECK(got.texts.size() == 5);
}

WEFT_CONFORMS("push-pull: typed ports of one type meet, of two types are refused on both sides by name") {
  Loop loop;
  Pull<Point> pull(loop, {.name = "in", .node = "pull/0", .bind = place.endpoints()});
  Push<Point> good(loop, {.name = "out", .node = "good/0", .connect = pull.endpoints()});
  Push<Line> bad(loop, {.name = "out", .node = "bad/0", .connect = pull.endpoints()});
  const Events at_pull(pull);
  const Events at_bad(bad);
  REQUIRE(good.send({.x = 1, .y = 2}) == SendStatus::ok);

  const auto got = pull.receive(soon());
  REQUIRE(got);
  CHECK(got->record.y == 2);
  REQUIRE(eventually(loop, [&] { return at_bad.count(PeerEvent::What::refused) == 1; }));

  for (const std::string& text :
       {at_pull.text(PeerEvent::What::refused), at_bad.text(PeerEvent::What::refused)}) {
    CAPTURE(text);
    CHECK(contains(text, "Point"));
    CHECK(contains(text, "Line"));
  }
  CHECK(at_bad.code(PeerEvent::What::refused) == wire::Code::type_mismatch);
  CHECK(pull.stats().rejected_peers == 1);
  CHECK(bad.peers_up() == 0);
}

WEFT_CONFORMS("push-pull: the wrong block and another scope are refused") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = place.endpoints()});
  Pull<> twin(loop, {.name = "in", .node = "pull/1", .connect = pull.endpoints()});
  Push<> other(loop, {.name = "out", .node = "push/0", .scope = "elsewhere", .connect = pull.endpoints()});
  const Events at_twin(twin);
  const Events at_other(other);

  REQUIRE(eventually(loop, [&] {
    return at_twin.count(PeerEvent::What::refused) + at_other.count(PeerEvent::What::refused) == 2;
  }));

  CHECK(contains(at_twin.text(PeerEvent::What::refused), "is a \"pull\""));
  CHECK(contains(at_other.text(PeerEvent::What::refused), "\"elsewhere\""));
}

WEFT_CONFORMS("push-pull: a record beyond the largest frame is refused and the connection lives on") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .max_frame_bytes = 64 << 10});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints(), .max_frame_bytes = 64 << 10});
  const Collector got(pull);
  const std::string large(65 << 10, 'l');
  REQUIRE(push.wait_for_peers(1, soon()));

  CHECK(push.send(as_bytes("before")) == SendStatus::ok);
  CHECK(push.send(as_bytes(large)) == SendStatus::too_large);
  for (int i = 0; i < 3000; ++i) REQUIRE(push.send(as_bytes(kHundred), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(got.texts.size() == 3001);
  CHECK(push.stats().reconnects == 0);
}

WEFT_CONFORMS("push-pull: a block may be closed by its own handler, and while its peer sends") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  int got = 0;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    CHECK(r.text() == kHundred);
    if (++got == 10) pull.close();
  });
  REQUIRE(push.wait_for_peers(1, soon()));

  for (int i = 0; i < 1000; ++i) CHECK(push.send(as_bytes(kHundred)) == SendStatus::ok);
  REQUIRE(eventually(loop, [&] { return got == 10; }));
  push.close();

  CHECK(got == 10);
  CHECK(push.send(as_bytes("x")) == SendStatus::closed);
  CHECK(!pull.receive(Deadline::after(1ms)));
  const auto stats = push.stats();
  CHECK(stats.sent_records + stats.dropped_records == 1000);
}

WEFT_CONFORMS("push-pull: a drained sender says BYE when all is acknowledged") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  const Collector got(pull);
  const Events events(pull);
  for (int i = 0; i < 1000; ++i) REQUIRE(push.send(as_bytes(kHundred)) == SendStatus::ok);
  REQUIRE(push.wait_for_peers(1, soon()));

  push.begin_drain();
  CHECK(push.send(as_bytes("late")) == SendStatus::closed);
  REQUIRE(eventually(loop, [&] { return push.drained() && events.count(PeerEvent::What::finished) == 1; }));

  CHECK(got.texts.size() == 1000);
  CHECK(pull.peers_up() == 0);
  CHECK(push.stats().lost_records + push.stats().dropped_records == 0);
}

WEFT_CONFORMS("push-pull: a draining receiver is given nothing new and handles what is on its way") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints(), .batch_records = 10});
  Pull<> leaving(loop, {.name = "in", .node = "pull/0", .connect = push.endpoints()});
  const Collector at_leaving(leaving);
  REQUIRE(push.wait_for_peers(1, soon()));
  for (int i = 0; i < 1000; ++i) REQUIRE(push.send(as_bytes(kHundred)) == SendStatus::ok);

  leaving.begin_drain();
  REQUIRE(eventually(loop, [&] { return leaving.drained() && push.peers_up() == 0; }));
  for (int i = 0; i < 10; ++i) CHECK(push.send(as_bytes("later")) == SendStatus::ok);
  Pull<> next(loop, {.name = "in", .node = "pull/1", .connect = push.endpoints()});
  const Collector at_next(next);
  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(push.settle(soon()));

  CHECK(at_leaving.texts.size() + at_next.texts.size() == 1010);
  CHECK(at_next.texts.size() >= 10);
  CHECK(push.stats().lost_records == 0);
}

WEFT_CONFORMS("push-pull: disconnecting and connecting again goes on without a duplicate or a loss") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});
  const Collector got(pull);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.wait_for_peers(1, soon()));
    REQUIRE(push.settle(soon()));
    push.disconnect(pull.endpoints()[0]);
    push.connect(pull.endpoints()[0]);
  }
  REQUIRE(push.wait_for_peers(1, soon()));

  CHECK(got.texts.size() == 300);
  CHECK(pull.stats().duplicate_batches == 0);
  CHECK(pull.stats().missed_batches == 0);
  CHECK(push.stats().lost_records == 0);
}

WEFT_CONFORMS("native push-pull: records arrive, back-pressure holds, another type is refused") {
  Loop loop;
  Pull<Point> pull(loop, {.name = "in", .bind = place.endpoints(), .native = true});
  Push<Point> push(loop, small({.name = "out", .connect = pull.endpoints(), .native = true}));
  Push<Line> wrong(loop, {.name = "out", .connect = pull.endpoints(), .native = true});
  std::uint64_t got = 0;
  pull.on_record([&](Point& p, const Meta&) { got += p.y == 7 ? 1 : 0; });
  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(wrong.wait_for_peers(1, soon()));
  pull.pause(true);

  std::uint64_t taken = 0;
  while (push.send({.x = 1, .y = 7}) == SendStatus::ok && taken < 100'000'000) {
    if (++taken % 10'000 == 0) {
      loop.post([] {});
      (void)loop.run_once(soon());
    }
  }
  CHECK(taken < 100'000'000);
  CHECK(push.stats().queued_bytes <= 10'000 + 2 * 1000);
  pull.pause(false);
  CHECK(wrong.send({.from = 1}) == SendStatus::ok);
  REQUIRE(push.flush(soon()));
  REQUIRE(wrong.flush(soon()));
  REQUIRE(eventually(loop, [&] { return got == taken && pull.stats().rejected_messages == 1; }));

  CHECK(pull.stats().rejections[static_cast<std::size_t>(wire::Rejection::wrong_type)] == 1);
  CHECK(pull.stats().missed_batches == 0);
}

WEFT_CONFORMS("push-pull: of batches that are larger than the window two are on their way") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints(), .window_bytes = 4096});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints(), .batch_records = 1});
  Collector got(pull);
  const std::string record(10'000, 'r');
  REQUIRE(push.send(as_bytes(record), soon()) == SendStatus::ok);
  REQUIRE(eventually(loop, [&] {  // by no PING
    return !got.texts.empty() && push.stats().outstanding_records == 0;
  }));

  pull.pause(true);
  for (int i = 0; i < 5; ++i) REQUIRE(push.send(as_bytes(record), soon()) == SendStatus::ok);
  CHECK(push.stats().sent_records == 3);
  pull.pause(false);

  REQUIRE(push.settle(soon()));
  CHECK(got.texts == std::vector<std::string>(6, record));
  CHECK(pull.stats().rejected_messages == 0);
}
