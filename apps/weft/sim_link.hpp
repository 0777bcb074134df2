// SimulatedLink: one run of the simulator, as `weft sim` shows it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <weft/core/value.hpp>
#include <weft/sim/pauses.hpp>
#include <weft/sim/report.hpp>
#include <weft/topology/topology.hpp>

#include "cli.hpp"

namespace weft::cli {

struct SimulatedLink {
  std::string promise;             ///< "at-least-once, balance"
  std::uint32_t from = 0, to = 0;  ///< processes of its ends
  sim::RunReport report;
  std::vector<std::pair<std::string, std::uint64_t>> rows;  ///< for people
  Value numbers;                                            ///< for programs
};

/// Why a link is not simulated; empty: it is.
std::string left_out(const topology::LinkPlan& link);
/// Only of one that is not left out.
SimulatedLink simulate_link(const topology::LinkPlan& link, const Sim& sim);
/// Calls it with each seed that is to be played, in their order.
void for_each_seed(const Sim& sim, const std::function<void(std::uint64_t seed)>& play);
/// What a seed draws, with so many records.
SimulatedLink simulate_seed(std::uint64_t seed, std::uint64_t records);
/// What a seed draws for runs whose processes are stopped at named moments.
SimulatedLink simulate_paused(std::uint64_t seed, std::uint64_t records,
                              const std::vector<sim::Pause>& pauses);
/// Seeds, at every moment of each. Returns the exit code.
int simulate_pauses(const Sim& sim);
/// Of one of their runs.
std::uint64_t records_of_pauses(const Sim& sim);

}  // namespace weft::cli
