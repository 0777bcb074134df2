#include <weft/launch/report.hpp>

#include <algorithm>
#include <cmath>

namespace weft::launch {

Value to_value(const RunReport& report) {
  Value out;
  out["run"] = report.run;
  out["topology"] = report.topology;
  out["directory"] = report.directory;
  out["ok"] = report.ok;
  out["ready"] = report.ready;
  out["seconds"] = std::round(report.seconds * 1000) / 1000;
  if (!report.reason.empty()) out["reason"] = report.reason;
  if (!report.interrupted.empty()) out["interrupted"] = report.interrupted;
  if (report.signal != 0) out["signal"] = report.signal;
  Value& nodes = out["nodes"] = Value::list();
  for (const NodeReport& node : report.nodes) {
    Value v;
    v["name"] = node.id.text();
    v["state"] = node.state;
    v["exit_code"] = node.exit_code ? Value(*node.exit_code) : Value();
    if (node.signal != 0) v["signal"] = node.signal;
    v["restarts"] = node.restarts;
    v["cpu_seconds"] = std::round(node.cpu_seconds * 1000) / 1000;
    v["peak_memory"] = node.peak_memory_bytes;
    if (!node.reason.empty()) v["reason"] = node.reason;
    if (node.lost_log_lines != 0) v["lost_log_lines"] = node.lost_log_lines;
    if (node.hangs != 0) v["hangs"] = node.hangs;
    if (!node.last_lines.empty())
      v["last_lines"] = Value::List(node.last_lines.begin(), node.last_lines.end());
    nodes.push_back(std::move(v));
  }
  Value& links = out["links"] = Value::list();
  for (const LinkReport& link : report.links) {
    Value v;
    v["id"] = link.id;
    v["from"] = link.from;
    v["to"] = link.to;
    v["pattern"] = topology::to_string(link.pattern);
    v["delivery"] = topology::to_string(link.delivery);
    v["accepted"] = link.accepted;
    v["resumed"] = link.resumed;
    v["sent"] = link.sent;
    v["received"] = link.received;
    v["dropped"] = link.dropped;
    v["lost"] = link.lost;
    v["missed"] = link.missed;
    v["duplicates"] = link.duplicates;
    v["rejected"] = link.rejected;
    v["rejected_records"] = link.rejected_records;
    v["failed"] = link.failed;
    v["timed_out"] = link.timed_out;
    v["processed"] = link.processed;
    v["redelivered"] = link.redelivered;
    v["retransmitted"] = link.retransmitted;
    v["expired"] = link.expired;
    v["dead_lettered"] = link.dead_lettered;
    v["untaken"] = link.untaken;
    v["retained"] = link.retained;
    v["reconnects"] = link.reconnects;
    v["left"] = link.left;
    v["shared"] = link.shared;
    v["exact"] = link.exact;
    if (!link.inexact.empty()) v["inexact"] = Value::List(link.inexact.begin(), link.inexact.end());
    links.push_back(std::move(v));
  }
  out["result"] = report.result;
  return out;
}

int exit_code(const RunReport& report) {
  constexpr int kBySignal = 128;
  if (report.ok) return 0;
  return report.signal != 0 ? kBySignal + report.signal : 1;
}

}  // namespace weft::launch
