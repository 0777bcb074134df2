// The data connection of a subscriber dies without a word, while its session lives.
#include <filesystem>
#include <memory>
#include <string>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"
#include "proxy.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr std::string_view kIpc = "ipc://";

/// A publisher, and something before its data socket that can swallow what passes.
struct Published {
  Place place{Place::Kind::ipc};
  Loop loop;
  Pub<> pub;
  Proxy proxy;
  std::uint64_t said = 0;

  explicit Published(Delivery delivery)
      : pub(loop, {.name = "out",
                   .bind = place.endpoints(),
                   .heartbeat = 20ms,
                   .dead_after = 10s,
                   .batch_records = 1,
                   .delivery = delivery}),
        proxy(loop, std::filesystem::path(pub.data_endpoint().substr(kIpc.size()))) {}
  [[nodiscard]] PortOptions subscriber(Delivery delivery) const {
    return {.name = "in",
            .node = "sub/0",
            .connect = pub.endpoints(),
            .heartbeat = 20ms,
            .dead_after = 10s,
            .delivery = delivery};
  }
  void publish(int count) {
    for (int i = 0; i < count; ++i)
      REQUIRE(pub.publish("t", as_bytes(std::to_string(++said))) == SendStatus::ok);
    pub.flush();
  }
};

}  // namespace

TEST_CASE("pub-sub: a data connection that is silently dead is replaced, and nothing is missing after it") {
  Published published(Delivery::at_least_once);
  Loop& loop = published.loop;
  Sub<> sub(loop, published.subscriber(Delivery::at_least_once));
  std::uint64_t got = 0, last = 0;
  bool in_order = true;
  sub.on_record([&](const RawRecord& record, const Meta&) {
    const std::uint64_t number = std::stoull(std::string(record.text()));
    in_order = in_order && number == last + 1;
    last = number;
    ++got;
  });
  REQUIRE(published.pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  for (std::uint64_t round = 1; round <= 3; ++round) {
    published.publish(100);
    REQUIRE(eventually(loop, [&] { return got == published.said; }));
    published.proxy.hold();
    published.publish(100);
    REQUIRE(eventually(loop, [&] { return got == published.said; }));
  }
  // Replay may have brought all of it before the connection was found dead.
  REQUIRE(eventually(loop, [&] { return sub.stats().reconnects >= 1 && sub.peers_up() == 1; }));
  published.publish(1);
  REQUIRE(eventually(loop, [&] { return got == published.said; }));

  CHECK(in_order);
  CHECK(sub.stats().missed_batches == 0);
  CHECK(eventually(loop, [&] { return published.proxy.ended_by_target() >= 1; }));
}

TEST_CASE("pub-sub: under best effort what it took with it is counted as missed") {
  Published published(Delivery::best_effort);
  Loop& loop = published.loop;
  Sub<> sub(loop, published.subscriber(Delivery::best_effort));
  std::uint64_t got = 0;
  sub.on_record([&](const RawRecord&, const Meta&) { ++got; });
  REQUIRE(published.pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  published.publish(100);
  REQUIRE(eventually(loop, [&] { return got == 100; }));

  published.proxy.hold();
  published.publish(50);
  REQUIRE(eventually(loop, [&] { return sub.stats().reconnects == 1 && sub.peers_up() == 1; }));
  published.publish(10);
  REQUIRE(eventually(loop, [&] { return got + sub.stats().missed_batches == 160; }));

  CHECK(got == 110);
  CHECK(sub.stats().missed_batches == 50);
}

TEST_CASE("pub-sub: a publisher that is held up is not taken for a dead data connection") {
  Loop here, there;
  Pub<> pub(here, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 20ms, .dead_after = 10s});
  Sub<> sub(there, {.name = "in", .connect = pub.endpoints(), .heartbeat = 20ms, .dead_after = 10s});
  const auto both = [&](const std::function<bool()>& holds) {
    for (const Deadline end = soon(); !holds() && !end.passed(Clock::now());) {
      (void)here.run_once(Deadline::after(1ms));
      (void)there.run_once(Deadline::after(1ms));
    }
    return holds();
  };
  REQUIRE(both([&] { return sub.peers_up() == 1 && pub.peers_up() == 1; }));

  for (int round = 0; round < 3; ++round) {
    bool suspect = false;
    sub.on_peer([&](const PeerEvent& event) { suspect = suspect || event.what == PeerEvent::What::suspect; });
    REQUIRE(eventually(there, [&] { return suspect; }));  // `here` does not run
    REQUIRE(both([&] { return sub.peers_up() == 1; }));
  }
  std::uint64_t got = 0;
  sub.on_record([&](const RawRecord&, const Meta&) { ++got; });
  REQUIRE(pub.publish("t", as_bytes("x")) == SendStatus::ok);
  REQUIRE(both([&] { return got == 1; }));

  CHECK(sub.stats().reconnects == 0);
  CHECK(sub.stats().missed_batches == 0);
}
