#include "launch/stages.hpp"

#include <algorithm>

namespace weft::launch {

std::set<std::string> next_to_drain(const std::vector<topology::LinkPlan>& links,
                                    const std::set<std::string>& alive) {
  std::map<std::string, std::set<std::string>> reaches;
  for (const std::string& name : alive) {
    std::vector<std::string> open{name};
    while (!open.empty()) {
      const std::string at = std::move(open.back());
      open.pop_back();
      for (const auto& link : links) {
        if (link.from_node != at || !alive.contains(link.to_node)) continue;
        if (reaches[name].insert(link.to_node).second) open.push_back(link.to_node);
      }
    }
  }
  std::set<std::string> next;
  for (const std::string& name : alive) {
    const bool fed_by_others = std::ranges::any_of(alive, [&](const auto& other) {
      return reaches[other].contains(name) && !reaches[name].contains(other);
    });
    if (!fed_by_others) next.insert(name);
  }
  return next;
}

}  // namespace weft::launch
