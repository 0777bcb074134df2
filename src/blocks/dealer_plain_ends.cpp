// How requests end: with a reply, with an error, at their deadline, or with their router.
#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>

#include "blocks/dealer_plain.hpp"

namespace weft {

void PlainDealer::on_reply(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) {
  Outlet* const known_one = known_outlet(peer_id);
  if (!known_one) return;
  Outlet& outlet = *known_one;
  const bool known = number >= outlet.first_sent && number - outlet.first_sent < outlet.sent.size();
  std::uint64_t ticket = 0;
  if (known) {
    ticket = std::exchange(outlet.sent[number - outlet.first_sent], 0);
    if (ticket != 0) --outlet.unanswered;
    trim(outlet);
  }
  auto done = ticket != 0 ? book.answer(ticket) : std::nullopt;
  if (!done) {
    ++hub.counts().late_replies;
    return;
  }
  tell(*done, reply);
}

void PlainDealer::tell(const Done& done, RawReply& reply) {
  count_end(reply.outcome);
  call(done, reply);
}

bool PlainDealer::finish(std::uint64_t ticket, RawReply& reply) {
  const auto done = book.answer(ticket);
  if (!done) return !hub.closed();
  tell(*done, reply);
  return !hub.closed();
}

// All are counted before the first of them is told, who may look at the counts, or end this block.
void PlainDealer::finish_all(std::vector<Ended> ended) {
  for (const Ended& one : ended) count_end(one.reply.outcome);
  blocks::CallAll all;
  for (Ended& one : ended) {
    one.reply.peer = one.peer;
    all.call([&] { call(one.done, one.reply); });
  }
  all.rethrow();
}

void PlainDealer::trim(Outlet& outlet) {
  while (!outlet.sent.empty() && outlet.sent.front() == 0) {
    outlet.sent.pop_front();
    ++outlet.first_sent;
  }
}

void PlainDealer::plan_expiry(TimePoint when) {
  if (when >= timer_at) return;
  if (timer != 0) hub.loop().cancel(timer);
  timer_at = when;
  timer = hub.loop().at(when, [this] {
    timer = 0;
    timer_at = TimePoint::max();
    expire();
  });
}

void PlainDealer::expire() {
  std::vector<Ended> ended;
  for (auto& [ticket, done] : book.expire(hub.loop().now())) {
    Ended& one = ended.emplace_back(std::move(done));
    one.reply.outcome = Outcome::timed_out;
    one.reply.text = forget(ticket, one.peer);
  }
  forget_unsent();
  wake();  // also for those behind it, and for the end of a drain
  if (const auto next = book.next_deadline()) plan_expiry(*next);
  finish_all(std::move(ended));
}

std::string PlainDealer::forget(std::uint64_t ticket, std::string& peer_name) {
  for (auto& [id, outlet] : outlets) {
    for (std::uint64_t& sent : outlet.sent) {
      if (sent != ticket) continue;
      sent = 0;
      --outlet.unanswered;
      const Peer* peer = hub.find(id);
      peer_name = peer ? peer->name() : "";
      trim(outlet);
      return format("no reply from {} ({})", peer_name, peer ? Hub::state_of(*peer) : "gone");
    }
  }
  return "never sent: " + states();
}

void PlainDealer::forget_unsent() {
  const auto forgotten = [this](const Requests& requests) {
    if (std::ranges::any_of(requests.tickets, [this](auto t) { return book.contains(t); })) return false;
    queued_bytes -= requests.batch.bytes;
    return true;
  };
  std::erase_if(unassigned, forgotten);
  count_waiting();
  if (pumping) return;
  for (auto& [id, outlet] : outlets) std::erase_if(outlet.ready, forgotten);
}

void PlainDealer::count_waiting() {
  waiting_anywhere = static_cast<std::size_t>(
      std::ranges::count_if(unassigned, [this](const Requests& r) { return goes_anywhere(r.key, r.peer); }));
}

void PlainDealer::on_down(Peer& peer, PeerEvent::What what) {
  const auto found = outlets.find(peer.id);
  if (found == outlets.end()) {
    if (what == PeerEvent::What::refused) pump();  // nobody else may be left
    return;
  }
  Outlet outlet = std::move(found->second);
  outlets.erase(found);
  latest_outlet = nullptr;
  close_batch(outlet);
  // What was never sent may go to another router, before what was asked later; what was sent had its one
  // attempt. So has what was meant for the owner of a key: the keys of a batch have different new owners.
  for (auto at = outlet.ready.rbegin(); at != outlet.ready.rend(); ++at) {
    if (options.distribute == Distribute::hash && at->peer.empty() && !at->key) {
      queued_bytes -= at->batch.bytes;
      outlet.sent.insert(outlet.sent.end(), at->tickets.begin(), at->tickets.end());
    } else {
      unassigned.push_front(std::move(*at));
    }
  }
  count_waiting();
  const std::string text = format("{} was lost before it replied ({})", peer.name(), to_string(what));
  for (const std::uint64_t ticket : outlet.sent) {
    if (ticket != 0) lost.push_back({ticket, peer.name(), text});
  }
  blocks::CallAll all;
  all.call([this] { (void)end_lost(); });
  if (hub.closed()) return all.rethrow();
  all.call([this] { pump(); });
  all.rethrow();
}

/// What the router has got it answers, by this connection or by the next one; what it has not got, nobody
/// does.
void PlainDealer::on_lost(Peer& peer, std::uint64_t accepted, std::uint64_t said) {
  Outlet* const outlet = known_outlet(peer.id);
  if (!outlet) return;
  const std::uint64_t first = std::max(accepted + 1, outlet->first_sent);
  for (std::uint64_t number = first; number <= said; ++number) {
    const std::uint64_t at = number - outlet->first_sent;
    if (at >= outlet->sent.size()) break;
    const std::uint64_t ticket = std::exchange(outlet->sent[at], 0);
    if (ticket == 0) continue;
    --outlet->unanswered;
    lost.push_back(
        {ticket, peer.name(), format("the connection to {} was lost before it replied", peer.name())});
  }
  trim(*outlet);
  if (!lost.empty()) wake();
}

bool PlainDealer::end_lost() {
  while (!lost.empty()) {
    const Lost one = std::move(lost.front());
    lost.pop_front();
    if (!lost.empty()) wake();  // should this one throw
    RawReply reply;
    reply.outcome = Outcome::peer_lost;
    reply.code = wire::Code::dead;
    reply.peer = one.peer;
    reply.text = one.text;
    if (!finish(one.ticket, reply)) return false;
  }
  return true;
}

void PlainDealer::refuse_waiting() {
  if (unassigned.empty()) return;
  const std::deque<Requests> refused = std::exchange(unassigned, {});
  for (const Requests& requests : refused) queued_bytes -= requests.batch.bytes;
  count_waiting();
  wake();  // this may be the end of a drain
  const std::string text = "never sent: " + states();
  blocks::CallAll all;
  for (const Requests& requests : refused) {
    for (const std::uint64_t ticket : requests.tickets) {
      RawReply reply;
      reply.outcome = Outcome::no_peer;
      reply.peer = requests.peer;
      reply.text = text;
      all.call([&] { (void)finish(ticket, reply); });
    }
  }
  all.rethrow();
}

// Requests that were taken before a router with a smaller bound came.
void PlainDealer::refuse_oversize() {
  if (oversize.empty()) return;
  const auto refused = std::exchange(oversize, {});
  blocks::CallAll all;
  for (const auto& [requests, most] : refused) {
    for (const std::uint64_t ticket : requests.tickets) {
      RawReply reply = too_large(most);
      all.call([&] { (void)finish(ticket, reply); });
    }
  }
  all.rethrow();
}

void PlainDealer::say_bye_when_idle(Peer& peer) {
  if (!peer.draining || peer.finished) return;
  const auto outlet = outlets.find(peer.id);  // a router that never got a request has none
  if (outlet != outlets.end() && (outlet->second.unanswered != 0 || !outlet->second.ready.empty())) return;
  hub.bye(peer, wire::kLast);
  peer.finished = true;
}

bool PlainDealer::cancel(RequestId id) {
  const auto done = book.answer(id);
  if (!done) return false;
  for (auto& [peer_id, outlet] : outlets) {
    const auto sent = std::ranges::find(outlet.sent, id);
    if (sent == outlet.sent.end()) continue;
    if (Peer* peer = hub.find(peer_id)) {
      send_cancel(*peer, outlet.first_sent + static_cast<std::uint64_t>(sent - outlet.sent.begin()));
    }
    break;
  }
  wake();  // also for the end of a drain
  RawReply reply;
  reply.outcome = Outcome::cancelled;
  std::string peer;
  (void)forget(id, peer);
  reply.peer = peer;
  reply.text =
      reply.peer.empty() ? "was never sent" : format("was sent to {}, which may have done it", reply.peer);
  forget_unsent();
  tell(*done, reply);
  if (!hub.closed()) check_drain();
  return true;
}

void PlainDealer::end_all() {
  if (timer != 0) hub.loop().cancel(timer);
  timer = 0;
  outlets.clear();
  latest_outlet = nullptr;
  unassigned.clear();
  oversize.clear();
  waiting_anywhere = 0;
  queued_bytes = 0;
  lost.clear();
  std::vector<Ended> ended;
  for (auto& [ticket, done] : book.expire(TimePoint::max())) {
    ended.emplace_back(std::move(done)).reply.text = "the dealer was closed";
  }
  finish_all(std::move(ended));
}

}  // namespace weft
