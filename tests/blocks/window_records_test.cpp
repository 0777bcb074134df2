// The bound of records that a receiver has set itself holds, whichever way requests go there.
#include <memory>
#include <string>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

PortOptions bounded(Delivery delivery, std::string node, std::uint64_t records) {
  PortOptions options = answers(delivery, std::move(node), {"tcp://127.0.0.1:*"});
  options.window_records = records;
  return options;
}

/// Answers what comes, one at a time; true: never more than `most` of them were there.
bool answer_all(Loop& loop, Router<>& router, std::size_t most, const std::function<bool()>& done) {
  bool held = true;
  while (!done()) {
    REQUIRE(eventually(loop, [&] { return done() || router.open_requests() != 0; }));
    held = held && router.open_requests() <= most;
    if (router.open_requests() != 0) router.next(soon())->second.reply(as_bytes("y"));
  }
  return held;
}

/// Ten requests, the way that `to` says, to a router of two that takes `most` at once.
void check_bound(Delivery delivery, Distribute distribute, const RequestTo& to, std::uint64_t most) {
  CAPTURE(static_cast<int>(delivery));
  CAPTURE(static_cast<int>(distribute));
  CAPTURE(most);
  Loop loop;
  std::vector<std::unique_ptr<Router<>>> routers;
  PortOptions there = asks(delivery, {});
  there.distribute = distribute;
  for (const char* node : {"server/0", "server/1"}) {
    routers.push_back(std::make_unique<Router<>>(loop, bounded(delivery, node, most)));
    there.connect.push_back(routers.back()->endpoints()[0]);
  }
  Dealer<> dealer(loop, there);
  REQUIRE(dealer.wait_for_peers(2, soon()));
  int ended = 0;
  for (int i = 0; i < 10; ++i) {
    dealer.request(
        as_bytes("x"), soon(), [&](Reply<RawRecord>& r) { ended += r.ok() ? 1 : 0; }, to);
  }
  REQUIRE(eventually(loop, [&] { return routers[0]->open_requests() + routers[1]->open_requests() != 0; }));

  CHECK(dealer.stats().sent_records <= most);
  Router<>& chosen = *routers[routers[0]->open_requests() != 0 ? 0 : 1];
  CHECK(answer_all(loop, chosen, most, [&] { return ended == 10; }));
  CHECK(chosen.stats().received_records == 10);
}

}  // namespace

TEST_CASE("a router has no more requests at once than it takes, by name or key, under every delivery") {
  const std::string key = "k";
  for (const Delivery delivery : {Delivery::best_effort, kLeast, kOnce}) {
    for (const std::uint64_t most : {1UL, 3UL}) {
      check_bound(delivery, Distribute::explicit_, {.key = {}, .peer = "server/0"}, most);
      check_bound(delivery, Distribute::balance, {.key = {}, .peer = "server/1"}, most);
      check_bound(delivery, Distribute::hash, {.key = as_bytes(key), .peer = {}}, most);
    }
  }
}

TEST_CASE("a router has no more requests at once than it takes when some are there already") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast, kOnce}) {
    CAPTURE(static_cast<int>(delivery));
    Loop loop;
    Router<> router(loop, bounded(delivery, "server/0", 4));
    Dealer<> dealer(loop, asks(delivery, router.endpoints()));
    REQUIRE(dealer.wait_for_peers(1, soon()));
    int ended = 0;
    const auto ask = [&] {
      dealer.request(as_bytes("x"), soon(), [&](Reply<RawRecord>& r) { ended += r.ok() ? 1 : 0; },
                     {.key = {}, .peer = "server/0"});
    };
    for (int i = 0; i < 3; ++i) ask();
    REQUIRE(eventually(loop, [&] { return router.open_requests() == 3; }));
    for (int i = 0; i < 2; ++i) ask();
    (void)loop.run_once(Deadline::after(0ms));

    CHECK(dealer.stats().sent_records <= 4);
    CHECK(answer_all(loop, router, 4, [&] { return ended == 5; }));
  }
}

TEST_CASE("requests that are asked again keep to what their router takes at once") {
  Loop loop;
  Router<> router(loop, bounded(kLeast, "server/0", 1));
  PortOptions there = asks(kLeast, router.endpoints());
  there.attempt_timeout = 10ms;
  Dealer<> dealer(loop, there);
  REQUIRE(dealer.wait_for_peers(1, soon()));
  Ended ended, behind;
  dealer.request(as_bytes("x"), soon(), ended.note());
  REQUIRE(eventually(loop, [&] { return router.open_requests() == 1; }));
  dealer.request(as_bytes("y"), Deadline::after(100ms), behind.note());
  REQUIRE(eventually(loop, [&] { return behind.times == 1; }));  // in that time the first was due many times

  CHECK(router.stats().received_records == 1);
  router.next(soon())->second.reply(as_bytes("z"));
  REQUIRE(eventually(loop, [&] { return ended.times == 1; }));
  CHECK(ended.outcome == Outcome::ok);
}

TEST_CASE("requests that waited together for one router go to another one as it takes them") {
  Loop loop;
  PortOptions at = bounded(Delivery::best_effort, "server/0", 0);
  at.window_bytes = 4096;
  auto wide = std::make_unique<Router<>>(loop, at);
  Dealer<> dealer(loop, asks(Delivery::best_effort, wide->endpoints()));
  REQUIRE(dealer.wait_for_peers(1, soon()));
  Ended filler;
  dealer.request(as_bytes(std::string(4096, 'x')), soon(), filler.note());
  REQUIRE(eventually(loop, [&] { return wide->open_requests() == 1; }));
  std::vector<Ended> ended(7);
  for (std::size_t i = 0; i < ended.size(); ++i) {
    const std::string payload(100, static_cast<char>('a' + i));
    dealer.request(as_bytes(payload), soon(), ended[i].note());
  }
  (void)loop.run_once(Deadline::after(0ms));  // they are one batch now
  wide.reset();
  REQUIRE(eventually(loop, [&] { return filler.times == 1; }));

  Router<> narrow(loop, bounded(Delivery::best_effort, "server/1", 2));
  dealer.connect(narrow.endpoints()[0]);
  for (std::size_t i = 0; i < ended.size(); ++i) {
    auto next = narrow.next(soon());
    REQUIRE(next);
    CHECK(narrow.open_requests() <= 2);
    CHECK(next->first.text() == std::string(100, static_cast<char>('a' + i)));  // in their order
    next->second.reply(next->first.bytes());
  }

  REQUIRE(eventually(loop, [&] { return dealer.open_requests() == 0; }));
  for (std::size_t i = 0; i < ended.size(); ++i) {
    CHECK(ended[i].text == std::string(100, static_cast<char>('a' + i)));
  }
  CHECK(dealer.stats().queued_bytes == 0);
}
