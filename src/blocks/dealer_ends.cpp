// How requests end: with a reply, with an error, at their deadline, or with their router.
#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "blocks/dealer_impl.hpp"

namespace weft {

void DealerBase::Impl::on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                                  std::size_t at) {
  if (header.kind != wire::Kind::reply) return hub.reject(wire::Rejection::unexpected, &peer);
  const auto found = outlets.find(peer.id);
  if (found == outlets.end()) return hub.reject(wire::Rejection::unexpected, &peer);
  std::uint64_t bytes = 0;
  for (std::size_t i = at; i < message.size(); ++i) bytes += message[i].size();
  if (header.options.has(wire::Options::code) && header.options.code_v != wire::Code::none) {
    settle(peer, header.epoch, 1, bytes);
    return on_error_reply(peer, found->second, header);
  }
  if (message.size() <= at) return hub.reject(wire::Rejection::bad_frame_count, &peer);
  if (!header.options.has(wire::Options::count)) return hub.reject(wire::Rejection::malformed, &peer);
  const std::uint64_t count = header.options.count_v;
  if (const auto why = wire::check_body(message[at].view(), count); why != wire::Rejection::none) {
    return hub.reject(why, &peer);
  }
  auto hold = std::make_shared<ReplyHold>();
  hold->tensors = blocks::take_tensors(message, at + 1);
  hold->body = std::move(message[at]);
  hub.counts().received_records += count;
  hub.counts().received_bytes += bytes;
  ++hub.counts().received_batches;
  if (tap) tap(false, peer.node, hold->body.view(), count);
  settle(peer, header.epoch, count, bytes);
  const std::uint64_t id = peer.id;
  const std::string name = peer.node;
  const std::uint64_t first = header.seq;
  const std::weak_ptr<bool> alive = hub.alive();
  wire::BatchReader reader(hold->body.view());
  for (std::uint64_t i = 0; i < count; ++i) {
    RawReply reply;
    reply.outcome = Outcome::ok;
    reply.peer = name;
    reply.record = {reader.next(), hold->tensors};
    reply.hold = hold;
    end_sent(id, first + i, reply);
    if (alive.expired() || hub.closed()) return;
  }
}

void DealerBase::Impl::on_error_reply(Peer& peer, Outlet&, const wire::Header& header) {
  RawReply reply;
  reply.outcome = Outcome::remote_error;
  reply.code = header.options.code_v;
  reply.text = header.options.has(wire::Options::text) ? header.options.text_v : std::string_view();
  reply.peer = peer.node;
  end_sent(peer.id, header.seq, reply);
}

void DealerBase::Impl::settle(Peer& peer, std::uint64_t epoch, std::uint64_t count, std::uint64_t bytes) {
  if (peer.in.begin(epoch) == protocol::ReceiveLane::Verdict::fenced) return;
  peer.in.skip_to(peer.in.last() + count);
  hub.settled(peer, epoch, peer.in.last(), bytes);
}

void DealerBase::Impl::end_sent(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) {
  const auto found = outlets.find(peer_id);
  if (found == outlets.end()) return;
  Outlet& outlet = found->second;
  const bool known = number >= outlet.first_sent && number - outlet.first_sent < outlet.sent.size();
  std::uint64_t ticket = 0;
  if (known) {
    ticket = std::exchange(outlet.sent[number - outlet.first_sent], 0);
    if (ticket != 0) --outlet.unanswered;
    trim(outlet);
  }
  auto done = ticket != 0 ? book.answer(ticket, 0) : std::nullopt;
  if (!done) {
    ++hub.counts().late_replies;
    return;
  }
  (*done)(reply);
}

void DealerBase::Impl::trim(Outlet& outlet) {
  while (!outlet.sent.empty() && outlet.sent.front() == 0) {
    outlet.sent.pop_front();
    ++outlet.first_sent;
  }
}

void DealerBase::Impl::plan_expiry(TimePoint when) {
  if (when >= timer_at) return;
  if (timer != 0) hub.loop().cancel(timer);
  timer_at = when;
  timer = hub.loop().at(when, [this] {
    timer = 0;
    timer_at = TimePoint::max();
    expire();
  });
}

void DealerBase::Impl::expire() {
  const std::weak_ptr<bool> alive = hub.alive();
  for (auto& [ticket, done] : book.expire(hub.loop().now())) {
    ++hub.counts().timed_out_requests;
    RawReply reply;
    reply.outcome = Outcome::timed_out;
    reply.text = forget(ticket, reply.peer);
    done(reply);
    if (alive.expired() || hub.closed()) return;
  }
  forget_unsent();
  if (const auto next = book.next_deadline()) plan_expiry(*next);
  check_drain();
}

std::string DealerBase::Impl::forget(std::uint64_t ticket, std::string& peer_name) {
  for (auto& [id, outlet] : outlets) {
    for (std::uint64_t& sent : outlet.sent) {
      if (sent != ticket) continue;
      sent = 0;
      --outlet.unanswered;
      const Peer* peer = hub.find(id);
      peer_name = peer ? peer->name() : "";
      trim(outlet);
      return format("no reply from {} ({})", peer_name, peer ? to_string(peer->session.state()) : "gone");
    }
  }
  if (hub.peers().empty()) return "never sent: no router is known";
  std::string states;
  for (const auto& peer : hub.peers()) {
    states +=
        format("{}{} is {}", states.empty() ? "" : ", ", peer->name(), to_string(peer->session.state()));
  }
  return "never sent: " + states;
}

void DealerBase::Impl::forget_unsent() {
  const auto forgotten = [this](const Requests& requests) {
    if (std::ranges::any_of(requests.tickets, [this](auto t) { return book.contains(t); })) return false;
    queued_bytes -= requests.batch.bytes;
    return true;
  };
  std::erase_if(unassigned, forgotten);
  if (pumping) return;
  for (auto& [id, outlet] : outlets) std::erase_if(outlet.ready, forgotten);
}

void DealerBase::Impl::on_down(Peer& peer, PeerEvent::What what) {
  const auto found = outlets.find(peer.id);
  if (found == outlets.end()) return;
  Outlet outlet = std::move(found->second);
  outlets.erase(found);
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
  const std::weak_ptr<bool> alive = hub.alive();
  const std::string name = peer.name();
  for (const std::uint64_t ticket : outlet.sent) {
    auto done = ticket != 0 ? book.answer(ticket, 0) : std::nullopt;
    if (!done) continue;
    RawReply reply;
    reply.outcome = Outcome::peer_lost;
    reply.code = wire::Code::dead;
    reply.peer = name;
    reply.text = format("{} was lost before it replied ({})", name, to_string(what));
    (*done)(reply);
    if (alive.expired() || hub.closed()) return;
  }
  pump();
}

void DealerBase::Impl::say_bye_when_idle(Peer& peer, const Outlet& outlet) {
  if (!peer.draining || peer.finished || outlet.unanswered != 0 || !outlet.ready.empty()) return;
  hub.bye(peer, wire::kLast);
  peer.finished = true;
}

void DealerBase::Impl::check_drain() {
  if (!draining || said_bye || book.size() != 0) return;
  said_bye = true;
  hub.bye_all(wire::kLast);
}

void DealerBase::Impl::on_idle() {
  if (pumping) return;
  const bool waiting = std::ranges::any_of(
      outlets, [](const auto& o) { return !o.second.open.empty() || !o.second.ready.empty(); });
  const bool leaving =
      std::ranges::any_of(hub.peers(), [](const auto& p) { return p->draining && !p->finished; });
  if (waiting || leaving || draining) pump();
  // A router that never got a request has no outlet to finish with.
  for (std::size_t i = 0; leaving && i < hub.peers().size(); ++i) {
    Peer& peer = *hub.peers()[i];
    if (outlets.find(peer.id) == outlets.end()) say_bye_when_idle(peer, Outlet(hub.pool()));
  }
}

}  // namespace weft
