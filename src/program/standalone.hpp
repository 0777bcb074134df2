// The plan of a node that is started by hand, from its command line. Private.
#pragma once

#include <weft/topology/plan.hpp>

#include "program/command_line.hpp"

namespace weft::program {

/// Throws Error{invalid_argument} that names the argument.
topology::NodePlan plan_by_hand(const Arguments& arguments, const About& about);

}  // namespace weft::program
