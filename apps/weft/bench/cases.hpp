// The benchmarks, each in a file of its own. Each runs its contestants on the stage and returns a report a
// case.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weft/core/value.hpp>

#include "pairs.hpp"
#include "stage.hpp"

namespace weft::cli::bench {

using Reports = std::vector<Value>;

Reports throughput(Stage& stage);
Reports latency(Stage& stage);
Reports requests(Stage& stage);
Reports pub_sub(Stage& stage);
Reports parameters(Stage& stage);
Reports journal(Stage& stage);

/// The rate over sizes from 16 B to 16 MiB.
Reports rate_over_size(Stage& stage);

/// Records a run when --count does not say: so many bytes in all, within bounds.
std::uint64_t count_for(const Bench& options, std::uint64_t bytes, std::uint64_t size, std::uint64_t least,
                        std::uint64_t most);

/// Key and value of an end's command line.
inline std::pair<std::string, std::string> set(const char* key, std::uint64_t value) {
  return {key, std::to_string(value)};
}

/// A report for people, on a line.
std::string to_line(const Value& report);

/// What `weft bench all` writes: a table in Markdown, and the plot of the reports of rate_over_size().
std::string to_table(const Reports& reports);
std::string to_plot(const Reports& reports);

}  // namespace weft::cli::bench
