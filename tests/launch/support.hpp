// What the launcher's tests share: a folder for runs, topologies of this very program and of /bin/sh,
// reports.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/launch/launcher.hpp>
#include <weft/launch/run_directory.hpp>
#include <weft/topology/topology.hpp>

namespace weft::test {

using namespace std::chrono_literals;
using launch::Launcher;
using launch::LaunchOptions;
using launch::RunReport;

/// Long enough for a loaded machine: only a failing test ever waits for it.
inline Deadline soon() {
  return Deadline::after(30s);
}

/// A short folder under /tmp that goes with the object.
class Base {
 public:
  Base() {
    char name[] = "/tmp/wl-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Base() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Base(const Base&) = delete;
  Base& operator=(const Base&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Of a start limit that runs out: enough for a node that does speak.
#ifdef WEFT_TEST_SANITIZED
constexpr const char* kTimeToStart = "10s";
#else
constexpr const char* kTimeToStart = "2s";
#endif

/// `nodes` and `links` as YAML flow, with `limits: {start: 30s, drain: 10s}` unless given.
inline topology::Plan plan_of(const std::string& nodes, const std::string& links,
                              const std::string& limits = "{start: 30s, drain: 10s}") {
  return topology::load_text(
      "weft: 1\nname: test\nnodes:\n" + nodes + "links:\n" + links + "limits: " + limits + "\n", "test.yaml");
}

/// "self" is this program, a node; everything else is a path.
inline launch::Program resolve(const topology::NodePlan& node) {
  if (node.program != "self") return {.path = node.program, .describes = false};
  return {.path = std::filesystem::read_symlink("/proc/self/exe").string(), .describes = true};
}

/// Options with everything that was said kept in the object.
struct Watched {
  Base base;
  std::vector<std::string> lines, states, events;

  LaunchOptions options() {
    // No run outlives its test.
    LaunchOptions out{.base = base.path(), .resolve = resolve, .run_for = 30s};
    out.on_line = [this](const topology::NodeId& id, bool errors, std::string_view line) {
      lines.push_back(format("{}{} {}", id.text(), errors ? "!" : ":", line));
    };
    out.on_state = [this](const topology::NodeId& id, std::string_view state, std::string_view) {
      states.push_back(format("{} {}", id.text(), state));
    };
    out.on_event = [this](std::string_view sentence) { events.emplace_back(sentence); };
    return out;
  }
  [[nodiscard]] static std::ptrdiff_t place(const std::vector<std::string>& in, const std::string& what) {
    return std::find(in.begin(), in.end(), what) - in.begin();
  }
  [[nodiscard]] static bool has(const std::vector<std::string>& in, const std::string& what) {
    return place(in, what) != static_cast<std::ptrdiff_t>(in.size());
  }
};

inline RunReport launch_and_wait(const topology::Plan& plan, LaunchOptions options) {
  Loop loop;
  Launcher launcher(loop, plan, std::move(options));
  return launcher.run();
}

inline const launch::NodeReport& node_of(const RunReport& report, std::string_view name) {
  for (const auto& node : report.nodes) {
    if (node.id.text() == name) return node;
  }
  throw Error(Errc::not_found, "no such node");
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace weft::test
