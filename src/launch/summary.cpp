// What a run was, or is: the report, and the state that others read from disk.
#include <algorithm>
#include <csignal>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

std::string name_of(int signal) {
  return signal == SIGINT    ? "SIGINT"
         : signal == SIGHUP  ? "SIGHUP"
         : signal == SIGTERM ? "SIGTERM"
                             : "a signal";
}

/// What one port counted of one incarnation, or of several.
class Counts {
 public:
  Counts(const Value& counts, std::string_view port) : port_(counts.get(port)) {}
  [[nodiscard]] std::uint64_t operator[](std::string_view name) const { return count_of(port_.get(name)); }
  [[nodiscard]] std::uint64_t refused() const {
    return (*this)["rejected_messages"] + (*this)["rejected_connections"] + (*this)["rejected_peers"];
  }
  /// Records and bodies that no second try would make any better.
  [[nodiscard]] std::uint64_t unfit() const {
    using wire::Rejection;
    std::uint64_t sum = 0;
    for (const Rejection why : {Rejection::wrong_type, Rejection::too_deep, Rejection::too_large})
      sum += count_of(port_.get("rejections").get(wire::to_string(why)));
    return std::min(sum, (*this)["rejected_records"]);
  }
  [[nodiscard]] std::uint64_t held() const {
    return (*this)["queued_records"] + (*this)["outstanding_records"];
  }

 private:
  const Value& port_;
};

void add_sender(LinkReport& report, const Counts& counts) {
  report.accepted += counts["accepted_records"] + counts["resumed_records"];
  report.resumed += counts["resumed_records"];
  report.sent += counts["sent_records"];
  report.dropped += counts["dropped_records"];
  report.lost += counts["lost_records"];
  report.rejected += counts.refused();
  report.failed += counts["failed_requests"];
  report.timed_out += counts["timed_out_requests"];
  report.processed += counts["processed_records"];
  report.redelivered += counts["redelivered_records"];
  report.retransmitted += counts["retransmitted_batches"];
  report.expired += counts["expired_records"];
  report.dead_lettered += counts["dead_lettered_records"];
  report.untaken += counts["untaken_records"];
  report.reconnects += counts["returns"];
}

void add_receiver(LinkReport& report, const Counts& counts) {
  report.received += counts["received_records"];
  report.missed += counts["missed_batches"];
  report.duplicates += counts["duplicate_batches"];
  report.unfit += counts.unfit();
  report.rejected += counts.refused();
  report.reconnects += counts["returns"];
}

/// What an earlier life of the sender still held goes on with the next one where a journal had it, and is
/// gone with it where none had.
void add_earlier_held(LinkReport& report, std::uint64_t held, bool journaled) {
  if (!journaled) {
    report.lost += held;
    return;
  }
  report.accepted -= std::min(report.accepted, held);
  report.resumed -= std::min(report.resumed, held);
}

/// Plain sockets tell a sender nothing: what arrived is all that is known.
void count_native(LinkReport& report) {
  report.processed = std::min(report.received, report.sent);
  report.left = report.accepted - std::min(report.accepted, report.processed + report.dropped + report.lost);
}

bool journaled(const topology::NodePlan& node, const topology::LinkPlan& link) {
  return std::ranges::any_of(
      node.ends, [&](const auto& end) { return end.link == link.id && end.sender && !end.journal.empty(); });
}

}  // namespace

RunReport Launcher::Impl::report() const {
  RunReport out{};
  out.run = id;
  out.topology = plan.name;
  out.directory = directory->path();
  out.ready = go;
  out.reason = reason;
  if (interrupted != 0) out.interrupted = name_of(interrupted);
  // What went wrong besides says more.
  if (interrupted != 0 && reason.empty()) {
    out.signal = interrupted;
    out.reason = format("interrupted by {} before {}", out.interrupted, cut_short);
  }
  out.seconds = std::chrono::duration<double>((over ? ended : Clock::now()) - began).count();
  out.ok = over && reason.empty() && interrupted == 0 &&
           std::ranges::all_of(nodes, [](const auto& node) { return node->ok; });
  for (const auto& node : nodes) {
    NodeReport n{};
    n.id = node->plan->id;
    n.state = node->state;
    const bool has_ended = node->life == Managed::Life::ended;
    if (has_ended && node->ending.exit_code >= 0) n.exit_code = node->ending.exit_code;
    n.signal = node->ending.signal;
    n.restarts = node->restarts;
    n.cpu_seconds = node->cpu_seconds;
    n.peak_memory_bytes = node->peak_memory;
    n.reason = node->reason;
    n.lost_log_lines = node->log ? node->log->lost().lines : 0;
    n.hangs = node->hangs_in_all;
    n.result = node->result;
    if (has_ended && !node->ok) n.last_lines.assign(node->last_lines.begin(), node->last_lines.end());
    if (!node->result.is_null()) out.result[n.id.text()] = node->result;
    out.nodes.push_back(std::move(n));
  }
  out.links = links();
  return out;
}

std::vector<LinkReport> Launcher::Impl::links() const {
  std::vector<LinkReport> out;
  for (const auto& link : plan.links) out.push_back(link_report(link));
  return out;
}

LinkReport Launcher::Impl::link_report(const topology::LinkPlan& link) const {
  LinkReport report{};
  report.id = link.id;
  report.from = link.from_node + "." + link.from_port;
  report.to = link.to_node + "." + link.to_port;
  report.pattern = link.pattern;
  report.delivery = link.delivery;
  std::uint64_t rejected_there = 0;
  for (const auto& node : nodes) {
    const bool sends = node->plan->id.name == link.from_node;
    const bool takes = node->plan->id.name == link.to_node;
    if (!sends && !takes) continue;
    note_inexact(report, *node, sends ? link.from_port : link.to_port);
    if (sends) {
      const Counts now(node->counts, link.from_port), before(node->earlier_counts, link.from_port);
      add_sender(report, now);
      add_sender(report, before);
      report.left += now.held();
      report.rejected_records += now["rejected_records"] + before["rejected_records"];
      add_earlier_held(report, before.held(), journaled(*node->plan, link));
    }
    if (takes) {
      const Counts now(node->counts, link.to_port), before(node->earlier_counts, link.to_port);
      add_receiver(report, now);
      add_receiver(report, before);
      rejected_there += now["rejected_records"] + before["rejected_records"];
    }
  }
  report.shared = std::ranges::count_if(plan.links, [&](const auto& other) {
                    return (other.from_node == link.from_node && other.from_port == link.from_port) ||
                           (other.to_node == link.to_node && other.to_port == link.to_port);
                  }) > 1;
  const bool told = link.pattern == topology::Pattern::push_pull && link.wire != topology::WireMode::native &&
                    link.delivery == topology::Delivery::best_effort;
  if (!told) report.rejected_records = rejected_there;
  if (link.wire == topology::WireMode::native) count_native(report);
  const bool acknowledged = link.delivery != topology::Delivery::best_effort;
  if (link.pattern == topology::Pattern::pub_sub && !acknowledged) report.left = 0;
  if (acknowledged) report.retained = report.left;
  return report;
}

/// Why the counts of the two ends need not agree.
void Launcher::Impl::note_inexact(LinkReport& report, const Managed& node, const std::string& port) {
  const std::string name = node.plan->id.text();
  const auto add = [&](std::string why) {
    report.exact = false;
    report.inexact.push_back(std::move(why));
  };
  if (!node.program.describes) return add(format("{} counts nothing", name));
  if (node.unfinished != 0) {
    add(format("{} ended {}without a last report: its counts are as of the one before", name,
               node.unfinished == 1 ? "once " : format("{} times ", node.unfinished)));
  }
  const bool guests = node.had_guests || Counts(node.counts, port)["guests"] != 0 ||
                      Counts(node.earlier_counts, port)["guests"] != 0;
  if (guests) add(format("others than the topology names took part at {}", name));
  // Said of what is still to be told, too.
  if (node.life == Managed::Life::ended && !node.last_word && node.unfinished == 0) report.exact = false;
}

std::uint64_t Launcher::Impl::missed_at(const Managed& node, const std::string& port) {
  return Counts(node.counts, port)["missed_batches"] + Counts(node.earlier_counts, port)["missed_batches"];
}

Value Launcher::Impl::state() const {
  Value out = to_value(report());
  out["file"] = plan.file;
  out["pid"] = static_cast<std::int64_t>(getpid());
  out["started"] = began_at;
  std::uint64_t rejected = 0;
  for (const auto& opened : control) rejected += opened->stats().rejected_messages;
  out["working_directory"] = working_directory;
  out["control_rejected"] = bad_requests + rejected;
  out["state"] = over ? "over" : draining ? "draining" : go ? "running" : "starting";
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Managed& node = *nodes[i];
    Value& v = out["nodes"].as_list()[i];
    v["pid"] = node.process ? Value(static_cast<std::int64_t>(node.process->pid())) : Value();
    if (!node.progress.is_null()) v["progress"] = node.progress;
    v["missing"] = node.missing;
    if (node.hangs) v["state"] = "hanging";
    v["ports"] = node.counts;
    Value& endpoints = v["endpoints"] = Value::map();
    for (const auto& [link, address] : node.endpoints) endpoints[link] = address;
    Value& ends = v["ends"] = Value::list();
    for (const auto& end : node.plan->ends) {
      Value e;
      e["port"] = end.port;
      e["link"] = end.link;
      e["sender"] = end.sender;
      e["binds"] = end.binds;
      if (const auto at = node.endpoints.find(end.link); at != node.endpoints.end())
        e["endpoint"] = at->second;
      for (const auto& link : plan.links) {
        if (link.id != end.link) continue;
        e["pattern"] = to_string(link.pattern);
        e["prefetch"] = link.prefetch_bytes;
        e["delivery"] = topology::to_string(link.delivery);
      }
      ends.push_back(std::move(e));
    }
  }
  return out;
}

}  // namespace weft::launch
