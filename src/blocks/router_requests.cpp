// Requests on their way to the handler of a Router.
#include "blocks/router_impl.hpp"

namespace weft {

Asker& RouterBase::Impl::asker_of(Peer& peer) {
  if (Asker* known = find(peer.id)) return *known;
  latest = &askers.try_emplace(peer.id, peer, hub.pool()).first->second;
  return *latest;
}

std::shared_ptr<const RouterBase::Ticket::Origin> RouterBase::Impl::origin_of(Asker& asker) const {
  const Peer& peer = asker.peer;
  const bool known =
      asker.origin && asker.origin->generation == peer.epoch && asker.origin->node == peer.node;
  if (!known) {
    asker.origin =
        std::make_shared<const Ticket::Origin>(Ticket::Origin{self, peer.id, peer.epoch, peer.node});
  }
  return asker.origin;
}

Asker* RouterBase::Impl::find(std::uint64_t peer) {
  if (latest && latest->peer.id == peer) return latest;
  const auto found = askers.find(peer);
  if (found == askers.end()) return nullptr;
  return latest = &found->second;
}

void RouterBase::Impl::on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                                  std::size_t at) {
  if (header.kind == wire::Kind::cancel) return on_cancel(peer, header.seq);
  if (header.kind != wire::Kind::request) return hub.reject(wire::Rejection::unexpected, &peer);
  if (message.size() <= at) return hub.reject(wire::Rejection::bad_frame_count, &peer);
  const std::uint64_t count = header.options.has(wire::Options::count) ? header.options.count_v : 1;
  const auto why = wire::check_body(message[at].view(), count);
  const bool deep = why == wire::Rejection::too_deep;  // those are refused one by one
  if (why != wire::Rejection::none && !deep) return hub.reject(why, &peer);
  if (header.seq > UINT64_MAX / 2) return hub.reject(wire::Rejection::unexpected, &peer);
  // A peer that ignores its credit would fill the memory of this one.
  if (!window && peer.overfull()) return hub.reject(wire::Rejection::too_large, &peer);
  if (!accept(peer, header)) return;
  peer.in.take_to(header.seq + count - 1);
  // What is asked again after a reconnection has numbers that were acknowledged before, and so no credit that
  // could hold it back: it is no crime, and comes again. It counts as arrived, or its asker would be short of
  // that credit for ever.
  if (peer.overfull()) {
    ++hub.counts().dropped_records;
    return;
  }
  auto hold = spare ? std::exchange(spare, nullptr) : std::make_shared<RequestHold>();
  std::uint64_t bytes = 0;
  for (std::size_t i = at; i < message.size(); ++i) bytes += message[i].size();
  hold->tensors = blocks::take_tensors(message, at + 1);
  hold->body = std::move(message[at]);
  hub.counts().received_records += count;
  hub.counts().received_bytes += bytes;
  ++hub.counts().received_batches;
  blocks::CallAll all;
  if (tap) all.call([&] { tap(false, peer.node, hold->body.view(), count); });
  if (hub.closed()) return all.rethrow();
  hold->peer = peer.id;
  hold->epoch = header.epoch;
  hold->first = header.seq;
  hold->count = count;
  hold->deep = deep;
  hold->bytes = bytes;
  hold->report = header.options.has(wire::Options::flags) && (header.options.flags_v & wire::kReport) != 0;
  peer.held_bytes += bytes;
  all.call([&] { dispatch(peer, hold); });
  if (hold.use_count() != 1) return all.rethrow();
  hold->tensors.clear();
  hold->body = transport::Frame();
  spare = std::move(hold);
  all.rethrow();
}

bool RouterBase::Impl::accept(Peer& peer, const wire::Header& header) {
  if (window) {
    if (header.epoch != peer.epoch || peer.in.begin(header.epoch) == protocol::ReceiveLane::Verdict::fenced) {
      ++hub.counts().fenced_batches;
      return false;
    }
    if (header.options.has(wire::Options::stream_epoch) && header.options.stream_epoch_v != hub.epoch()) {
      // Meant for an earlier life, which may have done it: the asker has to hear of this one first.
      ++hub.counts().fenced_batches;
      hub.nack(peer, wire::Code::retry, "say HELLO first: this is a later epoch");
      return false;
    }
    if (!header.options.has(wire::Options::first_retained)) return true;
    if (header.options.first_retained_v > header.seq) {
      hub.reject(wire::Rejection::unexpected, &peer);
      return false;
    }
    window->settled_below(peer, header.options.first_retained_v);
    return true;
  }
  const auto outcome = peer.in.arrive(header.epoch, header.seq);
  hub.counts().missed_batches += outcome.missed;
  if (outcome.verdict == protocol::ReceiveLane::Verdict::accept) return true;
  const bool old = outcome.verdict == protocol::ReceiveLane::Verdict::fenced;
  ++(old ? hub.counts().fenced_batches : hub.counts().duplicate_batches);
  return false;
}

bool RouterBase::Impl::fresh(Peer& peer, std::uint64_t number) {
  using Verdict = blocks::ReplyWindow::Verdict;
  const auto found = window->arrive(peer, number);
  if (found.verdict == Verdict::fresh) return true;
  if (found.verdict != Verdict::full) ++hub.counts().repeated_requests;
  Asker& asker = asker_of(peer);
  if (full(asker)) return false;  // it does not read; it may ask again
  switch (found.verdict) {
    case Verdict::replied:
      deliver(asker, number, *found.reply);
      break;
    case Verdict::gone:
      queue_error(asker, number, wire::Code::gone,
                  "the request is older than what is remembered of replies: it is not done again");
      break;
    case Verdict::full:
      queue_error(asker, number, wire::Code::full, "too many requests without a reply");
      break;
    default:  // its reply will come, or nobody waits for it
      break;
  }
  return false;
}

void RouterBase::Impl::on_cancel(Peer& peer, std::uint64_t number) {
  const auto at = std::ranges::find_if(waiting, [&](const Waiting& w) {
    return w.ticket.number_ == number && w.ticket.origin_->peer == peer.id &&
           w.ticket.origin_->generation == peer.epoch;
  });
  if (at == waiting.end() || number == 0) return;  // a handler has it: its reply will be late there
  Waiting next = std::move(*at);
  waiting.erase(at);
  next.ticket.number_ = 0;
  --open_requests;
  Asker& asker = asker_of(peer);
  if (asker.unanswered != 0) --asker.unanswered;
  if (window) window->withdraw(peer.id, peer.epoch, number);
  let_go(*next.hold);
}

void RouterBase::Impl::dispatch(Peer& peer, const std::shared_ptr<RequestHold>& hold) {
  const std::uint64_t id = peer.id;
  const auto origin = origin_of(asker_of(peer));
  hold->waiting = 1;
  hold->listed = false;
  wire::BatchReader reader(hold->body.view());
  const blocks::InCall call(hub.calls());
  auto running = handler;  // stays whole while it runs, also when it replaces itself
  blocks::CallAll all;
  for (std::uint64_t i = 0; i < hold->count; ++i) {
    const wire::RecordView view{reader.next(), hold->tensors};
    if (window && !fresh(peer, hold->first + i)) continue;
    Asker& asker = asker_of(peer);
    ++asker.unanswered;
    ++open_requests;
    Ticket ticket(origin, hold->first + i);
    if (asker.unanswered > kMaxOpenRequests) {
      ticket.fail(wire::Code::full, "too many requests without an answer");
    } else if (hold->deep && wire::check_record(view.packed) != wire::Rejection::none) {
      hub.reject(wire::Rejection::too_deep, nullptr);
      ticket.fail(wire::Code::bad_request, "the request is nested deeper than 32 levels");
    } else if (handler) {
      if (running != handler) running = handler;
      all.call([&] { hand_out(view, std::move(ticket), *running); });
    } else {
      ++hold->waiting;
      waiting.push_back({hold, view, std::move(ticket)});
    }
    if (hub.closed()) return all.rethrow();
    if (hub.find(id) == nullptr) {
      deferred.handed_out({});  // the rest of it is for nobody
      return all.rethrow();
    }
  }
  hold->listed = hold->waiting > 1;
  if (hold->listed) asker_of(peer).held.emplace(hold->epoch, hold->first);
  let_go(*hold);
  all.rethrow();
}

void RouterBase::Impl::let_go(RequestHold& hold) {
  if (--hold.waiting != 0) return;
  if (Asker* asker = hold.listed ? find(hold.peer) : nullptr) {
    const auto own = asker->held.find({hold.epoch, hold.first});
    if (own != asker->held.end()) asker->held.erase(own);
  }
  const std::uint64_t last = hold.count == 0 ? 0 : hold.first + hold.count - 1;
  deferred.handed_out({hold.peer, hold.epoch, last, hold.bytes, false, hold.report});
}

void RouterBase::Impl::handled(const blocks::HandledBatch& batch) {
  Peer* peer = hub.find(batch.peer);
  if (!peer) return;
  peer->held_bytes -= std::min(peer->held_bytes, batch.bytes);
  if (batch.seq == 0) return;
  std::uint64_t last = batch.seq;
  if (const Asker* asker = find(peer->id)) {
    // What is said of a number is said of all before it.
    const auto oldest = asker->held.lower_bound({batch.epoch, 0});
    if (oldest != asker->held.end() && oldest->first == batch.epoch)
      last = std::min(last, oldest->second - 1);
  }
  hub.settled(*peer, batch.epoch, last, batch.bytes);
  // Replies of this turn say it as well; where there are none, it is said behind them.
  if (batch.report) hub.tick_at(*peer, hub.loop().now());
}

bool RouterBase::Impl::hand_out(Waiting next, const Handler& to) {
  bool taken = false;
  blocks::CallAll all;
  all.call([&] { taken = hand_out(next.view, std::move(next.ticket), to); });
  if (!hub.closed()) let_go(*next.hold);
  all.rethrow();
  return taken;
}

bool RouterBase::Impl::hand_out(const wire::RecordView& view, Ticket ticket, const Handler& to) {
  // What the handler sends through ports that share the journal is in one commit with its reply.
  blocks::JournalHold hold(window ? options.journal : nullptr);
  const bool taken = to(view, std::move(ticket));
  (void)hold.release();  // what is refused stays open until there is room
  if (taken || hub.closed()) return taken;
  // The ticket went into the handler unused, and has answered "failed" already; say why in the counts.
  ++hub.counts().rejected_records;
  hub.reject(wire::Rejection::wrong_type, nullptr);
  return false;
}

}  // namespace weft
