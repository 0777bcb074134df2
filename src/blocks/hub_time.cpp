// What a Hub does as time passes: heartbeats, acknowledgements that are due, peers that are dead or
// forgotten.
#include <algorithm>

#include "blocks/hub.hpp"

namespace weft::blocks {
namespace {

/// An inbound peer that may be forgotten: dead, or shut out.
bool is_over(const Peer& peer) {
  return peer.inbound && !peer.up() && peer.session.state() != protocol::PeerState::suspect;
}
Duration sweep_after(const PortOptions& options) {
  return 6 * options.dead_after;
}

}  // namespace

void Hub::plan_tick(TimePoint when) {
  if (closed_ || when >= timer_at_) return;
  if (timer_ != 0) loop_.cancel(timer_);
  timer_at_ = when;
  timer_ = loop_.at(when, [this] {
    timer_ = 0;
    timer_at_ = TimePoint::max();
    tick();
  });
}

void Hub::tick() {
  const TimePoint now = loop_.now();
  if (busy_ == 0) graveyard_.clear();
  HubScope scope(busy_, alive_, inbox_);
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = *peers_[i];
    if (peer.gone) report_gone(peer);
    if (scope.alive.expired() || closed_) return;
    apply(peer, peer.session.on_tick(now));
    if (scope.alive.expired() || closed_) return;
    if (peer.up() && peer.ack.pending()) {
      client_.keeps_streams() ? acknowledge_stream(peer, std::nullopt) : acknowledge(peer);
    }
    if (peer.up() && identity_.sends) client_.on_room(peer);
    if (scope.alive.expired() || closed_) return;
  }
  sweep();
  TimePoint next = TimePoint::max();
  for (const auto& peer : peers_) {
    next = std::min(next, peer->session.next_tick());
    if (is_over(*peer)) next = std::min(next, peer->session.last_heard() + sweep_after(options_));
  }
  if (next != TimePoint::max()) plan_tick(next);
}

// Forgets inbound peers that are long gone, so that strangers who come and go cannot fill the memory.
void Hub::sweep() {
  const TimePoint now = loop_.now();
  for (std::size_t i = peers_.size(); i-- > 0;) {
    Peer& peer = *peers_[i];
    if (is_over(peer) && now - peer.session.last_heard() >= sweep_after(options_)) remove_peer(peer);
  }
}

// A full port forgets who is dead before it turns a living peer away.
bool Hub::make_room() {
  if (peers_.size() < options_.max_peers) return true;
  for (std::size_t i = peers_.size(); i-- > 0;) {
    if (is_over(*peers_[i]) && !peers_[i]->gone) remove_peer(*peers_[i]);
  }
  return peers_.size() < options_.max_peers;
}

void Hub::apply(Peer& peer, const protocol::Session::Action& action) {
  if (action.reconnect) reconnect(peer);
  if (action.say_hello) say_hello(peer);
  if (action.ping) ping(peer);
  if (action.became_suspect) emit(peer, PeerEvent::What::suspect);
  if (action.became_dead) return lost(peer, PeerEvent::What::dead, "silent for too long");
  if (action.became_up && peer.met) {
    // First what waited for the peer, then what a handler of the event may add.
    client_.on_up(peer);
    if (!closed_) emit(peer, PeerEvent::What::up);
  }
}

void Hub::report_gone(Peer& peer) {
  peer.gone = false;
  lost(peer, PeerEvent::What::dead, "its connection is gone");
}

void Hub::lost(Peer& peer, PeerEvent::What what, std::string text) {
  const bool known = peer.met;
  peer.session.lose();
  if (!known) return;
  // What a sender left behind in its memory has been taken in by now, as far as it came through the socket.
  if (peer.borrower && peer.borrower->ended()) peer.borrower.reset();
  const std::weak_ptr<bool> alive = alive_;
  emit(peer, what, wire::Code::dead, std::move(text));
  if (!alive.expired() && !closed_) client_.on_down(peer, what);
}

}  // namespace weft::blocks
