// What the topology tests share.
#pragma once

#include <string>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/topology/topology.hpp>

namespace weft::topology::test {

/// "line:column: message" of each problem.
inline std::vector<std::string> problems_of(const std::string& text, const LoadOptions& options = {}) {
  std::vector<std::string> out;
  try {
    load_text(text, "t.yaml", options);
  } catch (const InvalidTopology& invalid) {
    for (const Problem& problem : invalid.problems()) {
      const std::string shown = problem.text();
      out.push_back(shown.starts_with("t.yaml:") ? shown.substr(7) : shown);
    }
  }
  return out;
}

inline Plan plan_of(const std::string& text) {
  return load_text(text, "t.yaml");
}

/// The end of `node` at `port`; throws where there is none.
inline const EndPlan& end_of(const Plan& plan, const std::string& node, const std::string& port) {
  for (const NodePlan& one : plan.nodes) {
    if (one.id.text() != node) continue;
    for (const EndPlan& end : one.ends) {
      if (end.port == port) return end;
    }
  }
  throw Error(Errc::not_found, node + "." + port);
}

/// The problems joined by lines: for checks that expect exactly one.
inline std::string problem_of(const std::string& text, const LoadOptions& options = {}) {
  std::string out;
  for (const std::string& problem : problems_of(text, options)) out += (out.empty() ? "" : "\n") + problem;
  return out;
}

/// A file with two nodes and one link, to which `link` adds keys (", bind: to") and `node` adds keys of the
/// source.
inline std::string two_nodes(const std::string& link = ", pattern: push-pull", const std::string& node = "",
                             const std::string& rest = "") {
  return "weft: 1\nname: t\nnodes:\n  a: {run: weft-source" + node +
         "}\n  b: {run: weft-sink}\nlinks:\n  - {from: a.out, to: b.in" + link + "}\n" + rest;
}

}  // namespace weft::topology::test
