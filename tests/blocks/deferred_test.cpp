// Batches that are done when the last of their records is settled, and not before those that came earlier.
#include <vector>

#include <doctest/doctest.h>

#include "blocks/deferred.hpp"

using weft::blocks::Deferred;
using weft::blocks::HandledBatch;

namespace {

struct DeferredBench {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> batches;  // peer, seq
  Deferred deferred{[this](const HandledBatch& batch) { batches.emplace_back(batch.peer, batch.seq); }};
};

HandledBatch batch(std::uint64_t peer, std::uint64_t seq) {
  return {.peer = peer, .epoch = 1, .seq = seq, .bytes = 10};
}

using Batches = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

}  // namespace

TEST_CASE("deferred: a batch of which nothing is deferred is done when it was handed out") {
  DeferredBench bench;

  bench.deferred.handed_out(batch(1, 1));

  CHECK(bench.batches == Batches{{1, 1}});
  CHECK(bench.deferred.empty());
}

TEST_CASE("deferred: a batch is done with the last of its records") {
  DeferredBench bench;
  const auto first = bench.deferred.defer();
  const auto second = bench.deferred.defer();

  CHECK(bench.deferred.settle(first));  // already inside of the handler
  bench.deferred.handed_out(batch(1, 1));
  CHECK(bench.batches.empty());
  CHECK(!bench.deferred.empty());
  CHECK(bench.deferred.settle(second));

  CHECK(bench.batches == Batches{{1, 1}});
  CHECK(bench.deferred.empty());
  CHECK(!bench.deferred.settle(second));
}

TEST_CASE("deferred: batches of a peer are done in their order, whichever is settled first") {
  DeferredBench bench;
  const auto first = bench.deferred.defer();
  bench.deferred.handed_out(batch(1, 1));
  bench.deferred.handed_out(batch(1, 2));  // nothing of it is deferred
  const auto third = bench.deferred.defer();
  bench.deferred.handed_out(batch(1, 3));

  CHECK(bench.deferred.settle(third));
  CHECK(bench.batches.empty());
  CHECK(bench.deferred.settle(first));

  CHECK(bench.batches == Batches{{1, 1}, {1, 2}, {1, 3}});
  CHECK(bench.deferred.empty());
}

TEST_CASE("deferred: a peer does not wait for another one") {
  DeferredBench bench;
  const auto slow = bench.deferred.defer();
  bench.deferred.handed_out(batch(1, 1));
  const auto quick = bench.deferred.defer();
  bench.deferred.handed_out(batch(2, 1));
  bench.deferred.handed_out(batch(3, 1));

  CHECK(bench.deferred.settle(quick));
  CHECK(bench.batches == Batches{{3, 1}, {2, 1}});
  CHECK(bench.deferred.settle(slow));

  CHECK(bench.batches == Batches{{3, 1}, {2, 1}, {1, 1}});
  CHECK(bench.deferred.empty());
}

TEST_CASE("deferred: what was forgotten is not settled later") {
  DeferredBench bench;
  const auto old = bench.deferred.defer();
  bench.deferred.handed_out(batch(1, 1));
  bench.deferred.clear();
  const auto next = bench.deferred.defer();
  bench.deferred.handed_out(batch(1, 2));

  CHECK(!bench.deferred.settle(old));
  CHECK(bench.deferred.settle(next));

  CHECK(bench.batches == Batches{{1, 2}});
}
