// Journals under acknowledged push-pull: what survives the end of a sender, of a receiver, and of both.
#include <future>

#include "acknowledged.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

using journal::testing::MemoryDisk;

/// One node's end of the link, with its journal: it can end like a process that is killed, and come back.
template <class B>
struct Life {
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>();
  std::shared_ptr<Journal> journal;
  std::unique_ptr<B> block;

  void begin(Loop& loop, PortOptions options) {
    journal = open_journal(disk);
    options.journal = journal;
    block = std::make_unique<B>(loop, options);
  }
  /// What was submitted may or may not be on the disk; what was not is gone.
  void end(bool power_loss = false) {
    block.reset();
    journal.reset();
    if (power_loss) disk->crash();
  }
};

PortOptions sender(const std::vector<std::string>& bind, Delivery delivery = Delivery::at_least_once) {
  PortOptions out{.name = "out", .node = "push/0", .bind = bind, .batch_records = 5};
  out.delivery = delivery;
  return acknowledged(out);
}
PortOptions receiver(const std::vector<std::string>& at, Delivery delivery = Delivery::at_least_once) {
  PortOptions in{.name = "in", .node = "pull/0", .connect = at};
  in.delivery = delivery;
  return acknowledged(in);
}

/// A fresh place for each life of the end that binds: the other end is made anew, or told where.
std::vector<std::string> at(const Place& place) {
  return place.endpoints();
}

}  // namespace

WEFT_CONFORMS("acknowledged: a journaled sender goes on where it ended, with its epoch and its counts") {
  Loop loop;
  Life<Push<>> push;
  std::vector<std::string> texts;
  std::uint64_t epoch = 0;
  {
    const Place here(place.kind());
    push.begin(loop, sender(at(here)));
    Pull<> pull(loop, receiver(push.block->endpoints()));
    pull.on_record([&](const RawRecord& r, const Meta& meta) {
      texts.emplace_back(r.text());
      epoch = meta.epoch;
      pull.pause(texts.size() == 20);
    });
    send_numbers(*push.block, 100);
    REQUIRE(push.block->sync(soon()));
    REQUIRE(eventually(loop, [&] { return texts.size() == 20 && pull.stats().received_records == 100; }));
    push.end(true);
  }
  const Place here(place.kind());
  push.begin(loop, sender(at(here)));
  CHECK(push.block->accepted_total() == 100);
  send_numbers(*push.block, 110, 100);
  Pull<> pull(loop, receiver(push.block->endpoints()));
  pull.on_record([&](const RawRecord& r, const Meta& meta) {
    texts.emplace_back(r.text());
    CHECK(meta.epoch == epoch);
  });
  REQUIRE(push.block->settle(soon()));

  CHECK(counted(texts).size() == 110);
  CHECK(push.block->accepted_total() == 110);
  push.end();
  const Place elsewhere(place.kind());  // an address is free again some time after its socket was closed
  push.begin(loop, sender(at(elsewhere)));
  CHECK(push.block->stats().queued_records + push.block->stats().outstanding_records == 0);
}

WEFT_CONFORMS("acknowledged: exactly-once, the receiver ends after processing, before it could say so") {
  Loop loop;
  PortOptions out = sender(place.endpoints(), Delivery::exactly_once);
  Push<> push(loop, out);
  Life<Pull<>> pull;
  std::vector<std::string> texts;
  int sent = 0;
  for (int life = 0; life < 5; ++life) {
    pull.begin(loop, receiver(push.endpoints(), Delivery::exactly_once));
    pull.block->on_record([&](const RawRecord& r, const Meta&) { texts.emplace_back(r.text()); });
    const std::size_t before = texts.size();
    send_numbers(push, sent + 50, sent);
    sent += 50;
    if (life == 4) break;
    REQUIRE(eventually(loop, [&] { return texts.size() > before; }));
    pull.end(false);  // in the same turn: nothing of it has been acknowledged yet
  }
  REQUIRE(push.settle(soon()));

  CHECK(texts == numbers(sent));
}

WEFT_CONFORMS("acknowledged: exactly-once, both ends are journaled and end in any order") {
  for (const bool push_first : {true, false}) {
    CAPTURE(push_first);
    Loop loop;
    Life<Push<>> push;
    Life<Pull<>> pull;
    std::vector<std::string> texts;
    int sent = 0;
    for (int life = 0; life < 6; ++life) {
      const Place here(place.kind());
      push.begin(loop, sender(at(here), Delivery::exactly_once));
      pull.begin(loop, receiver(push.block->endpoints(), Delivery::exactly_once));
      std::size_t before = texts.size();
      pull.block->on_record([&](const RawRecord& r, const Meta&) { texts.emplace_back(r.text()); });
      send_numbers(*push.block, sent + 40, sent);
      sent += 40;
      REQUIRE(push.block->sync(soon()));
      if (life % 2 == 0) REQUIRE(eventually(loop, [&] { return texts.size() > before; }));
      if (life == 5) {
        REQUIRE(push.block->settle(soon()));
        break;
      }
      if (push_first) {
        push.end();
        before = texts.size();
        (void)loop.run_until([&] { return texts.size() > before + 5; }, Deadline::after(5ms));
        pull.end();
      } else {
        pull.end();
        (void)loop.run_until([] { return false; }, Deadline::after(5ms));
        push.end();
      }
    }

    CHECK(texts == numbers(sent));
  }
}

WEFT_CONFORMS("acknowledged: a handler's outputs and its acknowledgement are one commit, or none") {
  Loop loop;
  const Place out_place(place.kind());
  Push<> source(loop, sender(place.endpoints(), Delivery::exactly_once));
  PortOptions sink_options{.name = "sink", .node = "sink/0"};
  Life<Pull<>> sink;
  std::vector<std::string> results;
  // Each life of the middle is cut at another moment; its own commit decides alone what has happened.
  Life<Pull<>> middle;
  int sent = 0;
  for (int life = 0; life < 8; ++life) {
    middle.journal = open_journal(middle.disk);
    PortOptions in = receiver(source.endpoints(), Delivery::exactly_once);
    in.node = "middle/0";
    in.journal = middle.journal;
    const Place here(place.kind());
    PortOptions out = sender(here.endpoints(), Delivery::exactly_once);
    out.node = "middle/0";
    out.journal = middle.journal;
    auto push = std::make_unique<Push<>>(loop, out);
    middle.block = std::make_unique<Pull<>>(loop, in);
    int handled = 0;
    middle.block->on_record([&](const RawRecord& r, const Meta&) {
      REQUIRE(push->send(as_bytes("a" + std::string(r.text()))) == SendStatus::ok);
      REQUIRE(push->send(as_bytes("b" + std::string(r.text()))) == SendStatus::ok);
      ++handled;
      // In the middle of a batch: what it has sent for it must go with it.
      if (life % 2 == 1 && handled == 13) middle.block->pause(true);
    });
    sink.begin(loop, receiver(push->endpoints(), Delivery::exactly_once));
    sink.block->on_record([&](const RawRecord& r, const Meta&) { results.emplace_back(r.text()); });
    send_numbers(source, sent + 30, sent);
    sent += 30;
    if (life == 7) middle.block->pause(false);
    REQUIRE(eventually(loop, [&] { return handled >= 13; }));
    if (life == 6) {
      REQUIRE(source.settle(soon()));
      REQUIRE(push->settle(soon()));
    }
    if (life == 7) break;
    middle.block.reset();
    push.reset();
    middle.journal.reset();
    sink.end();
  }
  // The last life ended in the middle of a batch on purpose; one more finishes the work.
  middle.block.reset();
  middle.journal.reset();
  sink.end();
  middle.journal = open_journal(middle.disk);
  PortOptions in = receiver(source.endpoints(), Delivery::exactly_once);
  in.node = "middle/0";
  in.journal = middle.journal;
  PortOptions out = sender(out_place.endpoints(), Delivery::exactly_once);
  out.node = "middle/0";
  out.journal = middle.journal;
  Push<> push(loop, out);
  Pull<> pull(loop, in);
  pull.on_record([&](const RawRecord& r, const Meta&) {
    REQUIRE(push.send(as_bytes("a" + std::string(r.text()))) == SendStatus::ok);
    REQUIRE(push.send(as_bytes("b" + std::string(r.text()))) == SendStatus::ok);
  });
  sink.begin(loop, receiver(push.endpoints(), Delivery::exactly_once));
  sink.block->on_record([&](const RawRecord& r, const Meta&) { results.emplace_back(r.text()); });
  REQUIRE(source.settle(soon()));
  REQUIRE(push.settle(soon()));

  std::vector<std::string> wanted;
  for (const std::string& n : numbers(sent)) {
    wanted.push_back("a" + n);
    wanted.push_back("b" + n);
  }
  CHECK(results == wanted);
}

WEFT_CONFORMS("acknowledged: a receiver that is closed amid a batch takes its outputs with it, no others") {
  Loop loop;
  const auto journal = open_journal(std::make_shared<MemoryDisk>());
  Push<> source(loop, sender(place.endpoints()));
  const Place there(place.kind());
  PortOptions out = sender(there.endpoints());
  out.node = "middle/0";
  out.journal = journal;
  Push<> push(loop, out);
  const Fates fates(push);
  PortOptions in = receiver(source.endpoints());
  in.node = "middle/0";
  in.journal = journal;
  auto pull = std::make_unique<Pull<>>(loop, in);
  Pull<> sink(loop, receiver(push.endpoints()));
  const Processed got(sink);
  REQUIRE(push.send(as_bytes("before")) == SendStatus::ok);
  pull->on_record([&](const RawRecord& r, const Meta&) {
    REQUIRE(push.send(r.bytes(), PushBase::To{.correlation = 7}) == SendStatus::ok);
    pull->pause(r.text() == "2");  // of a batch of five
  });
  send_numbers(source, 5);
  REQUIRE(eventually(loop, [&] { return pull->paused(); }));

  pull.reset();
  REQUIRE(push.send(as_bytes("after")) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(got.texts == std::vector<std::string>{"before", "after"});
  CHECK(push.stats().dropped_records == 3);
  CHECK(fates.told == 3);
  CHECK(fates.by_correlation.at(7) == RecordFate::dropped);
}

WEFT_CONFORMS("acknowledged: outputs of one batch that are more than the capacity do not stop the batch") {
  Loop loop;
  const auto disk = std::make_shared<MemoryDisk>();
  const auto journal = open_journal(disk);
  PortOptions first = sender(place.endpoints());
  first.batch_records = 1000;
  Push<> source(loop, first);
  const Place there(place.kind());
  PortOptions out = sender(there.endpoints());
  out.node = "middle/0";
  out.journal = journal;
  out.capacity_records = 10;
  Push<> push(loop, out);
  PortOptions in = receiver(source.endpoints());
  in.node = "middle/0";
  in.journal = journal;
  Pull<> pull(loop, in);
  Pull<> sink(loop, receiver(push.endpoints()));
  const Processed got(sink);
  // What a relay does: it stops taking records while its own output is full.
  std::vector<std::string> refused;
  const auto pass = [&](const std::string& text) {
    if (push.send(as_bytes(text)) == SendStatus::ok) return;
    refused.push_back(text);
    pull.pause(true);
  };
  push.on_room([&] {
    pull.pause(false);
    for (const std::string& text : std::exchange(refused, {})) pass(text);
  });
  pull.on_record([&](const RawRecord& r, const Meta&) { pass(std::string(r.text())); });
  send_numbers(source, 200);
  REQUIRE(source.settle(soon()));
  REQUIRE(push.settle(soon()));

  CHECK(got.texts == numbers(200));
}

WEFT_CONFORMS("acknowledged: a full journal says no_space, and goes on when there is room") {
  Loop loop;
  Life<Push<>> push;
  push.begin(loop, sender(place.endpoints()));
  send_numbers(*push.block, 20);
  REQUIRE(push.block->sync(soon()));
  push.disk->set_limit(push.disk->used() + 2000);
  int sent = 20;
  REQUIRE(eventually(loop, [&] {
    for (int i = 0; i < 100; ++i) {
      const SendStatus status = push.block->send(as_bytes(std::to_string(sent)));
      if (status == SendStatus::no_space) return true;
      REQUIRE(status == SendStatus::ok);
      ++sent;
    }
    return false;
  }));
  CHECK(!push.block->has_room());

  push.disk->set_limit(SIZE_MAX);
  REQUIRE(
      eventually(loop, [&] { return push.block->send(as_bytes(std::to_string(sent))) == SendStatus::ok; }));
  ++sent;
  REQUIRE(push.block->sync(soon()));
  push.end(true);
  const Place here(place.kind());
  push.begin(loop, sender(at(here)));
  Pull<> pull(loop, receiver(push.block->endpoints()));
  const Processed got(pull);
  REQUIRE(push.block->wait_for_peers(1, soon()));
  REQUIRE(push.block->settle(soon()));

  CHECK(counted(got.texts) == counted(numbers(sent)));
}

WEFT_CONFORMS("acknowledged: after a failed sync nothing more is accepted, and what was durable is there") {
  Loop loop;
  Life<Push<>> push;
  push.begin(loop, sender(place.endpoints()));
  send_numbers(*push.block, 20);
  REQUIRE(push.block->sync(soon()));
  push.disk->fail_sync(1);
  REQUIRE(push.block->send(as_bytes("20")) == SendStatus::ok);
  CHECK(!push.block->sync(soon()));
  CHECK(push.block->send(as_bytes("21")) == SendStatus::failed);
  CHECK(push.block->send(as_bytes("22"), soon()) == SendStatus::failed);
  REQUIRE(push.journal->failure());

  push.disk->fail_sync(0);
  push.end(true);
  const Place here(place.kind());
  push.begin(loop, sender(at(here)));
  Pull<> pull(loop, receiver(push.block->endpoints()));
  const Processed got(pull);
  REQUIRE(push.block->wait_for_peers(1, soon()));
  REQUIRE(push.block->settle(soon()));

  const auto all = counted(got.texts);
  for (const std::string& text : numbers(20)) CHECK(all.contains(text));
  CHECK(!all.contains("21"));
}

WEFT_CONFORMS("acknowledged: who has seen a sync fail gets nothing more accepted") {
  const auto disk = std::make_shared<MemoryDisk>();
  const auto journal = open_journal(disk);
  std::promise<void> told;
  journal->subscribe([&, over = told.get_future().share()] {
    if (journal->failure()) over.wait_for(10s);  // the block is woken behind this
  });
  Loop loop;
  PortOptions options = sender(place.endpoints());
  options.journal = journal;
  Push<> push(loop, options);
  REQUIRE(push.sync(soon()));
  while (loop.run_once(Deadline::at(TimePoint::min()))) {
  }
  REQUIRE(push.send(as_bytes("0")) == SendStatus::ok);
  disk->stall(true);
  disk->fail_sync(1);
  // Behind the block's own work of a turn, before sync() looks.
  loop.ask_for(loop.on_demand([&] {
    disk->stall(false);
    CHECK(!journal->wait_durable(journal->submitted(), soon()));
  }));
  loop.every(1ms, [] {});
  CHECK(!push.sync(soon()));
  CHECK(push.send(as_bytes("1")) == SendStatus::failed);
  told.set_value();
}

WEFT_CONFORMS("acknowledged: dead letters that nobody has taken yet are dead letters after a restart") {
  Loop loop;
  Life<Push<>> push;
  {
    const Place here(place.kind());
    push.begin(loop, sender(at(here)));
    Letters letters(*push.block);
    letters.answer = SendStatus::would_block;
    Pull<> pull(loop, receiver(push.block->endpoints()));
    pull.on_record([&](const RawRecord& r, const Meta&) {
      if (r.text() != "3") pull.judge(Verdict::reject("no good"));
    });
    send_numbers(*push.block, 10);
    REQUIRE(push.block->flush(soon()));
    REQUIRE(eventually(loop, [&] {
      return push.block->stats().processed_records == 1 && push.block->stats().queued_records == 9;
    }));
    REQUIRE(push.block->sync(soon()));
    push.end();
  }
  const Place here(place.kind());
  push.begin(loop, sender(at(here)));
  const Letters letters(*push.block);
  Pull<> pull(loop, receiver(push.block->endpoints()));
  const Processed got(pull);
  REQUIRE(push.block->wait_for_peers(1, soon()));
  REQUIRE(push.block->settle(soon()));

  REQUIRE(letters.all.size() == 9);
  CHECK(letters.all[0].reason == "no good");
  CHECK(letters.all[0].receiver == "pull/0");
  CHECK(letters.all[0].attempts == 1);
  CHECK(got.texts.empty());
  push.end();
  const Place after(place.kind());
  push.begin(loop, sender(at(after)));
  CHECK(push.block->stats().queued_records == 0);
}

WEFT_CONFORMS("acknowledged: a journaled sender is drained, and told of fates, once they are durable") {
  Loop loop;
  Life<Push<>> push;
  push.begin(loop, sender(place.endpoints()));
  const Fates fates(*push.block);
  Pull<> pull(loop, receiver(push.block->endpoints()));
  const Processed got(pull);
  for (std::uint64_t i = 0; i < 100; ++i) {
    REQUIRE(push.block->send(as_bytes("x"), PushBase::To{.correlation = i + 1}, soon()) == SendStatus::ok);
  }
  push.block->begin_drain();
  REQUIRE(eventually(loop, [&] { return push.block->drained(); }));

  CHECK(got.texts.size() == 100);
  CHECK(fates.told == 100);
}

WEFT_CONFORMS(
    "exactly-once: a receiver whose disk is slow is sent more than its window, and tells nothing early") {
  Loop loop;
  PortOptions out = sender(at(place), Delivery::exactly_once);
  Push<> push(loop, out);
  Life<Pull<>> pull;
  PortOptions in = receiver(push.endpoints(), Delivery::exactly_once);
  in.window_bytes = 4096;
  pull.begin(loop, in);
  std::size_t handled = 0;
  pull.block->on_record([&](const RawRecord&, const Meta&) { ++handled; });
  REQUIRE(push.wait_for_peers(1, soon()));
  const std::string record(200, 'r');

  pull.disk->stall(true);
  for (int i = 0; i < 200; ++i) REQUIRE(push.send(as_bytes(record), soon()) == SendStatus::ok);
  CHECK(eventually(loop, [&] { return handled == 200; }));
  CHECK(push.stats().processed_records == 0);
  pull.disk->stall(false);

  REQUIRE(push.settle(soon()));
  CHECK(push.stats().processed_records == 200);
  CHECK(pull.block->stats().rejected_messages == 0);
}

WEFT_CONFORMS(
    "exactly-once: what a receiver had handled and not written comes again at once, and none is refused") {
  Loop loop;
  Push<> push(loop, sender(at(place), Delivery::exactly_once));
  Life<Pull<>> pull;
  PortOptions in = receiver(push.endpoints(), Delivery::exactly_once);
  in.window_bytes = 4096;
  std::size_t handled = 0;
  const auto begin = [&] {
    handled = 0;
    pull.begin(loop, in);
    pull.block->on_record([&](const RawRecord&, const Meta&) { ++handled; });
  };
  begin();
  REQUIRE(push.wait_for_peers(1, soon()));
  const std::string record(200, 'r');
  pull.disk->stall(true);
  for (int i = 0; i < 200; ++i) REQUIRE(push.send(as_bytes(record), soon()) == SendStatus::ok);
  REQUIRE(eventually(loop, [&] { return handled == 200; }));

  pull.disk->fail_sync(1);
  pull.disk->stall(false);
  pull.end(true);
  pull.disk->fail_sync(0);
  begin();
  pull.block->pause(true);
  CHECK(eventually(loop, [&] { return pull.block->stats().received_records == 200; }));
  CHECK(pull.block->stats().rejected_messages == 0);
  pull.block->pause(false);

  REQUIRE(push.settle(soon()));
  CHECK(handled == 200);
  CHECK(push.stats().processed_records == 200);
}
