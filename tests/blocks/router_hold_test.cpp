// A Router without a handler gives its askers credit back for what has been handed out, not for what waits.
#include <string>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

const std::string kPlain("\xA1x");
const std::string kDeep = std::string(40, '\x91') + kPlain;  // 40 arrays, one inside of the other

void ask(Stranger& asker, std::uint64_t number, std::uint64_t count, const std::string& body) {
  asker.send(wire::Kind::request, number,
             [count](wire::Options& o) {
               o.count_v = count;
               o.mark(wire::Options::count);
             },
             {as_bytes(body)});
}

/// What the router says that it is done with.
std::uint64_t settled(Stranger& asker) {
  while (asker.next()) {
  }
  asker.send(wire::Kind::ping, 0);
  REQUIRE(asker.wait(wire::Kind::ack));
  return asker.header().seq;
}

/// A router that nobody reads yet, and an asker whose HELLO it has answered.
struct Bench {
  Loop loop;
  Router<> router;
  Stranger asker;
  explicit Bench(Delivery delivery)
      : router(loop, answers(delivery, "server/0", {"tcp://127.0.0.1:*"})),
        asker(loop, router.endpoints()[0], "worker/9") {
    asker.hello("dealer", delivery);
    REQUIRE(asker.wait(wire::Kind::hello));
  }
  void answer_next() {
    auto next = router.next(soon());
    REQUIRE(next);
    next->second.reply(as_bytes("y"));
  }
};

}  // namespace

TEST_CASE("router without a handler: a batch whose last request is refused is held while others of it wait") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast}) {
    CAPTURE(static_cast<int>(delivery));
    Bench b(delivery);
    ask(b.asker, 1, 3, kPlain + kPlain + kDeep);
    REQUIRE(b.asker.wait(wire::Kind::reply));
    CHECK(b.asker.header().options.code_v == wire::Code::bad_request);

    CHECK(settled(b.asker) == 0);
    b.answer_next();
    CHECK(settled(b.asker) == 0);
    b.answer_next();
    CHECK(settled(b.asker) == 3);
  }
}

TEST_CASE("router without a handler: what is done at once gives no credit back for what came before it") {
  Bench b(Delivery::best_effort);
  ask(b.asker, 1, 1, kPlain);
  ask(b.asker, 2, 1, kDeep);
  REQUIRE(b.asker.wait(wire::Kind::reply));

  CHECK(settled(b.asker) == 0);
  b.answer_next();
  CHECK(settled(b.asker) == 2);
}

TEST_CASE("router without a handler: one that is cancelled gives no credit back for the others") {
  for (const Delivery delivery : {Delivery::best_effort, kLeast}) {
    CAPTURE(static_cast<int>(delivery));
    Bench b(delivery);
    ask(b.asker, 1, 1, kPlain);
    ask(b.asker, 2, 2, kPlain + kPlain);
    REQUIRE(eventually(b.loop, [&] { return b.router.open_requests() == 3; }));

    b.asker.send(wire::Kind::cancel, 3);
    REQUIRE(eventually(b.loop, [&] { return b.router.open_requests() == 2; }));

    CHECK(settled(b.asker) == 0);
    b.answer_next();
    CHECK(settled(b.asker) == 1);
    b.answer_next();
    CHECK(settled(b.asker) == 3);
  }
}

TEST_CASE("router without a handler: one that is asked again gives no credit back for what waits") {
  Bench b(kLeast);
  ask(b.asker, 1, 2, kPlain + kPlain);
  REQUIRE(eventually(b.loop, [&] { return b.router.open_requests() == 2; }));
  ask(b.asker, 1, 2, kPlain + kPlain);
  REQUIRE(eventually(b.loop, [&] { return b.router.stats().repeated_requests == 2; }));

  CHECK(settled(b.asker) == 0);
  b.answer_next();
  b.answer_next();
  CHECK(settled(b.asker) == 2);
}
