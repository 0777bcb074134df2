#include "chaos_picker.hpp"

#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::cli {

std::vector<topology::NodeId> nodes_named(const topology::Plan& plan, const std::vector<std::string>& names,
                                          const std::string& option) {
  std::vector<std::string> known;
  for (const topology::NodePlan& node : plan.nodes) {
    if (known.empty() || known.back() != node.id.name) known.push_back(node.id.name);
  }
  std::vector<topology::NodeId> out;
  for (const std::string& name : names) {
    const std::size_t before = out.size();
    for (const topology::NodePlan& node : plan.nodes) {
      const bool meant = node.id.name == name || node.id.text() == name;
      if (meant && std::ranges::find(out, node.id) == out.end()) out.push_back(node.id);
    }
    const auto has_name = [&](const topology::NodeId& id) { return id.name == name || id.text() == name; };
    if (out.size() != before || std::ranges::any_of(out, has_name)) continue;
    const auto near = nearest(name, known);
    throw Error(Errc::invalid_argument,
                format("{} {}: {} has no such node; {}", option, weft::quoted(name), plan.file,
                       near ? format("did you mean {}?", weft::quoted(*near))
                            : "its nodes are " + join_words(known)));
  }
  return out;
}

}  // namespace weft::cli
