// Acknowledged push-pull: who gets a record by its key or name, and what a full sender does.
#include "acknowledged.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// One of several receivers, with what it processed.
struct Receiver {
  Pull<> pull;
  Processed got;
  Receiver(Loop& loop, const std::vector<std::string>& at, const std::string& node)
      : pull(loop, acknowledged({.name = "in", .node = node, .connect = at})), got(pull) {}
};

/// A sender whose bound is small, and a receiver that never processes.
struct Stuck {
  Loop loop;
  Push<> push;
  Pull<> pull;

  Stuck(const Place& place, Overflow overflow, std::uint64_t capacity_records)
      : push(loop, options(place, overflow, capacity_records)),
        pull(loop, acknowledged({.name = "in", .connect = push.endpoints(), .window_bytes = 4096})) {
    pull.on_record([](const RawRecord&, const Meta&) {});
    pull.pause(true);
    REQUIRE(push.wait_for_peers(1, soon()));
  }
  static PortOptions options(const Place& place, Overflow overflow, std::uint64_t capacity_records) {
    PortOptions out = acknowledged({.name = "out", .bind = place.endpoints()});
    out.batch_bytes = 1000;
    out.capacity_bytes = 20'000;
    out.overflow = overflow;
    out.capacity_records = capacity_records;
    return out;
  }
  /// Sends 10,000 records of 100 bytes, a turn of the loop now and then; how many were taken.
  std::uint64_t flood(SendStatus refusal) {
    const std::string record(100, 'r');
    std::uint64_t taken = 0;
    for (int i = 0; i < 10'000; ++i) {
      const SendStatus status = push.send(as_bytes(record));
      const bool known = status == SendStatus::ok || status == refusal;
      REQUIRE(known);
      taken += status == SendStatus::ok ? 1 : 0;
      REQUIRE(push.stats().queued_bytes <= 20'000 + 2 * 1102);
      if (i % 100 != 0) continue;
      loop.post([] {});
      (void)loop.run_once(soon());
    }
    return taken;
  }
};

}  // namespace

TEST_CASE("acknowledged: what batches of one small record cost counts against the capacity") {
  Loop loop;
  Push<> push(
      loop,
      acknowledged(
          {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .batch_records = 1, .capacity_bytes = 512 * 1000}));
  int taken = 0;
  while (push.send(as_bytes("x")) == SendStatus::ok) ++taken;

  CHECK(taken < 1000);
  CHECK(taken > 900);
}

WEFT_CONFORMS(
    "acknowledged: the records of a key are processed in order by one receiver, also when it dies") {
  Loop loop;
  PortOptions options = acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 5}, 200ms);
  options.distribute = Distribute::hash;
  Push<> push(loop, options);
  std::vector<std::pair<std::string, std::string>> all;  // (receiver, record)
  std::vector<std::unique_ptr<Pull<>>> pulls;
  for (int i = 0; i < 3; ++i) {
    pulls.push_back(std::make_unique<Pull<>>(
        loop,
        acknowledged({.name = "in", .node = "pull/" + std::to_string(i), .connect = push.endpoints()})));
    pulls.back()->on_record([&all, i](const RawRecord& r, const Meta&) {
      all.emplace_back("pull/" + std::to_string(i), r.text());
    });
  }
  REQUIRE(push.wait_for_peers(3, soon()));
  const auto send = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string key(1, static_cast<char>('a' + i % 8));
      const std::string record = key + std::to_string(i);
      REQUIRE(push.send(as_bytes(record), PushBase::To::with_key(key), soon()) == SendStatus::ok);
    }
  };
  send(0, 800);
  REQUIRE(push.settle(soon()));
  std::map<char, std::set<std::string>> owners;
  for (const auto& [receiver, record] : all) owners[record[0]].insert(receiver);
  REQUIRE(owners.size() == 8);
  for (const auto& [key, who] : owners) CHECK(who.size() == 1);

  const std::string victim = *owners['a'].begin();
  const auto index = static_cast<std::size_t>(victim.back() - '0');
  pulls[index]->pause(true);
  send(800, 1600);
  (void)loop.run_once(soon());
  pulls[index].reset();
  send(1600, 2400);
  REQUIRE(push.settle(soon()));

  std::map<char, std::map<std::string, std::vector<int>>> seen;  // key -> receiver -> numbers
  std::map<std::string, int> once;
  for (const auto& [receiver, record] : all) {
    seen[record[0]][receiver].push_back(std::stoi(record.substr(1)));
    ++once[record];
  }
  CHECK(once.size() == 2400);
  for (const auto& [key, receivers] : seen) {
    for (const auto& [receiver, list] : receivers) CHECK(std::ranges::is_sorted(list));
    if (!owners[key].contains(victim)) CHECK(receivers.size() == 1);
  }
  CHECK(seen['a'].size() == 2);
}

WEFT_CONFORMS("acknowledged: what is for a named receiver waits for its return") {
  Loop loop;
  PortOptions options = acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 1}, 100ms);
  options.distribute = Distribute::explicit_;
  Push<> push(loop, options);
  Receiver other(loop, push.endpoints(), "pull/1");
  CHECK(push.send(as_bytes("x"), PushBase::To::with_peer("pull/0")) == SendStatus::no_peer);
  auto named = std::make_unique<Receiver>(loop, push.endpoints(), "pull/0");
  const Events events(push);
  REQUIRE(push.wait_for_peers(2, soon()));
  named->pull.pause(true);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(push.send(as_bytes(std::to_string(i)), PushBase::To::with_peer("pull/0")) == SendStatus::ok);
  }
  REQUIRE(eventually(loop, [&] { return named->pull.stats().received_records >= 1; }));

  named.reset();
  REQUIRE(eventually(loop, [&] { return events.count(PeerEvent::What::dead) >= 1; }));
  for (int i = 10; i < 20; ++i) {
    REQUIRE(push.send(as_bytes(std::to_string(i)), PushBase::To::with_peer("pull/0")) == SendStatus::ok);
  }
  CHECK(!push.settle(Deadline::after(300ms)));
  named = std::make_unique<Receiver>(loop, push.endpoints(), "pull/0");
  REQUIRE(push.settle(soon()));

  CHECK(named->got.texts == numbers(20));
  CHECK(other.got.texts.empty());
}

WEFT_CONFORMS("acknowledged: a full sender blocks in bounded memory, in bytes and in records") {
  for (const std::uint64_t records : {0, 50}) {
    CAPTURE(records);
    const Place here(place.kind());
    Stuck stuck(here, Overflow::block, records);
    const std::uint64_t taken = stuck.flood(SendStatus::would_block);

    CHECK(taken < 300);
    if (records != 0) CHECK(taken == 50);
    CHECK(stuck.push.stats().dropped_records == 0);
    CHECK(stuck.push.stats().queued_records + stuck.push.stats().outstanding_records == taken);
    stuck.pull.pause(false);
    REQUIRE(stuck.push.settle(soon()));
    CHECK(stuck.push.stats().processed_records == taken);
  }
}

WEFT_CONFORMS("acknowledged: overflow fail and drop_newest refuse what comes, and count it") {
  for (const auto& [overflow, status] :
       {std::pair(Overflow::fail, SendStatus::full), std::pair(Overflow::drop_newest, SendStatus::dropped)}) {
    const Place here(place.kind());
    Stuck stuck(here, overflow, 0);
    const std::uint64_t taken = stuck.flood(status);

    CHECK(taken < 300);
    CHECK(stuck.push.stats().dropped_records == (overflow == Overflow::fail ? 0 : 10'000 - taken));
    stuck.pull.pause(false);
    REQUIRE(stuck.push.settle(soon()));
    CHECK(stuck.push.stats().processed_records == taken);
  }
}

WEFT_CONFORMS("acknowledged: overflow drop_oldest drops what waits, never what is on its way") {
  Stuck stuck(place, Overflow::drop_oldest, 0);
  const std::uint64_t taken = stuck.flood(SendStatus::dropped);
  REQUIRE(stuck.push.flush(Deadline::after(50ms)) == false);
  const std::uint64_t dropped = stuck.push.stats().dropped_records;

  CHECK(dropped > 0);
  stuck.pull.pause(false);
  REQUIRE(stuck.push.settle(soon()));
  CHECK(stuck.push.stats().processed_records == 10'000 - dropped);
  CHECK(taken == 10'000);
  CHECK(stuck.push.stats().redelivered_records == 0);
}

WEFT_CONFORMS("acknowledged: purge drops what waits and leaves what is on its way") {
  Stuck stuck(place, Overflow::block, 0);
  const std::uint64_t taken = stuck.flood(SendStatus::would_block);
  const std::uint64_t under_way = stuck.push.stats().outstanding_records;

  const std::uint64_t purged = stuck.push.purge();

  CHECK(purged > 0);
  CHECK(under_way > 0);
  CHECK(stuck.push.stats().dropped_records == purged);
  stuck.pull.pause(false);
  REQUIRE(stuck.push.settle(soon()));
  CHECK(stuck.push.stats().processed_records == taken - purged);
}

WEFT_CONFORMS("acknowledged: peek shows the oldest records and where they are, and takes none away") {
  Stuck stuck(place, Overflow::block, 0);
  const std::uint64_t taken = stuck.flood(SendStatus::would_block);
  const PortStats before = stuck.push.stats();
  std::vector<std::string> receivers;
  std::uint64_t shown = 0;

  stuck.push.peek(taken, [&](const HeldRecord& record) {
    ++shown;
    CHECK(record.age >= Duration::zero());
    if (receivers.empty() || receivers.back() != record.receiver) receivers.emplace_back(record.receiver);
  });
  std::uint64_t few = 0;
  stuck.push.peek(3, [&](const HeldRecord&) { ++few; });

  CHECK(few == 3);
  CHECK(shown > before.outstanding_records);
  CHECK(shown <= taken);
  REQUIRE(receivers.size() == 2);
  CHECK(receivers[0].ends_with(".in"));
  CHECK(receivers[1].empty());
  CHECK(stuck.push.stats().outstanding_records == before.outstanding_records);
  stuck.pull.pause(false);
  REQUIRE(stuck.push.settle(soon()));
  CHECK(stuck.push.stats().processed_records == taken);
}

WEFT_CONFORMS("acknowledged: what a handler, or the end of its batch, throws at comes again") {
  for (const auto delivery : {Delivery::at_least_once, Delivery::exactly_once}) {
    for (const bool behind : {false, true}) {
      CAPTURE(behind);
      Loop loop;
      const Place here(place.kind());
      PortOptions out{.name = "out", .node = "push/0", .bind = here.endpoints(), .delivery = delivery};
      Push<> push(loop, acknowledged(out));
      const auto disk = std::make_shared<journal::testing::MemoryDisk>();
      std::vector<std::string> texts;
      for (const bool throws : {true, false}) {
        PortOptions in{.name = "in", .node = "pull/0", .connect = push.endpoints(), .delivery = delivery};
        if (delivery == Delivery::exactly_once) in.journal = open_journal(disk);
        Pull<> pull(loop, acknowledged(in));
        const auto end = [&] {
          if (throws && texts.back() == "9") throw Error(Errc::io, "no room");
        };
        pull.on_record([&](const RawRecord& r, const Meta&) {
          texts.emplace_back(r.text());
          if (!behind) end();
        });
        pull.on_batch_end([&] {
          if (behind) end();
        });
        if (throws) {
          send_numbers(push, 10);
          CHECK_THROWS_WITH((void)loop.run_until([] { return false; }, soon()), "no room");
          // A node that fails runs its loop once more, for its last report.
          send_numbers(push, 12, 10);
          (void)loop.run_until([] { return false; }, Deadline::after(20ms));
          CHECK(texts.size() == 10);
        } else {
          REQUIRE(push.settle(soon()));
        }
      }
      CHECK(counted(texts)["9"] == 2);
      CHECK(counted(texts)["11"] == 1);
      CHECK(push.stats().processed_records == 12);
    }
  }
}
