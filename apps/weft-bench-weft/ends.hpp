// The Weft ends of the benchmarks, as a user would write them.
#pragma once

#include <string>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/core/time.hpp>
#include <weft/core/units.hpp>
#include <weft/transport/context.hpp>

#include "../bench/work.hpp"

namespace weft::bench_ends {

using ::bench::Figures;
using ::bench::Roles;
using ::bench::Say;
using ::bench::Work;

// Each adds the roles of one file. The context outlives them.
void add_push_pull(Roles& roles, Context& context);
void add_requests(Roles& roles, Context& context);
void add_pub_sub(Roles& roles, Context& context);
void add_parameters(Roles& roles, Context& context);

/// The options that every port of a benchmark has: the place for what a transport needs of its ports.
PortOptions port(const Work& work, const char* name);
PortOptions bound_port(const Work& work, const char* name);
PortOptions connected_port(const Work& work, const char* name);

inline Deadline patience() {
  return Deadline::after(::bench::kPatience);
}
/// Of waits that end with the work itself.
inline Deadline long_patience() {
  return Deadline::after(std::chrono::minutes(5));
}

/// Runs the loop until `more` says that nothing is missing; throws `sentence` when it stays the same for too
/// long.
void run_to(Loop& loop, const std::uint64_t& got, std::uint64_t wanted, const char* sentence);
/// Says goodbye, and waits until the other ends have heard it.
void drain(Loop& loop, Block& block);

}  // namespace weft::bench_ends
