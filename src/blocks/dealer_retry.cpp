#include "blocks/dealer_retry.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/protocol/choose.hpp>

#include "blocks/defaults.hpp"

namespace weft {

using blocks::Replica;
using protocol::RetryBook;

namespace {

constexpr std::size_t kReplicas = 4096;  // then those that are gone are forgotten

RetryBook::View seen(const Peer& peer, bool room, bool window) {
  return {.usable = peer.usable(), .living = peer.living(), .room = room, .window = window};
}

protocol::RetryBookOptions book_options(const PortOptions& o, std::uint64_t seed) {
  return {.delivery = o.delivery,
          .distribute = o.distribute,
          .retry = {.first = o.retry_first, .longest = o.retry_longest, .seed = seed},
          .circuit = {.failures = o.circuit_failures,
                      .probe = {.first = o.circuit_first, .longest = o.circuit_longest, .seed = seed + 1}},
          .attempt_timeout = o.attempt_timeout,
          .max_attempts = o.max_attempts};
}

}  // namespace

RetryDealer::RetryDealer(Loop& loop, PortOptions given, RecordType request, RecordType reply)
    : Impl(loop, std::move(given), std::move(request), std::move(reply)),
      book(book_options(options, protocol::name_hash(hub.stream()))),
      scratch(hub.pool(), 4096) {}

// ---- requests

RequestId RetryDealer::add(const RequestTo& to, Deadline deadline, const Encode& encode, Done done) {
  if (hub.closed() || draining) {
    refuse(done, Outcome::closed, "the dealer takes no new requests", {});
    return 0;
  }
  if (kept_bytes >= options.capacity_bytes) {
    refuse(done, Outcome::no_room, format("{} bytes of requests are kept already", kept_bytes), {});
    return 0;
  }
  if (to.peer.empty() && options.distribute == Distribute::explicit_) {
    refuse(done, Outcome::no_peer, "the request names no router", {});
    return 0;
  }
  if (hub.hopeless()) {
    refuse(done, Outcome::no_peer, "never sent: " + states(), std::string(to.peer));
    return 0;
  }
  encode(scratch);
  if (!keep(scratch, {}, done)) return 0;
  const RequestId id = next_id++;
  RetryBook::Target target;
  if (!to.peer.empty()) target.only = protocol::name_hash(to.peer);
  if (to.key) target.key = protocol::name_hash(as_text(*to.key));
  Open open{blocks::Stored(scratch.take()), std::string(to.peer), std::move(done)};
  kept_bytes += open.request.bytes;
  requests.emplace(id, std::move(open));
  ++hub.counts().accepted_records;
  book.open(id, deadline.point(), target);
  change();
  plan();
  return id;
}

bool RetryDealer::has_room(const RequestTo&) {
  return kept_bytes < options.capacity_bytes;
}

bool RetryDealer::cancel(RequestId id) {
  if (!requests.contains(id)) return false;
  wake();
  RawReply reply;
  reply.outcome = Outcome::cancelled;
  reply.text = "was never sent";
  for (const RetryBook::Placement& at : book.cancel(id)) {
    const auto replica = replicas.find(at.replica);
    if (replica == replicas.end()) continue;
    reply.peer = replica->second.node;
    reply.text = format("was sent to {}, which may have done it", reply.peer);
    if (Peer* peer = peer_of(at.replica)) send_cancel(*peer, at.number);
  }
  if (finish(id, reply)) check_drain();
  return true;
}

void RetryDealer::fill(PortStats& stats) const {
  stats.queued_bytes = kept_bytes;
  stats.queued_records = std::min<std::uint64_t>(book.waiting(), requests.size());
  stats.outstanding_records = requests.size() - stats.queued_records;
  stats.retried_requests = book.retries();
  stats.circuits_opened = book.replicas().opened();
}

void RetryDealer::end_all() {
  if (timer != 0) hub.loop().cancel(timer);
  timer = 0;
  auto open = std::exchange(requests, {});
  kept_bytes = 0;
  for (auto& [id, request] : open) (void)book.cancel(id);
  const bool exact = options.delivery == Delivery::exactly_once;
  for (std::size_t i = 0; i < open.size(); ++i) count_end(Outcome::closed);
  blocks::CallAll all;
  for (auto& [id, request] : open) {
    RawReply reply;
    reply.text =
        exact ? "the dealer was closed; if it was sent, it may have been done" : "the dealer was closed";
    all.call([&, &done = request.done] { call(done, reply); });
  }
  all.rethrow();
}

// ---- routers

RetryDealer::Id RetryDealer::replica_of(const Peer& peer) {
  const std::string key = blocks::name_key(peer.node, peer.port);
  const auto known = by_name.find(key);
  Id id = known == by_name.end() ? 0 : known->second;
  if (id == 0) {
    if (replicas.size() >= kReplicas) forget_replicas();
    id = next_replica++;
    by_name.emplace(key, id);
    replicas.emplace(id, Replica(hub.pool())).first->second.node = peer.node;
    book.add(id, protocol::name_hash(peer.node), peer.name_hash);
  }
  by_peer[peer.id] = id;
  return id;
}

/// Routers that came, had nothing left to answer, and are gone: a bound Dealer meets any number of them.
void RetryDealer::forget_replicas() {
  std::erase_if(by_name, [this](const auto& entry) {
    const auto at = replicas.find(entry.second);
    if (hub.find(at->second.peer) != nullptr || !book.remove(entry.second)) return false;
    replicas.erase(at);
    return true;
  });
  std::erase_if(by_peer, [this](const auto& entry) { return hub.find(entry.first) == nullptr; });
}

Peer* RetryDealer::peer_of(Id id) {
  const auto at = replicas.find(id);
  return at == replicas.end() ? nullptr : hub.find(at->second.peer);
}

RetryBook::View RetryDealer::see(Id id) {
  const auto at = replicas.find(id);
  Peer* peer = at == replicas.end() ? nullptr : hub.find(at->second.peer);
  if (!peer) return {};
  const wire::BatchBuilder& open = at->second.open;
  const bool bound = bound_room(*peer, open.count()) != 0;
  return seen(*peer, bound && peer->out.admits_beside(open.bytes(), 1), work_room(*peer, open.count()) != 0);
}

void RetryDealer::on_up(Peer& peer) {
  share();
  // The same router by another connection, or a process that took over its name: the latest one counts.
  const std::string key = blocks::name_key(peer.node, peer.port);
  if (const auto was = by_peer.find(peer.id); was != by_peer.end()) {
    const auto named = by_name.find(key);
    if (named == by_name.end() || named->second != was->second) by_peer.erase(was);  // it has a new name
  }
  const Id id = replica_of(peer);
  Replica& replica = replicas.at(id);
  replica.peer = peer.id;
  // A new life at another endpoint: nobody else would say that the old one is over.
  const bool new_life = replica.epoch != 0 && peer.epoch > replica.epoch;
  replica.epoch = peer.epoch;
  blocks::CallAll all;
  if (new_life) all.call([&] { (void)finish_all(book.down(id, true, hub.loop().now()), "restarted"); });
  if (hub.closed()) return all.rethrow();
  book.up(id, peer.out.last_sent());
  change();
  all.call([this] { pump(); });
  all.rethrow();
}

void RetryDealer::on_room(Peer& peer) {
  report(peer);
  change();
}

void RetryDealer::on_down(Peer& peer, PeerEvent::What what) {
  if (what == PeerEvent::What::refused && hub.hopeless()) return refuse_waiting();
  const auto known = by_peer.find(peer.id);
  if (known == by_peer.end()) return;
  const Id id = known->second;
  if (replicas.at(id).peer != peer.id) return;  // it is reached another way since
  const bool life_over = what == PeerEvent::What::restarted;
  const auto ends = book.down(id, life_over, hub.loop().now());
  change();
  if (!finish_all(ends, to_string(what))) return;
  pump();
}

// Also what is on its way.
void RetryDealer::refuse_waiting() {
  if (requests.empty()) return;
  std::vector<RequestId> open;
  for (const auto& [id, request] : requests) open.push_back(id);
  std::ranges::sort(open);
  wake();  // this may be the end of a drain
  const bool exact = options.delivery == Delivery::exactly_once;
  blocks::CallAll all;
  for (const RequestId id : open) {
    if (!requests.contains(id)) continue;  // closed by the end of another one
    const bool sent = !book.cancel(id).empty();
    const std::string text = (sent ? "no reply: " : "never sent: ") + states();
    RawReply reply;
    reply.outcome = !sent ? Outcome::no_peer : exact ? Outcome::unknown : Outcome::peer_lost;
    if (sent) reply.code = exact ? wire::Code::outcome_unknown : wire::Code::dead;
    reply.text = text;
    all.call([&] { (void)finish(id, reply); });
  }
  all.rethrow();
}

// ---- sending

void RetryDealer::send_all() {
  if (std::exchange(changed, false)) {
    book.pump(
        hub.loop().now(), [this](Id id) { return see(id); },
        [this](const RetryBook::Send& send) { collect(send); });
    for (auto& [id, replica] : replicas) flush(id, replica);
    plan();
  }
  for (std::size_t i = 0; i < hub.peers().size(); ++i) say_bye_when_idle(*hub.peers()[i]);
}

void RetryDealer::collect(const RetryBook::Send& send) {
  Replica& replica = replicas.at(send.replica);
  const blocks::Stored& request = requests.at(send.ticket).request;
  const Peer* const peer = hub.find(replica.peer);
  if (peer && blocks::largest_frame(request.packed, request.tensors) > peer->max_frame) {
    oversize.emplace_back(send.ticket, peer->max_frame);
    return;
  }
  wire::BatchBuilder& open = replica.open;
  const bool follows = send.number == replica.first + open.count() && send.attempt == replica.attempt;
  if (!follows || open.bytes() + request.bytes > batch_bytes() ||
      open.count() >= most_together(replica.peer, requests.at(send.ticket).only.empty()) ||
      open.tensors().size() + request.tensors.size() > wire::kMaxTensors / 2) {
    flush(send.replica, replica);
  }
  if (open.empty()) {
    replica.first = send.number;
    replica.attempt = send.attempt;
  }
  request.add_to(open);
}

/// Requests that were taken before a router with a smaller bound came.
void RetryDealer::refuse_oversize() {
  if (oversize.empty()) return;
  wake();  // their router may wait for a BYE
  blocks::CallAll all;
  for (const auto& [id, most] : std::exchange(oversize, {})) {
    (void)book.cancel(id);
    RawReply reply = too_large(most);
    all.call([&, &ticket = id] { (void)finish(ticket, reply); });
  }
  all.rethrow();
}

/// What cannot be sent counts as on its way all the same: its connection is gone, which is told in the next
/// turn, or its attempt times out.
void RetryDealer::flush(Id id, Replica& replica) {
  if (replica.open.empty()) return;
  Batch batch = replica.open.take();
  Peer* peer = hub.find(replica.peer);
  if (!peer || hub.closed()) return;  // by the tap of another one
  const std::uint64_t count = batch.count;
  const std::uint64_t bytes = batch.bytes;
  const std::uint64_t last = replica.first + count - 1;
  if (tap) taps.call([&] { tap(true, peer->node, batch.body.view(), count); });
  wire::Header header{.kind = wire::Kind::request,
                      .stream = peer->lane,
                      .epoch = hub.epoch(),
                      .seq = replica.first,
                      .options = {}};
  header.options.count_v = count;
  header.options.mark(wire::Options::count);
  if (replica.attempt > 1) {
    header.options.attempt_v = replica.attempt;
    header.options.mark(wire::Options::attempt);
  }
  header.options.first_retained_v = book.settled_below(id);
  header.options.mark(wire::Options::first_retained);
  // One of a later epoch has forgotten what it did, and must not do this again: it asks for a HELLO instead.
  header.options.stream_epoch_v = peer->epoch;
  header.options.mark(wire::Options::stream_epoch);
  const TimePoint now = peer->work.active() ? Clock::now() : TimePoint();
  const bool asks = peer->work.asks(peer->out.outstanding_records() + count, now);
  if (asks) {
    header.options.flags_v = wire::kReport;
    header.options.mark(wire::Options::flags);
  }
  const std::uint64_t processed = hub.said_beside(*peer, header.kind);
  header.options.processed_v = processed;
  if (processed != 0) header.options.mark(wire::Options::processed);
  if (!blocks::send_batch_with(hub, *peer, header, std::move(batch))) return;
  if (processed != 0) peer->ack.told();
  const std::uint64_t sent = peer->out.last_sent();
  peer->out.send(bytes, count, last > sent ? last - sent : 0);
  peer->work.sent(count, asks, now);
  hub.counts().sent_records += count;
  hub.counts().sent_bytes += bytes;
  ++hub.counts().sent_batches;
}

void RetryDealer::say_bye_when_idle(Peer& peer) {
  if (!peer.draining || peer.finished) return;
  const auto known = by_peer.find(peer.id);
  if (known != by_peer.end() && book.open_at(known->second) != 0) return;
  hub.bye(peer, wire::kLast);
  peer.finished = true;
}

// ---- ends

void RetryDealer::on_reply(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) {
  const auto known = by_peer.find(peer_id);
  if (known == by_peer.end()) return;
  const Id id = known->second;
  if (reply.outcome == Outcome::ok) {
    const auto ticket = book.reply(id, number);
    if (book.ready()) change();
    if (!ticket) {
      ++hub.counts().late_replies;
      return;
    }
    (void)finish(*ticket, reply);
    return;
  }
  if (!book.expects(id, number)) {
    ++hub.counts().late_replies;
    return;
  }
  const auto end = book.error(id, number, reply.code, hub.loop().now());
  change();
  plan();
  if (!end) return;  // it will be tried again
  if (end->why != RetryBook::End::Why::remote_error) {
    const auto open = requests.find(end->ticket);
    if (open == requests.end()) return;
    const std::string said = std::move(reply.text);
    explain(*end, open->second, said, reply);
  }
  (void)finish(end->ticket, reply);
}

bool RetryDealer::finish(RequestId id, RawReply& reply) {
  const auto at = requests.find(id);
  if (at == requests.end()) return !hub.closed();
  const auto ended = requests.extract(at);  // the reply may view it
  kept_bytes -= ended.mapped().request.bytes;
  count_end(reply.outcome);
  call(ended.mapped().done, reply);
  return !hub.closed();
}

bool RetryDealer::finish_all(const std::vector<RetryBook::End>& ends, std::string_view what) {
  blocks::CallAll all;
  for (const RetryBook::End& end : ends) {
    const auto open = requests.find(end.ticket);
    if (open == requests.end()) continue;  // closed by the end of another one
    RawReply reply;
    explain(end, open->second, what, reply);
    all.call([&] { (void)finish(end.ticket, reply); });
    if (hub.closed()) break;  // which has told the others
  }
  all.rethrow();
  return !hub.closed();
}

/// Says who was asked, how often, and in which state they are.
void RetryDealer::explain(const RetryBook::End& end, const Open& open, std::string_view what,
                          RawReply& reply) {
  const auto replica = replicas.find(end.last);
  reply.peer = replica == replicas.end() ? std::string_view(open.only) : replica->second.node;
  const std::string who = states(options.delivery == Delivery::exactly_once ? reply.peer : open.only);
  const std::string tried =
      end.last == 0 ? "never sent"
                    : format("no reply after {} attempt{}, the last one at {}{}{}", end.attempts,
                             end.attempts == 1 ? "" : "s", reply.peer, what.empty() ? "" : ": ", what);
  reply.text = format("{} ({})", tried, who);
  using Why = RetryBook::End::Why;
  switch (end.why) {
    case Why::unknown:
      reply.outcome = Outcome::unknown;
      reply.code = wire::Code::outcome_unknown;
      reply.text = "outcome unknown: " + reply.text;
      return;
    case Why::exhausted:
      reply.outcome = what.empty() ? Outcome::timed_out : Outcome::peer_lost;
      reply.code = what.empty() ? wire::Code::timed_out : wire::Code::dead;
      return;
    default:
      reply.outcome = Outcome::timed_out;
      reply.code = wire::Code::timed_out;
  }
}

void RetryDealer::plan() {
  if (hub.closed()) return;
  const TimePoint when = book.next_tick(hub.loop().now());
  if (when >= timer_at) return;
  if (timer != 0) hub.loop().cancel(timer);
  timer_at = when;
  timer = hub.loop().at(when, [this] {
    timer = 0;
    timer_at = TimePoint::max();
    on_time();
  });
}

void RetryDealer::on_time() {
  const auto ends = book.tick(hub.loop().now());
  change();
  if (!finish_all(ends, {})) return;
  pump();
  plan();
}

}  // namespace weft
