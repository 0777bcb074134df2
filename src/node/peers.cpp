// What a node knows of its peers: who is there, who died and came back, who is missed, what is left for them.
#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "node/node_impl.hpp"

namespace weft {

void Node::Impl::on_event(NodePort& port, const PeerEvent& event) {
  tell_of(port, event);
  port.peers[event.node] = std::string(to_string(event.what)) + (event.text.empty() ? "" : ": " + event.text);
  const bool ours = event.code == wire::Code::type_mismatch || event.code == wire::Code::unsupported ||
                    event.code == wire::Code::denied;
  // A peer that refused us before it said HELLO is known by its endpoint only.
  const bool promised =
      port.peers_at.contains(event.node) || std::ranges::any_of(port.ends, [&](const auto* end) {
        return std::ranges::any_of(end->peers,
                                   [&](const auto& peer) { return peer.node.text() == event.node; });
      });
  if (event.what == PeerEvent::What::up && !promised) ++port.guests;
  // A promised peer that cannot be one will not become one by waiting.
  if (event.what == PeerEvent::What::refused && ours && promised && !started) {
    fail(format("port {}: {}", port.name, event.text));
    return;
  }
  if (peer_handler && !port.letters) peer_handler(port.name, event);
}

/// A peer that falls silent, dies or comes back is told of; one that comes or goes in order is not.
void Node::Impl::tell_of(NodePort& port, const PeerEvent& event) {
  using What = PeerEvent::What;
  const auto say = [&](std::string_view what) {
    const std::string why = obeying ? "its process has ended" : event.text;
    options.log.warn(
        format("port {}: {} {}{}", port.name, event.node, what, why.empty() ? "" : format(" ({})", why)));
  };
  // That the connection of a peer goes after its BYE is as it should be.
  const auto before = port.peers.find(event.node);
  const bool had_ended = before != port.peers.end() && before->second == to_string(What::finished);
  const auto known = port.away.find(event.node);
  if (event.what == What::up && known != port.away.end()) {
    if (known->second) ++port.returns;
    port.away.erase(known);
    say("is back");
  } else if (event.what == What::suspect && known == port.away.end()) {
    port.away[event.node] = false;
    say("is silent");
  } else if ((event.what == What::dead && !had_ended) || event.what == What::restarted) {
    port.away[event.node] = true;
    say(event.what == What::dead ? "is dead" : "is restarted");
  }
}

bool Node::Impl::all_peers_up() const {
  return std::ranges::all_of(ports, [this](const auto& port) {
    std::size_t expected = 0;
    for (const auto* end : port->ends) {
      // The receiving end of plain PUSH/PULL sockets cannot see who is there.
      if (link(end->link).wire == topology::WireMode::native && !end->sender) continue;
      const auto over = gone.find(end->link);
      const std::size_t ended = over == gone.end() ? 0 : over->second;
      expected += end->peers.size() - std::min(ended, end->peers.size());
    }
    return port->block->peers_up() >= expected;
  });
}

std::string Node::Impl::missing() const {
  std::vector<std::string> parts;
  for (const auto& port : ports) {
    std::vector<std::string> who;
    for (const auto* end : port->ends) {
      for (const auto& peer : end->peers) {
        const auto seen = port->peers.find(peer.node.text());
        if (seen == port->peers.end()) {
          who.push_back(format("{} ({})", peer.node.text(), why_missing(*end, peer)));
        } else if (seen->second != "up") {
          who.push_back(format("{} ({})", peer.node.text(), seen->second));
        }
      }
    }
    if (!who.empty()) parts.push_back(format("port {} waits for {}", port->name, join_words(who)));
  }
  if (parts.empty()) return "all own ports have their peers, and the others of the run are not ready";
  return join_words(parts);
}

std::string Node::Impl::why_missing(const topology::EndPlan& end, const topology::PeerPlan& peer) const {
  if (link(end.link).wire == topology::WireMode::native) return "no connection yet";
  if (end.binds) return "has not connected";
  if (!peer.endpoint.empty()) return "no HELLO from " + peer.endpoint;
  return state == NodeState::bound ? "the launcher does not know where it is yet" : "no HELLO from it yet";
}

std::string Node::Impl::left() const {
  std::vector<std::string> parts;
  for (const auto& port : ports) {
    if (!port->block || port->block->drained()) continue;
    const PortStats stats = port->block->stats();
    parts.push_back(format("port {} has {} records queued, {} on their way and {} peers", port->name,
                           stats.queued_records, stats.outstanding_records, stats.peers_up));
  }
  return parts.empty() ? "nothing was left" : join_words(parts);
}

bool Node::Impl::deserted(const NodePort& port) const {
  return port.block->peers_up() == 0 && std::ranges::all_of(port.ends, [this](const auto* end) {
           const auto over = gone.find(end->link);
           return over != gone.end() && over->second >= end->peers.size();
         });
}

}  // namespace weft
