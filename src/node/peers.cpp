// What a node knows of its peers: who is there, who died and came back, who is missed, what is left for them.
#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "node/node_impl.hpp"

namespace weft {
namespace {

constexpr std::size_t kMostNamed = 10;  // peers in one sentence

}  // namespace

void Node::Impl::on_event(NodePort& port, const PeerEvent& event) {
  using What = PeerEvent::What;
  tell_of(port, event);
  port.peers[event.node] = std::string(to_string(event.what)) + (event.text.empty() ? "" : ": " + event.text);
  // A peer that refused us before it said HELLO is known by its endpoint only.
  const bool promised =
      port.peers_at.contains(event.endpoint) || std::ranges::any_of(port.ends, [&](const auto* end) {
        return std::ranges::any_of(end->peers,
                                   [&](const auto& peer) { return peer.node.text() == event.node; });
      });
  if (event.what == What::up && !promised) ++port.guests;
  if (event.what == What::up) {
    port.refused.erase(event.node);
    port.lost_to.erase(event.node);
  }
  // On the launcher's word another one takes its place, or the run has failed anyway.
  if (event.what == What::dead) {
    port.lost_to.erase(event.node);
    const topology::EndPlan& end = *port.ends.front();
    const bool push = end.sender && link(end.link).pattern == topology::Pattern::push_pull;
    if (push && !obeying && event.lost_records != 0) port.lost_to[event.node] = event.lost_records;
    // A guest that has died must not hold up the end of who let it in.
    if (auto* pub = dynamic_cast<PubBase*>(port.block.get()); pub && !promised) pub->let_go(event.node);
  }
  if (event.what == What::refused) {
    on_refused(port, event, promised);
    if (state == NodeState::failed) return;
  }
  if (peer_handler && !port.letters) peer_handler(port.name, event);
}

// A peer that cannot be one will not become one by waiting.
void Node::Impl::on_refused(NodePort& port, const PeerEvent& event, bool promised) {
  if (obeying || event.code == wire::Code::full) return;
  const std::string why = format("port {}: refused by {}: {} ({})", port.name, event.node, event.text,
                                 wire::to_string(event.code));
  // A later one of this name is at work: this one must not be, whoever else would have it.
  if (event.code == wire::Code::fenced && event.for_good && promised) return fail(why);
  if (!started && promised) return fail(format("port {}: {}", port.name, event.text));
  if (!event.for_good || !promised || port.letters) return;
  port.refused[event.node] = event.text;
  if (port.block->peers_up() != 0) return;
  std::size_t expected = 0;
  for (const auto* end : port.ends) expected += end->peers.size();
  std::size_t out = port.refused.size();
  for (const auto& [node, last] : port.peers) {
    if (last == to_string(PeerEvent::What::finished)) ++out;
  }
  if (out >= expected) fail(format("{}; no other peer is left", why));
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
  if (event.what == What::unreachable) {
    // Who is not there yet may still come; an address that leads nowhere is more likely a mistake.
    if (event.code != wire::Code::none)
      options.log.warn(format("port {}: {}: {}; it is tried again", port.name, event.node, event.text));
  } else if (event.what == What::up && known != port.away.end()) {
    if (known->second) ++port.returns;
    port.away.erase(known);
    say("is back");
  } else if (event.what == What::suspect && known == port.away.end() && event.code != wire::Code::dead) {
    // A connection that ends is made again at once, or its peer is dead.
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
          who.push_back(format("{} ({})", peer.node.text(), why_missing(*port, *end, peer)));
        } else if (seen->second != "up") {
          who.push_back(format("{} ({})", peer.node.text(), seen->second));
        }
      }
    }
    if (!who.empty()) parts.push_back(format("port {} waits for {}", port->name, join_words(who)));
  }
  if (not_ready && not_ready()) parts.emplace_back("the program is not ready");
  if (parts.empty()) return "all own ports have their peers, and the others of the run are not ready";
  return join_words(parts);
}

std::string Node::Impl::why_missing(const NodePort& port, const topology::EndPlan& end,
                                    const topology::PeerPlan& peer) const {
  if (link(end.link).wire == topology::WireMode::native) return "no connection yet";
  if (end.binds) return "has not connected";
  if (!peer.endpoint.empty()) {
    const auto known = port.peers.find(peer.endpoint);
    const std::string hello = "no HELLO from " + peer.endpoint;
    return known == port.peers.end() ? hello : format("{}, {}", hello, known->second);
  }
  return state == NodeState::bound ? "the launcher does not know where it is yet" : "no HELLO from it yet";
}

std::string Node::Impl::left() const {
  std::vector<std::string> parts;
  for (const auto& port : ports) {
    if (!port->block || port->block->drained()) continue;
    const PortStats stats = port->block->stats();
    std::string waits = format("port {} has {} records queued, {} on their way and {} peers", port->name,
                               stats.queued_records, stats.outstanding_records, stats.peers_up);
    if (const auto* pub = dynamic_cast<const PubBase*>(port->block.get()); pub && !pub->awaited().empty()) {
      parts.push_back(unheard(port->name, *pub));
      continue;
    }
    std::vector<std::string> who;
    for (const auto& [node, last] : port->peers) {
      const auto away = port->away.find(node);
      if (away != port->away.end()) {
        who.push_back(format("{} is {}", node, away->second ? "dead" : "silent"));
      } else if (last == to_string(PeerEvent::What::up)) {
        who.push_back(node + " has not ended");
      }
    }
    if (who.size() > kMostNamed) {
      const std::size_t more = who.size() - kMostNamed;
      who.resize(kMostNamed);
      who.push_back(format("{} more", more));
    }
    if (!who.empty()) waits += format(" ({})", join_words(who));
    parts.push_back(std::move(waits));
  }
  if (const std::string lost = losses(); !lost.empty()) parts.push_back(lost);
  return parts.empty() ? "nothing was left" : join_words(parts);
}

/// Only they know what they have; a publisher knows what it has sent while they were silent.
std::string Node::Impl::unheard(const std::string& port, const PubBase& pub) {
  std::vector<std::string> who;
  for (const PubBase::Awaited& one : pub.awaited()) {
    const std::string since =
        one.records == 0 ? "" : format(", nothing was heard of it during the last {} records", one.records);
    who.push_back(format("{} ({}{})", one.node, one.state, since));
  }
  return format("port {}: {} {} not said to have everything", port, join_words(who),
                who.size() == 1 ? "has" : "have");
}

std::string Node::Impl::losses() const {
  std::vector<std::string> parts;
  for (const auto& port : ports) {
    for (const auto& [node, records] : port->lost_to) {
      parts.push_back(format("port {} lost {} records that were on their way to {}, which is dead",
                             port->name, records, node));
    }
  }
  return parts.empty() ? "" : join_words(parts);
}

bool Node::Impl::deserted(const NodePort& port) const {
  return port.block->peers_up() == 0 && std::ranges::all_of(port.ends, [this](const auto* end) {
           const auto over = gone.find(end->link);
           return over != gone.end() && over->second >= end->peers.size();
         });
}

}  // namespace weft
