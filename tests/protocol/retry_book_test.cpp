#include <map>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/retry_book.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

const TimePoint kFirstTry{1000h};
using Why = RetryBook::End::Why;

/// Two replicas that take everything, unless told otherwise.
struct RetryBench {
  RetryBook book;
  std::map<RetryBook::Id, RetryBook::View> views{{1, {true, true, true}}, {2, {true, true, true}}};
  TimePoint now = kFirstTry;

  explicit RetryBench(const RetryBookOptions& options = {}) : book(options) {
    for (const RetryBook::Id id : {1, 2}) {
      book.add(id, 100 + id, 1000 + id);
      book.up(id, 0);
    }
  }
  void open(RetryBook::Ticket ticket, Duration life = 60s, const RetryBook::Target& to = {}) {
    book.open(ticket, kFirstTry + life, to);
  }
  std::vector<RetryBook::Send> pump() {
    std::vector<RetryBook::Send> out;
    book.pump(
        now, [this](RetryBook::Id id) { return views[id]; },
        [&](const RetryBook::Send& s) { out.push_back(s); });
    return out;
  }
  std::vector<RetryBook::End> pass(Duration span) {
    now += span;
    return book.tick(now);
  }
};

RetryBookOptions exact() {
  return {.delivery = Delivery::exactly_once};
}

}  // namespace

TEST_CASE("requests go to the replica with the fewest on their way, and numbers of a replica follow") {
  RetryBench b;
  for (RetryBook::Ticket t = 1; t <= 3; ++t) b.open(t);
  b.views[2].room = false;
  const auto first = b.pump();
  REQUIRE(first.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(first[i].replica == 1);
    CHECK(first[i].number == i + 1);
    CHECK(first[i].attempt == 1);
  }

  b.views[2].room = true;
  for (RetryBook::Ticket t = 4; t <= 6; ++t) b.open(t);
  for (const auto& send : b.pump()) CHECK(send.replica == 2);

  CHECK(b.book.replicas().outstanding(1) == 3);
  CHECK(b.book.replicas().outstanding(2) == 3);
  CHECK(b.book.reply(1, 2) == 2);
  CHECK(!b.book.reply(1, 2));
  CHECK(!b.book.reply(1, 99));
  CHECK(!b.book.reply(9, 1));
  CHECK(b.book.size() == 5);
}

TEST_CASE("an attempt that times out is tried elsewhere after a wait, and any reply ends it once") {
  RetryBench b;
  b.open(1);
  const auto first = b.pump();
  REQUIRE(first.size() == 1);
  CHECK(b.pass(1999ms).empty());
  CHECK(b.pump().empty());

  CHECK(b.pass(1ms).empty());
  CHECK(b.pump().empty());  // backs off
  (void)b.pass(200ms);
  const auto second = b.pump();

  REQUIRE(second.size() == 1);
  CHECK(second[0].replica != first[0].replica);
  CHECK(second[0].attempt == 2);
  CHECK(b.book.retries() == 1);
  CHECK(b.book.reply(first[0].replica, first[0].number) == 1);
  CHECK(!b.book.reply(second[0].replica, second[0].number));
  CHECK(b.book.size() == 0);
  CHECK(b.book.replicas().outstanding(second[0].replica) == 0);
}

TEST_CASE("the requests of a replica that dies go elsewhere at once, and none is lost") {
  RetryBench b;
  for (RetryBook::Ticket t = 1; t <= 10; ++t) b.open(t);
  (void)b.pump();
  b.views[1] = {};

  CHECK(b.book.down(1, false, b.now).empty());
  const auto moved = b.pump();

  CHECK(moved.size() == 5);
  for (const auto& send : moved) CHECK(send.replica == 2);
  CHECK(b.book.replicas().outstanding(1) == 0);
  CHECK(b.book.replicas().outstanding(2) == 10);
}

TEST_CASE("after a cut the same numbers are sent again to the same replica, without counting as failed") {
  RetryBench b({.max_attempts = 1});
  b.open(1, 60s, {.only = 101, .key = {}});
  b.open(2, 60s, {.only = 101, .key = {}});
  const auto before = b.pump();

  b.book.up(1, 2);
  const auto after = b.pump();

  REQUIRE(before.size() == 2);
  REQUIRE(after.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(after[i].number == before[i].number);
    CHECK(after[i].replica == 1);
    CHECK(after[i].attempt == 2);
  }
}

TEST_CASE("a request that names its replica waits for it and for no other") {
  RetryBench b;
  b.views[1] = {};
  b.open(1, 10s, {.only = 101, .key = {}});

  CHECK(b.pump().empty());
  CHECK(b.book.waiting() == 1);
  b.views[1] = {true, true, true};
  const auto sent = b.pump();

  REQUIRE(sent.size() == 1);
  CHECK(sent[0].replica == 1);
}

TEST_CASE("a request ends after its last attempt, and at its deadline, whichever comes first") {
  RetryBench b({.max_attempts = 2});
  b.open(1);
  b.open(2, 3s);
  std::vector<RetryBook::End> ends;
  for (int i = 0; i < 1000 && b.book.size() != 0; ++i) {
    for (const auto& end : b.pass(10ms)) ends.push_back(end);
    (void)b.pump();
  }

  REQUIRE(ends.size() == 2);
  CHECK(ends[0].ticket == 2);
  CHECK(ends[0].why == Why::deadline);
  CHECK(ends[1].ticket == 1);
  CHECK(ends[1].why == Why::exhausted);
  CHECK(ends[1].attempts == 2);
}

TEST_CASE("exactly-once stays with the replica that was offered the request, under one number") {
  RetryBench b(exact());
  b.open(1);
  const auto first = b.pump();
  REQUIRE(first.size() == 1);
  const auto home = first[0].replica;
  b.views[home] = {};
  CHECK(b.book.down(home, false, b.now).empty());
  CHECK(b.pump().empty());

  b.views[home] = {true, true, true};
  b.book.up(home, 1);
  (void)b.pass(200ms);
  const auto again = b.pump();

  REQUIRE(again.size() == 1);
  CHECK(again[0].replica == home);
  CHECK(again[0].number == first[0].number);
}

TEST_CASE("exactly-once past its deadline is unknown when it was offered, and late when it was not") {
  RetryBench b(exact());
  b.open(1, 5s);
  (void)b.pump();
  b.views = {};
  b.open(2, 5s);
  CHECK(b.pump().empty());

  const auto ends = b.pass(5s);

  REQUIRE(ends.size() == 2);
  for (const auto& end : ends) CHECK(end.why == (end.ticket == 1 ? Why::unknown : Why::deadline));
}

TEST_CASE("exactly-once is unknown as soon as the replica has forgotten what it did") {
  RetryBench b(exact());
  b.open(1);
  const auto sent = b.pump();
  REQUIRE(sent.size() == 1);

  const auto ends = b.book.down(sent[0].replica, true, b.now);

  REQUIRE(ends.size() == 1);
  CHECK(ends[0].why == Why::unknown);
  CHECK(b.book.size() == 0);
  CHECK(b.book.replicas().outstanding(sent[0].replica) == 0);
}

TEST_CASE("a request that fell out of the window is asked anew, or is unknown under exactly-once") {
  RetryBench again;
  again.open(1, 60s, {.only = 101, .key = {}});
  (void)again.pump();
  CHECK(!again.book.error(1, 1, wire::Code::gone, again.now));
  const auto anew = again.pump();
  REQUIRE(anew.size() == 1);
  CHECK(anew[0].number == 2);

  RetryBench once(exact());
  once.open(1, 60s, {.only = 101, .key = {}});
  (void)once.pump();
  const auto end = once.book.error(1, 1, wire::Code::gone, once.now);
  REQUIRE(end);
  CHECK(end->why == Why::unknown);
}

TEST_CASE("an error of the handler ends a request; a replica that is full is tried again later") {
  RetryBench b;
  b.open(1, 60s, {.only = 101, .key = {}});
  (void)b.pump();
  CHECK(!b.book.error(1, 1, wire::Code::full, b.now));
  CHECK(b.pump().empty());
  (void)b.pass(200ms);
  REQUIRE(b.pump().size() == 1);

  const auto end = b.book.error(1, 1, wire::Code::bad_request, b.now);

  REQUIRE(end);
  CHECK(end->why == Why::remote_error);
  CHECK(!b.book.error(1, 1, wire::Code::bad_request, b.now));
}

TEST_CASE("a replica whose circuit is open gets nothing until its probe, the others get it all") {
  RetryBench b({.circuit = {.failures = 3, .probe = {.first = 1s, .longest = 1s}}, .attempt_timeout = 100ms});
  b.views[2] = {};
  for (RetryBook::Ticket t = 1; t <= 3; ++t) b.open(t);
  (void)b.pump();
  (void)b.pass(100ms);
  CHECK(b.book.replicas().circuit(1, b.now) == Circuit::open);
  CHECK(b.book.replicas().opened() == 1);

  (void)b.pass(300ms);
  CHECK(b.pump().empty());
  CHECK(b.book.next_tick(b.now) < kFirstTry + 2s);
  (void)b.pass(800ms);
  const auto probe = b.pump();
  REQUIRE(probe.size() == 1);
  CHECK(b.book.reply(1, probe[0].number) == probe[0].ticket);

  CHECK(b.book.replicas().circuit(1, b.now) == Circuit::closed);
  CHECK(b.pump().size() == 2);
}

TEST_CASE("what a replica will not see again is below its lowest open request") {
  RetryBench b;
  b.views[2] = {};
  for (RetryBook::Ticket t = 1; t <= 4; ++t) b.open(t);
  (void)b.pump();
  CHECK(b.book.settled_below(1) == 1);

  (void)b.book.reply(1, 2);
  CHECK(b.book.settled_below(1) == 1);
  (void)b.book.reply(1, 1);
  CHECK(b.book.settled_below(1) == 3);
  CHECK(b.book.cancel(3).size() == 1);
  (void)b.book.reply(1, 4);
  CHECK(b.book.settled_below(1) == 5);
  CHECK(b.book.open_at(1) == 0);
}

TEST_CASE("numbers are never given twice, not even by a replica that was forgotten in between") {
  RetryBench b;
  b.open(1, 60s, {.only = 101, .key = {}});
  (void)b.pump();
  CHECK(!b.book.remove(1));
  (void)b.book.reply(1, 1);
  CHECK(b.book.remove(1));

  b.book.add(1, 101, 1001);
  b.book.up(1, 0);
  b.open(2, 60s, {.only = 101, .key = {}});
  const auto sent = b.pump();

  REQUIRE(sent.size() == 1);
  CHECK(sent[0].number == 2);
}

TEST_CASE("a key stays with its owner while that lives, and moves when it is dead") {
  RetryBench b({.distribute = Distribute::hash});
  b.open(1, 60s, {.only = 0, .key = 42});
  const auto first = b.pump();
  REQUIRE(first.size() == 1);
  const auto home = first[0].replica;
  b.views[home].usable = false;
  b.open(2, 60s, {.only = 0, .key = 42});
  CHECK(b.pump().empty());

  b.views[home].living = false;
  (void)b.book.down(home, false, b.now);

  const auto moved = b.pump();
  REQUIRE(moved.size() == 2);
  for (const auto& send : moved) CHECK(send.replica != home);
}

TEST_CASE("a cancelled request leaves nothing behind, in whatever state it was") {
  RetryBench b;
  b.open(1);
  CHECK(b.book.cancel(1).empty());  // was never sent
  b.open(2);
  (void)b.pump();
  CHECK(b.book.cancel(2).size() == 1);
  b.open(3);
  (void)b.pump();
  (void)b.pass(2s);
  CHECK(b.book.cancel(3).size() == 1);  // rested

  CHECK(b.book.cancel(3).empty());
  CHECK(b.book.size() == 0);
  CHECK(b.pump().empty());
  CHECK(b.book.next_tick(b.now) == TimePoint::max());
}
