// What waits at a Push goes on when its receiver is gone and another one, or another life of it, takes less
// at once.

#include "acknowledged.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr std::uint64_t kSmall = 64 << 10;  // the least that a receiver may take

const std::string kKilobyte(1024, 'k');

PortOptions promised(Delivery delivery, PortOptions options) {
  options.delivery = delivery;
  options.heartbeat = 20ms;
  options.dead_after = 10s;  // what is forgotten for good is forgotten long after the test
  return options;
}

/// A Push that is bound, and its receivers, which take what it is told.
struct Change {
  Delivery delivery;
  Place place{Place::Kind::inproc};
  Loop loop;
  Push<> push;

  explicit Change(Delivery promise, PortOptions options = {})
      : delivery(promise), push(loop, promised(promise, bound(std::move(options)))) {}
  PortOptions bound(PortOptions options) const {
    options.name = "out";
    options.bind = place.endpoints();
    return options;
  }
  std::unique_ptr<Pull<>> receiver(const std::string& node, PortOptions options = {}) {
    options.name = "in";
    options.node = node;
    options.connect = push.endpoints();
    auto pull = std::make_unique<Pull<>>(loop, promised(delivery, options));
    pull->on_record([](const RawRecord&, const Meta&) {});
    return pull;
  }
  void send(int kilobytes) {
    for (int i = 0; i < kilobytes; ++i) REQUIRE(push.send(as_bytes(kKilobyte)) == SendStatus::ok);
  }
};

}  // namespace

TEST_CASE(
    "receiver change: a batch that the receiver before took is divided for one that takes smaller frames") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    CAPTURE(static_cast<int>(delivery));
    PortOptions full;
    full.window_batches = 1;
    Change change(delivery);
    auto large = change.receiver("large/0", full);
    large->pause(true);
    REQUIRE(change.push.wait_for_peers(1, soon()));
    change.send(150);
    REQUIRE(change.push.flush(soon()));
    change.send(150);
    (void)change.push.flush(Deadline::after(0ms));  // the second batch is closed, and waits
    REQUIRE(change.push.stats().sent_batches == 1);

    large.reset();
    const auto small = change.receiver("small/0", {.max_frame_bytes = kSmall});

    const std::uint64_t left = delivery == Delivery::best_effort ? 150 : 300;
    REQUIRE(eventually(change.loop, [&] { return change.push.stats().processed_records == left; }));
    CHECK(small->stats().received_records == left);
    CHECK(change.push.stats().dropped_records == 0);
  }
}

TEST_CASE("receiver change: a receiver of large frames that is full does not hold up one of smaller frames") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    CAPTURE(static_cast<int>(delivery));
    PortOptions one_batch;
    one_batch.window_batches = 1;
    Change change(delivery);
    auto large = change.receiver("large/0", one_batch);
    large->pause(true);
    REQUIRE(change.push.wait_for_peers(1, soon()));
    change.send(150);
    REQUIRE(change.push.flush(soon()));
    change.send(150);
    (void)change.push.flush(Deadline::after(0ms));

    const auto small = change.receiver("small/0", {.max_frame_bytes = kSmall});

    REQUIRE(eventually(change.loop, [&] { return small->stats().received_records == 150; }));
    large->pause(false);
    CHECK(change.push.settle(soon()));
    CHECK(change.push.stats().processed_records == 300);
  }
}

TEST_CASE("receiver change: the rest of a batch goes to a receiver that would not have taken all of it") {
  Change change(Delivery::best_effort);
  auto large = change.receiver("large/0", {.window_records = 80});
  large->pause(true);
  REQUIRE(change.push.wait_for_peers(1, soon()));
  change.send(140);
  (void)change.push.flush(Deadline::after(0ms));
  REQUIRE(eventually(change.loop, [&] { return change.push.stats().sent_records == 80; }));

  large.reset();
  const auto small = change.receiver("small/0", {.window_records = 80, .max_frame_bytes = kSmall});

  REQUIRE(eventually(change.loop, [&] { return change.push.stats().processed_records == 60; }));
  CHECK(change.push.stats().rejected_messages == 0);
}

TEST_CASE("receiver change: the rest of a batch goes to a receiver that has no bound of records") {
  Change change(Delivery::best_effort);
  auto before = change.receiver("worker/0", {.window_records = 4});
  before->pause(true);
  REQUIRE(change.push.wait_for_peers(1, soon()));
  change.send(10);
  (void)change.push.flush(Deadline::after(0ms));
  REQUIRE(eventually(change.loop, [&] { return change.push.stats().sent_records == 4; }));

  before.reset();
  const auto after = change.receiver("worker/0");

  REQUIRE(eventually(change.loop, [&] { return change.push.stats().processed_records == 6; }));
  CHECK(after->stats().received_records == 6);
  CHECK(after->stats().rejected_messages == 0);
}
