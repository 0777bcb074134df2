// What becomes of records under acknowledged push-pull: refused, tried again, expired, delayed, dead letters.
#include "acknowledged.hpp"

#include <weft/core/log.hpp>

using namespace weft;
using namespace weft::conformance;

namespace {

PortOptions in_options(const Place& place) {
  return acknowledged({.name = "in", .node = "pull/0", .bind = place.endpoints()});
}

struct LogLines : Logger::Sink {
  std::vector<std::string> lines;
  void write(LogLevel, std::string_view, std::string_view message) override { lines.emplace_back(message); }
};

}  // namespace

WEFT_CONFORMS("acknowledged: a record that is requeued alone comes again, the others of its batch do not") {
  Loop loop;
  Pull<> pull(loop, in_options(place));
  Push<> push(loop, acknowledged({.name = "out", .connect = pull.endpoints()}));
  const Fates fates(push);
  std::vector<std::pair<std::string, std::uint32_t>> got;
  pull.on_record([&](const RawRecord& r, const Meta& meta) {
    got.emplace_back(r.text(), meta.attempt);
    if (r.text() == "3" && meta.attempt == 1) pull.judge(Verdict::requeue());
  });
  for (std::uint64_t i = 0; i < 10; ++i) {
    CHECK(push.send(as_bytes(std::to_string(i)), PushBase::To{.correlation = 100 + i}) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  REQUIRE(got.size() == 11);
  CHECK(got.back() == std::pair<std::string, std::uint32_t>("3", 2));
  CHECK(fates.told == 10);
  CHECK(push.stats().sent_batches == 2);
  CHECK(push.stats().processed_records == 10);
  CHECK(push.stats().redelivered_records == 1);
  CHECK(pull.stats().redelivered_records == 1);
}

WEFT_CONFORMS("acknowledged: a rejected record becomes a dead letter that says where, when and why") {
  Loop loop;
  Pull<> pull(loop, in_options(place));
  Push<> push(loop, acknowledged({.name = "out", .connect = pull.endpoints()}));
  const Fates fates(push);
  const Letters letters(push);
  int got = 0;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    ++got;
    if (r.text() == "4") pull.judge(Verdict::reject("no such account"));
  });
  for (std::uint64_t i = 0; i < 10; ++i) {
    CHECK(push.send(as_bytes(std::to_string(i)), PushBase::To{.correlation = 100 + i}) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(got == 10);
  REQUIRE(letters.all.size() == 1);
  const auto& letter = letters.all[0];
  CHECK(letter.text == "4");
  CHECK(letter.reason == "no such account");
  CHECK(letter.receiver == "pull/0");
  CHECK(letter.attempts == 1);
  CHECK(letter.correlation == 104);
  CHECK(letter.accepted > 0);
  CHECK(letter.died >= letter.accepted);
  CHECK(fates.told == 10);
  CHECK(fates.by_correlation.at(104) == RecordFate::dead_lettered);
  CHECK(fates.by_correlation.at(105) == RecordFate::processed);
  CHECK(push.stats().processed_records == 9);
  CHECK(push.stats().dead_lettered_records == 1);
}

WEFT_CONFORMS("acknowledged: the last word on a record counts, and each receipt is good once") {
  Loop loop;
  Pull<> pull(loop, in_options(place));
  Push<> push(loop, acknowledged({.name = "out", .connect = pull.endpoints()}));
  const Letters letters(push);
  std::vector<Receipt> receipts;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    if (r.text() == "0") {
      pull.judge(Verdict::requeue());
      pull.judge(Verdict::reject("twice"));
    }
    if (r.text() == "1") {
      pull.judge(Verdict::reject("no"));
      pull.judge({});
    }
    if (r.text() == "2" || r.text() == "3") receipts.push_back(pull.defer());
  });
  send_numbers(push, 5);
  REQUIRE(push.flush(soon()));
  REQUIRE(eventually(loop, [&] { return receipts.size() == 2; }));

  CHECK(pull.settle(receipts[0]));
  CHECK(!pull.settle(receipts[0]));
  CHECK(!push.settle(Deadline::after(50ms)));
  CHECK(push.stats().processed_records == 0);
  CHECK(pull.settle(receipts[1], Verdict::reject("late")));
  CHECK(!pull.settle(receipts[1]));
  REQUIRE(push.settle(soon()));

  CHECK(push.stats().processed_records == 3);
  REQUIRE(letters.all.size() == 2);
  CHECK(letters.all[0].text == "0");
  CHECK(letters.all[1].text == "3");
  CHECK(push.stats().rejected_messages == 0);
}

WEFT_CONFORMS("acknowledged: later batches go on while a record is deferred, and close forgets its receipt") {
  Loop loop;
  Push<> push(loop, acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 1}, 200ms));
  auto first = std::make_unique<Pull<>>(
      loop, acknowledged({.name = "in", .node = "pull/0", .connect = push.endpoints()}));
  std::vector<std::string> texts;
  std::optional<Receipt> receipt;
  first->on_record([&](const RawRecord& r, const Meta&) {
    if (r.text() == "0") {
      receipt = first->defer();
    } else {
      texts.emplace_back(r.text());
    }
  });
  send_numbers(push, 10);
  REQUIRE(eventually(loop, [&] { return texts.size() == 9; }));
  REQUIRE(eventually(loop, [&] { return push.stats().outstanding_records == 1; }));

  first.reset();
  Pull<> next(loop, acknowledged({.name = "in", .node = "pull/1", .connect = push.endpoints()}));
  const Processed got(next);
  REQUIRE(push.settle(soon()));

  CHECK(receipt.has_value());
  CHECK(!next.settle(*receipt));
  CHECK(got.texts == numbers(1));
  CHECK(push.stats().processed_records == 10);
}

WEFT_CONFORMS("acknowledged: a record that was tried as often as it may be is a dead letter") {
  Loop loop;
  Pull<> pull(loop, in_options(place));
  PortOptions options = acknowledged({.name = "out", .connect = pull.endpoints()});
  options.max_attempts = 3;
  Push<> push(loop, options);
  const Letters letters(push);
  std::vector<std::uint32_t> attempts;
  pull.on_record([&](const RawRecord& r, const Meta& meta) {
    if (r.text() != "bad") return;
    attempts.push_back(meta.attempt);
    pull.judge(Verdict::requeue(1ms, "try later"));
  });
  REQUIRE(push.send(as_bytes("good")) == SendStatus::ok);
  REQUIRE(push.send(as_bytes("bad")) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(attempts == std::vector<std::uint32_t>{1, 2, 3});
  REQUIRE(letters.all.size() == 1);
  CHECK(letters.all[0].reason == "max-attempts: try later");
  CHECK(letters.all[0].attempts == 3);
  CHECK(push.stats().processed_records == 1);
}

WEFT_CONFORMS("acknowledged: receivers that die over a record wear it out as well") {
  Loop loop;
  PortOptions options = acknowledged({.name = "out", .bind = place.endpoints()}, 100ms);
  options.max_attempts = 2;
  Push<> push(loop, options);
  const Letters letters(push);
  REQUIRE(push.send(as_bytes("poison")) == SendStatus::ok);
  for (int i = 0; i < 2; ++i) {
    Pull<> victim(
        loop, acknowledged({.name = "in", .node = "pull/" + std::to_string(i), .connect = push.endpoints()}));
    victim.pause(true);
    REQUIRE(eventually(loop, [&] { return victim.stats().received_records == 1; }));
  }
  REQUIRE(push.settle(soon()));

  REQUIRE(letters.all.size() == 1);
  CHECK(letters.all[0].reason == "max-attempts");
  CHECK(letters.all[0].attempts == 2);
}

WEFT_CONFORMS("acknowledged: of a batch only the record is given up that its receivers die of") {
  for (const Delivery delivery : {Delivery::at_least_once, Delivery::exactly_once}) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    const Place here(place.kind());
    PortOptions options = acknowledged({.name = "out", .bind = here.endpoints(), .delivery = delivery});
    options.max_attempts = 3;
    Push<> push(loop, options);
    const Letters letters(push);
    send_numbers(push, 200);
    const auto disk = std::make_shared<journal::testing::MemoryDisk>();
    std::vector<std::string> done;
    const Deadline deadline = soon();
    for (std::uint64_t life = 1; letters.all.empty() || push.stats().processed_records < 199; ++life) {
      REQUIRE(!deadline.passed(Clock::now()));
      PortOptions in = acknowledged(
          {.name = "in", .node = "pull/0", .connect = push.endpoints(), .epoch = life, .delivery = delivery});
      if (delivery == Delivery::exactly_once) in.journal = open_journal(disk);
      Pull<> pull(loop, in);
      bool died = false;
      pull.on_record([&](const RawRecord& r, const Meta&) {
        died = r.text() == "50";
        if (died) return pull.postpone();
        done.emplace_back(r.text());
      });
      REQUIRE(loop.run_until(
          [&] { return died || push.stats().processed_records + letters.all.size() == 200; }, deadline));
    }

    REQUIRE(letters.all.size() == 1);
    CHECK(letters.all[0].text == "50");
    CHECK(letters.all[0].reason == "max-attempts");
    CHECK(letters.all[0].receiver == "pull/0");
    CHECK(letters.all[0].attempts == 3);
    const auto times = counted(done);
    CHECK(times.size() == 199);
    CHECK(!times.contains("50"));
  }
}

WEFT_CONFORMS("acknowledged: dead letters that nobody takes are counted and logged") {
  Loop loop;
  const auto log = std::make_shared<LogLines>();
  Pull<> pull(loop, in_options(place));
  PortOptions options = acknowledged({.name = "out", .connect = pull.endpoints()});
  options.log = Logger(log, "test", LogLevel::warn);
  Push<> push(loop, options);
  pull.on_record([&](const RawRecord&, const Meta&) { pull.judge(Verdict::reject("not today")); });
  send_numbers(push, 3);
  REQUIRE(push.settle(soon()));

  CHECK(push.stats().dead_lettered_records == 3);
  REQUIRE(log->lines.size() == 1);
  CHECK(contains(log->lines[0], "3 records are dead letters (not today; 1 attempts) and nobody takes them"));
}

WEFT_CONFORMS(
    "acknowledged: dead letters that are not taken yet count against the capacity, and none is lost") {
  Loop loop;
  Pull<> pull(loop, in_options(place));
  PortOptions options = acknowledged({.name = "out", .connect = pull.endpoints(), .batch_records = 1});
  options.capacity_records = 20;
  Push<> push(loop, options);
  Letters letters(push);
  letters.answer = SendStatus::would_block;
  pull.on_record([&](const RawRecord&, const Meta&) { pull.judge(Verdict::reject("no")); });
  int sent = 0;
  REQUIRE(eventually(loop, [&] {
    while (push.send(as_bytes(std::to_string(sent))) == SendStatus::ok) ++sent;
    return push.stats().queued_records == 20;
  }));
  CHECK(sent == 20);
  CHECK(push.send(as_bytes("more"), Deadline::after(20ms)) == SendStatus::timed_out);
  CHECK(!push.settle(Deadline::after(20ms)));
  letters.answer = SendStatus::ok;
  REQUIRE(push.settle(soon()));

  CHECK(letters.all.size() == 20);
  CHECK(push.has_room());
  CHECK(push.stats().queued_bytes == 0);
}

WEFT_CONFORMS("acknowledged: records that wait longer than their time to live expire") {
  for (const bool takes_letters : {false, true}) {
    CAPTURE(takes_letters);
    Loop loop;
    const Place here(place.kind());
    Push<> push(loop, acknowledged({.name = "out", .bind = here.endpoints()}));
    const Fates fates(push);
    std::optional<Letters> letters;
    if (takes_letters) letters.emplace(push);
    REQUIRE(push.send(as_bytes("short"), PushBase::To{.ttl = 20ms, .correlation = 1}) == SendStatus::ok);
    REQUIRE(push.send(as_bytes("long"), PushBase::To{.ttl = 1h, .correlation = 2}) == SendStatus::ok);
    REQUIRE(push.send(as_bytes("ever"), PushBase::To{.correlation = 3}) == SendStatus::ok);
    REQUIRE(eventually(loop, [&] { return fates.told == 1; }));
    Pull<> pull(loop, acknowledged({.name = "in", .connect = push.endpoints()}));
    const Processed got(pull);
    REQUIRE(push.wait_for_peers(1, soon()));
    REQUIRE(push.settle(soon()));

    CHECK(got.texts == std::vector<std::string>{"long", "ever"});
    CHECK(fates.by_correlation.at(1) == (takes_letters ? RecordFate::dead_lettered : RecordFate::expired));
    CHECK(push.stats().expired_records == (takes_letters ? 0 : 1));
    CHECK(push.stats().dead_lettered_records == (takes_letters ? 1 : 0));
    if (takes_letters) {
      REQUIRE(letters->all.size() == 1);
      CHECK(letters->all[0].reason == "expired");
      CHECK(letters->all[0].attempts == 0);
      CHECK(letters->all[0].receiver.empty());
    }
  }
}

WEFT_CONFORMS("acknowledged: a delayed record does not leave before its time, and others pass it") {
  Loop loop;
  Pull<> pull(loop, in_options(place));
  Push<> push(loop, acknowledged({.name = "out", .connect = pull.endpoints()}));
  std::vector<std::string> texts;
  TimePoint came;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    texts.emplace_back(r.text());
    came = Clock::now();
  });
  REQUIRE(push.wait_for_peers(1, soon()));
  TimePoint before = Clock::now();
  // The delay begins with the sending, however long ago the loop has last run.
  while (Clock::now() - before < 20ms) {
  }
  before = Clock::now();
  REQUIRE(push.send(as_bytes("late"), PushBase::To{.delay = 100ms}) == SendStatus::ok);
  REQUIRE(push.send(as_bytes("at once")) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(texts == std::vector<std::string>{"at once", "late"});
  CHECK(came - before >= 100ms);
}

WEFT_CONFORMS("acknowledged: higher priorities leave first, and lower ones do not starve") {
  Loop loop;
  PortOptions options = acknowledged({.name = "out", .bind = place.endpoints(), .batch_records = 1});
  Push<> push(loop, options);
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(push.send(as_bytes(i < 10 ? "low" : "high"),
                      PushBase::To{.priority = static_cast<std::uint8_t>(i < 10 ? 3 : 4)}) == SendStatus::ok);
  }
  Pull<> pull(loop, acknowledged({.name = "in", .connect = push.endpoints()}));
  const Processed got(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  REQUIRE(push.settle(soon()));

  REQUIRE(got.texts.size() == 3000);
  CHECK(got.texts.front() == "high");
  const auto low = std::ranges::find(got.texts, "low") - got.texts.begin();
  CHECK(low >= 1000);
  CHECK(low <= 2 * 1024 + 10);  // at each end
}
