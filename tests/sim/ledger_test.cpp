// What the ledger counts, and what it calls a problem.
#include <string>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/sim/ledger.hpp>

using namespace weft;
using namespace weft::sim;

namespace {

void send(Ledger& ledger, RecordId id) {
  ledger.attempted(id);
  ledger.accepted(id);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a ledger of a run without faults adds up") {
  Ledger ledger({.delivery = Delivery::exactly_once, .ordered = true});
  for (std::uint64_t source = 0; source < 3; ++source) {
    for (std::uint64_t n = 0; n < 10'000; ++n) {
      send(ledger, record_id(source, n));
      ledger.processed(record_id(source, n), "sink/0");
    }
  }

  const LedgerCounts counts = ledger.counts();

  CHECK(counts.attempted == 30'000);
  CHECK(counts.accepted == 30'000);
  CHECK(counts.processed == 30'000);
  CHECK(counts.lost == 0);
  CHECK(counts.duplicated == 0);
  CHECK(ledger.problems().empty());
  CHECK(ledger.to_value().get("processed_at").get("sink/0") == Value(30'000));
  CHECK(ledger.to_value().get("ok") == Value(true));
}

TEST_CASE("a lost record is named") {
  Ledger ledger;
  for (std::uint64_t n = 0; n < 20; ++n) send(ledger, record_id(2, n));
  for (std::uint64_t n = 7; n < 20; ++n) ledger.processed(record_id(2, n));

  const auto problems = ledger.problems();

  CHECK(ledger.counts().lost == 7);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0] == "lost although accepted: 7 (2:0, 2:1, 2:2, 2:3, 2:4 and 2 more)");
}

TEST_CASE("a loss is no problem where nothing was promised") {
  Ledger ledger({.delivery = Delivery::best_effort});
  send(ledger, record_id(0, 0));

  CHECK(ledger.counts().lost == 1);
  CHECK(ledger.problems().empty());
}

TEST_CASE("a duplicate is counted under at-least-once and a problem under exactly-once") {
  for (const Delivery delivery : {Delivery::at_least_once, Delivery::exactly_once}) {
    Ledger ledger({.delivery = delivery});
    send(ledger, record_id(0, 5));
    ledger.redelivered(record_id(0, 5));
    ledger.processed(record_id(0, 5), "sink/0");
    ledger.processed(record_id(0, 5), "sink/1");
    ledger.processed(record_id(0, 5), "sink/1");

    const LedgerCounts counts = ledger.counts();

    CHECK(counts.processed == 1);
    CHECK(counts.duplicated == 2);
    CHECK(counts.recovered == 1);
    REQUIRE(ledger.problems().size() == (delivery == Delivery::exactly_once ? 1 : 0));
    if (delivery == Delivery::exactly_once) CHECK(contains(ledger.problems()[0], "0:5 (again at sink/1)"));
  }
}

TEST_CASE("what nobody attempted is unexpected and takes no room") {
  Ledger ledger;
  send(ledger, record_id(0, 0));
  ledger.processed(record_id(0, 0));
  const std::size_t before = ledger.memory_bytes();

  for (std::uint64_t i = 1; i <= 1000; ++i) ledger.processed(i * 0x9E3779B97F4A7C15U);
  ledger.accepted(record_id(0, 1));
  ledger.processed(~std::uint64_t{0});

  CHECK(ledger.memory_bytes() == before);
  CHECK(ledger.counts().unexpected == 1002);
  REQUIRE(ledger.problems().size() == 1);
  CHECK(contains(ledger.problems()[0], "never attempted: 1,002 ("));
}

TEST_CASE("each fate ends a record once") {
  Ledger ledger;
  for (std::uint64_t n = 0; n < 4; ++n) send(ledger, record_id(0, n));
  ledger.processed(record_id(0, 0));
  ledger.expired(record_id(0, 1));
  ledger.dead_lettered(record_id(0, 2));
  ledger.purged(record_id(0, 3));

  const LedgerCounts counts = ledger.counts();

  CHECK(counts.settled_processed == 1);
  CHECK(counts.settled_expired == 1);
  CHECK(counts.settled_dead_lettered == 1);
  CHECK(counts.settled_purged == 1);
  CHECK(counts.lost == 0);
  CHECK(counts.contradicted == 0);
  CHECK(ledger.problems().empty());
}

TEST_CASE("a second fate is a contradiction, and the counts still add up") {
  Ledger ledger({.delivery = Delivery::exactly_once});
  send(ledger, record_id(0, 0));
  send(ledger, record_id(0, 1));
  ledger.expired(record_id(0, 0));
  ledger.processed(record_id(0, 0));
  ledger.processed(record_id(0, 1));
  ledger.dead_lettered(record_id(0, 1));

  const LedgerCounts counts = ledger.counts();

  CHECK(counts.contradicted == 2);
  CHECK(counts.settled_expired == 1);
  CHECK(counts.settled_processed == 1);
  REQUIRE(ledger.problems().size() == 1);
  CHECK(ledger.problems()[0] == "more than one fate: 2 (0:0, 0:1)");
}

TEST_CASE("processed without an acceptance that the source heard of is unconfirmed, not unexpected") {
  Ledger ledger({.delivery = Delivery::exactly_once});
  ledger.attempted(record_id(0, 0));
  ledger.processed(record_id(0, 0));
  ledger.attempted(record_id(0, 1));  // its source died before it knew; nothing was promised

  CHECK(ledger.counts().unconfirmed == 1);
  CHECK(ledger.counts().lost == 0);
  CHECK(ledger.problems().empty());
}

TEST_CASE("order counts per source and key, and a repetition does not break it") {
  Ledger ledger({.ordered = true});
  for (std::uint64_t n = 0; n < 10; ++n) {
    ledger.attempted(record_id(0, n));
    ledger.attempted(record_id(1, n));
  }
  ledger.processed(record_id(0, 3), {}, 1);
  ledger.processed(record_id(0, 1), {}, 2);
  ledger.processed(record_id(1, 0), {}, 1);
  ledger.processed(record_id(0, 4), {}, 1);
  ledger.processed(record_id(0, 3), {}, 1);
  CHECK(ledger.counts().out_of_order == 0);

  ledger.processed(record_id(0, 2), {}, 1);

  CHECK(ledger.counts().out_of_order == 1);
  REQUIRE(ledger.problems().size() == 1);
  CHECK(ledger.problems()[0] == "processed out of order: 1 (0:2 behind 0:4)");
}

TEST_CASE("faults are counted by kind and shown") {
  Ledger ledger;
  ledger.fault("killed");
  ledger.fault("killed");
  ledger.fault("stopped", 3);

  CHECK(ledger.counts().faults.at("killed") == 2);
  CHECK(ledger.to_value().get("faults").get("stopped") == Value(3));
  CHECK(contains(ledger.text(), "killed"));
}

TEST_CASE("five million records take a byte each") {
  Ledger ledger;
  constexpr std::uint64_t kRecords = 5'000'000;
  for (std::uint64_t n = 0; n < kRecords; ++n) {
    send(ledger, record_id(7, n));
    if (n != 4'999'999) ledger.processed(record_id(7, n));
  }

  CHECK(ledger.memory_bytes() < kRecords + 8192);
  CHECK(ledger.counts().processed == kRecords - 1);
  CHECK(ledger.problems().at(0) == "lost although accepted: 1 (7:4999999)");
}

TEST_CASE("a ledger that may name nothing is refused") {
  CHECK_THROWS_WITH_AS(Ledger({.named = 0}), "named is 0, but has to be 1 to 1000", Error);
}
