#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using weft::conformance::soon;
using namespace std::chrono_literals;

namespace {

struct Quote {
  double value = 0;
  WEFT_RECORD(Quote, value)
};
struct Trade {
  int count = 0;
  WEFT_RECORD(Trade, count)
};

void collect(Sub<>& sub, std::vector<std::string>& into) {
  sub.on_record([&](const RawRecord& r, const Meta& meta) {
    into.push_back(std::string(meta.topic) + "=" + std::string(r.text()));
  });
}

}  // namespace

TEST_CASE("a subscriber gets what is published under its prefixes, and nothing else") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .node = "pub/0", .bind = {"tcp://127.0.0.1:*"}});
  Sub<> europe(loop, {.name = "in", .node = "sub/0", .connect = pub.endpoints(), .topics = {"orders/eu"}});
  Sub<> all(loop, {.name = "in", .node = "sub/1", .connect = pub.endpoints()});
  std::vector<std::string> eu;
  std::vector<std::string> every;
  collect(europe, eu);
  collect(all, every);
  REQUIRE(pub.wait_for_peers(2, soon()));

  CHECK(pub.publish("orders/europe", as_bytes("1")) == SendStatus::ok);
  CHECK(pub.publish("orders/eu", as_bytes("2")) == SendStatus::ok);
  CHECK(pub.publish("orders/eu/fr", as_bytes("3")) == SendStatus::ok);
  REQUIRE(loop.run_until([&] { return every.size() == 3 && eu.size() == 2; }, soon()));

  CHECK(eu == std::vector<std::string>{"orders/eu=2", "orders/eu/fr=3"});
}

TEST_CASE("two subscribers with the same topics are counted as two") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = {"inproc://count-subs"}});
  Sub<> a(loop, {.name = "in", .node = "a/0", .connect = pub.endpoints(), .topics = {"t"}});
  Sub<> b(loop, {.name = "in", .node = "b/0", .connect = pub.endpoints(), .topics = {"t"}});

  CHECK(pub.wait_for_peers(2, soon()));
  CHECK(a.wait_for_peers(1, soon()));

  b.close();
  CHECK(loop.run_until([&] { return pub.peers_up() == 1; }, soon()));
}

TEST_CASE("a late joiner gets the last value of each topic, then what is live") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .keep_last = true});
  for (int i = 0; i < 10; ++i) {
    (void)pub.publish("a", as_bytes("a" + std::to_string(i)));
    (void)pub.publish("b", as_bytes("b" + std::to_string(i)));
  }
  pub.flush();
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .keep_last = true});
  std::map<std::string, std::string> state;
  int snapshots = 0;
  sub.on_record([&](const RawRecord& r, const Meta& meta) {
    state[std::string(meta.topic)] = r.text();
    snapshots += meta.snapshot ? 1 : 0;
  });

  REQUIRE(loop.run_until([&] { return state.size() == 2; }, soon()));
  CHECK(state["a"] == "a9");
  CHECK(state["b"] == "b9");
  CHECK(snapshots == 2);
  (void)pub.publish("a", as_bytes("a10"));
  REQUIRE(loop.run_until([&] { return state["a"] == "a10"; }, soon()));

  CHECK(sub.stats().missed_batches == 0);
}

TEST_CASE("what a subscriber loses is counted as missed") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = {"inproc://lossy"}, .heartbeat = 20ms, .dead_after = 10s});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints()});
  std::uint64_t got = 0;
  sub.on_record([&](const RawRecord&, const Meta&) { ++got; });
  REQUIRE(pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  (void)pub.publish("t", as_bytes("first"));
  pub.flush();
  REQUIRE(loop.run_until([&] { return got == 1; }, soon()));

  sub.pause(true);
  const std::uint64_t sent = 20'000;
  for (std::uint64_t i = 0; i < sent; ++i) {
    (void)pub.publish("t", as_bytes("x"));
    pub.flush();  // one batch each, far above the high-water marks
  }
  sub.pause(false);

  // A PING tells of the end of the gap.
  REQUIRE(loop.run_until([&] { return got - 1 + sub.stats().missed_batches == sent; }, soon()));
  CHECK(sub.stats().missed_batches > 0);
}

TEST_CASE("a subscriber of another type is refused by name") {
  Loop loop;
  Pub<Quote> pub(loop, {.name = "out", .node = "pub/0", .bind = {"tcp://127.0.0.1:*"}});
  Sub<Trade> sub(loop, {.name = "in", .node = "sub/0", .connect = pub.endpoints()});
  std::string refusal;
  sub.on_peer([&](const PeerEvent& e) {
    if (e.what == PeerEvent::What::refused) refusal = e.text;
  });

  REQUIRE(loop.run_until([&] { return !refusal.empty(); }, soon()));

  CAPTURE(refusal);
  CHECK(refusal.find("Trade") != std::string::npos);
  CHECK(refusal.find("Quote") != std::string::npos);
}

TEST_CASE("a publisher has finished only when its last record has come") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints()});
  int got = 0;
  int got_at_finish = -1;
  sub.on_record([&](const RawRecord&, const Meta&) { ++got; });
  sub.on_peer([&](const PeerEvent& event) {
    if (event.what == PeerEvent::What::finished) got_at_finish = got;
  });
  REQUIRE(pub.wait_for_peers(1, soon()));
  const std::string large(100'000, 'x');

  for (int i = 0; i < 200; ++i) (void)pub.publish("t", as_bytes(large));
  pub.begin_drain();
  REQUIRE(loop.run_until([&] { return got_at_finish >= 0; }, soon()));

  CHECK(got_at_finish == 200);
}
