// How often the simulator finds what a planted bug does.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace weft::sim {

/// How many of the seeds show it with the bug; without the bug, none does.
struct Found {
  unsigned with = 0, without = 0;
};

/// `run` makes a report of the options. `words` are a part of the problem's sentence.
template <class Options, class Bug, class Run>
Found find_planted(Options options, Bug bug, std::string_view words, const Run& run,
                   std::uint64_t seeds = 40) {
  Found out;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    options.seed = seed;
    options.bug = bug;
    const auto report = run(options);
    out.with += std::any_of(report.problems.begin(), report.problems.end(), [&](const auto& problem) {
      return problem.find(words) != std::string_view::npos;
    });
    options.bug = Bug::none;
    out.without += run(options).ok() ? 0 : 1;
  }
  return out;
}

#ifdef WEFT_TEST_SANITIZED
inline constexpr bool kSlow = true;
#else
inline constexpr bool kSlow = false;
#endif

}  // namespace weft::sim
