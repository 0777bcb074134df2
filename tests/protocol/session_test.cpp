#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/protocol/session.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

const TimePoint kOpened{1000h};

SessionOptions options(bool initiator) {
  return {.initiator = initiator, .heartbeat = 1s, .dead_after = 10s, .jitter_seed = 7};
}

Session up(bool initiator) {
  Session session(options(initiator), kOpened);
  CHECK(session.on_hello(kOpened).became_up);
  return session;
}

}  // namespace

TEST_CASE("the connecting end says HELLO at once, the binding end waits for it") {
  Session initiator(options(true), kOpened);
  Session binder(options(false), kOpened);

  CHECK(initiator.on_tick(kOpened).say_hello);
  CHECK(!binder.on_tick(kOpened).say_hello);
  CHECK(binder.next_tick() == TimePoint::max());
}

TEST_CASE("HELLO is repeated with growing pauses from 0.1 s to 5 s, with jitter up to half of that") {
  Session session(options(true), kOpened);
  TimePoint now = kOpened;
  std::vector<Duration> pauses;
  CHECK(session.on_tick(now).say_hello);
  for (int i = 0; i < 12; ++i) {
    const TimePoint next = session.next_tick();
    CHECK(!session.on_tick(next - 1ns).say_hello);
    CHECK(session.on_tick(next).say_hello);
    pauses.push_back(next - now);
    now = next;
  }

  CHECK(pauses[0] >= 100ms);
  CHECK(pauses[0] < 150ms);
  CHECK(pauses[1] >= 200ms);
  CHECK(pauses[3] < 1200ms);
  CHECK(pauses.back() >= 5s);
  CHECK(pauses.back() < 7500ms);
}

TEST_CASE("two sessions with different seeds do not say HELLO in step") {
  SessionOptions other = options(true);
  other.jitter_seed = 8;
  Session a(options(true), kOpened);
  Session b(other, kOpened);
  (void)a.on_tick(kOpened);
  (void)b.on_tick(kOpened);

  CHECK(a.next_tick() != b.next_tick());
}

TEST_CASE("a session that is up pings when it has sent nothing for a heartbeat") {
  Session session = up(false);

  CHECK(!session.on_tick(kOpened + 999ms).ping);
  session.on_sent(kOpened + 500ms);
  CHECK(!session.on_tick(kOpened + 1s).ping);
  CHECK(session.on_tick(kOpened + 1500ms).ping);
  CHECK(!session.on_tick(kOpened + 1501ms).ping);
}

TEST_CASE("a peer is suspect after three silent heartbeats and dead after dead_after") {
  Session session = up(false);

  CHECK(!session.on_tick(kOpened + 2999ms).became_suspect);
  CHECK(session.on_tick(kOpened + 3s).became_suspect);
  CHECK(session.state() == PeerState::suspect);
  CHECK(session.next_tick() == kOpened + 10s);
  CHECK(session.on_tick(kOpened + 10s).became_dead);

  CHECK(session.state() == PeerState::dead);
  CHECK(session.next_tick() == TimePoint::max());
}

TEST_CASE("any word brings a suspect back, and at the binding end a dead one too") {
  Session suspect = up(true);
  (void)suspect.on_tick(kOpened + 3s);
  Session dead = up(false);
  (void)dead.on_tick(kOpened + 3s);
  (void)dead.on_tick(kOpened + 10s);

  CHECK(suspect.on_traffic(kOpened + 4s).became_up);
  CHECK(dead.on_traffic(kOpened + 11s).became_up);
}

TEST_CASE("the connecting end meets a peer anew that it had given up") {
  Session session = up(true);
  (void)session.on_tick(kOpened + 3s);
  (void)session.on_tick(kOpened + 10s);

  const auto action = session.on_traffic(kOpened + 60s);

  CHECK(action.say_hello);
  CHECK(!action.became_up);
  CHECK(session.state() == PeerState::connecting);
  CHECK(session.on_hello(kOpened + 61s).became_up);
}

TEST_CASE("the connecting end says HELLO to a suspect and goes on when it is dead") {
  Session session = up(true);

  CHECK(session.on_tick(kOpened + 3s).say_hello);
  const auto later = session.on_tick(kOpened + 10s);

  CHECK(later.became_dead);
  CHECK(later.say_hello);
}

TEST_CASE("a stranger's answer makes the connecting end say HELLO, no faster than its back-off") {
  Session session = up(true);

  CHECK(session.on_stranger(kOpened + 1s).say_hello);
  for (int i = 0; i < 10; ++i) CHECK(!session.on_stranger(kOpened + 1s).say_hello);

  CHECK(session.state() == PeerState::connecting);
  CHECK(!up(false).on_stranger(kOpened).say_hello);
}

TEST_CASE("a peer that says it is slow is given its own time") {
  Session session = up(false);
  session.peer_heartbeat(5s);

  CHECK(!session.on_tick(kOpened + 14s).became_suspect);
  const auto action = session.on_tick(kOpened + 15s);  // later than dead_after, too

  CHECK(action.became_suspect);
  CHECK(action.became_dead);
}

TEST_CASE("a peer that says it is fast does not make us suspect it sooner") {
  Session session = up(false);
  session.peer_heartbeat(1ms);

  CHECK(!session.on_tick(kOpened + 2999ms).became_suspect);
}

TEST_CASE("a closed session stays closed until it is opened again") {
  Session session = up(true);
  session.close();

  CHECK(!session.on_hello(kOpened).became_up);
  CHECK(!session.on_traffic(kOpened).became_up);
  CHECK(!session.on_stranger(kOpened).say_hello);
  session.lose();
  CHECK(session.state() == PeerState::closed);
  CHECK(session.next_tick() == TimePoint::max());
  session.reopen(kOpened);

  CHECK(session.on_hello(kOpened).became_up);
}

TEST_CASE("a lost connection is a death that a HELLO ends") {
  Session session = up(false);

  session.lose();

  CHECK(session.state() == PeerState::dead);
  CHECK(session.on_hello(kOpened + 1s).became_up);
}

TEST_CASE("what still arrives on a connection that is known to be gone brings nobody back") {
  Session session = up(false);

  session.lose();

  CHECK(!session.on_traffic(kOpened + 1s).became_up);
  CHECK(session.state() == PeerState::dead);
  CHECK(session.on_hello(kOpened + 2s).became_up);
  (void)session.on_tick(kOpened + 5s);
  CHECK(session.on_traffic(kOpened + 6s).became_up);
}

TEST_CASE("the connecting end replaces a connection on which nothing was heard, with growing pauses") {
  SessionOptions impatient = options(true);
  impatient.heartbeat = 100ms;
  impatient.reconnect_after = 100ms;
  Session session(impatient, kOpened);
  (void)session.on_hello(kOpened);

  CHECK(!session.on_tick(kOpened + 299ms).reconnect);
  const auto first = session.on_tick(kOpened + 300ms);
  CHECK(first.became_suspect);
  CHECK(first.reconnect);
  CHECK(first.say_hello);
  std::vector<Duration> pauses;
  for (TimePoint last = kOpened + 300ms; pauses.size() < 9;) {
    const TimePoint now = session.next_tick();
    if (!session.on_tick(now).reconnect) continue;
    pauses.push_back(now - last);
    last = now;
  }

  CHECK(pauses[0] >= 600ms);
  CHECK(pauses[0] < 900ms);
  // However long the peer is away, it is met within seconds of its return.
  CHECK(pauses[8] >= 3s);
  CHECK(pauses[8] < 5s);
}

TEST_CASE("an answered HELLO ends the back-off of the silence before it") {
  Session session(options(true), kOpened);
  TimePoint now = kOpened;
  for (int i = 0; i < 12; ++i) {
    now = std::max(now, session.next_tick());
    (void)session.on_tick(now);
  }
  (void)session.on_hello(now + 1ms);
  (void)session.on_stranger(now + 2ms);

  CHECK(session.next_tick() <= now + 102ms);
}

TEST_CASE("a word is enough to keep a connection, and nobody else replaces one") {
  SessionOptions impatient = options(true);
  impatient.reconnect_after = 1s;
  Session heard(impatient, kOpened);
  (void)heard.on_hello(kOpened);
  (void)heard.on_traffic(kOpened + 2s);
  impatient.initiator = false;
  Session binder(impatient, kOpened);
  (void)binder.on_hello(kOpened);
  Session patient = up(true);

  CHECK(!heard.on_tick(kOpened + 4s).reconnect);
  CHECK(!binder.on_tick(kOpened + 20s).reconnect);
  CHECK(!patient.on_tick(kOpened + 20s).reconnect);
}

TEST_CASE("a HELLO without an answer gets a new connection, too") {
  SessionOptions impatient = options(true);
  impatient.reconnect_after = 4s;
  Session session(impatient, kOpened);

  CHECK(!session.on_tick(kOpened + 3s).reconnect);
  const auto action = session.on_tick(kOpened + 4s);

  CHECK(action.reconnect);
  CHECK(action.say_hello);
}

TEST_CASE("session options out of their bounds are named") {
  SessionOptions fast = options(false);
  fast.heartbeat = 1ms;
  SessionOptions hasty = options(false);
  hasty.dead_after = 2s;

  CHECK_THROWS_WITH_AS(fast.check(), doctest::Contains("heartbeat is 1ms"), Error);
  CHECK_THROWS_WITH_AS(hasty.check(), doctest::Contains("three heartbeats"), Error);
}

TEST_CASE("an initiator whose connection has ended suspects its peer at once, and asks on a new one") {
  Session session = up(true);

  const auto cut = session.on_cut(kOpened + 1s);

  CHECK(cut.became_suspect);
  CHECK(cut.reconnect);
  CHECK(cut.cut);
  CHECK(cut.say_hello);
  CHECK(session.state() == PeerState::suspect);
  const auto again = session.on_cut(kOpened + 1s + 1ms);  // the new one as well
  CHECK(!again.reconnect);
  CHECK(!again.say_hello);
  CHECK(session.next_tick() < kOpened + 1200ms);  // HELLO is repeated as in the beginning
  CHECK(session.on_hello(kOpened + 2s).became_up);
  CHECK(session.on_cut(kOpened + 3s).became_suspect);
}

TEST_CASE("a peer whose connection has ended and whose address refuses a new one is dead at once") {
  Session session = up(true);
  CHECK(!session.on_refused(kOpened).became_dead);  // as long as its connection stands
  (void)session.on_cut(kOpened + 1s);

  const auto refused = session.on_refused(kOpened + 1s);

  CHECK(refused.became_dead);
  CHECK(refused.unreachable);
  CHECK(!session.on_refused(kOpened + 2s).became_dead);
  CHECK(session.on_hello(kOpened + 3s).became_up);
}

TEST_CASE("a refusal of who was only silent, or never met, is no death") {
  Session silent = up(true);
  CHECK(silent.on_tick(kOpened + 3s).became_suspect);
  CHECK(!silent.on_refused(kOpened + 4s).became_dead);
  Session stranger(options(true), kOpened);
  CHECK(!stranger.on_refused(kOpened).became_dead);
  CHECK(stranger.state() == PeerState::connecting);
  Session binder = up(false);
  CHECK(!binder.on_cut(kOpened + 1s).became_suspect);
}

TEST_CASE("a peer that asked for HELLO and never answers it is dead after dead_after") {
  Session session = up(true);
  CHECK(session.on_stranger(kOpened + 1s).say_hello);
  CHECK(session.state() == PeerState::connecting);

  CHECK(!session.on_tick(kOpened + 10999ms).became_dead);
  CHECK(session.on_tick(kOpened + 11s).became_dead);
  CHECK(session.state() == PeerState::dead);
}
