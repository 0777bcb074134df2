#include "chaos_ledger.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <sys/stat.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/program/id_log.hpp>

namespace weft::cli {
namespace {

using program::IdLog;

constexpr mode_t kPrivate = 0700;

bool is_published(const topology::NodePlan& node) {
  return std::ranges::any_of(node.links,
                             [](const auto& link) { return link.pattern == topology::Pattern::pub_sub; });
}

}  // namespace

ChaosLedger::ChaosLedger(topology::Plan& plan, std::string folder,
                         const std::function<std::string(const topology::NodePlan&)>& program_of)
    : folder_(std::move(folder)) {
  for (topology::NodePlan& node : plan.nodes) {
    const std::string program = program_of(node);
    if (program == "weft-source") add_source(node);
    if (program == "weft-sink") add_sink(node);
  }
  if (!counts()) {
    notes_.emplace_back(
        "nothing is counted: that takes a weft-source with a generator and a weft-sink behind it");
  }
}

void ChaosLedger::add_source(topology::NodePlan& node) {
  if (!node.options.get("input").is_null()) {
    notes_.push_back(
        format("{} is not counted: only the records of a generator are numbered", node.id.text()));
    return;
  }
  if (sources_.empty() || sources_.back().name != node.id.name) {
    const std::uint64_t first = sources_.empty() ? 0 : sources_.back().first + sources_.back().replicas;
    sources_.push_back({.name = node.id.name, .replicas = node.replicas, .first = first});
  }
  node.options["ledger"] = folder_;
  node.options["resume"] = true;
  node.options["generator"]["source"] = sources_.size() - 1;
}

void ChaosLedger::add_sink(topology::NodePlan& node) {
  if (is_published(node)) {
    notes_.push_back(
        format("{} is not counted: what is published is meant for every subscriber", node.id.text()));
    return;
  }
  node.options["ledger"] = folder_;
  if (node.options.get("check-field").is_null()) node.options["check-field"] = "n";
  sinks_.push_back(node.id);
}

Delivery ChaosLedger::promise(const topology::Plan& plan) {
  Delivery weakest = Delivery::exactly_once;
  for (const topology::LinkPlan& link : plan.links) weakest = std::min(weakest, link.delivery);
  return weakest;
}

void ChaosLedger::make_folder() const {
  if (::mkdir(folder_.c_str(), kPrivate) == 0) return;
  throw Error(Errc::io, format("cannot make the folder {}: {}", folder_, std::strerror(errno)));
}

void ChaosLedger::remove_folder() const {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

// The replicas of a node share its numbers out among them, one each in turn.
sim::RecordId ChaosLedger::id_of(std::uint64_t number) const {
  const std::uint64_t source = sim::source_of(number);
  if (source >= sources_.size()) return number | std::uint64_t{1} << 63;  // of nobody here
  const SourceNode& node = sources_[source];
  const std::uint64_t n = sim::number_of(number);
  return sim::record_id(node.first + n % node.replicas, n / node.replicas);
}

void ChaosLedger::fill(sim::Ledger& ledger) const {
  for (const SourceNode& source : sources_) {
    for (unsigned replica = 0; replica < source.replicas; ++replica) {
      const topology::NodeId node{source.name, replica};
      for (const IdLog::Entry& entry : IdLog::read(IdLog::file(folder_, node.text(), "sent"))) {
        ledger.attempted(id_of(entry.id));
        if (entry.marked) ledger.accepted(id_of(entry.id));
      }
    }
  }
  std::uint64_t key = 0;
  for (const topology::NodeId& sink : sinks_) {
    const std::string where = sink.text();
    for (const IdLog::Entry& entry : IdLog::read(IdLog::file(folder_, where, "taken"))) {
      const sim::RecordId id = id_of(entry.id);
      if (entry.marked) ledger.redelivered(id);
      ledger.processed(id, where, key);
    }
    ++key;
  }
}

}  // namespace weft::cli
