#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "blocks/dealer_impl.hpp"

namespace weft {

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::remote_error:
      return "remote error";
    case Outcome::timed_out:
      return "timed out";
    case Outcome::peer_lost:
      return "peer lost";
    case Outcome::malformed:
      return "malformed reply";
    case Outcome::no_room:
      return "no room";
    case Outcome::no_peer:
      return "no peer";
    case Outcome::closed:
      return "closed";
  }
  return "unknown";
}

Peer* DealerBase::Impl::choose(std::optional<std::uint64_t> key, std::string_view name) {
  candidates.clear();
  choice.clear();
  if (name.empty() && options.distribute == Distribute::explicit_) return nullptr;
  for (const auto& peer : hub.peers()) {
    if (!name.empty() && peer->node != name) continue;
    // A key stays with its router through a silence; anything else goes to those that answer.
    const bool keyed = key && options.distribute == Distribute::hash;
    if (keyed ? !peer->living() : !peer->usable()) continue;
    const auto found = outlets.find(peer->id);
    const std::size_t busy =
        found == outlets.end() ? 0 : found->second.unanswered + found->second.open_tickets.size();
    choice.push_back(peer.get());
    candidates.push_back({.id = peer->name_hash, .ready = true, .room = UINT64_MAX - busy});
  }
  std::optional<std::size_t> at;
  if (key && options.distribute == Distribute::hash) {
    at = protocol::by_key(candidates, *key);
  } else if (options.distribute == Distribute::round_robin) {
    at = protocol::round_robin(candidates, last_choice);
  } else {
    at = protocol::most_room(candidates, last_choice);  // least outstanding
  }
  if (!at) return nullptr;
  last_choice = *at;
  return choice[*at];
}

void DealerBase::Impl::add(const RequestTo& to, Deadline deadline,
                           const std::function<void(wire::BatchBuilder&)>& encode, Done done) {
  if (hub.closed() || draining) return refuse(done, Outcome::closed, "the dealer takes no new requests", {});
  if (queued_bytes >= options.capacity_bytes) {
    return refuse(done, Outcome::no_room, format("{} bytes of requests wait already", queued_bytes), {});
  }
  const std::optional<std::uint64_t> key =
      to.key ? std::optional(protocol::name_hash(as_text(*to.key))) : std::nullopt;
  Peer* peer = choose(key, to.peer);
  if (!peer && options.distribute == Distribute::explicit_) {
    return refuse(done, Outcome::no_peer, format("router {} is not up", quoted(to.peer)),
                  std::string(to.peer));
  }
  if (!peer) return add_unassigned({.key = key, .peer = to.peer}, deadline, encode, std::move(done));
  Outlet& outlet = outlet_of(*peer);
  const auto mark = outlet.open.mark();
  encode(outlet.open);
  if (!fits(outlet.open, mark)) {
    outlet.open.roll_back(mark);
    return refuse_large(done);
  }
  outlet.open_tickets.push_back(open(deadline, std::move(done)));
  if (outlet.open.bytes() >= batch_bytes() || outlet.open.count() >= options.batch_records ||
      outlet.open.tensors().size() > wire::kMaxTensors / 2 || !to.peer.empty()) {
    close_batch(outlet, to.peer);
  }
}

void DealerBase::Impl::add_unassigned(const Where& where, Deadline deadline,
                                      const std::function<void(wire::BatchBuilder&)>& encode, Done done) {
  wire::BatchBuilder single(hub.pool(), 4096);
  encode(single);
  if (!fits(single, {})) return refuse_large(done);
  queued_bytes += single.bytes();
  unassigned.push_back(
      {single.take(), {open(deadline, std::move(done))}, where.key, std::string(where.peer)});
}

std::uint64_t DealerBase::Impl::open(Deadline deadline, Done done) {
  const std::uint64_t ticket = next_ticket++;
  book.open(ticket, 0, deadline, std::move(done));
  plan_expiry(deadline.point());
  return ticket;
}

std::uint64_t DealerBase::Impl::batch_bytes() const {
  return std::min(options.batch_bytes, options.max_frame_bytes / 2);
}

bool DealerBase::Impl::fits(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark) const {
  return blocks::fits(batch, mark, batch_bytes(), options.max_frame_bytes);
}

void DealerBase::Impl::refuse_large(const Done& done) {
  RawReply reply;
  reply.outcome = Outcome::no_room;
  reply.code = wire::Code::too_large;
  reply.text = format("the request does not fit a frame of {} bytes", options.max_frame_bytes);
  done(reply);
}

void DealerBase::Impl::refuse(const Done& done, Outcome outcome, std::string text, std::string peer) {
  RawReply reply;
  reply.outcome = outcome;
  reply.text = std::move(text);
  reply.peer = std::move(peer);
  done(reply);
}

void DealerBase::Impl::close_batch(Outlet& outlet, std::string_view only) {
  if (outlet.open.empty()) return;
  Requests requests{outlet.open.take(), std::move(outlet.open_tickets), std::nullopt, std::string(only)};
  outlet.open_tickets.clear();
  queued_bytes += requests.batch.bytes;
  outlet.ready.push_back(std::move(requests));
}

void DealerBase::Impl::pump() {
  if (hub.closed() || pumping) return;
  pumping = true;
  assign();
  for (auto& [id, outlet] : outlets) {
    close_batch(outlet);
    Peer* peer = hub.find(id);
    while (peer && peer->up() && !peer->finished && !outlet.ready.empty() && send_one(*peer, outlet)) {
    }
    if (peer) say_bye_when_idle(*peer, outlet);
  }
  pumping = false;
  check_drain();
}

void DealerBase::Impl::assign() {
  for (std::size_t i = unassigned.size(); i-- > 0;) {
    Requests requests = std::move(unassigned.front());
    unassigned.pop_front();
    Peer* peer = choose(requests.key, requests.peer);
    if (peer) {
      Outlet& outlet = outlet_of(*peer);
      close_batch(outlet);  // keeps the order of what was asked
      outlet.ready.push_back(std::move(requests));
    } else {
      unassigned.push_back(std::move(requests));
    }
  }
}

bool DealerBase::Impl::send_one(Peer& peer, Outlet& outlet) {
  Requests& requests = outlet.ready.front();
  const std::uint64_t bytes = requests.batch.bytes;
  const std::uint64_t count = requests.batch.count;
  if (!peer.out.admits(bytes)) return false;
  if (tap) tap(true, peer.node, requests.batch.body.view(), count);
  if (!hub.send_batch(peer, wire::Kind::request, peer.out.last_sent() + 1, requests.batch)) return false;
  peer.out.send(bytes, count, count);
  hub.counts().sent_records += count;
  hub.counts().sent_bytes += bytes;
  ++hub.counts().sent_batches;
  queued_bytes -= bytes;
  outlet.unanswered += count;
  if (outlet.sent.empty()) outlet.first_sent = peer.out.last_sent() - count + 1;
  for (const std::uint64_t ticket : requests.tickets) outlet.sent.push_back(ticket);
  outlet.ready.pop_front();
  return true;
}

DealerBase::DealerBase(Loop& loop, PortOptions options, RecordType request, RecordType reply) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(request), std::move(reply));
  Impl& impl = *impl_;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) impl.hub.connect(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
}

DealerBase::~DealerBase() {
  close();
}

std::vector<std::string> DealerBase::endpoints() const {
  return impl_->hub.endpoints();
}
void DealerBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void DealerBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
}
std::size_t DealerBase::peers_up() const {
  return impl_->hub.peers_up();
}
std::size_t DealerBase::open_requests() const {
  return impl_->book.size();
}
void DealerBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void DealerBase::tap(Tap tap) {
  impl_->tap = std::move(tap);
}

PortStats DealerBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.outstanding_records = impl_->book.size();
  stats.queued_bytes = impl_->queued_bytes;
  stats.queued_records = impl_->unassigned.size();
  for (const auto& [id, outlet] : impl_->outlets) {
    stats.queued_records += outlet.open_tickets.size();
    for (const auto& requests : outlet.ready) stats.queued_records += requests.tickets.size();
  }
  return stats;
}

std::vector<std::string> DealerBase::peer_names() const {
  std::vector<std::string> names;
  for (const auto& peer : impl_->hub.peers()) {
    if (peer->usable()) names.push_back(peer->node);
  }
  return names;
}

void DealerBase::begin_drain() {
  impl_->draining = true;
  impl_->pump();
}

bool DealerBase::drained() const {
  return impl_->said_bye || impl_->hub.closed();
}

void DealerBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.hub.close();
  impl.hub.loop().remove_hook(impl.hook);
  if (impl.timer != 0) impl.hub.loop().cancel(impl.timer);
  impl.timer = 0;
  impl.outlets.clear();
  impl.unassigned.clear();
  for (auto& [ticket, done] : impl.book.expire(TimePoint::max())) {
    RawReply reply;
    reply.text = "the dealer was closed";
    done(reply);
  }
}

void DealerBase::submit(const RequestTo& to, Deadline deadline,
                        const std::function<void(wire::BatchBuilder&)>& encode, Done done) {
  impl_->add(to, deadline, encode, std::move(done));
}

void DealerBase::wait(const bool& finished, Deadline deadline) {
  // The deadline itself ends the request; the margin is for the loop to say so.
  const auto margin = std::chrono::seconds(1);
  const TimePoint point = deadline.point();
  const Deadline last = point > TimePoint::max() - margin ? deadline : Deadline::at(point + margin);
  (void)impl_->hub.loop().run_until([&] { return finished; }, last);
}

bool DealerBase::wait_for_room(const RequestTo& to, Deadline deadline) {
  Impl& impl = *impl_;
  const bool must_be_up = impl.options.distribute == Distribute::explicit_;
  return impl.hub.loop().run_until(
      [&] {
        if (impl.hub.closed() || impl.draining) return true;
        return impl.queued_bytes < impl.options.capacity_bytes &&
               (!must_be_up || impl.choose(std::nullopt, to.peer) != nullptr);
      },
      deadline);
}

bool DealerBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.loop().run_until([&] { return peers_up() >= count; }, deadline);
}

}  // namespace weft
