// weft ps: the runs of this user.
#include <cstdio>
#include <filesystem>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>

#include "runs.hpp"
#include "table.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

struct Nodes {
  std::size_t running = 0;
  std::size_t all = 0;
  std::size_t hanging = 0;
};

Nodes count_nodes(const Value& state) {
  Nodes nodes;
  if (!state.get("nodes").is_list()) return nodes;
  for (const Value& node : state.get("nodes").as_list()) {
    ++nodes.all;
    const Value& now = node.get("state");
    if (now == Value("hanging")) ++nodes.hanging;
    if (now == Value("ready") || now == Value("running") || now == Value("draining")) ++nodes.running;
  }
  return nodes;
}

std::string state_of(const launch::RunInfo& run) {
  if (run.live) return run.state.get("state").is_string() ? run.state.get("state").as_string() : "starting";
  const Value& ok = run.state.get("ok");
  if (ok.is_bool() && !ok.as_bool() && run.state.get("signal").is_int()) return "interrupted";
  if (ok.is_bool()) return ok.as_bool() ? "done" : "failed";
  return run.state.get("state") == Value("over") ? "over" : "died";
}

// Two checkouts have files of the same name: as seen from here, or as a whole path.
std::string file_of(const launch::RunInfo& run) {
  const std::string file = humane(run.state.get("file"));
  const Value& started = run.state.get("working_directory");
  std::error_code error;
  if (!started.is_string() || started.as_string() == std::filesystem::current_path(error).string())
    return file;
  return (std::filesystem::path(started.as_string()) / file).lexically_normal().string();
}

Value to_value(const launch::RunInfo& run) {
  const Nodes nodes = count_nodes(run.state);
  Value out = Value::map();
  out["run"] = run.id;
  out["state"] = state_of(run);
  out["live"] = run.live;
  out["pid"] = run.pid;
  out["seconds"] = run.state.get("seconds");
  out["running"] = nodes.running;
  out["nodes"] = nodes.all;
  out["file"] = run.state.get("file");
  out["working_directory"] = run.state.get("working_directory");
  if (nodes.hanging != 0) out["hanging"] = nodes.hanging;
  out["directory"] = run.directory;
  return out;
}

}  // namespace

int run_verb(const Ps& ps) {
  Table table({"run", "state", ">seconds", ">nodes", ">pid", "file"});
  Value list = Value::list();
  for (const launch::RunInfo& run : launch::list_runs(base_folder())) {
    if (!run.live && !ps.all) continue;
    list.push_back(to_value(run));
    const Nodes nodes = count_nodes(run.state);
    const Value& seconds = run.state.get("seconds");
    const std::string state =
        state_of(run) + (nodes.hanging == 0 ? "" : format(", {} hanging", nodes.hanging));
    table.add({run.id, state, seconds.is_number() ? format("{:.0f}", seconds.as_double()) : "-",
               format("{}/{}", nodes.running, nodes.all), run.live ? format("{}", run.pid) : "-",
               file_of(run)});
  }
  if (ps.json) {
    Value out = Value::map();
    out["runs"] = std::move(list);
    std::printf("%s\n", to_json(out).c_str());
  } else if (table.empty()) {
    std::printf("no runs are live in %s%s\n", base_folder().c_str(),
                ps.all ? "" : " (--all shows those that are over)");
  } else {
    std::printf("%s", table.text("").c_str());
  }
  return kOk;
}

}  // namespace weft::cli
