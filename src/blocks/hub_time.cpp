// What a Hub does as time passes: heartbeats, acknowledgements that are due, peers that are dead or
// forgotten.
#include <algorithm>

#include "blocks/hub.hpp"
#include "blocks/hub_scope.hpp"

namespace weft::blocks {
namespace {

constexpr Duration kAcknowledgeAfter = std::chrono::milliseconds(50);
// Where the next request or reply says it as well.
constexpr Duration kTellAfter = std::chrono::milliseconds(250);

/// An inbound peer that may be forgotten: dead, or shut out.
bool is_over(const Peer& peer) {
  return peer.inbound && !peer.up() && peer.session.state() != protocol::PeerState::suspect;
}
Duration sweep_after(const PortOptions& options) {
  return 6 * options.dead_after;
}

}  // namespace

// What a turn of the loop costs must not grow with the peers that have nothing to do: each has a time of its
// own, and a tick looks only at those whose time has come.
void Hub::plan_tick(Peer& peer, TimePoint when) {
  if (closed_ || when >= peer.tick_at) return;
  if (peer.tick_at == TimePoint::max()) {
    ticks_.emplace(when, peer.id);
  } else {
    auto planned = ticks_.extract({peer.tick_at, peer.id});
    planned.value().first = when;
    ticks_.insert(std::move(planned));
  }
  peer.tick_at = when;
  plan_timer(when);
}

void Hub::plan_timer(TimePoint when) {
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
  const HubScope scope(busy_, inbox_);
  // Also when a handler throws: the others want their heartbeats.
  struct Next {
    Hub& hub;
    std::uint64_t looked_at = 0;
    ~Next() {
      if (hub.closed_) return;
      Peer* amid = looked_at != 0 ? hub.find(looked_at) : nullptr;
      if (amid) hub.plan_tick(*amid, hub.loop_.now() + hub.options_.heartbeat);
      if (!hub.ticks_.empty()) hub.plan_timer(hub.ticks_.begin()->first);
    }
  } next{*this};
  // By count: one whose next time has come already is looked at in the next turn.
  for (std::size_t left = ticks_.size(); left > 0 && !ticks_.empty(); --left) {
    const auto [when, id] = *ticks_.begin();
    if (when > now) break;
    ticks_.erase(ticks_.begin());
    Peer* peer = find(id);
    if (!peer) continue;
    peer->tick_at = TimePoint::max();
    next.looked_at = id;
    if (!tick(*peer, now)) return;
    next.looked_at = 0;
  }
}

// False: the hub is closed.
bool Hub::tick(Peer& peer, TimePoint now) {
  const std::uint64_t id = peer.id;
  if (peer.gone) report_gone(peer);
  if (closed_) return false;
  if (peer.cut && peer.socket && !peer.socket->readable()) {
    peer.cut = false;
    apply(peer, peer.session.on_cut(now));
    if (closed_) return false;
  }
  apply(peer, peer.session.on_tick(now));
  if (closed_) return false;
  if (peer.up() && peer.ack.untold()) {
    client_.keeps_streams() ? acknowledge_stream(peer, std::nullopt) : acknowledge(peer);
  }
  if (peer.up() && identity_.sends) client_.on_room(peer);
  if (closed_) return false;
  if (find(id) != &peer) return true;  // removed meanwhile, and kept in the graveyard until all is done
  // An inbound peer that is long gone is forgotten, so that strangers who come and go cannot fill the memory.
  TimePoint next = peer.session.next_tick();
  if (is_over(peer)) {
    const TimePoint end = peer.session.last_heard() + sweep_after(options_);
    if (now >= end) {
      remove_peer(peer);
      return true;
    }
    next = std::min(next, end);
  }
  if (peer.cut) next = now;  // when what came on its connection has been read
  if (next != TimePoint::max()) plan_tick(peer, next);
  return true;
}

// A full port forgets who is dead before it turns a living peer away.
bool Hub::make_room() {
  if (peers_.size() < options_.max_peers) return true;
  for (std::size_t i = peers_.size(); i-- > 0;) {
    if (is_over(*peers_[i]) && !peers_[i]->gone) remove_peer(*peers_[i]);
  }
  return peers_.size() < options_.max_peers;
}

std::uint64_t Hub::said_beside(const Peer& peer, wire::Kind kind) const {
  const bool both_ways = kind == wire::Kind::request || kind == wire::Kind::reply;
  return both_ways && identity_.receives && peer.ack.untold() ? peer.settled : 0;
}

void Hub::settled(Peer& peer, std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes) {
  if (epoch != peer.in.epoch()) return;  // of a sender that has been replaced since
  if (peer.settle(epoch, seq, bytes) || peer.finished) return acknowledge(peer);
  const bool both_ways = identity_.sends && identity_.receives;
  plan_tick(peer, loop_.now() + (both_ways ? kTellAfter : kAcknowledgeAfter));
}

void Hub::acknowledge(Peer& peer) {
  wire::Header ack = header(wire::Kind::ack, peer.settled);
  if (identity_.receives) {
    ack.options.credit_bytes = options_.window_bytes;
    ack.options.credit_batches = options_.window_batches;
    ack.options.mark(wire::Options::credit);
    say_rejected(peer, ack);
  }
  if (send_header(peer, ack) == transport::SendStatus::sent) peer.ack.sent();
}

void Hub::acknowledge_stream(Peer& peer, std::optional<std::uint32_t> echo) {
  wire::Header ack = header(wire::Kind::ack, 0);
  client_.describe(peer, ack);
  if (echo) {
    ack.options.attempt_v = *echo;
    ack.options.mark(wire::Options::attempt);
  }
  if (identity_.receives) {
    ack.options.credit_bytes = options_.window_bytes;
    ack.options.credit_batches = options_.window_batches;
    ack.options.mark(wire::Options::credit);
  }
  if (send_header(peer, ack) == transport::SendStatus::sent) peer.ack.sent();
}

void Hub::apply(Peer& peer, const protocol::Session::Action& action) {
  if (action.reconnect) reconnect(peer, action.cut);
  if (action.say_hello) {
    say_hello(peer);
    plan_tick(peer, peer.session.next_tick());  // to say it again
  }
  if (action.ping) ping(peer);
  // It may be that only its way here is dead: told at once, it takes another one, and need not find out by
  // the silence that follows.
  if (action.became_suspect && peer.inbound && !peer.finished && client_.keeps_streams()) {
    nack(peer, wire::Code::retry, "nothing was heard of you for three heartbeats: say HELLO");
  }
  // Who has said BYE may be silent.
  if (action.became_suspect && !peer.finished) {
    emit(peer, PeerEvent::What::suspect, action.cut ? wire::Code::dead : wire::Code::none, peer.trouble);
  }
  if (action.became_dead) {
    return lost(peer, PeerEvent::What::dead, action.unreachable ? peer.trouble : "silent for too long");
  }
  if (action.became_up && peer.met) {
    frame_sizes_.reset();
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
  frame_sizes_.reset();
  if (!known) return;
  // From then on what it has counts as lost; who waits for that is woken.
  if (peer.unsettled_records() != 0) plan_tick(peer, peer.session.last_heard() + options_.dead_after);
  // What a sender left behind in its memory has been taken in by now, as far as it came through the socket.
  if (peer.borrower && peer.borrower->ended()) peer.borrower.reset();
  if (!peer.finished) emit(peer, what, wire::Code::dead, std::move(text));
  if (!closed_) client_.on_down(peer, what);
}

}  // namespace weft::blocks
