// weft down: ends a run in order.
#include <cstdio>
#include <filesystem>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "runs.hpp"
#include "table.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

/// It ended early and in order, with nothing else to be said against it.
bool was_cut_short(const Value& state) {
  if (!state.get("signal").is_int() || !state.get("nodes").is_list()) return false;
  for (const Value& node : state.get("nodes").as_list()) {
    if (node.get("state") != Value("stopped")) return false;
  }
  return true;
}

}  // namespace

namespace {

// The only live run may be of another checkout: to end that one, it has to be named.
void check_is_meant(const launch::RunInfo& run) {
  const Value& started = run.state.get("working_directory");
  std::error_code error;
  const std::string here = std::filesystem::current_path(error).string();
  if (error || !started.is_string() || started.as_string().empty() || started.as_string() == here) return;
  throw Error(Errc::not_found,
              format("no run was started in {}; the only live one is {}, started in {}: to end it, "
                     "say weft down {}",
                     here, run.id, started.as_string(), run.id));
}

}  // namespace

int run_verb(const Down& down) {
  const launch::RunInfo run = pick_run(down.run);
  if (down.run.empty()) check_is_meant(run);
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
  // A detached run has nobody else to tell.
  const launch::RunInfo after = pick_run(run.id);
  const Table table = link_table(after.state.get("links"), 0);
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
  for (const std::string& note : link_notes(after.state.get("links"))) std::printf("%s\n", note.c_str());
  if (after.state.get("ok") == Value(true)) return kOk;
  const Value& reason = after.state.get("reason");
  if (was_cut_short(after.state)) {
    std::printf("\n%s was %s: that is what was asked for\n", run.id.c_str(), humane(reason).c_str());
    return kOk;
  }
  std::fprintf(stderr, "weft: %s failed: %s\n", run.id.c_str(),
               reason.is_string() ? reason.as_string().c_str() : "its launcher ended without a report");
  return kFailed;
}

}  // namespace weft::cli
