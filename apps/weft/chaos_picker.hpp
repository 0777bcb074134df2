// Which nodes of a run are killed or stopped, one after the other.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <weft/topology/plan.hpp>

namespace weft::cli {

/// The nodes that `names` mean ("worker" all its replicas, "worker/2" one), in the order of the plan. Throws
/// Error{invalid_argument} for a name that the plan does not have.
std::vector<topology::NodeId> nodes_named(const topology::Plan& plan, const std::vector<std::string>& names,
                                          const std::string& option);

/// Picks one of some nodes at a time, at random or in turn; the same seed picks the same.
class Picker {
 public:
  Picker(std::vector<topology::NodeId> nodes, bool in_turn, std::uint64_t seed)
      : nodes_(std::move(nodes)), in_turn_(in_turn), engine_(seed) {}
  [[nodiscard]] const std::vector<topology::NodeId>& nodes() const { return nodes_; }
  /// The next one for which `usable` is true; nullopt when there is none.
  template <class Usable>
  std::optional<topology::NodeId> pick(const Usable& usable) {
    if (nodes_.empty()) return std::nullopt;
    const std::size_t start = in_turn_ ? next_ : static_cast<std::size_t>(engine_() % nodes_.size());
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const std::size_t at = (start + i) % nodes_.size();
      if (!usable(nodes_[at])) continue;
      next_ = at + 1;
      return nodes_[at];
    }
    return std::nullopt;
  }

 private:
  std::vector<topology::NodeId> nodes_;
  bool in_turn_;
  std::size_t next_ = 0;
  std::mt19937_64 engine_;
};

}  // namespace weft::cli
