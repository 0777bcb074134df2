#include "blocks/hub.hpp"
#include "blocks/hub_scope.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/protocol/choose.hpp>

namespace weft::blocks {
namespace {

constexpr int kMessagesPerTurn = 256;  // then other sockets get their turn
constexpr std::uint64_t kBytesPerTurn = 8ULL << 20;
constexpr Duration kFollows = std::chrono::microseconds(20);

std::uint64_t seed_of(std::string_view text) {
  return protocol::name_hash(text);
}

}  // namespace

Hub::Hub(Loop& loop, const PortOptions& options, PortIdentity identity, HubClient& client)
    : loop_(loop),
      options_(options),
      identity_(std::move(identity)),
      client_(client),
      epoch_(options.epoch != 0 ? options.epoch : wall_micros()),
      stream_(format("{}/{}.{}", options.scope, options.node, options.name)),
      pool_(wire::BufferPool::make()),
      strangers_(loop, options_, stream_, "HELLO") {
  open_lender();
}

Hub::~Hub() {
  close();
  *alive_ = false;
}

void Hub::bind(const std::string& endpoint) {
  if (!router_) {
    router_.emplace(loop_.context(), transport::SocketType::router, socket_options());
    strangers_.watch(*router_);
    router_watch_ = loop_.watch(*router_, [this] { read_router(); });
  }
  bound_.push_back(router_->bind(endpoint));
}

Peer& Hub::add_peer(bool inbound) {
  const std::uint64_t id = next_id_++;
  // A new connection costs acknowledged blocks nothing but what they send again.
  const Duration doubt = client_.keeps_streams() ? options_.heartbeat : options_.dead_after;
  const protocol::SessionOptions session{.initiator = !inbound,
                                         .heartbeat = options_.heartbeat,
                                         .dead_after = options_.dead_after,
                                         .reconnect_after = doubt,
                                         .jitter_seed = seed_of(stream_) + id};
  const protocol::Credit window{options_.window_bytes, options_.window_batches};
  auto peer = std::make_unique<Peer>(session, loop_.now(), epoch_, window);
  peer->id = id;
  peer->inbound = inbound;
  if (!inbound) peer->hello_attempt = peer->hello_answered = hello_attempts_;
  by_id_[id] = peer.get();
  peers_.push_back(std::move(peer));
  return *peers_.back();
}

void Hub::remove_peer(Peer& peer, bool linger) {
  const auto at = std::ranges::find_if(peers_, [&](const auto& p) { return p.get() == &peer; });
  if (at == peers_.end()) return;  // a handler was faster
  lose_flight(peer);
  client_.on_removed(peer);
  hello_attempts_ = std::max(hello_attempts_, peer.hello_attempt);
  peer.borrower.reset();
  if (lender_) lender_->forget(peer.id);
  if (peer.watch != 0) loop_.unwatch(peer.watch);
  peer.watch = 0;
  if (peer.socket) linger ? peer.socket->close() : peer.socket->close_at_once();
  if (peer.inbound) {
    if (router_) router_->end(peer.connection);
    by_routing_id_.erase(peer.routing_id);
    inbound_by_name_.erase(name_key(peer.node, peer.port));
  }
  by_id_.erase(peer.id);
  latest_ = nullptr;
  ticks_.erase({std::exchange(peer.tick_at, TimePoint::max()), peer.id});
  peer.session.close();
  graveyard_.push_back(std::move(*at));
  peers_.erase(at);
  frame_sizes_.reset();
  plan_timer(loop_.now());  // a tick frees it
}

Peer* Hub::find(std::uint64_t id) {
  if (latest_ && latest_->id == id) return latest_;
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  return latest_ = found->second;
}

bool Hub::hopeless() const {
  return bound_.empty() && !peers_.empty() && std::ranges::all_of(peers_, [](const auto& p) {
           return p->session.state() == protocol::PeerState::closed && !p->finished;
         });
}

bool Hub::wait_for_peers(const std::function<bool()>& done, Deadline deadline) {
  if (closed_) return done();
  const InCall call(calls_);
  bool good = false;
  const auto over = [&] { return closed_ || (good = done()) || hopeless(); };
  return loop_.run_until(over, deadline) && good && !closed_;
}

std::string Hub::state_of(const Peer& peer) {
  const std::string_view state = to_string(peer.session.state());
  if (peer.up() || peer.trouble.empty()) return std::string(state);
  return format("{}: {}", state, peer.trouble);
}

bool Hub::anyone_living() const {
  return std::ranges::any_of(peers_, [](const auto& p) {
    const auto state = p->session.state();
    const bool lives = state == protocol::PeerState::up || state == protocol::PeerState::suspect;
    return lives && p->met && !p->finished;
  });
}

std::size_t Hub::peers_up() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(peers_, [](const auto& p) { return p->up() && !p->finished; }));
}

// ---- reading
// -------------------------------------------------------------------------------------------------

void Hub::read_router() {
  HubScope scope(busy_, inbox_);
  transport::Message& message = scope.message;
  std::uint64_t bytes = 0;
  for (int i = 0; i < kMessagesPerTurn && bytes < kBytesPerTurn; ++i) {
    if (!router_->receive(message)) return;
    for (const auto& frame : message) bytes += frame.size();
    // The id is copied: the message may be taken apart while it is handled.
    const std::string routing_id(message.empty() ? std::string_view() : as_text(message[0].view()));
    const auto known = by_routing_id_.find(routing_id);
    handle(known == by_routing_id_.end() ? nullptr : known->second, routing_id, message, 1);
    if (closed_ || came_alone(i)) return;
  }
}

void Hub::read_dealer(Peer& peer) {
  HubScope scope(busy_, inbox_);
  transport::Message& message = scope.message;
  std::uint64_t bytes = 0;
  for (int i = 0; i < kMessagesPerTurn && bytes < kBytesPerTurn; ++i) {
    if (!peer.socket || !peer.socket->open() || !peer.socket->receive(message)) return;
    for (const auto& frame : message) bytes += frame.size();
    handle(&peer, {}, message, 0);
    if (closed_ || peer.watch == 0 || came_alone(i)) return;
  }
}

// To look for a second message costs a system call, and what the first one caused to be sent waits for it.
// The loop asks the socket anyway before it waits; only where messages follow each other, more are read at
// once.
bool Hub::came_alone(int index) {
  const TimePoint before = std::exchange(last_read_, loop_.now());
  return index == 0 && last_read_ - before > kFollows;
}

void Hub::handle(Peer* peer, std::string_view routing_id, transport::Message& message, std::size_t first) {
  if (message.oversize() || message.size() <= first) return reject(wire::Rejection::bad_frame_count, peer);
  if (peer && peer->session.state() == protocol::PeerState::closed && !peer->inbound) return;
  wire::Header header;
  const wire::Rejection why = wire::decode(message[first].view(), header);
  const bool good = why == wire::Rejection::none;
  const bool unsealed = peer && peer->seals && !(good && header.options.has(wire::Options::seal));
  if (unsealed || (good && !as_sent(header, message, first))) return garbled(peer);
  if (!good) return reject(why, peer);
  if (peer) peer->garbled = 0;
  // Before anything else may drop it: what is lent is given back by dropping what was made of it.
  const bool shared =
      header.options.has(wire::Options::flags) && (header.options.flags_v & wire::kShared) != 0;
  if (shared && peer) {
    if (!resolve_shared(*peer, message, first + 1)) return reject(wire::Rejection::bad_shared, peer);
    (void)wire::decode(message[first].view(), header);  // its views moved with its frame
  }

  if (header.kind == wire::Kind::hello) return on_hello(peer, routing_id, header, message);
  if (!peer) {
    // Either we were restarted, or its connection was: it has to say HELLO first.
    reject(wire::Rejection::unexpected, nullptr);
    if (header.kind != wire::Kind::nack && header.kind != wire::Kind::bye) {
      nack_to(routing_id, wire::Code::retry, "say HELLO first");
    }
    return;
  }
  const bool of_a_batch = header.kind == wire::Kind::nack && header.seq != 0 && client_.keeps_streams();
  if (header.kind == wire::Kind::nack && !of_a_batch) return on_nack(*peer, header);
  apply(*peer, peer->session.on_traffic(loop_.now()));
  // Once met, sequence and epoch say what a message is worth, whether or not the session is being renewed.
  if (peer->session.state() == protocol::PeerState::closed || !peer->met) {
    return reject(wire::Rejection::unexpected, peer);
  }
  switch (header.kind) {
    case wire::Kind::ack:
      return on_ack(*peer, header);
    case wire::Kind::ping:
      if (client_.keeps_streams()) {
        const bool numbered = header.options.has(wire::Options::attempt);
        return acknowledge_stream(*peer, numbered ? std::optional(header.options.attempt_v) : std::nullopt);
      }
      return acknowledge(*peer);
    case wire::Kind::bye:
      return on_bye(*peer, header);
    case wire::Kind::request:
    case wire::Kind::reply:
      // What it says beside its matter may be passed over, and a peer that has lost count is told otherwise.
      if (identity_.sends && header.options.has(wire::Options::processed) &&
          !acknowledged(*peer, header.options.processed_v, peer->out.credit())) {
        const bool last = peer->bad_messages + 1 >= kBadMessages;
        reject(wire::Rejection::unexpected, peer);
        if (last) return;
      }
      [[fallthrough]];
    default:
      client_.on_message(*peer, header, message, first + 1);
  }
}

void Hub::on_ack(Peer& peer, const wire::Header& header) {
  if (client_.keeps_streams()) return client_.on_ack(peer, header);
  if (!identity_.sends) return;  // the answer to our PING
  const protocol::Credit credit =
      header.options.has(wire::Options::credit)
          ? protocol::Credit{header.options.credit_bytes, header.options.credit_batches}
          : peer.out.credit();
  hear_rejected(peer, header.options);
  if (!acknowledged(peer, header.seq, credit)) reject(wire::Rejection::unexpected, &peer);
}

void Hub::on_bye(Peer& peer, const wire::Header& header) {
  const std::uint32_t flags = header.options.has(wire::Options::flags) ? header.options.flags_v : wire::kLast;
  if ((flags & wire::kDraining) != 0) {
    peer.draining = true;
    frame_sizes_.reset();
    emit(peer, PeerEvent::What::draining);
    client_.on_room(peer);
    return;
  }
  peer.finished = true;
  frame_sizes_.reset();
  peer.borrower.reset();  // it lends nothing more, and what it lent has been taken in
  // It waits for this one to be done with all that it sent, and this end may close any moment.
  if (identity_.receives && client_.keeps_streams()) {
    acknowledge_stream(peer, std::nullopt);
  } else if (identity_.receives && peer.ack.pending()) {
    acknowledge(peer);
  }
  // It acknowledged what it had before it said so, and takes nothing more.
  lose_flight(peer);
  if (!identity_.finish_is_told) emit(peer, PeerEvent::What::finished);
  client_.on_down(peer, PeerEvent::What::finished);
}

void Hub::reject(wire::Rejection why, Peer* peer) {
  ++counts_.rejected_messages;
  ++counts_.rejections[static_cast<std::size_t>(why)];
  if (!peer) return;
  if (++peer->bad_messages == kBadMessages && peer->session.state() != protocol::PeerState::closed) {
    const std::string text = format("sent {} messages that break the protocol, the last one: {}",
                                    kBadMessages, wire::to_string(why));
    // What was not taken it shall count as that, not as lost.
    if (peer->fates.rejected() != 0 && peer->up()) acknowledge(*peer);
    nack(*peer, wire::Code::denied, text);
    options_.log.warn(format("{}: shut {} out: it {}", stream_, peer->name(), text));
    give_up(*peer, wire::Code::denied, text);
  }
}

// Who connects to it never asks it again; who is bound hears it when it comes as a new incarnation.
void Hub::give_up(Peer& peer, wire::Code code, std::string text) {
  peer.session.close();
  frame_sizes_.reset();
  lose_flight(peer);
  peer.trouble = format("{} ({})", text, wire::to_string(code));
  emit(peer, PeerEvent::What::refused, code, std::move(text));
  if (!closed_) client_.on_down(peer, PeerEvent::What::refused);
}

// ---- sending
// -------------------------------------------------------------------------------------------------

transport::SendStatus Hub::send(Peer& peer, std::span<transport::Frame> frames) {
  if (seals()) seal(frames);
  transport::Socket* socket =
      peer.inbound ? (router_ ? &*router_ : nullptr) : (peer.socket ? &*peer.socket : nullptr);
  if (!socket || !socket->open()) return transport::SendStatus::unroutable;
  const auto status =
      peer.inbound ? socket->send_to(as_bytes(peer.routing_id), frames) : socket->send(frames);
  if (status == transport::SendStatus::sent) {
    peer.session.on_sent(loop_.now());
  } else if (status == transport::SendStatus::unroutable && peer.up()) {
    // Who sends is amid its queues: the news waits for the next turn.
    peer.session.lose();
    peer.gone = true;
    plan_tick(peer, loop_.now());
  }
  return status;
}

transport::SendStatus Hub::send_header(Peer& peer, const wire::Header& header) {
  scratch_.clear();
  encode(header, scratch_);
  transport::Frame frame(scratch_.view());
  return send(peer, {&frame, 1});
}

bool Hub::send_batch(Peer& peer, wire::Kind kind, std::uint64_t seq, wire::BatchBuilder::Batch& batch,
                     std::uint32_t flags) {
  if (lender_ && lend(peer, batch.body.view(), batch.tensors)) {
    return send_lent(peer, kind, seq, batch, flags | wire::kShared);
  }
  scratch_.clear();
  const std::uint64_t processed = said_beside(peer, kind);
  peer.header.encode(seq, batch.count, scratch_, 0, flags, processed);
  // A small body would pin a large pooled block for as long as it is on its way: copy it instead.
  const bool copy = batch.body.size() * 4 < batch.body.capacity();
  outgoing_.clear();
  outgoing_.emplace_back(scratch_.view());
  if (copy) {
    outgoing_.emplace_back(batch.body.view());
  } else {
    // Should the send fail, the frame still owns the bytes: take a copy back then, which is rare.
    outgoing_.emplace_back(std::move(batch.body));
  }
  for (const Tensor& tensor : batch.tensors) outgoing_.emplace_back(tensor);
  const auto status = send(peer, outgoing_);
  if (status == transport::SendStatus::sent) {
    if (processed != 0) peer.ack.told();
    return true;
  }
  if (!copy) {
    batch.body = pool_->take(outgoing_[1].size());
    batch.body.append(outgoing_[1].view());
  }
  outgoing_.clear();  // it must not keep the tensors' owners
  if (status == transport::SendStatus::would_block) plan_tick(peer, loop_.now() + kRetrySendAfter);
  return false;
}

wire::Header Hub::header(wire::Kind kind, std::uint64_t seq) const {
  return {.kind = kind, .stream = stream_, .epoch = epoch_, .seq = seq, .options = {}};
}

void Hub::probe(Peer& peer, std::uint32_t number) {
  wire::Header h = header(wire::Kind::ping, 0);
  h.options.attempt_v = number;
  h.options.mark(wire::Options::attempt);
  (void)send_header(peer, h);
}

void Hub::ping(Peer& peer) {
  (void)send_header(peer, header(wire::Kind::ping, peer.out.last_sent()));
}

void Hub::nack(Peer& peer, wire::Code code, std::string_view text) {
  wire::Header h = header(wire::Kind::nack, 0);
  h.options.code_v = code;
  h.options.mark(wire::Options::code);
  h.options.text_v = text;
  h.options.mark(wire::Options::text);
  (void)send_header(peer, h);
}

void Hub::nack_to(std::string_view routing_id, wire::Code code, std::string_view text) {
  if (!router_) return;
  wire::Header h = header(wire::Kind::nack, 0);
  h.options.code_v = code;
  h.options.mark(wire::Options::code);
  h.options.text_v = text;
  h.options.mark(wire::Options::text);
  scratch_.clear();
  encode(h, scratch_);
  transport::Frame frame(scratch_.view());
  if (seals()) seal({&frame, 1});
  (void)router_->send_to(as_bytes(routing_id), {&frame, 1});
}

void Hub::bye(Peer& peer, std::uint32_t flags) {
  if (peer.ack.pending()) {  // so that its counts are exact
    client_.keeps_streams() ? acknowledge_stream(peer, std::nullopt) : acknowledge(peer);
  }
  wire::Header h = header(wire::Kind::bye, peer.out.last_sent());
  h.options.flags_v = flags;
  h.options.mark(wire::Options::flags);
  (void)send_header(peer, h);
}

void Hub::finish(Peer& peer) {
  bye(peer, wire::kLast);
  peer.finished = true;
  frame_sizes_.reset();
}

void Hub::bye_all(std::uint32_t flags) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    if (peers_[i]->up() && !peers_[i]->finished) bye(*peers_[i], flags);
  }
}

void Hub::emit(Peer& peer, PeerEvent::What what, wire::Code code, std::string text) {
  options_.log.debug(
      format("{}: peer {} {}{}{}", stream_, peer.name(), to_string(what), text.empty() ? "" : ": ", text));
  if (!peer_handler_) return;
  const bool dead = what == PeerEvent::What::dead;
  peer_handler_(
      {.what = what,
       .node = peer.name(),
       .port = peer.port,
       .endpoint = peer.endpoint,
       .epoch = peer.epoch,
       .code = code,
       .text = std::move(text),
       .for_good = what == PeerEvent::What::refused && peer.session.state() == protocol::PeerState::closed,
       .lost_records = dead ? peer.unsettled_records() : 0});
}

bool Hub::is_lost(const Peer& peer) const {
  const auto state = peer.session.state();
  if (state == protocol::PeerState::closed) return true;
  return state == protocol::PeerState::dead && loop_.now() - peer.session.last_heard() >= options_.dead_after;
}

std::uint64_t Hub::lost_records() const {
  std::uint64_t lost = counts_.lost_records;
  for (const auto& peer : peers_) {
    const auto state = peer->session.state();
    const bool over = state == protocol::PeerState::dead || state == protocol::PeerState::closed;
    if (over) lost += peer->unsettled_records();
  }
  return lost;
}

void Hub::fill(PortStats& stats) const {
  stats = counts_;
  stats.peers_up = peers_up();
  if (router_ && router_->open()) stats.rejected_connections = router_->rejected_connections();
  if (lender_) {
    const auto shared = lender_->counts();
    stats.shared_memory_full = shared.full;
    stats.shared_memory_used = shared.used_bytes;
  }
  for (const auto& peer : peers_) {
    const std::uint64_t waiting = peer->unsettled_records();
    // Should it come back after all, its HELLO says how much of it arrived.
    (is_lost(*peer) ? stats.lost_records : stats.outstanding_records) += waiting;
  }
}

void Hub::close() {
  if (closed_) return;
  for (auto& peer : peers_) lose_flight(*peer);
  if (router_) counts_.rejected_connections = router_->rejected_connections();
  closed_ = true;
  strangers_.close();
  if (timer_ != 0) loop_.cancel(timer_);
  if (router_watch_ != 0) loop_.unwatch(router_watch_);
  if (router_) router_->close();
  pool_->draw_from(nullptr, 0);
  lender_.reset();
  for (auto& peer : peers_) {
    peer->borrower.reset();
    if (peer->watch != 0) loop_.unwatch(peer->watch);
    // To a peer that is gone nothing gets through: lingering would only hold up the end of this process.
    const bool reachable = peer->up() && (!peer->finished || peer->draining);
    if (peer->socket) reachable ? peer->socket->close() : peer->socket->close_at_once();
    peer->session.close();
  }
  by_routing_id_.clear();
  inbound_by_name_.clear();
}

}  // namespace weft::blocks
