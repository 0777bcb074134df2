// What a run was, or is: the report, and the state that others read from disk.
#include <algorithm>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

constexpr Duration kSoon = std::chrono::milliseconds(50);

std::uint64_t count(const Value& counts, std::string_view port, std::string_view name) {
  return count_of(counts.get(port).get(name));
}

/// Adds what one node counted at its end, or ends, of a link.
void add_port(LinkReport& report, std::uint64_t& wrong_type, const Value& counts,
              const topology::LinkPlan& link, bool sends, bool takes) {
  const auto refused = [&](std::string_view port) {
    return count(counts, port, "rejected_messages") + count(counts, port, "rejected_connections") +
           count(counts, port, "rejected_peers");
  };
  if (sends) {
    report.sent += count(counts, link.from_port, "sent_records");
    report.dropped += count(counts, link.from_port, "dropped_records");
    report.lost += count(counts, link.from_port, "lost_records");
    report.rejected += refused(link.from_port);
    report.processed += count(counts, link.from_port, "processed_records");
    report.redelivered += count(counts, link.from_port, "redelivered_records");
    report.retransmitted += count(counts, link.from_port, "retransmitted_batches");
    report.expired += count(counts, link.from_port, "expired_records");
    report.dead_lettered += count(counts, link.from_port, "dead_lettered_records");
    report.reconnects += count(counts, link.from_port, "returns");
  }
  if (takes) {
    report.received += count(counts, link.to_port, "received_records");
    report.missed += count(counts, link.to_port, "missed_batches");
    report.duplicates += count(counts, link.to_port, "duplicate_batches");
    report.rejected += refused(link.to_port);
    report.reconnects += count(counts, link.to_port, "returns");
    const auto why = wire::to_string(wire::Rejection::wrong_type);
    wrong_type += count_of(counts.get(link.to_port).get("rejections").get(why));
  }
}

}  // namespace

RunReport Launcher::Impl::report() const {
  RunReport out{};
  out.run = id;
  out.topology = plan.name;
  out.directory = directory.path();
  out.ready = go;
  out.reason = reason;
  out.seconds = std::chrono::duration<double>((over ? ended : Clock::now()) - began).count();
  out.ok = over && reason.empty() && std::ranges::all_of(nodes, [](const auto& node) { return node->ok; });
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
    n.lost_log_lines = node->log ? node->log->lost() : 0;
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
  const bool acknowledged = link.delivery != topology::Delivery::best_effort;
  std::uint64_t wrong_type = 0;
  for (const auto& node : nodes) {
    const bool sends = node->plan->id.name == link.from_node;
    const bool takes = node->plan->id.name == link.to_node;
    if (!sends && !takes) continue;
    // A program that describes nothing counts nothing.
    if (!node->exact || !node->program.describes) report.exact = false;
    if (node->life == Managed::Life::ended && !node->last_word) report.exact = false;
    // Of the present incarnation alone: an earlier one left nothing behind but its journal.
    if (sends && acknowledged) {
      report.retained += count(node->counts, link.from_port, "queued_records") +
                         count(node->counts, link.from_port, "outstanding_records");
    }
    for (const Value* counts : {&node->counts, &node->earlier_counts}) {
      add_port(report, wrong_type, *counts, link, sends, takes);
      if ((sends && count(*counts, link.from_port, "guests") != 0) ||
          (takes && count(*counts, link.to_port, "guests") != 0)) {
        report.exact = false;
      }
    }
  }
  report.shared = std::ranges::count_if(plan.links, [&](const auto& other) {
                    return (other.from_node == link.from_node && other.from_port == link.from_port) ||
                           (other.to_node == link.to_node && other.to_port == link.to_port);
                  }) > 1;
  if (acknowledged) {
    report.left = report.retained;
  } else if (link.pattern != topology::Pattern::pub_sub && !report.shared) {
    const std::uint64_t settled = report.received + report.lost + wrong_type;
    report.left = report.sent > settled ? report.sent - settled : 0;
  }
  return report;
}

/// Where nothing died and everything was drained, every record that was sent has arrived; if not, the run has
/// failed. Plain sockets promise nothing.
std::string Launcher::Impl::lost_in_silence() const {
  for (const auto& link : plan.links) {
    if (link.pattern != topology::Pattern::push_pull || link.wire == topology::WireMode::native) continue;
    // A sender that still has records says so itself when it ends.
    if (link.delivery != topology::Delivery::best_effort) continue;
    const LinkReport report = link_report(link);
    if (!report.exact || report.left == 0) continue;
    return format("link {}: {} of {} records were sent and have not arrived", link.id, report.left,
                  report.sent);
  }
  return {};
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

/// Many things change at once: one file for all of them.
void Launcher::Impl::state_changed() {
  if (state_timer != 0) return;
  state_timer = loop.at(Clock::now() + kSoon, [this] {
    state_timer = 0;
    write_state();
  });
}

void Launcher::Impl::write_state() {
  try {
    directory.write("state.json", to_json(state(), 1) + "\n");
  } catch (const Error& error) {  // a full disk must not end the run
    options.log.warn(error.what());
  }
}

}  // namespace weft::launch
