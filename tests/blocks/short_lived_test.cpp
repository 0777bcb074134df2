// What the ends of an acknowledged link remember of peers that come and go: bounded, and enough for those
// that come back.
#include "acknowledged.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr int kPeers = 120;
constexpr std::uint32_t kMostPeers = 32;

PortOptions passing(PortOptions options) {
  options = acknowledged(std::move(options), 60ms);
  options.max_peers = kMostPeers;
  options.close_linger = 0ms;
  return options;
}

std::string node(std::string_view kind, int i) {
  return std::string(kind) + "/" + std::to_string(i);
}

/// Turns both loops until it is done.
bool together(Loop& here, Loop& there, const std::function<bool()>& done) {
  const Deadline limit = soon();
  while (!done() && !limit.passed(Clock::now())) {
    for (Loop* loop : {&here, &there}) (void)loop->run_until(done, Deadline::after(1ms));
  }
  return done();
}

}  // namespace

TEST_CASE("a receiver forgets senders that have come and gone") {
  Loop loop;
  Pull<> pull(loop, passing({.name = "in", .bind = {"inproc://passing-senders"}}));
  const Processed got(pull);
  std::size_t most = 0;

  for (int i = 0; i < kPeers; ++i) {
    Push<> push(loop, passing({.name = "out", .node = node("push", i), .connect = pull.endpoints()}));
    REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.settle(soon()));
    if (i % 3 != 0) push.begin_drain();  // the others die
    most = std::max(most, pull.senders_known());
  }
  REQUIRE(eventually(loop, [&] { return pull.senders_known() <= kMostPeers; }));

  CHECK(got.texts.size() == kPeers);
  CHECK(most <= 2 * kMostPeers);
}

TEST_CASE("a sender forgets receivers that have come and gone") {
  Loop loop;
  Push<> push(loop, passing({.name = "out", .bind = {"inproc://passing-receivers"}}));
  std::size_t most = 0;

  for (int i = 0; i < kPeers; ++i) {
    Pull<> pull(loop, passing({.name = "in", .node = node("pull", i), .connect = push.endpoints()}));
    const Processed got(pull);
    REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
    REQUIRE(push.settle(soon()));
    pull.begin_drain();
    REQUIRE(eventually(loop, [&] { return pull.drained(); }));
    most = std::max(most, push.receivers_known());
  }
  REQUIRE(eventually(loop, [&] { return push.receivers_known() == 0; }));

  CHECK(most <= 2 * kMostPeers);
  CHECK(push.stats().processed_records == kPeers);
}

TEST_CASE("a receiver that was forgotten goes on with its stream when it is back") {
  Loop loop;
  Loop away(loop.context());
  Push<> push(loop, passing({.name = "out", .bind = {"inproc://forgotten-receiver"}}));
  Pull<> pull(away, passing({.name = "in", .node = "pull/0", .connect = push.endpoints()}));
  const Processed got(pull);
  send_numbers(push, 10);
  REQUIRE(together(loop, away, [&] { return push.stats().processed_records == 10; }));

  REQUIRE(eventually(loop, [&] { return push.receivers_known() == 0; }));
  send_numbers(push, 20, 10);
  REQUIRE(together(loop, away, [&] { return push.stats().processed_records == 20; }));

  CHECK(got.texts == numbers(20));
  CHECK(pull.stats().duplicate_batches == 0);
}

TEST_CASE("a sender that was away for long finds its batches known") {
  Loop loop;
  Loop away(loop.context());
  const auto exact = [](PortOptions options) {
    options = passing(std::move(options));
    options.delivery = Delivery::exactly_once;
    options.journal = open_journal(std::make_shared<journal::testing::MemoryDisk>());
    options.max_peers = 1;  // who comes next pushes out who is dead
    return options;
  };
  Pull<> pull(loop, exact({.name = "in", .bind = {"inproc://long-away"}}));
  Push<> push(away, exact({.name = "out", .node = "push/0", .connect = pull.endpoints()}));
  const Processed got(pull);
  REQUIRE(together(loop, away, [&] { return push.peers_up() == 1; }));
  send_numbers(push, 10);
  REQUIRE(push.flush(soon()));
  REQUIRE(eventually(loop, [&] { return got.texts.size() == 10; }));

  {
    Push<> other(loop, exact({.name = "out", .node = "push/1", .connect = pull.endpoints()}));
    REQUIRE(other.send(as_bytes("10"), soon()) == SendStatus::ok);
    REQUIRE(other.settle(soon()));
  }
  REQUIRE(together(loop, away, [&] { return push.stats().processed_records == 10; }));

  CHECK(got.texts == numbers(11));
  CHECK(pull.senders_known() <= 2);
}
