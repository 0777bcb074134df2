#include "runs.hpp"

#include <charconv>
#include <cstdlib>
#include <set>

#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::cli {
namespace {

// "name/3" -> name and number.
void split_replica(const std::string& text, std::string& name, int& replica) {
  const std::size_t slash = text.find('/');
  name = text.substr(0, slash);
  if (slash == std::string::npos) return;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data() + slash + 1, end, replica);
  if (error != std::errc() || at != end || replica < 0) {
    throw Error(
        Errc::invalid_argument,
        format("{}: expected a replica number behind the \"/\", like worker/2.updates", weft::quoted(text)));
  }
}

// A beginning that fits several runs means the one that is live.
launch::RunInfo find_live_run(const std::string& id) {
  std::vector<launch::RunInfo> fits;
  for (launch::RunInfo& run : launch::list_runs(base_folder())) {
    if (run.live && run.id.starts_with(id)) fits.push_back(std::move(run));
  }
  return fits.size() == 1 ? std::move(fits.front()) : launch::find_run(base_folder(), id);
}

// A folder that does not exist, or that is another user's (sudo -E keeps the variable), is no place for runs:
// what this user makes there, its owner could not use any more.
bool is_ours(const char* folder) {
  struct stat found {};
  return ::stat(folder, &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == ::geteuid() &&
         ::access(folder, W_OK | X_OK) == 0;
}

// The ports that the links of a run's state name.
std::set<std::string> known_ports(const Value& state) {
  std::set<std::string> ports;
  if (!state.get("links").is_list()) return ports;
  for (const Value& link : state.get("links").as_list()) {
    for (const char* end : {"from", "to"}) {
      if (link.get(end).is_string()) ports.insert(link.get(end).as_string());
    }
  }
  return ports;
}

}  // namespace

launch::RunInfo pick_run(const std::string& id) {
  return find_live_run(id);
}

std::string base_folder(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* named = std::getenv("WEFT_RUN_DIR"); named && *named) return named;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime && *runtime && is_ours(runtime))
    return std::string(runtime) + "/weft";
  return format("/tmp/weft-{}", ::getuid());
}

std::vector<std::string> short_folders() {
  std::vector<std::string> folders;
  for (const char* variable : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
    if (const char* named = std::getenv(variable); named && *named) folders.emplace_back(named);
  }
  folders.emplace_back("/tmp");
  return folders;
}

Target find_target(const std::vector<std::string>& words) {
  const std::string& last = words.back();
  const std::size_t dot = last.rfind('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == last.size()) {
    throw Error(Errc::invalid_argument,
                format("{}: expected NODE.PORT, like sink.in or worker/2.updates", weft::quoted(last)));
  }
  Target target;
  split_replica(last.substr(0, dot), target.node, target.replica);
  target.port = last.substr(dot + 1);
  target.run = find_live_run(words.size() > 1 ? words.front() : "");
  if (!target.run.live) throw Error(Errc::not_found, format("the run {} is over", target.run.id));
  const auto ports = known_ports(target.run.state);
  const std::string wanted = target.node + "." + target.port;
  if (!ports.contains(wanted)) {
    throw Error(Errc::not_found, format("the run {} has no port {}; its ports are {}", target.run.id,
                                        weft::quoted(wanted), join_words({ports.begin(), ports.end()})));
  }
  return target;
}

}  // namespace weft::cli
