// Run directories: finding the runs of this user, looking at one, ending one. No launcher is needed for
// reading.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::launch {

struct RunInfo {
  std::string run, directory, topology, file;
  int pid = 0;               ///< of the launcher
  std::int64_t started = 0;  ///< seconds since 1970
  bool alive = false;        ///< its launcher lives (it holds the lock)
  Value state;               ///< state.json (Launcher::state()); null when there is none
  /// Where the launcher answers (docs/reference/cli.md, "control").
  [[nodiscard]] std::string control() const { return "ipc://" + directory + "/control"; }
  [[nodiscard]] std::string log_file(std::string_view name, unsigned replica) const;
};

/// All runs under `base`, the latest first. A folder that is no run is passed over. Empty when there is no
/// base.
std::vector<RunInfo> list_runs(const std::string& base);

/// The run with that name, or the only one that begins so; "" is the only living run. Throws Error{not_found}
/// that lists what there is.
RunInfo find_run(const std::string& base, std::string_view name);

/// Asks a living run to drain (`now`: to stop at once). False: it is over already. Throws Error{io}.
bool request_down(const RunInfo& run, bool now = false);

/// Removes the directories of runs that are over, but for the latest `keep`.
void prune_runs(const std::string& base, unsigned keep);

}  // namespace weft::launch
