#include <algorithm>
#include <iterator>
#include <utility>

#include <weft/blocks/raw.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "blocks/dealer_plain.hpp"
#include "blocks/defaults.hpp"

namespace weft {

Peer* PlainDealer::choose(std::optional<std::uint64_t> key, std::string_view name) {
  if (name.empty() && options.distribute == Distribute::explicit_) return nullptr;
  if (name.empty() && hub.peers().size() == 1) {
    Peer& only = *hub.peers().front();
    const bool keyed = key && options.distribute == Distribute::hash;
    const bool takes = keyed ? only.living() : only.usable() && (!only.work.active() || room_at(only) != 0);
    return takes ? &only : nullptr;
  }
  candidates.clear();
  choice.clear();
  for (const auto& peer : hub.peers()) {
    if (!name.empty() && peer->node != name) continue;
    // A key stays with its router through a silence; anything else goes to those that answer.
    const bool keyed = key && options.distribute == Distribute::hash;
    if (keyed ? !peer->living() : !peer->usable()) continue;
    if (!keyed && name.empty() && peer->work.active() && room_at(*peer) == 0) continue;
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

std::uint64_t PlainDealer::room_at(const Peer& peer) {
  const Outlet* outlet = known_outlet(peer.id);
  if (!outlet) return work_room(peer, 0);
  std::uint64_t open = outlet->open_tickets.size();
  for (const Requests& requests : outlet->ready) open += requests.tickets.size();
  return work_room(peer, open);
}

RequestId PlainDealer::add(const RequestTo& to, Deadline deadline, const Encode& encode, Done done) {
  if (hub.closed() || draining) {
    refuse(done, Outcome::closed, "the dealer takes no new requests", {});
    return 0;
  }
  if (queued_bytes >= options.capacity_bytes) {
    refuse(done, Outcome::no_room, format("{} bytes of requests wait already", queued_bytes), {});
    return 0;
  }
  const std::optional<std::uint64_t> key =
      to.key ? std::optional(protocol::name_hash(as_text(*to.key))) : std::nullopt;
  if (book.full()) {
    refuse(done, Outcome::no_room, format("{} requests are open already", book.size()), {});
    return 0;
  }
  // Nobody overtakes those that wait for any router.
  const bool anywhere = goes_anywhere(key, to.peer);
  Peer* peer = anywhere && waiting_anywhere != 0 ? nullptr : choose(key, to.peer);
  if (!peer && options.distribute == Distribute::explicit_) {
    refuse(done, Outcome::no_peer, format("router {} is not up: {}", weft::quoted(to.peer), states()),
           std::string(to.peer));
    return 0;
  }
  if (!peer && hub.hopeless()) {
    refuse(done, Outcome::no_peer, "never sent: " + states(), std::string(to.peer));
    return 0;
  }
  if (!peer) return add_unassigned({.key = key, .peer = to.peer}, deadline, encode, std::move(done));
  Outlet& outlet = outlet_of(*peer);
  // Requests that name their router share batches, but not with those that may also go to another one.
  if (outlet.only != to.peer) {
    close_batch(outlet);
    outlet.only = to.peer;
  }
  const auto mark = outlet.open.mark();
  encode(outlet.open);
  if (!keep(outlet.open, mark, done)) return 0;
  const RequestId id = open(deadline, std::move(done));
  wake();
  outlet.open_tickets.push_back(id);
  if (outlet.open.bytes() >= batch_bytes() || outlet.open.count() >= most_together(peer->id, anywhere) ||
      outlet.open.tensors().size() > wire::kMaxTensors / 2) {
    close_batch(outlet);
  }
  return id;
}

RequestId PlainDealer::add_unassigned(const Where& where, Deadline deadline, const Encode& encode,
                                      Done done) {
  wire::BatchBuilder single(hub.pool(), 4096);
  encode(single);
  if (!keep(single, {}, done)) return 0;
  queued_bytes += single.bytes();
  const RequestId id = open(deadline, std::move(done));
  unassigned.push_back({single.take(), {id}, where.key, std::string(where.peer)});
  if (goes_anywhere(where.key, where.peer)) ++waiting_anywhere;
  if (!woken && std::ranges::any_of(hub.peers(), [](const auto& p) { return p->usable(); })) wake();
  return id;
}

std::uint64_t PlainDealer::open(Deadline deadline, Done done) {
  const std::uint64_t ticket = book.open(deadline, std::move(done));
  ++hub.counts().accepted_records;
  plan_expiry(deadline.point());
  return ticket;
}

void PlainDealer::close_batch(Outlet& outlet) {
  if (outlet.open.empty()) return;
  Requests requests{outlet.open.take(), std::move(outlet.open_tickets), std::nullopt, outlet.only};
  outlet.open_tickets.clear();
  queued_bytes += requests.batch.bytes;
  outlet.ready.push_back(std::move(requests));
}

void PlainDealer::send_all() {
  assign();
  for (auto& [id, outlet] : outlets) {
    close_batch(outlet);
    Peer* peer = hub.find(id);
    while (peer && peer->up() && !peer->finished && !outlet.ready.empty() && send_one(*peer, outlet)) {
    }
  }
  for (std::size_t i = 0; i < hub.peers().size(); ++i) say_bye_when_idle(*hub.peers()[i]);
}

void PlainDealer::assign() {
  bool full = false;    // no router has room for one more
  bool turned = false;  // some stand behind again that stood before
  for (std::size_t i = unassigned.size(); i-- > 0;) {
    const bool anywhere = goes_anywhere(unassigned.front().key, unassigned.front().peer);
    Requests requests = std::move(unassigned.front());
    unassigned.pop_front();
    Peer* peer = full && anywhere ? nullptr : choose(requests.key, requests.peer);
    if (!peer) {
      full = full || anywhere;
      if (full && !turned && waiting_anywhere == unassigned.size() + 1) {
        unassigned.push_front(std::move(requests));
        return;  // nothing behind it finds another one
      }
      unassigned.push_back(std::move(requests));
      turned = true;
      continue;
    }
    if (anywhere) --waiting_anywhere;
    give(outlet_of(*peer), std::move(requests), *peer);
  }
}

// In the order of what was asked, and together with others where it is but one.
void PlainDealer::give(Outlet& outlet, Requests requests, const Peer& peer) {
  const bool joins = requests.tickets.size() == 1;
  if (!joins || outlet.only != requests.peer) close_batch(outlet);
  if (!joins) {
    outlet.ready.push_back(std::move(requests));
    return;
  }
  outlet.only = requests.peer;
  queued_bytes -= requests.batch.bytes;
  add_forwarded(outlet.open, {requests.batch.body.view(), requests.batch.tensors});
  outlet.open_tickets.push_back(requests.tickets.front());
  if (outlet.open.bytes() >= batch_bytes() || outlet.open.count() >= most_together(peer.id, true) ||
      outlet.open.tensors().size() > wire::kMaxTensors / 2) {
    close_batch(outlet);
  }
}

// They were collected for a router that takes more at once.
void PlainDealer::split(Outlet& outlet, std::uint32_t most) {
  const Requests whole = std::move(outlet.ready.front());
  outlet.ready.pop_front();
  queued_bytes -= whole.batch.bytes;
  wire::BatchReader reader(whole.batch.body.view());
  wire::BatchBuilder part(hub.pool(), 4096);
  std::vector<Requests> parts;
  auto first = whole.tickets.begin();
  for (auto at = first; at != whole.tickets.end();) {
    add_forwarded(part, {reader.next(), whole.batch.tensors});
    if (++at != whole.tickets.end() && part.count() < most) continue;
    parts.push_back({part.take(), {std::exchange(first, at), at}, whole.key, whole.peer});
    queued_bytes += parts.back().batch.bytes;
  }
  outlet.ready.insert(outlet.ready.begin(), std::make_move_iterator(parts.begin()),
                      std::make_move_iterator(parts.end()));
}

bool PlainDealer::send_one(Peer& peer, Outlet& outlet) {
  Requests& requests = outlet.ready.front();
  const std::uint64_t bytes = requests.batch.bytes;
  const std::uint64_t count = requests.batch.count;
  if (std::ranges::none_of(requests.tickets, [this](auto t) { return book.contains(t); })) {
    queued_bytes -= bytes;
    outlet.ready.pop_front();
    return true;
  }
  if (blocks::largest_frame(requests.batch.body.view(), requests.batch.tensors) > peer.max_frame) {
    queued_bytes -= bytes;
    oversize.emplace_back(std::move(requests), peer.max_frame);
    outlet.ready.pop_front();
    return true;
  }
  if (!peer.out.admits(bytes)) return false;
  if (count > peer.work.bound()) {
    split(outlet, most_together(peer.id, false));
    return true;
  }
  if (count > bound_room(peer, 0)) return false;
  if (tap) taps.call([&] { tap(true, peer.node, requests.batch.body.view(), count); });
  const TimePoint now = peer.work.active() ? Clock::now() : TimePoint();
  // Where a request goes to one router and no other, its speed decides nothing; its bound does.
  const bool matters =
      !sharing || peer.work.bound() != UINT64_MAX || goes_anywhere(requests.key, requests.peer);
  const bool asks = matters && peer.work.asks(peer.out.outstanding_records() + count, now);
  if (!hub.send_batch(peer, wire::Kind::request, peer.out.last_sent() + 1, requests.batch,
                      asks ? std::uint32_t{wire::kReport} : 0U)) {
    return false;
  }
  peer.out.send(bytes, count, count);
  peer.work.sent(count, asks, now);
  hub.counts().sent_records += count;
  hub.counts().sent_bytes += bytes;
  ++hub.counts().sent_batches;
  queued_bytes -= bytes;
  if (outlet.sent.empty()) outlet.first_sent = peer.out.last_sent() - count + 1;
  for (const std::uint64_t ticket : requests.tickets) {
    const bool open = book.contains(ticket);  // or its end came while others of the batch waited
    outlet.sent.push_back(open ? ticket : 0);
    if (open) ++outlet.unanswered;
  }
  trim(outlet);
  if (outlet.open_tickets.capacity() == 0) {  // its memory is for the next ones
    outlet.open_tickets = std::move(requests.tickets);
    outlet.open_tickets.clear();
  }
  outlet.ready.pop_front();
  return true;
}

bool PlainDealer::has_room(const RequestTo& to) {
  if (queued_bytes >= options.capacity_bytes) return false;
  return options.distribute != Distribute::explicit_ || choose(std::nullopt, to.peer) != nullptr;
}

void PlainDealer::fill(PortStats& stats) const {
  stats.outstanding_records = 0;
  for (const auto& [id, outlet] : outlets) stats.outstanding_records += outlet.unanswered;
  stats.queued_records = book.size() - stats.outstanding_records;
  stats.queued_bytes = queued_bytes;
}

}  // namespace weft
