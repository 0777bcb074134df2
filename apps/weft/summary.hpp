// How a run ended, for people.
#pragma once

#include <weft/launch/report.hpp>

namespace weft::cli {

/// Tables of nodes, links and results on standard output; why it failed on standard error.
void print_summary(const launch::RunReport& report);

}  // namespace weft::cli
