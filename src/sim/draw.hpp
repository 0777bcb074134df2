// What all kinds of links draw from a seed, and how their options are checked.
#pragma once

#include <string>

#include <weft/core/error.hpp>
#include <weft/sim/faults.hpp>
#include <weft/sim/random.hpp>

namespace weft::sim {

/// Faults of every mixture.
Faults draw_faults(Random& random);
/// The same for runs whose processes are stopped at named moments: mostly nothing else breaks.
Faults calm_faults(Faults faults, Random& random);

/// Throws Error{invalid_argument} where it does not hold.
inline void require(bool holds, const std::string& sentence) {
  if (!holds) throw Error(Errc::invalid_argument, sentence);
}

}  // namespace weft::sim
