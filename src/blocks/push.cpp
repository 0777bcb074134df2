#include <weft/blocks/push.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/protocol/choose.hpp>

#include "blocks/defaults.hpp"
#include "blocks/hub.hpp"
#include "blocks/push_queue.hpp"

namespace weft {

using namespace blocks;
using Batch = wire::BatchBuilder::Batch;

struct PushBase::Impl final : blocks::HubClient {
  PushBase& self;
  PortOptions options;
  RecordType type;
  Hub hub;
  std::size_t reserve;
  Queue shared;
  std::map<std::uint64_t, Queue> queues;  // by peer id
  std::vector<std::unique_ptr<NativeTarget>> natives;
  std::vector<protocol::Candidate> candidates;
  std::size_t last_choice = SIZE_MAX;
  std::uint64_t queued_bytes = 0;
  std::uint64_t queued_records = 0;
  Loop::HookId hook = 0;
  Loop::TimerId linger_timer = 0;
  Loop::TimerId native_timer = 0;
  Duration native_retry = kNativeRetry;
  std::size_t natives_made = 0;
  std::function<void()> room_handler;
  Tap tap;
  std::vector<std::uint64_t> down;  // peers that take nothing more
  bool pumping = false;
  bool room_came = false;
  bool blocked = false;
  bool ownerless = false;  // a key had no living receiver
  bool draining = false;
  bool said_bye = false;

  Impl(PushBase& owner, Loop& loop, PortOptions given, RecordType record)
      : self(owner),
        options(std::move(given)),
        type(std::move(record)),
        hub(loop, options,
            {.block = "push",
             .peer_block = "pull",
             .type = type,
             .reply_type = {},
             .sends = true,
             .receives = false,
             .data_endpoint = {}},
            *this),
        reserve(std::min<std::size_t>(options.batch_bytes + options.batch_bytes / 8, 1 << 20)),
        shared(hub.pool(), reserve) {}

  [[nodiscard]] bool by_peer() const {
    return options.distribute == Distribute::hash || options.distribute == Distribute::explicit_;
  }

  // ---- who gets it ----

  void list_candidates(std::uint64_t bytes) {
    candidates.clear();
    for (const auto& peer : hub.peers()) {
      candidates.push_back({.id = peer->name_hash,
                            .ready = peer->usable() && peer->out.admits(bytes),
                            .room = peer->out.room()});
    }
    for (const auto& native : natives) {
      candidates.push_back({.id = native->hash, .ready = native->socket.writable(), .room = 1});
    }
  }

  /// The receiver that owns a key: among those that live, whether or not they have room now.
  Peer* owner_of(Bytes key) {
    candidates.clear();
    std::vector<Peer*> living;
    for (const auto& peer : hub.peers()) {
      if (!peer->living()) continue;
      living.push_back(peer.get());
      candidates.push_back({.id = peer->name_hash});
    }
    const auto at = protocol::by_key(candidates, protocol::name_hash(as_text(key)));
    return at ? living[*at] : nullptr;
  }

  Peer* named(std::string_view name) {
    for (const auto& peer : hub.peers()) {
      if (peer->usable() && peer->node == name) return peer.get();
    }
    return nullptr;
  }

  Queue& queue_of(const Peer& peer) {
    auto found = queues.find(peer.id);
    if (found == queues.end()) found = queues.emplace(peer.id, Queue(hub.pool(), reserve)).first;
    return found->second;
  }

  // ---- queues ----

  void close_batch(Queue& queue) {
    if (queue.open.empty()) return;
    queue.ready.push_back(queue.open.take());
    queued_bytes += queue.ready.back().bytes;
    queued_records += queue.ready.back().count;
  }

  void close_all() {
    close_batch(shared);
    for (auto& [id, queue] : queues) close_batch(queue);
  }

  void pop(Queue& queue) {
    queued_bytes -= queue.ready.front().bytes;
    queued_records -= queue.ready.front().count;
    queue.ready.pop_front();
  }

  void pump() {
    if (hub.closed() || pumping) return;
    pumping = true;
    pump_shared();
    for (auto at = queues.begin(); at != queues.end();) {
      Peer* peer = hub.find(at->first);
      if (peer) {
        while (!at->second.ready.empty() && peer->usable() && send_one(*peer, at->second)) {
        }
      }
      ++at;
    }
    pumping = false;
    forget_down();
    update_room();
    check_drain();
  }

  void pump_shared() {
    while (!shared.ready.empty()) {
      list_candidates(shared.ready.front().bytes);
      const auto at = options.distribute == Distribute::balance
                          ? protocol::most_room(candidates, last_choice)
                          : protocol::round_robin(candidates, last_choice);
      if (!at) break;
      last_choice = *at;
      const std::size_t sessions = hub.peers().size();
      const bool sent =
          *at < sessions ? send_one(*hub.peers()[*at], shared) : send_native(*natives[*at - sessions]);
      if (!sent) break;
    }
    if (!natives.empty() && !shared.ready.empty() && native_timer == 0) {
      native_timer = hub.loop().at(hub.loop().now() + native_retry, [this] {
        native_timer = 0;
        native_retry = std::min(2 * native_retry, kNativeLastRetry);
        pump();
      });
    }
  }

  bool send_one(Peer& peer, Queue& queue) {
    Batch& batch = queue.ready.front();
    if (!peer.out.admits(batch.bytes)) return false;
    if (tap) tap(true, peer.node, batch.body.view(), batch.count);
    const std::uint64_t bytes = batch.bytes;
    const std::uint32_t count = batch.count;
    if (!hub.send_batch(peer, wire::Kind::data, peer.out.last_sent() + 1, batch)) return false;
    peer.out.send(bytes, count);
    count_sent(bytes, count);
    pop(queue);
    return true;
  }

  bool send_native(NativeTarget& native) {
    Batch& batch = shared.ready.front();
    if (!native.send(batch, type.fingerprint, *hub.pool())) return false;
    if (tap) tap(true, native.endpoint, batch.body.view(), batch.count);
    native_retry = kNativeRetry;
    count_sent(batch.bytes, batch.count);
    pop(shared);
    return true;
  }

  void count_sent(std::uint64_t bytes, std::uint32_t count) {
    hub.counts().sent_records += count;
    hub.counts().sent_bytes += bytes;
    ++hub.counts().sent_batches;
  }

  /// `open_` is null exactly when send() has to think first.
  void update_room() {
    const bool was_blocked = blocked;
    blocked = queued_bytes >= options.capacity_bytes;
    self.open_ = blocked || by_peer() || draining || hub.closed() ? nullptr : &shared.open;
    room_came = room_came || (was_blocked && !blocked);
  }

  void drop(std::uint64_t records) { hub.counts().dropped_records += records; }

  void drop_oldest() {
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

  // ---- idle, drain ----

  void tell_room() {
    if (std::exchange(room_came, false) && room_handler) room_handler();
  }

  void on_idle() {
    tell_room();
    if (hub.closed()) return;
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

  [[nodiscard]] bool all_settled() const {
    return queued_records == 0 && std::ranges::all_of(hub.peers(), [](const auto& peer) {
             // One that is silent for a while is slow, not dead: what it has may still be handled.
             const auto state = peer->session.state();
             const bool lives = state == protocol::PeerState::up || state == protocol::PeerState::suspect;
             return !lives || peer->out.outstanding() == 0;
           });
  }

  /// Asks those who have not acknowledged yet to do so now.
  void ask_for_acks() {
    for (std::size_t i = 0; i < hub.peers().size(); ++i) {
      Peer& peer = *hub.peers()[i];
      if (peer.up() && peer.out.outstanding() != 0) hub.ping(peer);
    }
  }

  void check_drain() {
    if (!draining || said_bye || !all_settled()) return;
    said_bye = true;
    hub.bye_all(wire::kLast);
  }

  // ---- what the hub tells ----

  void on_message(Peer& peer, const wire::Header&, transport::Message&, std::size_t) override {
    hub.reject(wire::Rejection::unexpected, &peer);
  }
  void on_up(Peer&) override {
    room_came = room_came || std::exchange(ownerless, false);
    pump();
  }
  void on_down(Peer& peer, PeerEvent::What what) override {
    if (what == PeerEvent::What::restarted) return;  // it is back already, and takes what waits
    down.push_back(peer.id);
    if (!pumping) pump();
  }
  void on_room(Peer& peer) override {
    if (peer.draining && !peer.finished) {
      down.push_back(peer.id);
      // After what is already on its way it hears that nothing more comes.
      hub.bye(peer, wire::kLast);
      peer.finished = true;
    }
    pump();
  }

  /// Batches that wait for a peer that takes nothing more: keys and explicit names cannot be read back from a
  /// batch, so the records are dropped, and counted. (What waits for any peer is not touched.)
  void forget_down() {
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
};

PushBase::PushBase(Loop& loop, PortOptions options, RecordType type) {
  blocks::fill_defaults(options);
  if (options.native && !options.bind.empty()) {
    throw Error(Errc::invalid_argument,
                format("port {}: a native Push connects and its Pull binds; give `connect`, not `bind`",
                       options.name));
  }
  impl_ = std::make_unique<Impl>(*this, loop, std::move(options), std::move(type));
  Impl& impl = *impl_;
  batch_bytes_ =
      std::min({impl.options.batch_bytes, std::max<std::uint64_t>(64, impl.options.capacity_bytes / 4),
                impl.options.max_frame_bytes / 2});
  batch_records_ = impl.options.batch_records;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) connect(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
  impl.update_room();
}

PushBase::~PushBase() {
  close();
}

std::vector<std::string> PushBase::endpoints() const {
  return impl_->hub.endpoints();
}

void PushBase::connect(const std::string& endpoint) {
  Impl& impl = *impl_;
  if (!impl.options.native) return impl.hub.connect(endpoint);
  for (const auto& native : impl.natives) {
    if (native->endpoint == endpoint) return;
  }
  const std::string stream = format("{}>{}", impl.hub.stream(), impl.natives_made++);
  impl.natives.push_back(std::make_unique<NativeTarget>(
      impl.hub.loop().context(), endpoint, wire::DataHeader(wire::Kind::data, stream, impl.hub.epoch()),
      impl.options.close_linger));
}

void PushBase::disconnect(const std::string& endpoint) {
  if (!impl_->options.native) return impl_->hub.disconnect(endpoint);
  std::erase_if(impl_->natives, [&](const auto& native) { return native->endpoint == endpoint; });
}

std::size_t PushBase::peers_up() const {
  const auto connected =
      std::ranges::count_if(impl_->natives, [](const auto& n) { return n->socket.writable(); });
  return impl_->hub.peers_up() + static_cast<std::size_t>(connected);
}

PortStats PushBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.peers_up = peers_up();
  stats.queued_records = impl_->queued_records + impl_->shared.open.count();
  stats.queued_bytes = impl_->queued_bytes + impl_->shared.open.bytes();
  for (const auto& [id, queue] : impl_->queues) {
    stats.queued_records += queue.open.count();
    stats.queued_bytes += queue.open.bytes();
  }
  return stats;
}

void PushBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void PushBase::on_room(std::function<void()> handler) {
  impl_->room_handler = std::move(handler);
}
void PushBase::tap(Tap tap) {
  impl_->tap = std::move(tap);
}
bool PushBase::has_room() const {
  return !impl_->blocked && !impl_->ownerless && !impl_->draining && !impl_->hub.closed();
}

void PushBase::begin_drain() {
  Impl& impl = *impl_;
  impl.draining = true;
  impl.close_all();
  impl.pump();
  impl.ask_for_acks();
}

bool PushBase::drained() const {
  return impl_->said_bye || impl_->hub.closed();
}

void PushBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.close_all();
  impl.pump();
  impl.drop(impl.queued_records);
  impl.hub.close();
  Loop& loop = impl.hub.loop();
  loop.remove_hook(impl.hook);
  if (impl.linger_timer != 0) loop.cancel(impl.linger_timer);
  if (impl.native_timer != 0) loop.cancel(impl.native_timer);
  impl.natives.clear();
  impl.queues.clear();
  impl.shared.ready.clear();
  impl.queued_bytes = impl.queued_records = 0;
  open_ = nullptr;
}

wire::BatchBuilder* PushBase::begin(const To& to, SendStatus& why) {
  Impl& impl = *impl_;
  why = SendStatus::closed;
  if (impl.hub.closed() || impl.draining) return nullptr;
  if (impl.blocked) impl.pump();
  if (impl.blocked) {
    switch (impl.options.overflow) {
      case Overflow::block:
        why = SendStatus::would_block;
        return nullptr;
      case Overflow::fail:
        why = SendStatus::full;
        return nullptr;
      case Overflow::drop_newest:
        impl.drop(1);
        why = SendStatus::dropped;
        return nullptr;
      case Overflow::drop_oldest:
        impl.drop_oldest();
        break;
    }
  }
  if (!impl.by_peer()) return &impl.shared.open;
  Peer* peer = nullptr;
  if (impl.options.distribute == Distribute::hash) {
    peer = impl.owner_of(to.key.value_or(Bytes{}));
    why = SendStatus::would_block;
    impl.ownerless = peer == nullptr;
  } else {
    peer = impl.named(to.peer);
    why = SendStatus::no_peer;
  }
  return peer ? &impl.queue_of(*peer).open : nullptr;
}

SendStatus PushBase::full(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark) {
  Impl& impl = *impl_;
  if (!blocks::fits(batch, mark, batch_bytes_, impl.options.max_frame_bytes)) {
    batch.roll_back(mark);
    return SendStatus::too_large;
  }
  Queue* queue = &impl.shared;
  for (auto& [id, candidate] : impl.queues) {
    if (&candidate.open == &batch) queue = &candidate;
  }
  impl.close_batch(*queue);
  impl.pump();
  return SendStatus::ok;
}

bool PushBase::wait_for_room(Deadline deadline) {
  Impl& impl = *impl_;
  if (impl.options.distribute == Distribute::hash && !impl.blocked) {  // no living peer owns the key
    return impl.hub.loop().run_until([&] { return impl.hub.closed() || impl.owner_of({}) != nullptr; },
                                     deadline);
  }
  return impl.hub.loop().run_until([&] { return !impl.blocked || impl.hub.closed(); }, deadline);
}

bool PushBase::flush(Deadline deadline) {
  Impl& impl = *impl_;
  impl.close_all();
  impl.pump();
  return impl.hub.loop().run_until([&] { return impl.queued_records == 0; }, deadline);
}

bool PushBase::settle(Deadline deadline) {
  if (!flush(deadline)) return false;
  Impl& impl = *impl_;
  impl.ask_for_acks();
  return impl.hub.loop().run_until([&] { return impl.all_settled(); }, deadline);
}

bool PushBase::wait_for_peers(std::size_t count, Deadline deadline) {
  Loop& loop = impl_->hub.loop();
  if (impl_->natives.empty()) return loop.run_until([&] { return peers_up() >= count; }, deadline);
  // A plain PUSH socket does not tell when its connection stands: ask again and again.
  const Loop::TimerId ask = loop.every(kNativeRetry, [] {});
  const bool there = loop.run_until([&] { return peers_up() >= count; }, deadline);
  loop.cancel(ask);
  return there;
}

}  // namespace weft
