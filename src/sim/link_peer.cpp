#include "sim/link_peer.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <weft/core/format.hpp>

namespace weft::sim {

using protocol::PeerState;

namespace {

constexpr unsigned kBadMessages = 8;  // a Hub has patience for 64

}  // namespace

bool LinkProcess::send_to(LinkPeer& peer, SimMessage message) {
  message.to = peer.process;
  message.connection = peer.connection;
  message.epoch = epoch_;
  if (send(std::move(message))) {
    peer.session.on_sent(clock());
    return true;
  }
  if (peer.up()) {
    peer.session.lose();
    peer.gone = true;
  }
  return false;
}

void LinkProcess::say_hello(LinkPeer& peer, std::uint32_t attempt, std::uint64_t accepted) {
  (void)send_to(peer, {.kind = SimKind::hello,
                       .ordered = true,
                       .seq = accepted,
                       .first_retained = peer.lanes.out.last_sent() + 1,
                       .credit = peer.lanes.hello_credit(),
                       .attempt = attempt});
}

void LinkProcess::act(LinkPeer& peer, const protocol::Session::Action& action) {
  if (action.reconnect) {
    world().reconnect(index_, peer.process);
    peer.fresh = true;
  }
  if (action.say_hello) {
    const std::uint32_t attempt = peer.lanes.say_hello();
    say_hello(peer, attempt, peer.lanes.in.last());
  }
  if (action.ping) (void)send_to(peer, {.kind = SimKind::ping, .seq = peer.lanes.out.last_sent()});
  if (action.became_dead) {
    peer.session.lose();
    if (peer.met) on_down(peer, false);
    return;
  }
  if (action.became_up && peer.met) on_up(peer);
}

bool LinkProcess::meet(LinkPeer& peer, const SimMessage& message) {
  const bool outbound = peer.initiator;
  const bool later = peer.met && message.epoch > peer.epoch;
  const bool lost_count = outbound && peer.lanes.lost_count(message.epoch, message.first_retained);
  if (outbound && !peer.lanes.expects(message.attempt)) return false;
  if (peer.met && message.epoch < peer.epoch) return false;  // it has been replaced
  const bool at_hand = peer.up() || peer.session.state() == PeerState::suspect;
  bool renewed = lost_count || (outbound && (std::exchange(peer.fresh, false) || !at_hand));
  if (!outbound) {
    const bool leftover =
        peer.connection != message.connection && !later && peer.lanes.outdated(message.attempt);
    if (leftover && peer.up()) {
      // If the present connection is gone, this finds it out.
      (void)send_to(peer, {.kind = SimKind::ping, .seq = peer.lanes.out.last_sent()});
      if (peer.up()) return false;
    }
    peer.lanes.heard_attempt = message.attempt;
    if (std::exchange(peer.gone, false)) act(peer, {.became_dead = true});
    renewed = peer.connection != message.connection;
    peer.connection = message.connection;
  }
  const bool known = peer.met;
  const bool was_up = peer.up();
  if (later) {
    on_down(peer, true);
    (void)peer.lanes.out.resume(peer.lanes.out.last_acknowledged());
  }
  peer.epoch = message.epoch;
  peer.life = message.from_life;
  (void)peer.lanes.meet_receiver(message.seq, outbound ? std::optional(message.attempt) : std::nullopt,
                                 outbound || renewed || later || !known, message.credit);
  const auto met = peer.lanes.meet_sender(message.epoch, message.first_retained, outbound);
  peer.met = true;
  if (outbound) {
    peer.lanes.answered(message.attempt);
  } else {
    say_hello(peer, message.attempt, met.accepted);
  }
  auto action = peer.session.on_hello(clock());
  if (was_up && (later || renewed)) action.became_up = true;
  if (action.became_up) act(peer, {.became_up = true});
  return true;
}

bool LinkProcess::hear(LinkPeer& peer, const SimMessage& message) {
  if (!peer.initiator && peer.connection != message.connection) {
    (void)send({.kind = SimKind::nack_retry, .to = message.from, .connection = message.connection});
    return false;
  }
  if (message.kind == SimKind::nack_retry) {
    act(peer, peer.session.on_stranger(clock()));
    return false;
  }
  act(peer, peer.session.on_traffic(clock()));
  if (!peer.met) return false;
  if (message.kind == SimKind::ping) acknowledge(peer);
  // One that was said to an earlier life of this process may come to this one, behind a HELLO.
  if (message.kind == SimKind::ack &&
      peer.lanes.out.acknowledge(message.seq, window()) == protocol::SendLane::Ack::beyond &&
      ++peer.bad_messages == kBadMessages)
    world().problem(format("{} goes on acknowledging {}, and {} has sent {}",
                           world().process(message.from).name(), message.seq, name(),
                           peer.lanes.out.last_sent()));
  return message.kind != SimKind::ping && message.kind != SimKind::ack;
}

void LinkProcess::acknowledge(LinkPeer& peer) {
  peer.ack_at = TimePoint::max();
  if (send_to(peer, {.kind = SimKind::ack, .seq = peer.lanes.settled})) peer.lanes.ack.sent();
}

void LinkProcess::settle(LinkPeer& peer, std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes) {
  if (peer.lanes.settle(epoch, seq, bytes)) {
    acknowledge(peer);
  } else if (peer.ack_at == TimePoint::max()) {
    peer.ack_at = clock() + kAckDelay;
  }
}

TimePoint LinkProcess::tick(LinkPeer& peer) {
  if (std::exchange(peer.gone, false)) act(peer, {.became_dead = true});
  if (peer.session.next_tick() <= clock()) act(peer, peer.session.on_tick(clock()));
  if (peer.ack_at <= clock()) {
    peer.ack_at = TimePoint::max();
    if (peer.up() && peer.lanes.ack.pending()) acknowledge(peer);
  }
  return peer.gone ? clock() + std::chrono::microseconds(1) : std::min(peer.session.next_tick(), peer.ack_at);
}

void LinkProcess::check_credit(const LinkPeer& peer, std::uint64_t slack) {
  const protocol::SendLane& out = peer.lanes.out;
  const bool over = out.outstanding() > window().batches || out.outstanding_bytes() > window().bytes + slack;
  if (over && out.outstanding() > 1)
    world().problem(format("{} has {} messages of {} bytes on their way to {}, beyond its credit", name(),
                           out.outstanding(), out.outstanding_bytes(), world().process(peer.process).name()));
}

}  // namespace weft::sim
