// A handler of dead letters that closes its port, or throws: every record has one fate all the same, and the
// journal goes on.
#include <stdexcept>

#include "acknowledged.hpp"
#include "fates.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// A Push whose receiver refuses every record.
struct Refused {
  Place place{Place::Kind::inproc};
  Loop loop;
  Push<> push;
  Pull<> pull;

  explicit Refused(std::shared_ptr<Journal> journal = nullptr)
      : push(loop, sender(std::move(journal))),
        pull(loop, acknowledged({.name = "in", .connect = push.endpoints()})) {
    pull.on_record([this](const RawRecord&, const Meta&) { pull.judge(Verdict::reject("no")); });
    REQUIRE(push.wait_for_peers(1, soon()));
  }
  PortOptions sender(std::shared_ptr<Journal> journal) const {
    PortOptions options = acknowledged({.name = "out", .bind = place.endpoints()});
    options.journal = std::move(journal);
    options.log = fates::quiet();
    return options;
  }
};

}  // namespace

TEST_CASE("letter handler: what closes its port leaves each record with one fate") {
  for (const SendStatus answer : {SendStatus::ok, SendStatus::would_block, SendStatus::full}) {
    CAPTURE(static_cast<int>(answer));
    Refused line;
    int offered = 0;
    line.push.on_dead_letter([&](const DeadLetter&) {
      if (++offered < 2) return SendStatus::ok;
      line.push.close();
      return answer;
    });
    send_numbers(line.push, 5);
    REQUIRE(eventually(line.loop, [&] { return offered == 2; }));

    const PortStats s = line.push.stats();
    const std::uint64_t taken = answer == SendStatus::would_block ? 1 : 2;
    CHECK(offered == 2);
    CHECK(s.dead_lettered_records == taken);
    CHECK(s.dropped_records == 5 - taken);
    CHECK(fates::Sum(s).given == fates::Sum(s).named);
  }
}

TEST_CASE("letter handler: an outcome that closes the port leaves no record without a fate") {
  Refused line;
  line.push.on_outcome([&](std::uint64_t, RecordFate) { line.push.close(); });
  line.pull.on_record([&](const RawRecord& record, const Meta&) {
    if (record.text() != "0") line.pull.judge(Verdict::requeue());
  });
  for (int i = 0; i < 3; ++i) {
    const std::string text = std::to_string(i);
    REQUIRE(line.push.send(as_bytes(text), {.correlation = 1}) == SendStatus::ok);
  }
  REQUIRE(eventually(line.loop, [&] { return line.push.stats().processed_records != 0; }));

  const PortStats s = line.push.stats();
  CHECK(s.dropped_records == 2);
  CHECK(fates::Sum(s).given == fates::Sum(s).named);
}

TEST_CASE("letter handler: what throws keeps its record, and the journal commits") {
  const auto disk = std::make_shared<journal::testing::MemoryDisk>();
  const auto journal = open_journal(disk);
  Refused line(journal);
  std::vector<std::string> taken;
  bool thrown = false;
  line.push.on_dead_letter([&](const DeadLetter& letter) {
    const std::string text(RawRecord(letter.record).text());
    if (text == "1" && !std::exchange(thrown, true)) throw std::runtime_error("no hands");
    taken.push_back(text);
    return SendStatus::ok;
  });
  send_numbers(line.push, 3);
  CHECK_THROWS_WITH((void)line.push.settle(soon()), "no hands");

  REQUIRE(eventually(line.loop, [&] { return taken.size() == 3; }));
  CHECK(taken == numbers(3));
  send_numbers(line.push, 6, 3);
  CHECK(line.push.settle(soon()));
  CHECK(line.push.sync(soon()));
  CHECK(line.push.stats().dead_lettered_records == 6);
}
