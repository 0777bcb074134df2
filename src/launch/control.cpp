// The launcher's end of the control link: who is bound where, who is ready, who is told what.
#include <algorithm>
#include <utility>

#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/node/control.hpp>

#include "launch/launcher_impl.hpp"

namespace weft::launch {
namespace {

constexpr std::size_t kMostGuests = 64;  // at one port
constexpr std::size_t kMostAsks = 16;    // of one node, at once

std::string text(const Value& message, std::string_view key) {
  const Value& value = message.get(key);
  return value.is_string() ? value.as_string() : std::string();
}

void reply(Responder<Raw>& respond, const Value& answer) {
  respond.reply_packed(control::pack(answer).view());
}

}  // namespace

void Launcher::Impl::open_control() {
  auto opened = std::make_unique<Router<>>(loop, PortOptions{.name = std::string(control::kPort),
                                                             .node = "launcher/0",
                                                             .scope = std::string(control::kScope),
                                                             .bind = {directory->control_endpoint()},
                                                             .log = options.log});
  opened->on_request(
      [this](const RawRecord& record, Responder<Raw> respond) { on_request(record, std::move(respond)); });
  opened->on_peer([this](const PeerEvent& event) {
    if (event.what == PeerEvent::What::dead || event.what == PeerEvent::What::finished) {
      on_guest_gone(event.node);
    }
  });
  control.push_back(std::move(opened));
}

Managed* Launcher::Impl::find(std::string_view name) const {
  for (const auto& node : nodes) {
    if (node->plan->id.text() == name) return node.get();
  }
  return nullptr;
}

void Launcher::Impl::on_request(const RawRecord& record, Responder<Raw> respond) {
  if (const auto message = control::unpack(record)) return handle(*message, std::move(respond));
  ++bad_requests;
  respond.fail(wire::Code::bad_request, "a control message is a map");
}

void Launcher::Impl::handle(const Value& message, Responder<Raw> respond) {
  const std::string op = text(message, "op");
  if (op == "state") return reply(respond, state());
  if (op == "down") {
    asked = true;
    interrupt(SIGTERM);
    drain("somebody asked for it");
    return reply(respond, Value::map());
  }
  Managed* node = find(text(message, "node"));
  if (!node) {
    ++bad_requests;
    return respond.fail(wire::Code::not_found,
                        format("run {} has no node {}", id, weft::quoted(text(message, "node"))));
  }
  if (op != "report" && op != "watch" && op != "answer")
    return on_guest(*node, op, message, std::move(respond));
  // The last words of an incarnation that has ended must not be taken for those of the next.
  if (node->life != Managed::Life::alive || count_of(message.get("epoch")) != node->epoch) {
    ++bad_requests;
    return respond.fail(wire::Code::fenced, format("{} has been replaced", node->plan->id.text()));
  }
  if (op == "report") {
    on_report(*node, message);
    return reply(respond, Value::map());
  }
  if (op == "answer") {
    on_answer(*node, message);
    return reply(respond, Value::map());
  }
  node->told = count_of(message.get("version"));
  node->watcher.emplace(std::move(respond));
  answer(*node);
}

void Launcher::Impl::on_report(Managed& node, const Value& message) {
  const std::string now = text(message, "state");
  node.heard = Clock::now();
  if (std::exchange(node.hangs, false)) warn(format("{} is heard of again", node.plan->id.text()));
  const bool news = now != node.state;
  node.state = now;
  if (now == "stopped" || now == "failed") node.last_word = true;
  if (node.awaited && node.last_word)
    loop.post([this, &node] {
      if (node.awaited) on_end(node, *node.awaited);
    });
  node.missing = text(message, "missing");
  if (message.get("ports").is_map()) node.counts = message.get("ports");
  node.endless = message.get("endless") == Value(true);
  node.cut_short = message.get("cut_short") == Value(true);
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
    const bool is_back = go && !node.ready;
    node.ready = true;
    check_ready();
    if (is_back) loop.post([this] { check_over(); });
  }
  answer_taps(node);
  if (!news) return;
  state_of(node, now, node.reason);
  state_changed();
}

/// Somebody outside the plan: a guest that a port shall connect to, or that wants to look at what passes.
/// What a guest asked for ends with its session.
void Launcher::Impl::on_guest(Managed& node, const std::string& op, const Value& message,
                              Responder<Raw> respond) {
  const std::string port = text(message, "port");
  const bool known = std::ranges::any_of(node.plan->ends, [&](const auto& end) { return end.port == port; });
  if (known && (op == "peek" || op == "clear")) return ask(node, op, message, std::move(respond));
  if (!known || (op != "attach" && op != "detach" && op != "tap" && op != "untap")) {
    ++bad_requests;
    if (known) return respond.fail(wire::Code::bad_request, format("unknown request {}", weft::quoted(op)));
    return respond.fail(wire::Code::not_found,
                        format("{} has no port {}", node.plan->id.text(), weft::quoted(port)));
  }
  const std::string endpoint = text(message, "endpoint");
  if (op == "attach") {
    // Without an endpoint the guest connects to the port itself; either way it takes part in the link.
    node.had_guests = true;
    if (node.extra[port].size() >= kMostGuests) {
      return respond.fail(wire::Code::full, format("port {} has {} guests already", port, kMostGuests));
    }
    if (!endpoint.empty()) node.extra[port][endpoint] = respond.peer();
  } else if (op == "detach") {
    node.extra[port].erase(endpoint);
  } else if (op == "tap") {
    node.taps[port].insert(respond.peer());
    node.tap_waiters.emplace_back(port, std::move(respond));
    changed();
    return answer_taps(node);
  } else {
    node.taps[port].erase(respond.peer());
  }
  changed();
  Value answer;
  answer["scope"] = id;
  reply(respond, answer);
}

/// A question that only the node itself can answer.
void Launcher::Impl::ask(Managed& node, const std::string& op, const Value& message, Responder<Raw> respond) {
  if (node.life != Managed::Life::alive) {
    return respond.fail(wire::Code::dead, format("{} is not running", node.plan->id.text()));
  }
  if (node.asks.size() >= kMostAsks) {
    return respond.fail(wire::Code::full,
                        format("{} has {} questions to answer already", node.plan->id.text(), kMostAsks));
  }
  Value question = Value::map();
  question["ask"] = ++last_ask;
  question["op"] = op;
  question["port"] = text(message, "port");
  question["limit"] = count_of(message.get("limit"));
  node.asks.push_back({last_ask, std::move(question), std::move(respond)});
  changed();
}

void Launcher::Impl::on_answer(Managed& node, const Value& message) {
  const std::uint64_t number = count_of(message.get("ask"));
  const auto at = std::ranges::find(node.asks, number, &Managed::Ask::number);
  if (at == node.asks.end()) return;  // who asked has gone
  if (const std::string error = text(message, "error"); !error.empty()) {
    at->respond.fail(wire::Code::failed, error);
  } else {
    reply(at->respond, message.get("value"));
  }
  node.asks.erase(at);
}

void Launcher::Impl::fail_asks(Managed& node) {
  for (Managed::Ask& one : node.asks) {
    one.respond.fail(wire::Code::dead, format("{} has ended before it answered", node.plan->id.text()));
  }
  node.asks.clear();
}

void Launcher::Impl::on_guest_gone(const std::string& guest) {
  bool any = false;
  for (const auto& node : nodes) {
    for (auto& [port, endpoints] : node->extra) {
      any = std::erase_if(endpoints, [&](const auto& item) { return item.second == guest; }) != 0 || any;
    }
    for (auto& [port, guests] : node->taps) any = guests.erase(guest) != 0 || any;
    std::erase_if(node->asks, [&](const Managed::Ask& one) { return one.respond.peer() == guest; });
  }
  if (any) changed();
}

/// Those who wait for a tap hear where it is once the node has said so.
void Launcher::Impl::answer_taps(Managed& node) {
  for (auto at = node.tap_waiters.begin(); at != node.tap_waiters.end();) {
    const Value& endpoint = node.counts.get(at->first).get("tap");
    if (const std::string why = text(node.counts.get(at->first), "tap_error"); !why.empty()) {
      at->second.fail(wire::Code::failed, why);
      at = node.tap_waiters.erase(at);
      continue;
    }
    if (!endpoint.is_string()) {
      ++at;
      continue;
    }
    Value answer;
    answer["endpoint"] = endpoint;
    answer["scope"] = control::kScope;
    reply(at->second, answer);
    at = node.tap_waiters.erase(at);
  }
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
  // A SIGTERM that others send to all processes at once may have taken the place of this launcher's.
  news["launcher"] = static_cast<std::int64_t>(getpid());
  news["draining"] = draining;
  news["stop"] = node.told_to_stop;
  Value& peers = news["peers"] = Value::map();
  Value& gone = news["gone"] = Value::map();
  const auto address = [this](const std::string& link, const std::string& endpoint) {
    return options.address_of ? options.address_of(link, endpoint) : endpoint;
  };
  for (const auto& end : node.plan->ends) {
    Value list = Value::list();
    int ended_peers = 0;
    for (const auto& peer : end.peers) {
      const Managed* other = find(peer.node.text());
      if (!other || other->life == Managed::Life::ended) {
        ++ended_peers;
      } else if (!peer.endpoint.empty()) {
        list.push_back(address(end.link, peer.endpoint));
      } else if (const auto at = other->endpoints.find(end.link); at != other->endpoints.end()) {
        list.push_back(address(end.link, at->second));
      }
    }
    if (ended_peers != 0) gone[end.link] = ended_peers;
    if (!end.binds) peers[end.link] = std::move(list);
  }
  Value& extra = news["extra"] = Value::map();
  for (const auto& [port, endpoints] : node.extra) {
    Value& list = extra[port] = Value::list();
    for (const auto& [endpoint, guest] : endpoints) list.push_back(endpoint);
  }
  Value& taps = news["taps"] = Value::list();
  for (const auto& [port, guests] : node.taps) {
    if (!guests.empty()) taps.push_back(port);
  }
  Value& asks = news["asks"] = Value::list();
  for (const Managed::Ask& one : node.asks) asks.push_back(one.question);
  return news;
}

}  // namespace weft::launch
