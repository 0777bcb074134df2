// The launcher's end of the control link: who is bound where, who is ready, who is told what.
#include <algorithm>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/node/control.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

std::uint64_t count(const Value& counts, std::string_view port, std::string_view name) {
  const Value& number = counts.get(port).get(name);
  return number.is_int() ? number.as_uint() : 0;
}

std::string text(const Value& message, std::string_view key) {
  const Value& value = message.get(key);
  return value.is_string() ? value.as_string() : std::string();
}

/// Adds what one node counted at its end, or ends, of a link.
void add_port(LinkReport& report, const Value& counts, const topology::LinkPlan& link, bool sends,
              bool takes) {
  const auto refused = [&](std::string_view port) {
    return count(counts, port, "rejected_messages") + count(counts, port, "rejected_connections") +
           count(counts, port, "rejected_peers");
  };
  if (sends) {
    report.sent += count(counts, link.from_port, "sent_records");
    report.dropped += count(counts, link.from_port, "dropped_records");
    report.lost += count(counts, link.from_port, "lost_records");
    report.rejected += refused(link.from_port);
  }
  if (takes) {
    report.received += count(counts, link.to_port, "received_records");
    report.missed += count(counts, link.to_port, "missed_batches");
    report.duplicates += count(counts, link.to_port, "duplicate_batches");
    report.rejected += refused(link.to_port);
  }
}

void reply(Responder<Raw>& respond, const Value& answer) {
  respond.reply_packed(control::pack(answer).view());
}

}  // namespace

void Launcher::Impl::open_control() {
  control = std::make_unique<Router<>>(loop, PortOptions{.name = std::string(control::kPort),
                                                         .node = "launcher/0",
                                                         .scope = std::string(control::kScope),
                                                         .bind = {directory.control_endpoint()},
                                                         .log = options.log});
  control->on_request(
      [this](const RawRecord& record, Responder<Raw> respond) { on_request(record, std::move(respond)); });
}

Managed* Launcher::Impl::find(std::string_view name) const {
  for (const auto& node : nodes) {
    if (node->plan->id.text() == name) return node.get();
  }
  return nullptr;
}

void Launcher::Impl::on_request(const RawRecord& record, Responder<Raw> respond) {
  const auto message = control::unpack(record);
  if (!message) return respond.fail(wire::Code::bad_request, "a control message is a map");
  const std::string op = text(*message, "op");
  if (op == "state") return reply(respond, state());
  Managed* node = find(text(*message, "node"));
  if (!node)
    return respond.fail(wire::Code::not_found,
                        format("run {} has no node {}", id, weft::quoted(text(*message, "node"))));
  if (op == "report") {
    on_report(*node, *message);
    return reply(respond, Value::map());
  }
  if (op == "watch") {
    const Value& told = message->get("version");
    node->told = told.is_int() ? told.as_uint() : 0;
    node->watcher.emplace(std::move(respond));
    return answer(*node);
  }
  on_guest(op, *message, std::move(respond));
}

void Launcher::Impl::on_report(Managed& node, const Value& message) {
  const std::string now = text(message, "state");
  const bool news = now != node.state;
  node.state = now;
  if (now == "stopped" || now == "failed") node.last_word = true;
  node.missing = text(message, "missing");
  if (message.get("ports").is_map()) node.counts = message.get("ports");
  if (message.find("progress")) node.progress = message.get("progress");
  if (message.find("result")) node.result = message.get("result");
  if (message.find("reason")) node.reason = text(message, "reason");
  std::map<std::string, std::string> endpoints;
  if (message.get("endpoints").is_map()) {
    for (const auto& [link, address] : message.get("endpoints").as_map()) {
      if (address.is_string()) endpoints[link] = address.as_string();
    }
  }
  if (endpoints != node.endpoints) {
    node.endpoints = std::move(endpoints);
    changed();
  }
  if (now == "ready" || now == "running") {
    node.ready = true;
    check_ready();
  }
  if (!news) return;
  state_of(node, now, node.reason);
  write_state();
}

/// Somebody outside the plan: a guest that a port shall connect to, or that wants to look at what passes.
void Launcher::Impl::on_guest(const std::string& op, const Value& message, Responder<Raw> respond) {
  Managed* node = find(text(message, "node"));
  const std::string port = text(message, "port");
  const bool known = std::ranges::any_of(node->plan->ends, [&](const auto& end) { return end.port == port; });
  if (!known)
    return respond.fail(wire::Code::not_found,
                        format("{} has no port {}", node->plan->id.text(), weft::quoted(port)));
  const std::string endpoint = text(message, "endpoint");
  if (op == "attach" && !endpoint.empty() && node->extra[port].size() < 64) {
    node->extra[port].insert(endpoint);
    node->exact = false;
  } else if (op == "detach") {
    node->extra[port].erase(endpoint);
  } else if (op == "tap") {
    node->taps.insert(port);
  } else if (op == "untap") {
    node->taps.erase(port);
  } else {
    return respond.fail(wire::Code::bad_request, format("the launcher does not know {}", weft::quoted(op)));
  }
  changed();
  reply(respond, Value::map());
}

/// Something that nodes are told has changed.
void Launcher::Impl::changed() {
  ++version;
  for (const auto& node : nodes) answer(*node);
}

void Launcher::Impl::answer(Managed& node) {
  if (!node.watcher || node.told >= version) return;
  node.told = version;
  Responder<Raw> respond = std::move(*node.watcher);
  node.watcher.reset();
  reply(respond, news_for(node));
}

Value Launcher::Impl::news_for(const Managed& node) const {
  Value news;
  news["version"] = version;
  news["go"] = go;
  Value& peers = news["peers"] = Value::map();
  for (const auto& end : node.plan->ends) {
    if (end.binds) continue;
    Value& list = peers[end.link] = Value::list();
    for (const auto& peer : end.peers) {
      const Managed* other = find(peer.node.text());
      if (!peer.endpoint.empty()) {
        list.push_back(peer.endpoint);
      } else if (const auto at = other->endpoints.find(end.link); at != other->endpoints.end()) {
        list.push_back(at->second);
      }
    }
  }
  Value& extra = news["extra"] = Value::map();
  for (const auto& [port, endpoints] : node.extra) {
    Value& list = extra[port] = Value::list();
    for (const std::string& endpoint : endpoints) list.push_back(endpoint);
  }
  Value& taps = news["taps"] = Value::list();
  for (const std::string& port : node.taps) taps.push_back(port);
  return news;
}

std::vector<LinkReport> Launcher::Impl::links() const {
  std::vector<LinkReport> out;
  for (const auto& link : plan.links) {
    LinkReport report{};
    report.id = link.id;
    report.from = link.from_node + "." + link.from_port;
    report.to = link.to_node + "." + link.to_port;
    report.pattern = link.pattern;
    for (const auto& node : nodes) {
      const bool sends = node->plan->id.name == link.from_node;
      const bool takes = node->plan->id.name == link.to_node;
      if (!sends && !takes) continue;
      if (!node->exact || (node->life == Managed::Life::ended && !node->last_word)) report.exact = false;
      for (const Value* counts : {&node->counts, &node->earlier_counts})
        add_port(report, *counts, link, sends, takes);
    }
    report.shared = std::ranges::count_if(plan.links, [&](const auto& other) {
                      return (other.from_node == link.from_node && other.from_port == link.from_port) ||
                             (other.to_node == link.to_node && other.to_port == link.to_port);
                    }) > 1;
    if (link.pattern != topology::Pattern::pub_sub && !report.shared) {
      const std::uint64_t settled = report.received + report.lost;
      report.left = report.sent > settled ? report.sent - settled : 0;
    }
    out.push_back(std::move(report));
  }
  return out;
}

Value Launcher::Impl::state() const {
  Value out = to_value(report());
  out["file"] = plan.file;
  out["pid"] = static_cast<std::int64_t>(getpid());
  out["state"] = over ? "over" : draining ? "draining" : go ? "running" : "starting";
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Managed& node = *nodes[i];
    Value& v = out["nodes"].as_list()[i];
    v["pid"] = node.process ? Value(static_cast<std::int64_t>(node.process->pid())) : Value();
    if (!node.progress.is_null()) v["progress"] = node.progress;
    v["missing"] = node.missing;
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
        if (link.id == end.link) e["pattern"] = to_string(link.pattern);
      }
      ends.push_back(std::move(e));
    }
  }
  return out;
}

void Launcher::Impl::write_state() {
  try {
    directory.write("state.json", to_json(state(), 1) + "\n");
  } catch (const Error& error) {  // a full disk must not end the run
    options.log.warn(error.what());
  }
}

}  // namespace weft::launch
