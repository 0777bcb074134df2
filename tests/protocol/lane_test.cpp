#include <doctest/doctest.h>

#include <weft/protocol/lane.hpp>

using namespace weft::protocol;

namespace {

SendLane open_lane(Credit credit) {
  SendLane lane(1);
  CHECK(lane.acknowledge(0, credit) == SendLane::Ack::ok);
  return lane;
}

}  // namespace

TEST_CASE("a lane without credit admits nothing") {
  const SendLane lane(1);

  CHECK(!lane.admits(1));
  CHECK(lane.room() == 0);
}

TEST_CASE("with nothing outstanding one batch of any size is admitted") {
  SendLane lane = open_lane({.bytes = 10, .batches = 5});

  CHECK(lane.admits(1'000'000));
  CHECK(lane.send(1'000'000, 1) == 1);

  CHECK(!lane.admits(1));
  CHECK(lane.room() == 0);
}

TEST_CASE("credit bounds bytes and batches that are on their way") {
  SendLane by_bytes = open_lane({.bytes = 100, .batches = 5});
  SendLane by_batches = open_lane({.bytes = 100, .batches = 2});
  for (SendLane* lane : {&by_bytes, &by_batches}) {
    lane->send(40, 4);
    lane->send(40, 4);
  }

  CHECK(by_bytes.admits(20));
  CHECK(!by_bytes.admits(21));
  CHECK(by_bytes.room() == 20);
  CHECK(!by_batches.admits(1));
  CHECK(by_batches.room() == 0);
}

TEST_CASE("an acknowledgement settles everything up to it and sets the window anew") {
  SendLane lane = open_lane({.bytes = 100, .batches = 3});
  for (int i = 0; i < 3; ++i) lane.send(30, 2);

  CHECK(lane.acknowledge(2, {.bytes = 50, .batches = 3}) == SendLane::Ack::ok);

  CHECK(lane.outstanding() == 1);
  CHECK(lane.outstanding_bytes() == 30);
  CHECK(lane.outstanding_records() == 2);
  CHECK(lane.last_acknowledged() == 2);
  CHECK(lane.room() == 20);
}

TEST_CASE("an acknowledgement that was overtaken or names what was never sent changes nothing") {
  SendLane lane = open_lane({.bytes = 100, .batches = 3});
  lane.send(30, 1);
  lane.send(30, 1);
  CHECK(lane.acknowledge(2, {.bytes = 100, .batches = 3}) == SendLane::Ack::ok);
  lane.send(30, 1);

  CHECK(lane.acknowledge(1, {.bytes = 1, .batches = 1}) == SendLane::Ack::old);
  CHECK(lane.acknowledge(4, {.bytes = 1, .batches = 1}) == SendLane::Ack::beyond);

  CHECK(lane.outstanding() == 1);
  CHECK(lane.credit().bytes == 100);
}

TEST_CASE("a batch of requests takes one number a request and is settled by its last one") {
  SendLane lane = open_lane({.bytes = 100, .batches = 3});

  CHECK(lane.send(30, 5, 5) == 1);
  CHECK(lane.send(30, 2, 2) == 6);
  CHECK(lane.acknowledge(4, lane.credit()) == SendLane::Ack::ok);
  CHECK(lane.outstanding() == 2);
  CHECK(lane.acknowledge(5, lane.credit()) == SendLane::Ack::ok);

  CHECK(lane.outstanding() == 1);
  CHECK(lane.last_sent() == 7);
}

TEST_CASE("after a lost connection what the receiver had not accepted is lost, and numbers go on") {
  SendLane lane = open_lane({.bytes = 1000, .batches = 10});
  for (int i = 0; i < 5; ++i) lane.send(10, 3);

  const auto lost = lane.resume(2);

  CHECK(lost.batches == 3);
  CHECK(lost.records == 9);
  CHECK(lane.outstanding() == 0);
  CHECK(lane.send(10, 1) == 6);
}

TEST_CASE("what was sent behind the HELLO is not lost by its answer") {
  SendLane lane = open_lane({.bytes = 1000, .batches = 10});
  for (int i = 0; i < 5; ++i) lane.send(10, 1);

  const auto lost = lane.resume(2, 3);  // the HELLO left when 3 had been sent

  CHECK(lost.batches == 1);
  CHECK(lane.outstanding() == 2);
  CHECK(lane.acknowledge(5, lane.credit()) == SendLane::Ack::ok);
  CHECK(lane.outstanding() == 0);
}

TEST_CASE("a number that the receiver has accepted is not given again") {
  SendLane lane(1);  // the stream's second connection in one epoch

  CHECK(lane.resume(100).batches == 0);

  CHECK(lane.send(10, 1) == 101);
}

TEST_CASE("a receiver that claims the end of all numbers does not make them wrap") {
  SendLane lane(1);

  CHECK(lane.resume(UINT64_MAX).batches == 0);

  CHECK(lane.send(10, 1) == 1);
}

TEST_CASE("a receiving lane takes batches in order and counts gaps") {
  ReceiveLane lane;

  CHECK(lane.arrive(7, 1).verdict == ReceiveLane::Verdict::accept);
  const auto gap = lane.arrive(7, 5);

  CHECK(gap.verdict == ReceiveLane::Verdict::accept);
  CHECK(gap.missed == 3);
  CHECK(lane.last() == 5);
}

TEST_CASE("a receiving lane sees duplicates") {
  ReceiveLane lane;
  (void)lane.arrive(7, 1);
  (void)lane.arrive(7, 2);

  CHECK(lane.arrive(7, 2).verdict == ReceiveLane::Verdict::duplicate);
  CHECK(lane.arrive(7, 1).verdict == ReceiveLane::Verdict::duplicate);
  CHECK(lane.arrive(7, 0).verdict == ReceiveLane::Verdict::duplicate);
}

TEST_CASE("a higher epoch begins anew, a lower one is fenced") {
  ReceiveLane lane;
  (void)lane.arrive(7, 9);

  const auto restarted = lane.arrive(8, 1);
  const auto zombie = lane.arrive(7, 10);

  CHECK(restarted.verdict == ReceiveLane::Verdict::accept);
  CHECK(restarted.restarted);
  CHECK(restarted.missed == 0);
  CHECK(zombie.verdict == ReceiveLane::Verdict::fenced);
  CHECK(lane.epoch() == 8);
  CHECK(lane.last() == 1);
}

TEST_CASE("a receiving lane knows what is missing at the end, and can give it up") {
  ReceiveLane lane;
  (void)lane.arrive(7, 2);

  CHECK(lane.missing_until(5) == 3);
  lane.skip_to(5);
  CHECK(lane.missing_until(5) == 0);
  lane.skip_to(3);

  CHECK(lane.last() == 5);
}

TEST_CASE("a receiver acknowledges when a quarter of its window is used, by bytes or by batches") {
  AckPolicy by_bytes({.bytes = 400, .batches = 1000});
  AckPolicy by_batches({.bytes = 1 << 20, .batches = 8});

  CHECK(!by_bytes.settled(99));
  CHECK(by_bytes.pending());
  CHECK(by_bytes.settled(1));
  by_bytes.sent();
  CHECK(!by_bytes.pending());
  CHECK(!by_bytes.settled(99));
  CHECK(!by_batches.settled(1));
  CHECK(by_batches.settled(1));
}

TEST_CASE(
    "what was said beside something else is not said again after a while, but after a quarter of the "
    "window") {
  AckPolicy policy({.bytes = 400, .batches = 1000});

  CHECK(!policy.untold());
  CHECK(!policy.settled(50));
  CHECK(policy.untold());
  policy.told();
  CHECK(!policy.untold());
  CHECK(policy.pending());
  CHECK(policy.settled(50));
  CHECK(policy.untold());
}

TEST_CASE(
    "a window grows for two batches that are larger, and for eight that are lent, as far as 8 MiB reach") {
  constexpr std::uint64_t kWindow = 2 << 20;

  CHECK(window_for(kWindow, kWindow, false) == kWindow);
  CHECK(window_for(kWindow, 16 << 20, false) == 32 << 20);
  CHECK(window_for(kWindow, 48 << 20, false) == 64 << 20);
  CHECK(window_for(256 << 20, 300 << 20, false) == 256 << 20);
  CHECK(window_for(kWindow, 512 << 10, true) == kWindow);
  CHECK(window_for(kWindow, 1 << 20, true) == 8 << 20);
  CHECK(window_for(kWindow, 3 << 20, true) == 8 << 20);
  CHECK(window_for(64 << 20, 17 << 20, true) == 64 << 20);
}

TEST_CASE("a batch that is being filled takes a place of the credit beside it") {
  SendLane lane(1);
  (void)lane.acknowledge(0, {1000, 2});

  CHECK(lane.admits_beside(0, 5000));  // nothing is on its way: one of any size
  CHECK(lane.admits_beside(100, 900));
  CHECK_FALSE(lane.admits_beside(100, 901));
  lane.send(100, 1);
  CHECK(lane.admits_beside(0, 900));
  CHECK_FALSE(lane.admits_beside(100, 1));  // the one that is being filled is the second
}
