// Replies of a Router on their way to who asked.
#include <weft/core/format.hpp>

#include "blocks/router_impl.hpp"

namespace weft {
namespace {

wire::Code code_of(SendStatus why) {
  return why == SendStatus::too_large ? wire::Code::too_large : wire::Code::failed;
}

std::string refusal_of(SendStatus why) {
  if (why == SendStatus::too_large) return "the reply does not fit a frame";
  return format("the reply cannot be sent: {}", to_string(why));
}

}  // namespace

void RouterBase::Impl::watch_journal() {
  const std::weak_ptr<Impl*> me = self;
  Loop& loop = hub.loop();
  journal_wake = window->journal()->subscribe([me, &loop] {
    loop.post([me] {
      if (const auto router = me.lock(); router && *router) (*router)->on_durable();
    });
  });
  journal_watched = true;
}

void RouterBase::Impl::leave_journal() {
  if (std::exchange(journal_watched, false)) window->journal()->unsubscribe(journal_wake);
}

void RouterBase::Impl::on_durable() {
  if (hub.closed()) return;
  window->on_durable(
      [this](std::uint64_t peer, std::uint64_t epoch, std::uint64_t number, const blocks::KeptReply& reply) {
        Asker* asker = reachable(peer, epoch, number, false);
        if (asker && !full(*asker)) deliver(*asker, number, reply);
      });
  pump();
}

Asker* RouterBase::Impl::reachable(std::uint64_t peer_id, std::uint64_t generation, std::uint64_t number,
                                   bool settles) {
  Asker* asker = hub.closed() ? nullptr : find(peer_id);
  if (!asker || asker->peer.epoch != generation) {
    ++hub.counts().late_replies;
    return nullptr;
  }
  if (settles && asker->unanswered != 0) --asker->unanswered;
  const auto state = asker->peer.session.state();
  if (state == protocol::PeerState::dead || state == protocol::PeerState::closed) {
    ++hub.counts().late_replies;
    // It may be none the wiser: its connection holds, or another one comes, and it goes on waiting.
    if (state == protocol::PeerState::dead) owe(*asker, {number, 1});
    return nullptr;
  }
  return asker;
}

void RouterBase::Impl::owe(Asker& asker, const blocks::Run& run) {
  if (window) return;  // it asks again
  if (!asker.owed.empty() && asker.owed.back().first + asker.owed.back().count == run.first) {
    asker.owed.back().count += run.count;
  } else if (asker.owed.size() < blocks::kMaxOwed) {
    asker.owed.push_back(run);
  }
  if (asker.peer.up()) list(asker);
}

void RouterBase::Impl::pay(Asker& asker) {
  for (const blocks::Run& run : std::exchange(asker.owed, {})) {
    asker.ready.push_back({{},
                           run.first,
                           run.count,
                           wire::Code::gone,
                           "the reply is gone: the connection that it was for was lost"});
    asker.queued_bytes += kErrorBytes;
    queued_bytes += kErrorBytes;
  }
}

void RouterBase::Impl::keep(std::uint64_t peer, std::uint64_t generation, std::uint64_t number,
                            blocks::KeptReply reply) {
  --open_requests;
  if (hub.closed()) return;  // what nobody will see is not remembered as done
  const blocks::KeptReply* kept = window->answer(peer, generation, number, std::move(reply));
  // One that gave up, or whose reply has to wait for the journal, has one less in hand as well.
  Asker* asker = reachable(peer, generation, number, true);
  if (!kept) return;
  // An asker that is away, or does not read, gets it when it asks again.
  if (asker && !full(*asker)) deliver(*asker, number, *kept);
}

void RouterBase::Impl::deliver(Asker& asker, std::uint64_t number, const blocks::KeptReply& reply) {
  if (reply.code != wire::Code::none) return queue_error(asker, number, reply.code, reply.text);
  const std::uint64_t batch_bytes = blocks::batch_for(options, frame_for(asker.peer));
  wire::BatchBuilder& open = asker.open;
  if (blocks::largest_frame(reply.record.packed, reply.record.tensors) > asker.peer.max_frame) {
    return queue_error(asker, number, wire::Code::too_large, "the reply does not fit a frame of the asker");
  }
  if (number != asker.first + open.count() || open.bytes() + reply.record.bytes > batch_bytes ||
      open.count() >= options.batch_records ||
      open.tensors().size() + reply.record.tensors.size() > wire::kMaxTensors / 2) {
    close_batch(asker);
  }
  if (open.empty()) {
    asker.first = number;
    list(asker);
  }
  reply.record.add_to(open);
}

void RouterBase::Impl::reply(std::uint64_t peer, std::uint64_t generation, std::uint64_t number,
                             const std::function<void(wire::BatchBuilder&)>& encode) {
  if (window) {
    wire::BatchBuilder single(hub.pool(), 4096);
    encode(single);
    const std::uint64_t most = blocks::batch_for(options, options.max_frame_bytes);
    blocks::KeptReply kept;
    const SendStatus why = blocks::judge(single, {}, most, options.max_frame_bytes);
    if (why == SendStatus::ok) {
      kept.record = blocks::Stored(single.take());
    } else {
      kept.code = code_of(why);
      kept.text = refusal_of(why);
    }
    return keep(peer, generation, number, std::move(kept));
  }
  --open_requests;
  Asker* asker = reachable(peer, generation, number, true);
  if (!asker) return;
  if (full(*asker)) return drop_reply(*asker, number);
  if (!asker->open.empty() && number != asker->first + asker->open.count()) close_batch(*asker);
  if (asker->open.empty()) {
    asker->first = number;
    list(*asker);
  }
  const std::uint64_t most = frame_for(asker->peer);
  const std::uint64_t batch_bytes = blocks::batch_for(options, most);
  const auto mark = asker->open.mark();
  encode(asker->open);
  const SendStatus why = blocks::judge(asker->open, mark, batch_bytes, most);
  if (why != SendStatus::ok) {
    asker->open.roll_back(mark);
    return queue_error(*asker, number, code_of(why), refusal_of(why));
  }
  if (asker->open.bytes() >= batch_bytes || asker->open.count() >= options.batch_records ||
      asker->open.tensors().size() > wire::kMaxTensors / 2) {
    close_batch(*asker);
  }
}

// The others are not disturbed by it.
void RouterBase::Impl::drop_reply(Asker& asker, std::uint64_t number) {
  ++hub.counts().dropped_records;
  queue_error(asker, number, wire::Code::gone,
              "the reply was dropped: too many bytes of replies wait for the asker");
}

void RouterBase::Impl::queue_error(Asker& asker, std::uint64_t number, wire::Code code,
                                   std::string_view text) {
  close_batch(asker);
  if (!asker.ready.empty()) {  // one of a run costs nothing more
    Replies& last = asker.ready.back();
    if (last.code == code && last.first + last.count == number && last.text == text) {
      ++last.count;
      return list(asker);
    }
  }
  if (asker.queued_bytes >= 2 * options.capacity_bytes) {
    ++hub.counts().dropped_records;
    return;
  }
  asker.ready.push_back({{}, number, 1, code, std::string(text)});
  asker.queued_bytes += kErrorBytes;
  queued_bytes += kErrorBytes;
  list(asker);
}

void RouterBase::Impl::fail(std::uint64_t peer, std::uint64_t generation, std::uint64_t number,
                            wire::Code code, std::string_view text) {
  if (code == wire::Code::none) code = wire::Code::failed;
  const bool not_done = code == wire::Code::full || code == wire::Code::retry;
  if (window && !not_done) {
    return keep(peer, generation, number, {.record = {}, .code = code, .text = std::string(text)});
  }
  if (window) window->withdraw(peer, generation, number);
  --open_requests;
  Asker* asker = reachable(peer, generation, number, true);
  if (asker) queue_error(*asker, number, code, text);
}

void RouterBase::Impl::close_batch(Asker& asker) {
  if (asker.open.empty()) return;
  Batch batch = asker.open.take();
  const std::uint64_t count = batch.count;
  asker.ready.push_back({std::move(batch), asker.first, count, wire::Code::none, {}});
  asker.queued_bytes += asker.ready.back().bytes();
  queued_bytes += asker.ready.back().bytes();
}

void RouterBase::Impl::list(Asker& asker) {
  if (std::exchange(asker.listed, true)) return;
  if (changed.empty()) hub.loop().ask_for(hook);
  changed.push_back(asker.peer.id);
}

void RouterBase::Impl::pump() {
  if (pumping || hub.closed()) return;
  {
    const blocks::Busy busy(pumping);
    pumped.swap(changed);
    for (const std::uint64_t id : pumped) {
      if (Asker* asker = find(id)) pump(*asker);
    }
    pumped.clear();
  }
  if (hub.closed()) {  // by a tap
    forget_askers();
    return taps.rethrow();
  }
  if (!changed.empty()) hub.loop().ask_for(hook);  // a tap has replied
  if (window) window->forget_peers(hub);
  taps.rethrow();
}

void RouterBase::Impl::pump(Asker& asker) {
  asker.listed = false;
  close_batch(asker);
  if (asker.peer.up() && !asker.owed.empty()) pay(asker);
  while (asker.peer.up() && !asker.ready.empty() && send_one(asker)) {
  }
}

bool RouterBase::Impl::send_one(Asker& asker) {
  Peer& peer = asker.peer;
  Replies& replies = asker.ready.front();
  const bool error = replies.code != wire::Code::none;
  const std::uint64_t bytes = replies.bytes();
  const std::uint64_t count = error ? 1 : replies.count;
  if (!peer.out.admits(bytes)) return false;
  if (error) {
    if (!send_error(peer, replies)) return false;
  } else {
    if (tap) taps.call([&] { tap(true, peer.node, replies.batch.body.view(), count); });
    if (!hub.send_batch(peer, wire::Kind::reply, replies.first, replies.batch)) return false;
  }
  peer.out.send(bytes, count, count);
  hub.counts().sent_records += count;
  hub.counts().sent_bytes += bytes;
  ++hub.counts().sent_batches;
  if (!window) {
    while (!asker.told.empty() && asker.told.front().last <= peer.out.last_acknowledged())
      asker.told.pop_front();
    asker.told.push_back({peer.out.last_sent(), replies.first, count});
  }
  replies.first += count;
  replies.count -= count;
  if (replies.count != 0) return true;  // errors of a run leave one by one
  queued_bytes -= bytes;
  asker.queued_bytes -= bytes;
  asker.ready.pop_front();
  return true;
}

bool RouterBase::Impl::send_error(Peer& peer, const Replies& error) {
  wire::Header header{.kind = wire::Kind::reply,
                      .stream = peer.lane,
                      .epoch = hub.epoch(),
                      .seq = error.first,
                      .options = {}};
  header.options.code_v = error.code;
  header.options.mark(wire::Options::code);
  header.options.text_v = error.text;
  header.options.mark(wire::Options::text);
  return hub.send_header(peer, header) == transport::SendStatus::sent;
}

void RouterBase::Impl::on_up(Peer& peer) {
  on_room(peer);
  pump();
  if (draining) hub.bye(peer, wire::kDraining);  // it was away when the others were told
}

void RouterBase::Impl::on_down(Peer& peer, PeerEvent::What what) {
  if (what == PeerEvent::What::finished) return;  // it may still read what it waits for
  Asker* const known = find(peer.id);
  if (!known) return;
  Asker& asker = *known;
  close_batch(asker);
  const bool returns = what == PeerEvent::What::dead;
  for (const Replies& replies : asker.ready) {
    queued_bytes -= replies.bytes();
    hub.counts().late_replies += replies.count;
    if (returns) owe(asker, {replies.first, replies.count});
  }
  asker.ready.clear();
  asker.queued_bytes = 0;
  if (!returns) {
    asker.owed.clear();
    asker.told.clear();
  }
  if (what == PeerEvent::What::restarted) asker.unanswered = 0;
}

void RouterBase::Impl::on_lost(Peer& peer, std::uint64_t accepted, std::uint64_t said) {
  Asker* const asker = find(peer.id);
  if (!asker) return;
  for (const blocks::Told& told : asker->told) {
    if (told.last > accepted && told.last <= said) owe(*asker, {told.first, told.count});
  }
  std::erase_if(asker->told, [&](const blocks::Told& told) { return told.last <= said; });
}

void RouterBase::Impl::on_room(Peer& peer) {
  Asker* asker = find(peer.id);
  if (asker && !(asker->ready.empty() && asker->open.empty() && asker->owed.empty())) list(*asker);
}

void RouterBase::Impl::on_removed(Peer& peer) {
  Asker* asker = find(peer.id);
  if (!asker) return;
  for (const Replies& replies : asker->ready) queued_bytes -= replies.bytes();
  latest = nullptr;
  askers.erase(peer.id);
}

}  // namespace weft
