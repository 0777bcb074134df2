// What a Push does with its batches when there is room, when it is idle, and when a peer comes or goes.
#include <algorithm>
#include <optional>
#include <span>

#include <weft/core/format.hpp>

#include "blocks/defaults.hpp"
#include "blocks/push_impl.hpp"

namespace weft {

void PushBase::Impl::share() {
  const auto up = std::ranges::count_if(hub.peers(), [](const auto& peer) { return peer->up(); });
  sharing = sharing || up > 1;
  for (const auto& peer : hub.peers()) {
    peer->work.share(sharing);
    if (!peer->up() || !peer->work.wants_ping()) continue;
    peer->work.pinged(Clock::now());
    hub.ping(*peer);
  }
}

void PushBase::Impl::list_candidates() {
  const Batch& batch = shared.ready.front();
  candidates.clear();
  receivers = 0;
  held_by_size = false;
  const std::uint64_t largest = largest_frame(batch.body.view().subspan(shared.taken), batch.tensors);
  for (const auto& peer : hub.peers()) {
    if (peer->usable()) ++receivers;
    const std::uint64_t outstanding = peer->unsettled_records();
    // Who gets a part of it needs credit for a part.
    const bool parts = sharing || peer->work.active();
    const std::uint64_t bytes = parts ? batch.bytes / std::max(1U, batch.count) : batch.bytes;
    const bool room = peer->usable() && peer->out.admits(bytes) && peer->work.room(outstanding) != 0;
    held_by_size = held_by_size || (room && largest > peer->max_frame);
    candidates.push_back({.id = peer->name_hash,
                          .ready = room && largest <= peer->max_frame,
                          .room = sharing ? UINT64_MAX - peer->work.load(outstanding) : peer->out.room()});
  }
  round.among(receivers);
  for (const auto& native : natives) {
    candidates.push_back({.id = native->hash, .ready = native->socket.writable(), .room = 1});
  }
}

std::uint64_t PushBase::Impl::batch_bytes() const {
  return std::min(batch_for(options, hub.frame_for_all()),
                  std::max<std::uint64_t>(64, options.capacity_bytes / 4));
}

// Batches that were closed before a peer with a smaller bound came.
bool PushBase::Impl::fits_somebody(Queue& queue, const Peer* only) {
  Batch& batch = queue.ready.front();
  const std::uint64_t largest = largest_frame(batch.body.view().subspan(queue.taken), batch.tensors);
  if (largest <= (only ? only->max_frame : hub.frame_for_any())) return true;
  if (batch.count == 1) {
    options.log.warn(format("{}: a record of {} bytes is dropped: it is too large for its receiver",
                            hub.stream(), batch.bytes));
    drop(1);
    pop(queue);
    return false;
  }
  divide(queue);
  return false;
}

void PushBase::Impl::divide(Queue& queue) {
  Batch& batch = queue.ready.front();
  std::vector<std::uint32_t> places(batch.count);
  for (std::uint32_t i = 0; i < batch.count; ++i) places[i] = i;
  const auto half = std::span(places).first(batch.count / 2), rest = std::span(places).subspan(half.size());
  const Bytes body = batch.body.view().subspan(queue.taken);
  Batch first = select_records(hub.pool(), body, batch.tensors, half);
  Batch second = select_records(hub.pool(), body, batch.tensors, rest);
  pop(queue);
  for (Batch* part : {&second, &first}) {
    queued_bytes += part->bytes;
    queued_records += part->count;
    queue.ready.push_front(std::move(*part));
  }
}

Peer* PushBase::Impl::owner_of(std::uint64_t key) {
  candidates.clear();
  std::vector<Peer*> living;
  for (const auto& peer : hub.peers()) {
    if (!peer->living()) continue;
    living.push_back(peer.get());
    candidates.push_back({.id = peer->name_hash});
  }
  const auto at = protocol::by_key(candidates, key);
  return at ? living[*at] : nullptr;
}

void PushBase::Impl::hand_over(Queue& queue) {
  const std::uint32_t count = queue.open.count();
  // A record that turned out too large was taken back, what was noted of it was not.
  if (!queue.keys.empty()) queue.keys.resize(count);
  if (!queue.correlations.empty()) queue.correlations.resize(count);
  reliable->accept(queue.open.take(), queue.kind, queue.lane, std::exchange(queue.keys, {}),
                   std::exchange(queue.correlations, {}));
  queue.kind = default_kind();
}

void PushBase::Impl::note(Queue& queue, const To& to, std::uint64_t key) {
  const BatchClass kind{std::min<std::uint8_t>(to.priority.value_or(options.priority), 9),
                        to.ttl.value_or(options.ttl), to.delay.value_or(options.delay)};
  if (queue.kind != kind) close_batch(queue);
  queue.kind = kind;
  const std::uint32_t at = queue.open.count();
  if (options.distribute == Distribute::hash) {
    queue.keys.resize(at);
    queue.keys.push_back(key);
  }
  if (to.correlation != 0) {
    queue.correlations.resize(at);
    queue.correlations.push_back(to.correlation);
  }
  if (&queue == &shared) update_room();
}

void PushBase::Impl::pump() {
  if (hub.closed() || pumping) return;
  CallAll all;
  {
    const Busy busy(pumping);
    all.call([this] { reliable ? reliable->pump() : send_all(); });
  }
  all.call([this] { taps.rethrow(); });
  if (hub.closed()) {
    forget_all();
    return all.rethrow();
  }
  forget_down();
  update_room();
  check_drain();
  all.rethrow();
}

void PushBase::Impl::send_all() {
  pump_shared();
  for (auto& [id, queue] : queues) {
    Peer* peer = hub.find(id);
    while (peer && !queue.ready.empty() && peer->usable() &&
           (!fits_somebody(queue, peer) || send_one(*peer, queue))) {
    }
  }
}

void PushBase::Impl::pump_shared() {
  while (!hub.closed() && !shared.ready.empty()) {  // closed: by a tap
    if (!fits_somebody(shared, nullptr)) continue;
    list_candidates();
    const auto at = options.distribute == Distribute::balance
                        ? protocol::most_room(candidates, last_choice)
                        : protocol::round_robin(candidates, last_choice);
    if (!at) {
      // Whoever takes such frames has no room, and one that has room takes smaller ones.
      if (!held_by_size || shared.ready.front().count == 1) break;
      divide(shared);
      continue;
    }
    last_choice = *at;
    const std::size_t sessions = hub.peers().size();
    const bool sent =
        *at < sessions ? send_one(*hub.peers()[*at], shared) : send_native(*natives[*at - sessions]);
    if (!sent) break;
  }
  if (!natives.empty() && !shared.ready.empty() && native_timer == 0 && !hub.closed()) {
    native_timer = hub.loop().at(hub.loop().now() + native_retry, [this] {
      native_timer = 0;
      native_retry = std::min(2 * native_retry, kNativeLastRetry);
      pump();
    });
  }
}

bool PushBase::Impl::send_one(Peer& peer, Queue& queue) {
  Batch& batch = queue.ready.front();
  // The rest of a batch that was dealt in parts goes as a part as well, whatever this receiver's window.
  if (queue.taken != 0 || sharing || peer.work.active()) {
    const bool anyone = &queue == &shared;
    const std::uint64_t records =
        peer.work.piece(peer.unsettled_records(), anyone ? queued_records : 0, anyone ? receivers : 0);
    if (records == 0) return false;
    const bool whole = records >= batch.count && queue.taken == 0 && peer.out.admits(batch.bytes);
    if (!whole) return send_part(peer, queue, records);
  }
  if (!peer.out.admits(batch.bytes) || !send_batch(peer, batch)) return false;
  pop(queue);
  return true;
}

bool PushBase::Impl::send_part(Peer& peer, Queue& queue, std::uint64_t records) {
  // With nothing on its way one record goes, whatever it needs.
  Queue::Part part = queue.part(records, peer.out.room(), hub.pool());
  if (!peer.out.admits(part.batch.bytes)) return false;
  if (!send_batch(peer, part.batch)) return false;
  const Batch& rest = queue.ready.front();
  queued_bytes -= rest.bytes;
  queued_records -= rest.count;
  queue.take(part);
  queued_bytes += rest.bytes;
  queued_records += rest.count;
  if (rest.count == 0) pop(queue);
  return true;
}

bool PushBase::Impl::send_batch(Peer& peer, Batch& batch) {
  if (tap) taps.call([&] { tap(true, peer.node, batch.body.view(), batch.count); });
  const std::uint64_t bytes = batch.bytes;
  const std::uint32_t count = batch.count;
  const TimePoint now = peer.work.active() ? Clock::now() : TimePoint();
  const bool asks = peer.work.asks(peer.unsettled_records() + count, now);
  if (!hub.send_batch(peer, wire::Kind::data, peer.out.last_sent() + 1, batch,
                      asks ? std::uint32_t{wire::kReport} : 0U)) {
    return false;
  }
  peer.out.send(bytes, count);
  peer.work.sent(count, asks, now);
  count_sent(bytes, count);
  return true;
}

bool PushBase::Impl::send_native(NativeTarget& native) {
  Batch& batch = shared.ready.front();
  if (!native.send(batch, type.fingerprint, *hub.pool())) return false;
  native_retry = kNativeRetry;
  count_sent(batch.bytes, batch.count);
  const Batch sent = std::move(batch);
  pop(shared);
  if (tap) taps.call([&] { tap(true, native.endpoint, sent.body.view(), sent.count); });
  return true;
}

void PushBase::Impl::update_room() {
  if (hub.closed()) return;  // its owner may be gone
  const bool was_blocked = blocked;
  self.batch_bytes_ = batch_bytes();
  blocked = refusal() != SendStatus::ok;
  if (reliable && options.capacity_records != 0) {
    // The open batch ends with the last record that there is room for.
    const std::uint64_t left =
        options.capacity_records - std::min(options.capacity_records, reliable->left());
    self.batch_records_ =
        left == 0 ? options.batch_records
                  : static_cast<std::uint32_t>(std::min<std::uint64_t>(left, options.batch_records));
  }
  const bool special = reliable && shared.kind != default_kind();
  self.open_ = blocked || special || by_peer() || draining || hub.closed() ? nullptr : &shared.open;
  room_came = room_came || (was_blocked && !blocked);
}

void PushBase::Impl::drop_oldest() {
  if (reliable) {
    while (!hub.closed() && refusal() == SendStatus::would_block && reliable->drop_oldest()) {
    }
    return update_room();
  }
  while (queued_bytes >= options.capacity_bytes) {
    Queue* fullest = &shared;
    for (auto& [id, queue] : queues) {
      if (queue.ready.size() > fullest->ready.size()) fullest = &queue;
    }
    if (fullest->ready.empty()) break;
    drop(fullest->ready.front().count);
    pop(*fullest);
  }
  update_room();
}

void PushBase::Impl::close() {
  hub.close();
  std::uint64_t unsent = queued_records;
  drop(unsent);
  queued_bytes = queued_records = 0;
  if (reliable) {
    if (options.journal) options.journal->remove_before_commit(prepare);
    unsent = reliable->close();
  }
  tell_dropped(unsent);
  Loop& loop = hub.loop();
  loop.remove_hook(hook);
  if (linger_timer != 0) loop.cancel(linger_timer);
  if (native_timer != 0) loop.cancel(native_timer);
  if (!pumping) forget_all();
}

void PushBase::Impl::forget_all() {
  natives.clear();
  queues.clear();
  shared.ready.clear();
}

void PushBase::Impl::tell_dropped(std::uint64_t records) const {
  if (records == 0) return;
  const bool met = std::ranges::any_of(hub.peers(), [](const auto& peer) { return peer->met; });
  const std::string_view why = !met       ? "no receiver ever came to take"
                               : reliable ? "no receiver has said it processed"
                                          : "had not been sent yet";
  const std::string text =
      format("{}: closed with {} record{} that {}: dropped. settle(), or a drain, waits for them",
             hub.stream(), records, records == 1 ? "" : "s", why);
  // A block that was given no log has nobody else to tell.
  options.log.enabled(LogLevel::off) ? options.log.warn(text) : Logger::to_stderr("weft").warn(text);
}

void PushBase::Impl::on_idle() {
  tell_room();
  if (hub.closed() || staging()) return;
  const bool anything = !shared.open.empty() ||
                        std::ranges::any_of(queues, [](const auto& q) { return !q.second.open.empty(); });
  if (!anything) return;
  if (options.linger == Duration::zero()) {
    close_all();
    pump();
    tell_room();
  } else if (linger_timer == 0) {
    linger_timer = hub.loop().at(hub.loop().now() + options.linger, [this] {
      linger_timer = 0;
      close_all();
      pump();
    });
  }
}

void PushBase::Impl::on_down(Peer& peer, PeerEvent::What what) {
  if (reliable) return reliable->on_down(peer, what);
  if (what == PeerEvent::What::restarted) return;  // it is back already, and takes what waits
  down.push_back(peer.id);
  if (!pumping) pump();
}

void PushBase::Impl::on_room(Peer& peer) {
  if (reliable) {
    reliable->on_room(peer);
    update_room();
    return check_drain();
  }
  if (peer.work.active()) peer.work.handled(peer.unsettled_records(), Clock::now(), &round);
  if (peer.draining && !peer.finished) {
    down.push_back(peer.id);
    // After what is already on its way it hears that nothing more comes.
    hub.finish(peer);
  }
  pump();
}

void PushBase::Impl::forget_down() {
  for (const std::uint64_t id : down) {
    const auto found = queues.find(id);
    if (found == queues.end()) continue;
    close_batch(found->second);
    while (!found->second.ready.empty()) {
      drop(found->second.ready.front().count);
      pop(found->second);
    }
    queues.erase(found);
  }
  down.clear();
}

}  // namespace weft
