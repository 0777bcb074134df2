// A publisher that ends while a subscriber is silent, as a stopped process is: whom it waits for, and what it
// says.
#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr int kRecords = 300;

PortOptions publisher(const Place& place, Delivery delivery) {
  return {
      .name = "out", .bind = place.endpoints(), .heartbeat = 20ms, .dead_after = 600ms, .delivery = delivery};
}

PortOptions subscriber(const Pub<>& pub, Delivery delivery) {
  return {.name = "in",
          .node = "sink/0",
          .connect = pub.endpoints(),
          .heartbeat = 20ms,
          .dead_after = 600ms,
          .delivery = delivery};
}

void publish(Pub<>& pub, int count) {
  for (int i = 0; i < count; ++i) {
    REQUIRE(pub.publish("t", as_bytes("x")) == SendStatus::ok);
    pub.flush();
  }
}

/// Two loops, of which one is left alone for as long as its end of the link is to be silent.
struct Pair {
  Loop here;
  Loop there{here.context()};
  Pub<> pub;
  Sub<> sub;
  int got = 0;
  PeerEvent::What last = PeerEvent::What::up;  // that the publisher heard of its subscriber

  Pair(const Place& place, Delivery delivery)
      : pub(here, publisher(place, delivery)), sub(there, subscriber(pub, delivery)) {
    sub.on_record([this](const RawRecord&, const Meta&) { ++got; });
    pub.on_peer([this](const PeerEvent& event) { last = event.what; });
    REQUIRE(together([this] { return pub.peers_up() == 1 && sub.peers_up() == 1; }));
  }
  bool together(const std::function<bool()>& done) {
    const Deadline limit = soon();
    while (!done() && !limit.passed(Clock::now())) {
      for (Loop* loop : {&here, &there}) (void)loop->run_until(done, Deadline::after(1ms));
    }
    return done();
  }
  void silence(PeerEvent::What what) {
    REQUIRE(here.run_until([this, what] { return last == what; }, soon()));
  }
  /// All that is published falls into the silence of the subscriber, which then is dead.
  void publish_into_silence() {
    silence(PeerEvent::What::suspect);
    publish(pub, kRecords);
    silence(PeerEvent::What::dead);
  }
};

}  // namespace

WEFT_CONFORMS("silent subscriber: a drain waits for one without gaps that is dead, and names it") {
  Pair pair(place, Delivery::at_least_once);

  pair.publish_into_silence();
  pair.pub.begin_drain();
  CHECK(!pair.pub.drained());
  REQUIRE(pair.pub.awaited().size() == 1);
  CHECK(pair.pub.awaited()[0].node == "sink/0");
  CHECK(pair.pub.awaited()[0].state.starts_with("dead"));
  CHECK(pair.pub.awaited()[0].records == kRecords);
  CHECK(pair.pub.stats().outstanding_records == kRecords);
  REQUIRE(pair.together([&] { return pair.pub.drained(); }));

  CHECK(pair.got == kRecords);
  CHECK(pair.pub.awaited().empty());
  CHECK(pair.pub.stats().outstanding_records == 0);
}

WEFT_CONFORMS("silent subscriber: one that nobody promised anything is let go") {
  Pair pair(place, Delivery::at_least_once);

  pair.pub.let_go("sink/0");
  CHECK(pair.pub.awaited().size() == 1);  // it is there
  pair.silence(PeerEvent::What::dead);
  pair.pub.let_go("sink/0");
  pair.pub.begin_drain();

  CHECK(pair.pub.drained());
}

WEFT_CONFORMS("silent subscriber: what was published while a best-effort one died is counted as lost") {
  Pair pair(place, Delivery::best_effort);

  pair.publish_into_silence();
  publish(pair.pub, 10);
  pair.pub.begin_drain();

  CHECK(pair.pub.drained());
  CHECK(pair.pub.stats().lost_records == kRecords);
}

WEFT_CONFORMS("silent subscriber: one that is told to drain when it goes on reads what has come to it") {
  Pair pair(place, Delivery::best_effort);

  pair.publish_into_silence();
  pair.pub.begin_drain();
  pair.sub.begin_drain();
  CHECK(!pair.sub.drained());
  REQUIRE(pair.there.run_until([&] { return pair.sub.drained(); }, soon()));

  CHECK(pair.got == kRecords);
}
