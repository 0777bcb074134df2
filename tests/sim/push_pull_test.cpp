#include <doctest/doctest.h>

#include <weft/sim/push_pull.hpp>

using namespace weft;
using namespace weft::sim;

TEST_CASE("one seed reproduces a run exactly") {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    const SimReport first = run_push_pull(options_of_seed(seed));
    const SimReport second = run_push_pull(options_of_seed(seed));

    CHECK(first.trace_hash == second.trace_hash);
    CHECK(first.events == second.events);
    CHECK(first.counts.processed == second.counts.processed);
  }
}
