// weft graph: a picture of the topology.
#include <cstdio>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/topology/topology.hpp>

#include "command.hpp"
#include "programs.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr Duration kDrawTime = std::chrono::seconds(30);
constexpr std::size_t kMostSvg = 64UL << 20;

std::string svg(const std::string& dot) {
  const CommandResult drawn = run_command({"dot", "-Tsvg"}, dot, kMostSvg, Deadline::after(kDrawTime));
  if (!drawn.started) {
    throw Error(Errc::unsupported,
                "--format svg needs the program \"dot\", which is not on PATH: install graphviz, or take "
                "--format dot");
  }
  if (drawn.timed_out || drawn.too_long || drawn.status != 0) {
    throw Error(Errc::io, format("\"dot\" could not draw the graph{}: {}", drawn.timed_out ? " in time" : "",
                                 drawn.errors.empty() ? format("exit code {}", drawn.status) : drawn.errors));
  }
  return drawn.out;
}

}  // namespace

int run_verb(const Graph& graph) {
  Catalog catalog;
  const topology::Plan plan =
      topology::load(graph.source.file, {.sets = graph.source.sets, .describe = catalog.describer()});
  std::string text;
  if (graph.format == "svg") {
    text = svg(topology::draw(plan, topology::GraphFormat::dot));
  } else if (graph.format == "dot") {
    text = topology::draw(plan, topology::GraphFormat::dot);
  } else if (graph.format == "ascii") {
    text = topology::draw(plan, topology::GraphFormat::ascii);
  } else {
    text = topology::draw(plan, topology::GraphFormat::mermaid);
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kOk;
}

}  // namespace weft::cli
