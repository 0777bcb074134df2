#include <set>

#include <doctest/doctest.h>

#include <weft/ps/sequence_window.hpp>

#include "ps/random.hpp"

using weft::ps::Random;
using weft::ps::SequenceWindow;

TEST_CASE("the window remembers like a set, within its size, however far numbers jump") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    SequenceWindow window;
    std::set<std::uint64_t> marked{0};
    for (int step = 0; step < 3000; ++step) {
      const std::uint64_t highest = *marked.rbegin();
      const std::uint64_t low = highest > 1100 ? highest - 1100 : 0;
      const std::uint64_t jump = random.below(200) == 0 ? 3000 : 60;
      const std::uint64_t seq = low + random.below(highest - low + jump);
      const bool too_old = seq + SequenceWindow::kSize <= highest;

      REQUIRE(window.seen(seq) == (too_old || marked.contains(seq)));

      if (!window.seen(seq)) {
        window.mark(seq);
        marked.insert(seq);
      }
    }
  }
}
