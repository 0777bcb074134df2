// How a Hub reaches the peers that it connects to: connections made, lost, refused and replaced.
#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/hub.hpp"
#include "blocks/hub_scope.hpp"

namespace weft::blocks {
namespace {

constexpr int kSendHighWater = 200'000;
constexpr std::uint64_t kReceiveReserve = 1000;
// Then the IPv6 address is looked for, which the name may have.
constexpr std::string_view kNoIpv4 = "its host name has no IPv4 address";

transport::Socket dealer_to(Loop& loop, const std::string& endpoint, const transport::SocketOptions& options,
                            bool ipv6) {
  transport::Socket socket(loop.context(), transport::SocketType::dealer, options);
  if (!endpoint.starts_with("inproc:")) socket.tell_connections();
  socket.connect(endpoint, ipv6);
  return socket;
}

}  // namespace

transport::SocketOptions Hub::socket_options() const {
  // Credit bounds what is on its way between peers that keep to it. These marks are for those that do not:
  // one that floods us, and one that makes us answer and never reads.
  return {.send_high_water = kSendHighWater,
          .receive_high_water = static_cast<int>(kReceiveReserve + 2 * options_.window_batches),
          .linger = options_.close_linger,
          .max_frame_bytes = options_.max_frame_bytes};
}

void Hub::connect(const std::string& endpoint) {
  for (const auto& peer : peers_) {
    if (peer->endpoint == endpoint) return;
  }
  transport::check_endpoint(endpoint, false);
  transport::Socket socket = dial(endpoint);
  Peer& peer = add_peer(false);
  peer.endpoint = endpoint;
  use(peer, std::move(socket));
  apply(peer, peer.session.on_tick(loop_.now()));
  plan_tick(peer, peer.session.next_tick());
}

transport::Socket Hub::dial(const std::string& endpoint) {
  return dealer_to(loop_, endpoint, socket_options(), false);
}

void Hub::use(Peer& peer, transport::Socket socket) {
  peer.socket.emplace(std::move(socket));
  peer.cut = false;
  peer.watch = loop_.watch(*peer.socket, [this, &peer] { read_dealer(peer); });
  // This watch ends with the socket.
  if (transport::Socket* news = peer.socket->news()) loop_.watch(*news, [this, &peer] { read_news(peer); });
}

// A connection can be dead while the system believes in it: the host behind it vanished, or something between
// has forgotten it. Nobody ever says so, but a new connection gets through. Where it was only slow, the
// streams of acknowledged blocks know what arrived; what others have sent may still get there by the old one.
// Where it has ended, that would only go ahead of the HELLO on the next one.
void Hub::reconnect(Peer& peer, bool ended) {
  if (!peer.socket || !peer.socket->open() || peer.watch == 0) return;
  try {
    const bool ipv6 = peer.socket->connects_by_ipv6() || peer.trouble == kNoIpv4;
    transport::Socket socket = dealer_to(loop_, peer.endpoint, socket_options(), ipv6);
    loop_.unwatch(peer.watch);
    ended || client_.keeps_streams() ? peer.socket->close_at_once() : peer.socket->close();
    use(peer, std::move(socket));
    peer.fresh = true;
  } catch (const Error& e) {  // out of descriptors, say: the old one may come back
    options_.log.warn(format("{}: no new connection to {}: {}", stream_, peer.name(), e.what()));
  }
}

void Hub::disconnect(const std::string& endpoint) {
  const auto found =
      std::ranges::find_if(peers_, [&](const auto& p) { return p->endpoint == endpoint && !p->inbound; });
  if (found == peers_.end()) return;
  Peer& peer = **found;
  // One that has said that it goes is not lost, and a farewell would only wait for it.
  const bool leaving = peer.finished || peer.draining;
  const bool reachable = peer.up() && !leaving;
  if (reachable) bye(peer, wire::kLast);
  if (peer.session.state() != protocol::PeerState::closed && !leaving)
    lost(peer, PeerEvent::What::dead, "told to disconnect");
  if (closed_) return;
  remove_peer(peer, reachable);
}

void Hub::read_news(Peer& peer) {
  const HubScope scope(busy_, inbox_);
  while (peer.watch != 0 && peer.socket && peer.socket->open()) {
    const auto news = peer.socket->next_news();
    if (!news) return;
    on_news(peer, *news);
    if (closed_) return;
  }
}

void Hub::on_news(Peer& peer, transport::ConnectionNews news) {
  using News = transport::ConnectionNews;
  const protocol::PeerState state = peer.session.state();
  if (state == protocol::PeerState::closed) return;
  switch (news) {
    case News::made:
      if (!peer.met) peer.trouble = "connected, and nothing there has answered HELLO";
      return;
    case News::lost:
      peer.trouble = "its connection is gone";
      peer.cut = true;
      return plan_tick(peer, loop_.now());
    case News::broken_off:
      return tell_trouble(peer, "what listens there breaks connections off in their handshake",
                          wire::Code::none);
    case News::refused:
      if (state == protocol::PeerState::suspect) {
        peer.trouble = "its connection is gone, and nobody listens there any more";
        apply(peer, peer.session.on_refused(loop_.now()));
        return plan_tick(peer, peer.session.next_tick());
      }
      if (peer.met) return;
      return tell_trouble(peer, "nobody listens there", wire::Code::none);
    case News::unanswered:
      return tell_trouble(peer, "its host does not answer", wire::Code::timed_out);
    case News::unresolved:
      if (!peer.socket->connects_by_ipv6() && !peer.up()) {
        peer.trouble = kNoIpv4;
        reconnect(peer, true);
        return say_hello(peer);  // the one before went with its socket
      }
      return tell_trouble(peer, "its host name is unknown", wire::Code::not_found);
  }
}

// Once for each reason: it is tried again twice a second.
void Hub::tell_trouble(Peer& peer, std::string text, wire::Code code) {
  if (peer.up() || peer.trouble == text) return;
  peer.trouble = std::move(text);
  if (!peer.met) emit(peer, PeerEvent::What::unreachable, code, peer.trouble);
}

}  // namespace weft::blocks
