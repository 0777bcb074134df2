// What is sent while a block hears that its peer is a new life leaves behind the HELLO, and is not lost.
#include <memory>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;
using What = PeerEvent::What;

namespace {

/// Of the end that comes back; the one before it is heard to be gone by nothing but its successor.
PortOptions life(std::string name, std::string node, std::uint64_t epoch, const std::string& at,
                 Delivery delivery) {
  return {.name = std::move(name),
          .node = std::move(node),
          .connect = {at},
          .epoch = epoch,
          .delivery = delivery};
}

}  // namespace

WEFT_CONFORMS("new life: a request that is asked as the restart is told gets its reply") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast, kOnce}) {
    CAPTURE(static_cast<int>(delivery));
    const Place here(place.kind());
    Loop loop;
    Dealer<> dealer(loop, {.name = "ask", .node = "asker/0", .bind = here.endpoints(), .delivery = delivery});
    Ended before, ended;
    bool asked_by = false;
    dealer.on_peer([&](const PeerEvent& event) {
      if (event.what != What::restarted) return;
      asked_by = dealer.request(as_bytes("x"), soon(), ended.note()) != 0;
      (void)dealer.request(as_bytes("y"), soon(), before.note());
    });
    Router<> old(loop, life("in", "server/0", 1, dealer.endpoints()[0], delivery));
    echo(old);
    REQUIRE(dealer.wait_for_peers(1, soon()));
    REQUIRE(dealer.ask(as_bytes("w"), soon()).ok());

    Router<> young(loop, life("in", "server/0", 2, dealer.endpoints()[0], delivery));
    echo(young);

    REQUIRE(eventually(loop, [&] { return ended.times == 1 && before.times == 1; }));
    CHECK(asked_by);
    CHECK(ended.outcome == Outcome::ok);
    CHECK(before.outcome == Outcome::ok);
    CHECK(young.stats().received_records == 2);
  }
}

WEFT_CONFORMS("new life: a request that waited for credit gets its reply from the next life") {
  const Place here(place.kind());
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask", .node = "asker/0", .bind = here.endpoints()});
  PortOptions options = life("in", "server/0", 1, dealer.endpoints()[0], Delivery::best_effort);
  options.window_bytes = 4096;
  Router<> old(loop, options);
  REQUIRE(dealer.wait_for_peers(1, soon()));
  Ended filler, waits;
  dealer.request(as_bytes(std::string(4096, 'x')), soon(), filler.note());
  REQUIRE(eventually(loop, [&] { return old.open_requests() == 1; }));
  dealer.request(as_bytes("x"), soon(), waits.note());
  (void)loop.run_once(Deadline::after(0ms));

  options.epoch = 2;
  Router<> young(loop, options);
  echo(young);

  REQUIRE(eventually(loop, [&] { return filler.times == 1 && waits.times == 1; }));
  CHECK(filler.outcome == Outcome::peer_lost);
  CHECK(waits.outcome == Outcome::ok);
}

WEFT_CONFORMS("new life: a record that is pushed as the restart is told arrives") {
  const Place here(place.kind());
  Loop loop;
  Push<> push(loop, {.name = "out", .node = "push/0", .bind = here.endpoints()});
  push.on_peer([&](const PeerEvent& event) {
    if (event.what != What::restarted) return;
    CHECK(push.send(as_bytes("x")) == SendStatus::ok);
    (void)push.flush(Deadline::after(0ms));
  });
  Pull<> old(loop, life("in", "pull/0", 1, push.endpoints()[0], Delivery::best_effort));
  REQUIRE(push.wait_for_peers(1, soon()));

  Pull<> young(loop, life("in", "pull/0", 2, push.endpoints()[0], Delivery::best_effort));
  int got = 0;
  young.on_record([&](const RawRecord&, const Meta&) { ++got; });

  REQUIRE(eventually(loop, [&] { return push.stats().processed_records + push.stats().lost_records == 1; }));
  CHECK(got == 1);
  CHECK(push.stats().lost_records == 0);
}
