// What a dealer counts of its requests, and of those that wait: each has one end, and its end has one column.
#include <memory>
#include <string>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "fates.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

void check_sum(const Dealer<>& dealer) {
  const PortStats stats = dealer.stats();
  const fates::Sum sum(stats);
  CHECK_MESSAGE(sum.given == sum.named, fates::text_of(stats));
  CHECK(stats.queued_records + stats.outstanding_records == dealer.open_requests());
}

}  // namespace

TEST_CASE("best-effort: a request that the only router refuses for good is counted, and delays none behind") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .node = "pull/0", .bind = {"tcp://127.0.0.1:*"}});
  // Nothing but its own word wakes it.
  Dealer<> dealer(loop, {.name = "out", .connect = pull.endpoints(), .heartbeat = 60s, .dead_after = 10min});
  Ended refused;
  dealer.request(as_bytes("x"), soon(), refused.note());
  REQUIRE(eventually(loop, [&] { return refused.times == 1; }));

  CHECK(refused.outcome == Outcome::no_peer);
  CHECK(dealer.stats().accepted_records == 1);
  CHECK(dealer.stats().queued_bytes == 0);
  check_sum(dealer);

  Router<> router(loop, {.name = "in", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}});
  echo(router);
  dealer.connect(router.endpoints()[0]);
  REQUIRE(dealer.wait_for_peers(1, soon()));
  Ended answered;
  dealer.request(as_bytes("y"), soon(), answered.note());
  (void)loop.run_once(Deadline::after(0ms));
  CHECK(dealer.stats().queued_records == 0);  // it left in that turn, not with a heartbeat
  REQUIRE(eventually(loop, [&] { return answered.times == 1; }));
  CHECK(answered.outcome == Outcome::ok);
  check_sum(dealer);
}

TEST_CASE("a request that its router's frames are too small for is counted") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast, kOnce}) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Router<> router(loop, small_answers(delivery));
    echo(router);
    Dealer<> dealer(loop, asks(delivery, router.endpoints()));
    std::vector<Ended> ended(4);
    const std::string large(100 << 10, 'x');
    for (Ended& one : ended) dealer.request(as_bytes(large), soon(), one.note());

    REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));

    for (const Ended& one : ended) {
      CHECK(one.outcome == Outcome::no_room);
      CHECK(one.code == wire::Code::too_large);
    }
    CHECK(dealer.stats().failed_requests == 4);
    check_sum(dealer);
    CHECK(dealer.ask(as_bytes("small"), soon()).ok());
  }
}

TEST_CASE("a request that has ended before its batch left does not count as on its way") {
  for (const bool cancelled : {false, true}) {
    CAPTURE(cancelled);
    Loop loop;
    PortOptions at = answers(Delivery::best_effort, "server/0", {"tcp://127.0.0.1:*"});
    at.window_bytes = 4096;
    Router<> router(loop, at);
    Dealer<> dealer(loop, asks(Delivery::best_effort, router.endpoints()));
    REQUIRE(dealer.wait_for_peers(1, soon()));
    Ended filler, brief, lasting;
    const std::string large(4096, 'x');
    dealer.request(as_bytes(large), soon(), filler.note());
    REQUIRE(eventually(loop, [&] { return router.open_requests() == 1; }));
    const RequestId id =
        dealer.request(as_bytes("brief"), cancelled ? soon() : Deadline::after(20ms), brief.note());
    dealer.request(as_bytes("lasting"), soon(), lasting.note());
    if (cancelled) {
      (void)loop.run_until([] { return false; }, Deadline::after(1ms));
      dealer.cancel(id);
    }
    REQUIRE(eventually(loop, [&] { return brief.times == 1; }));
    check_sum(dealer);

    auto first = router.next(soon());  // frees its credit
    REQUIRE(first);
    REQUIRE(eventually(loop, [&] { return router.open_requests() == 3; }));

    CHECK(dealer.stats().queued_records == 0);
    CHECK(dealer.stats().outstanding_records == 2);
    check_sum(dealer);
    first->second.reply(as_bytes("a"));
    for (int i = 0; i < 2; ++i) router.next(soon())->second.reply(as_bytes("b"));
    REQUIRE(eventually(loop, [&] { return lasting.times == 1 && dealer.stats().late_replies == 1; }));
    CHECK(lasting.outcome == Outcome::ok);
    check_sum(dealer);
  }
}

TEST_CASE("who is told of an end finds the counts of all that have ended with it") {
  Loop loop;
  Router<> router(loop, answers(Delivery::best_effort, "server/0", {"tcp://127.0.0.1:*"}));
  const Parked parked(router);
  Dealer<> dealer(loop, asks(Delivery::best_effort, router.endpoints()));
  REQUIRE(dealer.wait_for_peers(1, soon()));
  const Deadline deadline = Deadline::after(20ms);
  int told = 0;
  for (int i = 0; i < 3; ++i) {
    dealer.request(as_bytes("x"), deadline, [&](Reply<RawRecord>&) {
      ++told;
      check_sum(dealer);
    });
  }

  REQUIRE(eventually(loop, [&] { return told == 3; }));
}

TEST_CASE("every request is told of its end, also when the first of them closes its dealer") {
  Loop loop;
  Router<> router(loop, answers(Delivery::best_effort, "server/0", {"tcp://127.0.0.1:*"}));
  const Parked parked(router);
  Dealer<> dealer(loop, asks(Delivery::best_effort, router.endpoints()));
  REQUIRE(dealer.wait_for_peers(1, soon()));
  const Deadline deadline = Deadline::after(20ms);
  int told = 0;
  for (int i = 0; i < 3; ++i) {
    dealer.request(as_bytes("x"), deadline, [&](Reply<RawRecord>&) {
      if (++told == 1) dealer.close();
    });
  }

  REQUIRE(eventually(loop, [&] { return told != 0; }));
  CHECK(told == 3);
  check_sum(dealer);
}
