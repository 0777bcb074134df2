// weft down: ends a run in order.
#include <cstdio>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "runs.hpp"
#include "verbs.hpp"

namespace weft::cli {

int run_verb(const Down& down) {
  const launch::RunInfo run = pick_run(down.run);
  if (!run.live) {
    std::printf("%s is over already\n", run.id.c_str());
    return kOk;
  }
  if (!launch::stop_run(run, Deadline::after(down.for_))) {
    throw Error(Errc::timed_out,
                format("{} still lives after {}; a second weft down, or kill {}, ends it at once", run.id,
                       format_duration(down.for_), run.pid));
  }
  std::printf("%s is down\n", run.id.c_str());
  return kOk;
}

}  // namespace weft::cli
