// Uses the installed package as a stranger would: no header and no library of the source tree.
#include <cstdio>
#include <exception>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/topology/topology.hpp>

namespace {

constexpr const char* kTopology = R"(
weft: 1
name: two
nodes:
  source: {run: weft-source, lifetime: finite}
  sink: {run: weft-sink}
links:
  - {from: source.out, to: sink.in, pattern: push-pull}
)";

}  // namespace

int main() {
  try {
    const auto plan = weft::topology::load_text(kTopology, "two.yaml");
    std::puts(weft::topology::draw(plan, weft::topology::GraphFormat::ascii).c_str());

    weft::topology::load_text("weft: 1\nnmae: two\n", "two.yaml");
  } catch (const weft::topology::InvalidTopology& refused) {
    weft::Value first;
    first["problem"] = refused.problems().front().text();
    std::puts(weft::to_json(first).c_str());
    return 0;
  } catch (const std::exception& error) {
    std::puts(weft::format("unexpected: {}", error.what()).c_str());
  }
  return 1;
}
