// What an outbox risks on a connection that may break again.
#include "protocol/outbox_bench.hpp"

using namespace outbox_bench;

namespace {

constexpr std::uint64_t kBatch = 16 << 10;
constexpr Credit kCredit{.bytes = 2 << 20, .batches = 1000};
constexpr std::uint64_t kWindow = kCredit.bytes / kBatch;

struct Broken : Bench {
  std::uint32_t lane = join("a", kCredit);
  std::uint64_t seen = 0;

  Broken() {
    for (std::uint64_t i = 0; i < 32 * kWindow; ++i) accept({.bytes = kBatch, .records = 1});
  }
  /// The connection has taken with it all that was not seen.
  void break_off() {
    outbox.cut(lane);
    CHECK(outbox.meet(lane, 1, view_of(seen, seen), kCredit, now) == Outbox::Ack::ok);
  }
  /// All that can leave; it is seen and processed.
  std::size_t burst() {
    const std::size_t sent = send(lane).size();
    seen += sent;
    CHECK(acknowledge(lane, view_of(seen, seen)) == Outbox::Ack::ok);
    return sent;
  }
};

}  // namespace

TEST_CASE("a connection that never broke carries a whole window at once") {
  Broken bench;

  CHECK(bench.burst() == kWindow);
  CHECK(bench.burst() == kWindow);
}

TEST_CASE("behind a connection that broke little is sent at first, and then more until the window is full") {
  Broken bench;
  CHECK(bench.send(bench.lane).size() == kWindow);
  bench.break_off();

  std::size_t last = bench.burst();
  CHECK(last == 4);
  std::size_t bursts = 1;
  for (; last < kWindow && bursts < 1000; ++bursts) {
    const std::size_t next = bench.burst();
    CHECK(next >= last);
    CHECK(next <= 2 * last);
    last = next;
  }
  CHECK(last == kWindow);
  CHECK(bursts < 30);
}

TEST_CASE(
    "what is held back asks the receiver for a word, and goes on when more was seen, not only processed") {
  Broken bench;
  bench.send(bench.lane);
  bench.break_off();
  bool asked = false;
  while (const auto departure = bench.outbox.departure(bench.lane)) {
    asked = departure->report;
    bench.outbox.departed(bench.lane, departure->seq, bench.now);
  }
  CHECK(asked);
  CHECK(bench.send(bench.lane).empty());

  CHECK(bench.acknowledge(bench.lane, view_of(0, 4)) == Outbox::Ack::ok);

  CHECK(bench.send(bench.lane).size() == 8);
}

TEST_CASE("a batch that is larger than the first burst leaves alone") {
  Bench bench;
  const auto lane = bench.join("a", {.bytes = 4 << 20, .batches = 1000});
  for (int i = 0; i < 3; ++i) bench.accept({.bytes = 1 << 20, .records = 1});
  bench.send(lane);
  bench.outbox.cut(lane);
  bench.outbox.meet(lane, 1, {}, {.bytes = 4 << 20, .batches = 1000}, bench.now);

  CHECK(bench.send(lane).size() == 1);
}

TEST_CASE(
    "a receiver that was started again, and a connection that took nothing with it, hold nothing back") {
  Broken restarted;
  restarted.send(restarted.lane);
  restarted.outbox.cut(restarted.lane);
  restarted.outbox.meet(restarted.lane, 2, {}, kCredit, restarted.now);
  CHECK(restarted.send(restarted.lane).size() >= kWindow);

  Broken whole;
  whole.burst();
  whole.break_off();
  CHECK(whole.burst() == kWindow);
}
