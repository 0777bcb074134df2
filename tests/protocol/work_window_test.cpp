// How much of the work one receiver gets at once, by how soon it is done with what it had.
#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/choose.hpp>
#include <weft/protocol/work_window.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

/// A receiver that handles records one after the other, each in `work`; a batch takes `way` to get there and
/// its report `way` to come back. It reports when it is asked to.
struct Receiver {
  Duration work;
  Duration way = 50us;
  WorkWindow window = {};
  std::uint64_t outstanding = 0, handled = 0, most = 0;
  TimePoint free{};
  struct Report {
    TimePoint at;
    std::uint64_t records;  // handled since the one before
  };
  std::deque<Report> reports = {};
  std::uint64_t unreported = 0;
  std::uint64_t asked = 0;

  void join(std::uint64_t bound = 0) {
    window.meet(bound);
    window.share(true);
    window.pinged(TimePoint(0s));
    window.heard(TimePoint(2 * way));
  }
  void send(std::uint64_t records, TimePoint now) {
    outstanding += records;
    most = std::max(most, outstanding);
    const bool asks = window.asks(outstanding, now);
    window.sent(records, asks, now);
    free = std::max(free, now + way) + static_cast<Duration::rep>(records) * work;
    handled += records;
    unreported += records;
    if (!asks) return;
    ++asked;
    reports.push_back({free + way, unreported});
    unreported = 0;
  }
  void hear(TimePoint now, WorkRound& round) {
    while (!reports.empty() && reports.front().at <= now) {
      outstanding -= reports.front().records;
      reports.pop_front();
      window.handled(outstanding, now, &round);
    }
  }
};

struct Run {
  std::vector<std::uint64_t> shares;
  Duration took{};
};

/// Deals `records` out by balance: all at once, or one every `gap`.
Run deal(std::vector<Receiver>& receivers, std::uint64_t records, Duration gap = Duration::zero()) {
  std::uint64_t waiting = 0, made = 0;
  WorkRound round;
  round.among(receivers.size());
  std::size_t last = SIZE_MAX;
  const TimePoint start = TimePoint(1s);
  TimePoint now = start;
  for (Receiver& r : receivers) r.free = start;
  while (true) {
    if (gap == Duration::zero()) waiting += records - std::exchange(made, records);
    while (made < records && start + static_cast<Duration::rep>(made) * gap <= now) ++made, ++waiting;
    for (Receiver& r : receivers) r.hear(now, round);
    while (waiting != 0) {
      std::vector<Candidate> candidates;
      for (const Receiver& r : receivers) {
        candidates.push_back(
            {.ready = r.window.room(r.outstanding) != 0, .room = UINT64_MAX - r.window.load(r.outstanding)});
      }
      const auto at = most_room(candidates, last);
      if (!at) break;
      last = *at;
      Receiver& r = receivers[*at];
      const std::uint64_t piece = std::min(waiting, r.window.piece(r.outstanding, waiting, receivers.size()));
      r.send(piece, now);
      waiting -= piece;
    }
    TimePoint next = TimePoint::max();
    if (made < records) next = start + static_cast<Duration::rep>(made) * gap;
    for (const Receiver& r : receivers) {
      if (!r.reports.empty()) next = std::min(next, r.reports.front().at);
    }
    if (next == TimePoint::max()) break;
    now = std::max(now, next);
  }
  REQUIRE(waiting == 0);
  Run run;
  TimePoint end = start;
  for (const Receiver& r : receivers) {
    run.shares.push_back(r.handled);
    end = std::max(end, r.free);
  }
  run.took = end - start;
  return run;
}

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

TEST_CASE("a receiver that is alone, or that does not report, is not held back") {
  WorkWindow alone;
  alone.meet(0);
  CHECK(!alone.active());
  CHECK(alone.room(1'000'000) > 1'000'000'000);
  CHECK(alone.piece(0, 10, 1) > 1'000'000'000);
  CHECK(!alone.asks(100, TimePoint(1s)));

  WorkWindow silent;
  silent.meet(std::nullopt);
  silent.share(true);
  CHECK(!silent.active());
  CHECK(silent.room(1'000'000) > 1'000'000'000);
  // ... but what waits is not handed to it in one piece.
  CHECK(silent.piece(0, 1000, 2) == 250);
}

TEST_CASE("a bound of one record means one at a time, also for a receiver that is alone") {
  WorkWindow window;
  window.meet(1);
  CHECK(window.active());
  CHECK(window.room(0) == 1);
  CHECK(window.piece(0, 100, 1) == 1);
  CHECK(window.asks(1, TimePoint(1s)));
  CHECK(window.room(1) == 0);
}

TEST_CASE("a receiver's own bound is told apart from what has been measured of it") {
  WorkWindow window;
  window.meet(100);
  window.share(true);
  CHECK(window.room(0) == 2);
  CHECK(window.bound_room(0) == 100);
  CHECK(window.bound_room(98) == 2);
  CHECK(window.bound_room(200) == 0);
  window.meet(0);
  CHECK(window.bound_room(1'000'000) > 1'000'000'000);
}

TEST_CASE("three receivers, of which one is ten times as slow, share by their speed and end together") {
  std::vector<Receiver> receivers{{.work = 10ms}, {.work = 10ms}, {.work = 100ms}};
  for (Receiver& r : receivers) r.join();
  const Run run = deal(receivers, 200);
  // 21 records in 100 ms: 95, 95 and 10 in 0.95 s.
  CHECK(run.shares[0] >= 90);
  CHECK(run.shares[1] >= 90);
  CHECK(run.shares[2] >= 8);
  CHECK(run.shares[2] <= 12);
  CHECK(seconds(run.took) < 0.952 * 1.1);
}

TEST_CASE("equal receivers get equal shares, whatever a record costs") {
  for (const Duration work : {10ms + 0us, 1ms + 0us, 100us + 0us}) {
    CAPTURE(work.count());
    std::vector<Receiver> receivers(4, Receiver{.work = work});
    for (Receiver& r : receivers) r.join();
    const Run run = deal(receivers, 2000);
    for (const std::uint64_t share : run.shares) {
      CHECK(share >= 400);
      CHECK(share <= 600);
    }
    CHECK(seconds(run.took) < 1.1 * seconds(500 * work) + 0.005);
  }
}

TEST_CASE("records that come one by one go to those that have time, and few wait at one that is slow") {
  std::vector<Receiver> receivers{{.work = 200ms}, {.work = 20ms}, {.work = 20ms}};
  for (Receiver& r : receivers) r.join();
  const Run run = deal(receivers, 200, 10ms);
  CHECK(run.shares[0] <= 13);
  CHECK(receivers[0].most <= 2);
  CHECK(seconds(run.took) < 2.0 * 1.15);
}

TEST_CASE("fast receivers have windows that hold nothing back after a few reports, and those grow rare") {
  std::vector<Receiver> receivers{{.work = 200ns}, {.work = 200ns}};
  for (Receiver& r : receivers) r.join();
  (void)deal(receivers, 2'000'000);
  for (Receiver& r : receivers) r.asked = 0;
  (void)deal(receivers, 10'000'000);
  for (const Receiver& r : receivers) {
    CHECK(r.window.window() >= 100'000);
    CHECK(r.asked < 500);  // in a second of work
  }
}

TEST_CASE("a long way there is not taken for slowness") {
  std::vector<Receiver> receivers{{.work = 10us, .way = 50ms}, {.work = 10us, .way = 50ms}};
  for (Receiver& r : receivers) r.join();
  const Run run = deal(receivers, 200'000);
  CHECK(seconds(run.took) < 3.0);  // one second of work; a window of two would take hours
  CHECK(receivers[0].window.window() >= 5000);
}

TEST_CASE("a receiver that becomes slow is left with little, and one that recovers gets more again") {
  WorkWindow window;
  window.meet(0);
  window.share(true);
  TimePoint now(1s);
  const auto round = [&](Duration each) {
    const std::uint64_t records = std::max<std::uint64_t>(1, window.window() / 2);
    std::uint64_t outstanding = 0;
    for (int half = 0; half < 2 && window.room(outstanding) != 0; ++half) {
      outstanding += records;
      window.sent(records, window.asks(outstanding, now), now);
    }
    while (outstanding != 0) {
      now += static_cast<Duration::rep>(records) * each;
      outstanding -= records;
      window.handled(outstanding, now);
    }
    now += 10ms;
  };
  for (int i = 0; i < 12; ++i) round(10us);
  CHECK(window.window() >= 2000);
  for (int i = 0; i < 6; ++i) round(50ms);
  CHECK(window.window() <= 2);
  for (int i = 0; i < 40; ++i) round(10us);
  CHECK(window.window() >= 2000);
}

TEST_CASE("a window grows when the others have reported as well, or have had their time for it") {
  WorkRound round;
  round.among(2);
  WorkWindow quick, other;
  const auto handle_one = [&](WorkWindow& window, TimePoint now) {
    window.sent(1, true, now - 10us);
    window.handled(0, now, &round);
  };
  for (WorkWindow* window : {&quick, &other}) {
    window->meet(0);
    window->share(true);
  }

  handle_one(quick, TimePoint(1s));
  handle_one(quick, TimePoint(1s + 20ms));
  CHECK(quick.window() == 2);  // the other one may not have had the processor yet
  handle_one(other, TimePoint(1s + 21ms));
  handle_one(quick, TimePoint(1s + 22ms));
  const std::uint64_t grown = quick.window();
  CHECK(grown > 2);
  handle_one(quick, TimePoint(1s + 42ms));
  CHECK(quick.window() == grown);
  handle_one(quick, TimePoint(1s + 60ms));  // the other one is slow, or has nothing to do
  CHECK(quick.window() > grown);
}

TEST_CASE("what was on its way is forgotten with the connection") {
  WorkWindow window;
  window.meet(4);
  window.share(true);
  window.sent(2, true, TimePoint(1s));
  window.reset(0);
  CHECK(window.room(0) == 2);
  window.handled(0, TimePoint(2s));
  CHECK(window.cost() == Duration::zero());
}
