// What every block does with its options before it begins.
#pragma once

#include <weft/blocks/options.hpp>

namespace weft::blocks {

/// Checks the options and fills in a node name that is unique on this machine.
void fill_defaults(PortOptions& options);

}  // namespace weft::blocks
