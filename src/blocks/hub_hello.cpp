// How a Hub meets its peers: HELLO said, answered and refused.
#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/protocol/choose.hpp>

#include "blocks/hub.hpp"

namespace weft::blocks {
namespace {

constexpr std::size_t kMaxNodeBytes = 200;

std::string describe(const RecordType& type) {
  return type.is_any() ? "any record" : format("{} ({:016x})", type.name, type.fingerprint);
}

std::string_view delivery_name(Delivery delivery) {
  switch (delivery) {
    case Delivery::best_effort:
      return "best-effort";
    case Delivery::at_least_once:
      return "at-least-once";
    case Delivery::exactly_once:
      return "exactly-once";
  }
  return "unknown";
}

Delivery delivery_of(const wire::Options& o) {
  return o.has(wire::Options::delivery) ? static_cast<Delivery>(o.delivery_v) : Delivery::best_effort;
}

RecordType type_of(const wire::Options& o, wire::Options::Key name, std::string_view text,
                   wire::Options::Key fingerprint, std::uint64_t number) {
  if (!o.has(name)) return {};
  return {std::string(text), o.has(fingerprint) ? number : 0};
}

}  // namespace

void Hub::say_hello(Peer& peer) {
  if (lender_ && !peer.up()) lender_->renew(peer.id);
  const std::uint32_t attempt = peer.say_hello();
  (void)send_hello(peer, attempt, peer.in.last());
}

transport::SendStatus Hub::send_hello(Peer& peer, std::uint32_t attempt, std::uint64_t accepted) {
  wire::Header h = header(wire::Kind::hello, accepted);
  wire::Options& o = h.options;
  const auto text = [&o](wire::Options::Key key, std::string_view& field, std::string_view value) {
    field = value;
    o.mark(key);
  };
  text(wire::Options::scope, o.scope_v, options_.scope);
  text(wire::Options::node, o.node_v, options_.node);
  text(wire::Options::port, o.port_v, options_.name);
  text(wire::Options::block, o.block_v, identity_.block);
  text(wire::Options::name, o.name_v, identity_.type.name);
  o.fingerprint_v = identity_.type.fingerprint;
  o.mark(wire::Options::fingerprint);
  if (!identity_.reply_type.is_any()) {
    text(wire::Options::reply_name, o.reply_name_v, identity_.reply_type.name);
    o.reply_fingerprint_v = identity_.reply_type.fingerprint;
    o.mark(wire::Options::reply_fingerprint);
  }
  o.version_low = o.version_high = wire::kVersion;
  o.mark(wire::Options::version);
  o.heartbeat_v =
      static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(options_.heartbeat).count());
  o.mark(wire::Options::heartbeat);
  if (identity_.receives) {
    const protocol::Credit credit = client_.keeps_streams() ? peer.ack.window() : peer.hello_credit();
    o.credit_bytes = credit.bytes;
    o.credit_batches = credit.batches;
    o.mark(wire::Options::credit);
    if (!client_.keeps_streams()) say_rejected(peer, h);
  }
  if (identity_.reports) {
    o.credit_records_v = options_.window_records;
    o.mark(wire::Options::credit_records);
  }
  if (identity_.sends) {
    o.first_retained_v = peer.out.last_sent() + 1;
    o.mark(wire::Options::first_retained);
  }
  if (!identity_.data_endpoint.empty())
    text(wire::Options::data_endpoint, o.data_endpoint_v, identity_.data_endpoint);
  o.max_frame_v = options_.max_frame_bytes;
  o.mark(wire::Options::max_frame);
  // The number tells which HELLO an answer belongs to: the first answer counts, those to HELLOs that were
  // said before it came are late.
  o.attempt_v = attempt;
  o.mark(wire::Options::attempt);
  if (options_.delivery != Delivery::best_effort) {
    o.delivery_v = static_cast<std::uint8_t>(options_.delivery);
    o.mark(wire::Options::delivery);
  }
  if (lender_) {
    offer_ = lender_->offer(peer.id);
    o.shared_v = as_bytes(offer_);
    o.mark(wire::Options::shared);
  }
  if (client_.keeps_streams()) client_.describe(peer, h);
  return send_header(peer, h);
}

std::optional<std::pair<wire::Code, std::string>> Hub::refuse_hello(const wire::Header& h) const {
  const wire::Options& o = h.options;
  const std::string who = o.has(wire::Options::node) ? weft::quoted(o.node_v) : "a peer without a name";
  if (o.has(wire::Options::version) && (o.version_low > wire::kVersion || o.version_high < wire::kVersion)) {
    return {{wire::Code::unsupported, format("{} speaks wire versions {} to {}, {} speaks {}", who,
                                             o.version_low, o.version_high, stream_, wire::kVersion)}};
  }
  if (!o.has(wire::Options::node) || o.node_v.empty() || o.node_v.size() > kMaxNodeBytes ||
      !o.has(wire::Options::port) || o.port_v.empty() || o.port_v.size() > kMaxNodeBytes) {
    return {
        {wire::Code::bad_request,
         format("HELLO to {} needs the options node and port, 1 to {} bytes each", stream_, kMaxNodeBytes)}};
  }
  if (!is_utf8(o.node_v) || !is_utf8(o.port_v)) {
    return {{wire::Code::bad_request, format("HELLO to {} has a node or port that is not UTF-8", stream_)}};
  }
  if (o.has(wire::Options::scope) && o.scope_v != options_.scope) {
    return {{wire::Code::denied, format("{} belongs to {}, {} to {}", who, weft::quoted(o.scope_v), stream_,
                                        weft::quoted(options_.scope))}};
  }
  if (o.has(wire::Options::block) && o.block_v != identity_.peer_block) {
    return {{wire::Code::denied,
             format("port {} of {} is a {}, but {} is a {} and needs a {}", weft::quoted(o.port_v), who,
                    weft::quoted(o.block_v), stream_, identity_.block, identity_.peer_block)}};
  }
  // Else one peer could make every record of this port too large.
  if (o.has(wire::Options::max_frame) && o.max_frame_v < kLeastFrameBytes) {
    return {{wire::Code::bad_request, format("{} takes frames of {} bytes at most, and the least is {}", who,
                                             o.max_frame_v, kLeastFrameBytes)}};
  }
  const Delivery delivery = delivery_of(o);
  if (identity_.same_delivery && delivery != options_.delivery) {
    return {
        {wire::Code::denied, format("port {} of {} is {}, but {} is {}: both ends of a link promise the same",
                                    weft::quoted(o.port_v), who, delivery_name(delivery), stream_,
                                    delivery_name(options_.delivery))}};
  }
  const RecordType type =
      type_of(o, wire::Options::name, o.name_v, wire::Options::fingerprint, o.fingerprint_v);
  if (!compatible(type, identity_.type)) {
    return {{wire::Code::type_mismatch,
             format("port {} of {} carries {}, but {} carries {}", weft::quoted(o.port_v), who,
                    describe(type), stream_, describe(identity_.type))}};
  }
  const RecordType reply = type_of(o, wire::Options::reply_name, o.reply_name_v,
                                   wire::Options::reply_fingerprint, o.reply_fingerprint_v);
  if (!compatible(reply, identity_.reply_type)) {
    return {{wire::Code::type_mismatch,
             format("port {} of {} has replies of {}, but {} has replies of {}", weft::quoted(o.port_v), who,
                    describe(reply), stream_, describe(identity_.reply_type))}};
  }
  return std::nullopt;
}

void Hub::on_hello(Peer* peer, std::string_view routing_id, const wire::Header& h,
                   transport::Message& message) {
  const bool from_router = !peer || peer->inbound;
  const bool lost_count = !from_router && h.options.has(wire::Options::first_retained) &&
                          peer->lost_count(h.epoch, h.options.first_retained_v);
  if (!from_router && h.options.has(wire::Options::attempt) && !peer->expects(h.options.attempt_v)) return;
  if (auto refusal = refuse_hello(h)) {
    ++counts_.rejected_peers;
    options_.log.warn(format("{}: refused a peer: {}", stream_, refusal->second));
    if (from_router) {
      nack_to(routing_id, refusal->first, refusal->second);
      if (peer_handler_) {
        peer_handler_({.what = PeerEvent::What::refused,
                       .node = std::string(h.options.has(wire::Options::node) ? h.options.node_v : "?"),
                       .port = std::string(h.options.has(wire::Options::port) ? h.options.port_v : "?"),
                       .endpoint = {},
                       .epoch = h.epoch,
                       .code = refusal->first,
                       .text = refusal->second});
      }
      return;
    }
    nack(*peer, refusal->first, refusal->second);
    return give_up(*peer, refusal->first, refusal->second);
  }
  // An outbound peer that was silent only may well be on the same connection still.
  bool new_connection =
      lost_count || (!from_router &&
                     (peer->fresh || (!peer->up() && peer->session.state() != protocol::PeerState::suspect)));
  if (from_router) {
    peer = inbound_hello(routing_id, h, new_connection);
    if (!peer) return;
  } else if (fenced(*peer, {}, h)) {
    return;
  }
  const std::uint64_t id = peer->id;
  const bool reached = establish(*peer, h, new_connection);
  // Of a HELLO whose connection is gone, the descriptor may be that of another one by now.
  if (!from_router || !reached || closed_ || find(id) != peer) return;
  const transport::ConnectionId connection = router_->know(message);
  // Nothing that comes by the one before is heard any more, and nobody may ever have told the system that
  // it is dead.
  if (connection != peer->connection) router_->end(std::exchange(peer->connection, connection));
}

// The peer that a HELLO at the ROUTER belongs to: known, known with a new connection or incarnation, or new.
Peer* Hub::inbound_hello(std::string_view routing_id, const wire::Header& h, bool& new_connection) {
  const std::string key = name_key(h.options.node_v, h.options.port_v);
  const auto known = inbound_by_name_.find(key);
  if (const auto same = by_routing_id_.find(std::string(routing_id));
      same != by_routing_id_.end() && (known == inbound_by_name_.end() || same->second != known->second)) {
    // One connection, two names: the second one is no honest mistake.
    reject(wire::Rejection::unexpected, same->second);
    return nullptr;
  }
  if (known == inbound_by_name_.end()) {
    if (!make_room()) {
      ++counts_.rejected_peers;
      nack_to(routing_id, wire::Code::full, format("{} has {} peers, its bound", stream_, peers_.size()));
      return nullptr;
    }
    Peer& peer = add_peer(true);
    peer.heard_attempt = h.options.has(wire::Options::attempt) ? h.options.attempt_v : 0;
    peer.routing_id = routing_id;
    by_routing_id_[peer.routing_id] = &peer;
    inbound_by_name_[key] = &peer;
    new_connection = true;
    return &peer;
  }
  Peer& peer = *known->second;
  if (fenced(peer, routing_id, h)) return nullptr;
  const std::uint32_t attempt = h.options.has(wire::Options::attempt) ? h.options.attempt_v : 0;
  const bool leftover = peer.routing_id != routing_id && h.epoch == peer.epoch && peer.outdated(attempt);
  if (leftover && peer.up() && !peer.finished) {
    ping(peer);  // if the present connection is gone, this finds it out
    if (peer.up()) return nullptr;
  }
  if (peer.gone) report_gone(peer);
  if (closed_) return nullptr;
  peer.heard_attempt = attempt;
  if (peer.session.state() == protocol::PeerState::closed) {
    // Who was shut out for breaking the protocol comes back as a new incarnation only.
    if (peer.bad_messages >= kBadMessages && h.epoch == peer.epoch) {
      nack_to(routing_id, wire::Code::denied, "shut out for messages that break the protocol");
      return nullptr;
    }
    peer.bad_messages = 0;
    peer.session.reopen(loop_.now());
  }
  if (peer.routing_id != routing_id) {
    by_routing_id_.erase(peer.routing_id);
    peer.routing_id = routing_id;
    by_routing_id_[peer.routing_id] = &peer;
    new_connection = true;
  }
  return &peer;
}

// An older incarnation of a peer that is known with a later one has been replaced.
bool Hub::fenced(Peer& peer, std::string_view routing_id, const wire::Header& h) {
  const bool same_name = peer.node == h.options.node_v && peer.port == h.options.port_v;
  if (!peer.met || !same_name || h.epoch >= peer.epoch) return false;
  ++counts_.fenced_batches;
  const std::string text = format("{} is known with epoch {}, this HELLO has {}: it has been replaced",
                                  peer.node, peer.epoch, h.epoch);
  peer.inbound ? nack_to(routing_id, wire::Code::fenced, text) : nack(peer, wire::Code::fenced, text);
  return true;
}

void Hub::rename(Peer& peer, const wire::Header& h) {
  if (peer.met && peer.node == h.options.node_v && peer.port == h.options.port_v) return;
  peer.node = h.options.node_v;
  peer.port = h.options.port_v;
  peer.name_hash = protocol::name_hash(peer.node + "." + peer.port);
  peer.lane = format("{}>{}", stream_, peer.node);
  peer.stream_index = 0;
  const wire::Kind kind = identity_.block == "dealer"   ? wire::Kind::request
                          : identity_.block == "router" ? wire::Kind::reply
                                                        : wire::Kind::data;
  peer.header = wire::DataHeader(kind, peer.lane, epoch_, seals());
}

void Hub::meet_receiver(Peer& peer, const wire::Header& h, bool fresh_lane) {
  // A peer that does not speak of credit gets as much as this port itself would give.
  const protocol::Credit credit = h.options.has(wire::Options::credit)
                                      ? protocol::Credit{h.options.credit_bytes, h.options.credit_batches}
                                      : protocol::Credit{options_.window_bytes, options_.window_batches};
  const bool answer = !peer.inbound && h.options.has(wire::Options::attempt);
  const auto attempt = answer ? std::optional(h.options.attempt_v) : std::nullopt;
  hear_rejected(peer, h.options);
  const std::uint64_t before = peer.out.outstanding_records();
  const auto lost = peer.meet_receiver(h.seq, attempt, !peer.inbound || fresh_lane, credit);
  const std::uint64_t arrived = before - peer.out.outstanding_records() - lost.records;
  count_lost(peer, lost.records);
  if (!identity_.receives) peer.fates.arrive(h.seq, arrived);
  if (lost.any()) client_.on_lost(peer, lost.accepted, lost.said);
}

std::uint64_t Hub::meet_sender(Peer& peer, const wire::Header& h) {
  const std::uint64_t first = h.options.has(wire::Options::first_retained) ? h.options.first_retained_v : 0;
  const auto met = peer.meet_sender(h.epoch, first, !peer.inbound);
  counts_.missed_batches += met.missed;
  return met.accepted;
}

// By those who can be given something: one that is gone neither holds the others down to its frames nor
// stands for them with frames that nobody takes any more.
Hub::FrameSizes Hub::compare_frames() const {
  FrameSizes out{.for_all = options_.max_frame_bytes, .for_any = 0};
  for (const auto& peer : peers_) {
    const auto state = peer->session.state();
    const bool over = state == protocol::PeerState::dead || state == protocol::PeerState::closed;
    if (peer->epoch == 0 || over || peer->finished) continue;  // epoch 0: has said nothing yet
    out.for_all = std::min(out.for_all, peer->max_frame);
    if (!peer->draining) out.for_any = std::max(out.for_any, peer->max_frame);
  }
  out.for_any = out.for_any == 0 ? options_.max_frame_bytes : std::min(out.for_any, options_.max_frame_bytes);
  return out;
}

bool Hub::establish(Peer& peer, const wire::Header& h, bool new_connection) {
  const wire::Options& o = h.options;
  const bool renamed = peer.met && (peer.node != o.node_v || peer.port != o.port_v);
  const bool restarted = renamed || (peer.met && h.epoch > peer.epoch);
  const bool was_up = peer.up();
  if (restarted) {
    // Also when it is not up just now: what was asked of its former life gets no answer. Nor may anything
    // leave for the new one before the HELLO that answers it, and before its lanes begin anew.
    peer.session.lose();
    emit(peer, PeerEvent::What::restarted);
    if (!closed_) client_.on_down(peer, PeerEvent::What::restarted);
    if (closed_ || peer.session.state() == protocol::PeerState::closed) return false;
    lose_flight(peer);
    peer.fates = {};
    if (renamed) peer.in = protocol::ReceiveLane();
  }
  const bool known = peer.met;
  peer.fresh = false;
  if (known && (new_connection || restarted)) ++counts_.reconnects;
  rename(peer, h);
  peer.epoch = h.epoch;
  peer.seals = o.has(wire::Options::seal);
  peer.max_frame = o.has(wire::Options::max_frame) ? o.max_frame_v : UINT64_MAX;
  peer.finished = peer.draining = false;
  peer.delivery = delivery_of(o);
  frame_sizes_.reset();
  peer.trouble.clear();
  if (o.has(wire::Options::data_endpoint)) peer.data_endpoint = o.data_endpoint_v;
  if (o.has(wire::Options::heartbeat) && o.heartbeat_v <= 3'600'000) {
    peer.session.peer_heartbeat(std::chrono::milliseconds(o.heartbeat_v));
  }
  peer.work.meet(o.has(wire::Options::credit_records) ? std::optional(o.credit_records_v) : std::nullopt);
  std::uint64_t accepted = 0;
  if (client_.keeps_streams()) {
    client_.on_met(peer, h, new_connection || restarted || !known);
  } else {
    if (identity_.sends) meet_receiver(peer, h, new_connection || restarted || !known);
    if (identity_.receives) accepted = meet_sender(peer, h);
    peer.work.reset(peer.unsettled_records());
  }
  peer.met = true;
  borrow_from(peer, h);
  bool reached = true;
  if (peer.inbound) {
    if (lender_ && (new_connection || restarted || !known)) lender_->renew(peer.id);
    const std::uint32_t attempt = o.has(wire::Options::attempt) ? o.attempt_v : 0U;
    reached = send_hello(peer, attempt, accepted) != transport::SendStatus::unroutable;
  } else {
    // A block that keeps its streams takes the first answer for all that were asked for.
    const bool first_counts = client_.keeps_streams() || !o.has(wire::Options::attempt);
    peer.answered(first_counts ? peer.hello_attempt : o.attempt_v);
  }
  auto action = peer.session.on_hello(loop_.now());
  plan_tick(peer, peer.session.next_tick());
  if (was_up && (restarted || new_connection)) action.became_up = true;
  if (action.became_up) apply(peer, {.became_up = true});
  return reached;
}

void Hub::on_nack(Peer& peer, const wire::Header& h) {
  const wire::Code code = h.options.has(wire::Options::code) ? h.options.code_v : wire::Code::none;
  const std::string text(h.options.has(wire::Options::text) ? h.options.text_v : std::string_view());
  if (code == wire::Code::retry) {
    if (peer.up()) emit(peer, PeerEvent::What::suspect, code, "it asked for a new HELLO");
    // ZeroMQ has made a new connection, and sends there first what it still held for the old one: of no use
    // to a stranger, and a whole window of it would go ahead of the HELLO.
    const bool leftovers = !peer.inbound && client_.keeps_streams() &&
                           peer.session.state() != protocol::PeerState::connecting &&
                           peer.session.state() != protocol::PeerState::closed;
    if (leftovers) reconnect(peer, false);
    apply(peer, peer.session.on_stranger(loop_.now()));
    plan_tick(peer, peer.session.next_tick());
    return;
  }
  options_.log.warn(format("{}: refused by {}: {} ({})", stream_, peer.name(), text, wire::to_string(code)));
  ++counts_.rejected_peers;
  if (code == wire::Code::full && !peer.inbound && !peer.up()) {  // there may be room later: HELLO goes on
    peer.trouble = text;
    return emit(peer, PeerEvent::What::refused, code, text);
  }
  give_up(peer, code, text);
}

}  // namespace weft::blocks
