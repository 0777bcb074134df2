// ChaosLedger: has the sources and sinks of a run write down what they send and take, and counts it
// afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <weft/sim/ledger.hpp>
#include <weft/topology/plan.hpp>

namespace weft::cli {

/// Counts the records of weft-source generators until they are in a weft-sink, over whatever lies between
/// them.
class ChaosLedger {
 public:
  /// Tells the nodes of `plan` to keep ledgers in `folder`, and sources to resume. `program_of` names what a
  /// node's program says that it is.
  ChaosLedger(topology::Plan& plan, std::string folder,
              const std::function<std::string(const topology::NodePlan&)>& program_of);

  /// Why some nodes are not counted, a sentence each.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// True when there is a source and a sink to count.
  [[nodiscard]] bool counts() const { return !sources_.empty() && !sinks_.empty(); }
  /// The weakest promise of the plan's links.
  [[nodiscard]] static Delivery promise(const topology::Plan& plan);
  void make_folder() const;
  /// Reads what was written down. Throws Error{io}.
  void fill(sim::Ledger& ledger) const;
  void remove_folder() const;

 private:
  struct SourceNode {
    std::string name;
    unsigned replicas = 1;
    std::uint64_t first = 0;  // number of its replica 0 among all sources
  };
  void add_source(topology::NodePlan& node);
  void add_sink(topology::NodePlan& node);
  [[nodiscard]] sim::RecordId id_of(std::uint64_t number) const;

  std::string folder_;
  std::vector<SourceNode> sources_;
  std::vector<topology::NodeId> sinks_;
  std::vector<std::string> notes_;
};

}  // namespace weft::cli
