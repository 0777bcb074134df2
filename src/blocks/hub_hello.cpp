// How a Hub meets its peers: HELLO said, answered and refused.
#include <algorithm>

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

RecordType type_of(const wire::Options& o, wire::Options::Key name, std::string_view text,
                   wire::Options::Key fingerprint, std::uint64_t number) {
  if (!o.has(name)) return {};
  return {std::string(text), o.has(fingerprint) ? number : 0};
}

}  // namespace

void Hub::say_hello(Peer& peer) {
  send_hello(peer, ++peer.hello_attempt, peer.in.last());
}

void Hub::send_hello(Peer& peer, std::uint32_t attempt, std::uint64_t accepted) {
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
    o.credit_bytes = options_.window_bytes;
    o.credit_batches = options_.window_batches;
    o.mark(wire::Options::credit);
  }
  if (identity_.sends) {
    o.first_retained_v = peer.out.last_sent() + 1;
    o.mark(wire::Options::first_retained);
  }
  if (!identity_.data_endpoint.empty())
    text(wire::Options::data_endpoint, o.data_endpoint_v, identity_.data_endpoint);
  // The number tells answers to earlier, repeated HELLOs apart: only the answer to the last one counts.
  o.attempt_v = attempt;
  o.mark(wire::Options::attempt);
  (void)send_header(peer, h);
}

std::optional<std::pair<wire::Code, std::string>> Hub::refuse_hello(const wire::Header& h) const {
  const wire::Options& o = h.options;
  const std::string who = o.has(wire::Options::node) ? quoted(o.node_v) : "a peer without a name";
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
  if (o.has(wire::Options::scope) && o.scope_v != options_.scope) {
    return {{wire::Code::denied,
             format("{} belongs to {}, {} to {}", who, quoted(o.scope_v), stream_, quoted(options_.scope))}};
  }
  if (o.has(wire::Options::block) && o.block_v != identity_.peer_block) {
    return {
        {wire::Code::denied, format("port {} of {} is a {}, but {} is a {} and needs a {}", quoted(o.port_v),
                                    who, quoted(o.block_v), stream_, identity_.block, identity_.peer_block)}};
  }
  const RecordType type =
      type_of(o, wire::Options::name, o.name_v, wire::Options::fingerprint, o.fingerprint_v);
  if (!compatible(type, identity_.type)) {
    return {
        {wire::Code::type_mismatch, format("port {} of {} carries {}, but {} carries {}", quoted(o.port_v),
                                           who, describe(type), stream_, describe(identity_.type))}};
  }
  const RecordType reply = type_of(o, wire::Options::reply_name, o.reply_name_v,
                                   wire::Options::reply_fingerprint, o.reply_fingerprint_v);
  if (!compatible(reply, identity_.reply_type)) {
    return {{wire::Code::type_mismatch,
             format("port {} of {} has replies of {}, but {} has replies of {}", quoted(o.port_v), who,
                    describe(reply), stream_, describe(identity_.reply_type))}};
  }
  return std::nullopt;
}

void Hub::on_hello(Peer* peer, std::string_view routing_id, const wire::Header& h) {
  const bool from_router = !peer || peer->inbound;
  if (!from_router && h.options.has(wire::Options::attempt) && h.options.attempt_v != peer->hello_attempt)
    return;
  if (auto refusal = refuse_hello(h)) {
    ++counts_.rejected_peers;
    options_.log.warn(format("{}: refused a peer: {}", stream_, refusal->second));
    if (from_router) {
      nack_to(routing_id, refusal->first, refusal->second);
      if (peer_handler_) {
        peer_handler_({.what = PeerEvent::What::refused,
                       .node = std::string(h.options.has(wire::Options::node) ? h.options.node_v : "?"),
                       .port = std::string(h.options.has(wire::Options::port) ? h.options.port_v : "?"),
                       .epoch = h.epoch,
                       .code = refusal->first,
                       .text = refusal->second});
      }
      return;
    }
    nack(*peer, refusal->first, refusal->second);
    peer->session.close();
    emit(*peer, PeerEvent::What::refused, refusal->first, refusal->second);
    return;
  }
  bool new_connection = !from_router;
  if (from_router) {
    peer = inbound_hello(routing_id, h, new_connection);
    if (!peer) return;
  }
  establish(*peer, h, new_connection);
}

// The peer that a HELLO at the ROUTER belongs to: known, known with a new connection or incarnation, or new.
Peer* Hub::inbound_hello(std::string_view routing_id, const wire::Header& h, bool& new_connection) {
  const std::string key = std::string(h.options.node_v) + "." + std::string(h.options.port_v);
  const auto known = inbound_by_name_.find(key);
  if (known == inbound_by_name_.end()) {
    if (peers_.size() >= options_.max_peers) {
      ++counts_.rejected_peers;
      nack_to(routing_id, wire::Code::full, format("{} has {} peers, its bound", stream_, peers_.size()));
      return nullptr;
    }
    if (const auto same_connection = by_routing_id_.find(std::string(routing_id));
        same_connection != by_routing_id_.end()) {
      // One connection, two names: the second one is no honest mistake.
      reject(wire::Rejection::unexpected, same_connection->second);
      return nullptr;
    }
    Peer& peer = add_peer(true);
    peer.routing_id = routing_id;
    by_routing_id_[peer.routing_id] = &peer;
    inbound_by_name_[key] = &peer;
    new_connection = true;
    return &peer;
  }
  Peer& peer = *known->second;
  if (h.epoch < peer.epoch) {
    ++counts_.fenced_batches;
    nack_to(routing_id, wire::Code::fenced,
            format("{} is known with epoch {}, this HELLO has {}: it has been replaced", peer.node,
                   peer.epoch, h.epoch));
    return nullptr;
  }
  if (peer.routing_id != routing_id) {
    by_routing_id_.erase(peer.routing_id);
    peer.routing_id = routing_id;
    by_routing_id_[peer.routing_id] = &peer;
    new_connection = true;
  }
  return &peer;
}

void Hub::establish(Peer& peer, const wire::Header& h, bool new_connection) {
  const wire::Options& o = h.options;
  const bool was_up = peer.up();
  const bool restarted = peer.met && h.epoch > peer.epoch;
  if (peer.met && (new_connection || restarted)) ++counts_.reconnects;
  peer.node = o.node_v;
  peer.port = o.port_v;
  peer.epoch = h.epoch;
  peer.name_hash = protocol::name_hash(peer.node + "." + peer.port);
  peer.finished = peer.draining = false;
  if (o.has(wire::Options::data_endpoint)) peer.data_endpoint = o.data_endpoint_v;
  if (o.has(wire::Options::heartbeat) && o.heartbeat_v <= 3'600'000) {
    peer.session.peer_heartbeat(std::chrono::milliseconds(o.heartbeat_v));
  }
  if (!peer.met) {
    peer.lane = format("{}>{}", stream_, peer.node);
    peer.header = wire::DataHeader(identity_.block == "dealer" ? wire::Kind::request : wire::Kind::data,
                                   peer.lane, epoch_);
  }
  if (restarted && peer.up()) {
    emit(peer, PeerEvent::What::restarted);
    client_.on_down(peer, PeerEvent::What::restarted);
  }
  if (identity_.sends) {
    if (new_connection || restarted || !peer.met)
      counts_.lost_records += peer.out.resume(restarted ? 0 : h.seq).records;
    const protocol::Credit none{UINT64_MAX / 2, UINT64_MAX / 2};  // a peer that does not speak of credit
    const protocol::Credit credit =
        o.has(wire::Options::credit) ? protocol::Credit{o.credit_bytes, o.credit_batches} : none;
    (void)peer.out.acknowledge(peer.out.last_acknowledged(), credit);
  }
  // What had arrived before this HELLO: the sender must not take what is skipped below for accepted.
  const std::uint64_t accepted = h.epoch == peer.in.epoch() ? peer.in.last() : 0;
  if (identity_.receives && o.has(wire::Options::first_retained) && o.first_retained_v > 0) {
    const bool fresh = !peer.in.started() || h.epoch > peer.in.epoch();
    if (peer.in.begin(h.epoch) == protocol::ReceiveLane::Verdict::accept) {
      if (fresh) peer.settled = 0;
      if (!fresh) counts_.missed_batches += peer.in.missing_until(o.first_retained_v - 1);
      peer.in.skip_to(o.first_retained_v - 1);
      if (peer.held_bytes == 0) peer.settled = peer.in.last();
    }
  }
  peer.met = true;
  if (peer.inbound) {
    const auto attempt = o.has(wire::Options::attempt) ? o.attempt_v : 0U;
    send_hello(peer, attempt, accepted);
  }
  auto action = peer.session.on_hello(loop_.now());
  plan_tick(peer.session.next_tick());
  if (was_up && (restarted || new_connection)) action.became_up = true;
  if (action.became_up) apply(peer, {.became_up = true});
}

void Hub::on_nack(Peer& peer, const wire::Header& h) {
  const wire::Code code = h.options.has(wire::Options::code) ? h.options.code_v : wire::Code::none;
  const std::string text(h.options.has(wire::Options::text) ? h.options.text_v : std::string_view());
  if (code == wire::Code::retry) {
    if (peer.up()) emit(peer, PeerEvent::What::suspect, code, "it asked for a new HELLO");
    apply(peer, peer.session.on_stranger(loop_.now()));
    plan_tick(peer.session.next_tick());
    return;
  }
  options_.log.warn(format("{}: refused by {}: {} ({})", stream_, peer.name(), text, wire::to_string(code)));
  ++counts_.rejected_peers;
  peer.session.close();
  emit(peer, PeerEvent::What::refused, code, text);
  client_.on_down(peer, PeerEvent::What::refused);
}

}  // namespace weft::blocks
