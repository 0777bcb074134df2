// In which order the nodes of a run drain. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <weft/topology/plan.hpp>

namespace weft::launch {

/// Of the node names that are still alive, those that drain next: nobody alive sends to them, but for those
/// that they send to themselves (a cycle drains together). Never empty when `alive` is not.
std::set<std::string> next_to_drain(const std::vector<topology::LinkPlan>& links,
                                    const std::set<std::string>& alive);

}  // namespace weft::launch
