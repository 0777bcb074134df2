#include <doctest/doctest.h>

#include <weft/protocol/peer_lanes.hpp>

using namespace weft::protocol;

namespace {

constexpr Credit kWideCredit{1000, 10};

}  // namespace

TEST_CASE("each HELLO is answered once, and not behind a later one") {
  PeerLanes lanes(1, kWideCredit);
  CHECK(lanes.say_hello() == 1);
  CHECK(lanes.say_hello() == 2);
  CHECK(lanes.say_hello() == 3);

  lanes.answered(2);

  CHECK_FALSE(lanes.expects(1));
  CHECK_FALSE(lanes.expects(2));
  CHECK(lanes.expects(3));
  CHECK_FALSE(lanes.expects(4));  // never said
}

TEST_CASE("a second answer loses what was sent before its HELLO was said, and no more") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.say_hello();
  (void)lanes.say_hello();
  (void)lanes.meet_receiver(0, 1, true, kWideCredit);
  lanes.answered(1);
  lanes.out.send(100, 1);  // behind the second HELLO
  (void)lanes.say_hello();
  lanes.out.send(100, 1);  // behind the third one

  CHECK(lanes.meet_receiver(0, 2, true, kWideCredit).batches == 0);
  lanes.answered(2);
  CHECK(lanes.meet_receiver(0, 3, true, kWideCredit).batches == 1);
  lanes.answered(3);

  CHECK(lanes.out.outstanding() == 1);
}

TEST_CASE(
    "what was sent before the HELLO that is answered is lost with its connection, what followed is not") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.out.acknowledge(0, kWideCredit);
  lanes.out.send(100, 1);
  (void)lanes.say_hello();
  lanes.out.send(100, 1);

  const auto lost = lanes.meet_receiver(0, 1, true, kWideCredit);

  CHECK(lost.batches == 1);
  CHECK(lanes.out.outstanding() == 1);
}

TEST_CASE("a HELLO gives credit for what is not held from before it") {
  PeerLanes lanes(1, kWideCredit);
  lanes.held_bytes = 300;
  CHECK(lanes.hello_credit().bytes == 700);
  CHECK(lanes.hello_credit().batches == 10);

  lanes.held_bytes = 1000;
  CHECK(lanes.hello_credit().batches == 0);
  CHECK_FALSE(lanes.overfull());

  lanes.held_bytes = 2001;
  CHECK(lanes.overfull());
}

TEST_CASE("when nothing is held any more, what was skipped counts as settled as well") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.meet_sender(7, 1, false);
  lanes.in.skip_to(3);
  lanes.held_bytes = 100;
  (void)lanes.meet_sender(7, 6, false);
  lanes.held_bytes = 0;

  (void)lanes.settle(7, 3, 100);

  CHECK(lanes.settled == 5);
}

TEST_CASE("a sender that has lost count in its epoch is followed by who asked it") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.meet_sender(7, 1, true);
  REQUIRE(lanes.count(7, 54));

  CHECK(lanes.meet_sender(7, 51, true).accepted == 54);

  CHECK(lanes.in.last() == 50);
  CHECK(lanes.settled == 50);
}

TEST_CASE("what is settled of a later epoch is counted anew, also without a word of what is retained") {
  PeerLanes lanes(1, kWideCredit);
  REQUIRE(lanes.count(7, 54));
  (void)lanes.settle(7, 54, 100);
  REQUIRE(lanes.settled == 54);

  REQUIRE(lanes.count(8, 2));
  (void)lanes.settle(8, 2, 100);

  CHECK(lanes.settled == 2);
}

TEST_CASE("an answer of a sender that has lost count is told from one that has not") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.meet_sender(7, 1, true);
  REQUIRE(lanes.count(7, 20));

  CHECK(lanes.lost_count(7, 1));
  CHECK(lanes.lost_count(7, 20));
  CHECK_FALSE(lanes.lost_count(7, 21));
  CHECK_FALSE(lanes.lost_count(8, 1));  // a later epoch counts anew
}

TEST_CASE("a HELLO that is said again moves nothing back at who answers it") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.meet_sender(7, 1, false);
  lanes.in.take_to(9);

  CHECK(lanes.meet_sender(7, 1, false).accepted == 9);

  CHECK(lanes.in.last() == 9);
}

TEST_CASE(
    "what was skipped at a HELLO does not count as arrived at the next one, until something comes behind "
    "it") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.meet_sender(7, 1, false);
  (void)lanes.in.arrive(7, 1);

  const auto first = lanes.meet_sender(7, 3, false);  // 2 was lost, and so is the answer
  const auto second = lanes.meet_sender(7, 3, false);

  CHECK(first.accepted == 1);
  CHECK(first.missed == 1);
  CHECK(second.accepted == 1);
  CHECK(second.missed == 0);
  CHECK(lanes.in.arrive(7, 2).verdict == ReceiveLane::Verdict::duplicate);
  CHECK(lanes.in.arrive(7, 3).missed == 0);
  CHECK(lanes.meet_sender(7, 4, false).accepted == 3);
}

TEST_CASE("replies of an epoch that is over are not counted") {
  PeerLanes lanes(1, kWideCredit);
  (void)lanes.meet_sender(7, 1, true);

  CHECK_FALSE(lanes.count(6, 1));
  CHECK(lanes.in.last() == 0);
}
