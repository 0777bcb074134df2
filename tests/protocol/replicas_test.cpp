#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/protocol/replicas.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

const TimePoint kStart{1000h};

}  // namespace

TEST_CASE("the waits of a retry double up to the longest, with jitter, and are the same for one seed") {
  RetryPolicy policy({.first = 100ms, .longest = 5s, .seed = 7});
  RetryPolicy again({.first = 100ms, .longest = 5s, .seed = 7});
  RetryPolicy other({.first = 100ms, .longest = 5s, .seed = 8});
  bool differs = false;

  Duration base = 100ms;
  for (std::uint32_t attempt = 1; attempt < 40; ++attempt) {
    const Duration wait = policy.wait(attempt);
    CHECK(wait >= std::min<Duration>(base, 5s));
    CHECK(wait <= std::min<Duration>(base + base / 2, 5s));
    CHECK(wait == again.wait(attempt));
    differs = differs || wait != other.wait(attempt);
    base = std::min<Duration>(2 * base, 5s);
  }

  CHECK(differs);
  CHECK_THROWS_AS((RetryOptions{.first = 0ms, .longest = 1s}.check()), Error);
  CHECK_THROWS_AS((RetryOptions{.first = 2s, .longest = 1s}.check()), Error);
}

TEST_CASE("a circuit opens after consecutive failures only") {
  ReplicaSet set({.failures = 3});
  set.add(1);

  for (int i = 0; i < 10; ++i) {
    set.offered(1, kStart);
    i % 3 == 2 ? set.succeeded(1) : set.failed(1, kStart);
  }
  CHECK(set.circuit(1, kStart) == Circuit::closed);
  for (int i = 0; i < 3; ++i) set.failed(1, kStart);

  CHECK(set.circuit(1, kStart) == Circuit::open);
  CHECK(!set.admits(1, kStart));
  CHECK(set.opened() == 1);
}

TEST_CASE("an open circuit lets one probe through, and closes when it succeeds") {
  ReplicaSet set({.failures = 1, .probe = {.first = 1s, .longest = 10s}});
  set.add(1);
  set.failed(1, kStart);
  const TimePoint then = *set.next_probe(kStart);
  CHECK(then >= kStart + 1s);
  CHECK(!set.admits(1, then - 1ms));

  CHECK(set.circuit(1, then) == Circuit::half_open);
  CHECK(set.admits(1, then));
  set.offered(1, then);
  CHECK(!set.admits(1, then));
  set.succeeded(1);

  CHECK(set.circuit(1, then) == Circuit::closed);
  CHECK(set.admits(1, then));
  CHECK(!set.next_probe(then));
}

TEST_CASE("a probe that fails opens the circuit for longer; one that told nothing leaves it half-open") {
  ReplicaSet set({.failures = 1, .probe = {.first = 1s, .longest = 10s}});
  set.add(1);
  set.failed(1, kStart);
  const TimePoint first = *set.next_probe(kStart);
  set.offered(1, first);
  set.withdrawn(1);
  CHECK(set.admits(1, first));

  set.offered(1, first);
  set.failed(1, first);

  CHECK(set.circuit(1, first) == Circuit::open);
  CHECK(*set.next_probe(first) >= first + 2s);
  CHECK(set.opened() == 2);
}

TEST_CASE("what was on its way when a circuit opened, and fails too, does not open it for longer") {
  ReplicaSet set({.failures = 2, .probe = {.first = 1s, .longest = 10s}});
  set.add(1);
  for (int i = 0; i < 100; ++i) set.offered(1, kStart);

  for (int i = 0; i < 100; ++i) set.failed(1, kStart);

  CHECK(set.opened() == 1);
  CHECK(set.outstanding(1) == 0);
  CHECK(*set.next_probe(kStart) <= kStart + 1500ms);
}

TEST_CASE("a late answer closes the circuit: the replica was slow, not broken") {
  ReplicaSet set({.failures = 1});
  set.add(1);
  set.failed(1, kStart);

  set.recovered(1);

  CHECK(set.admits(1, kStart));
}
