// Push: the calls of its user.
#include <weft/blocks/push.hpp>

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/defaults.hpp"
#include "blocks/push_impl.hpp"

namespace weft {

PushBase::PushBase(Loop& loop, PortOptions options, RecordType type) {
  blocks::fill_defaults(options);
  if (options.journal && options.delivery != Delivery::best_effort) {
    options.epoch = blocks::journaled_epoch(*options.journal, options.name,
                                            options.epoch != 0 ? options.epoch : wall_micros());
  }
  if (options.native && !options.bind.empty()) {
    throw Error(Errc::invalid_argument,
                format("port {}: a native Push connects and its Pull binds; give `connect`, not `bind`",
                       options.name));
  }
  impl_ = std::make_unique<Impl>(*this, loop, std::move(options), std::move(type));
  Impl& impl = *impl_;
  if (impl.reliable) impl.hub.counts().resumed_records = impl.reliable->left();
  batch_bytes_ = impl.batch_bytes();
  batch_records_ = impl.options.batch_records;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) connect(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
  impl.update_room();
}

PushBase::~PushBase() {
  blocks::end_block(impl_, [this] { close(); });
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

std::size_t PushBase::receivers_known() const {
  return impl_->reliable ? impl_->reliable->receivers_known() : impl_->hub.peers().size();
}

PortStats PushBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.peers_up = peers_up();
  stats.queued_records = impl_->queued_records + impl_->shared.open.count();
  stats.queued_bytes = impl_->queued_bytes + impl_->shared.open.bytes();
  stats.accepted_records += impl_->shared.open.count();
  for (const auto& [id, queue] : impl_->queues) {
    stats.accepted_records += queue.open.count();
    stats.queued_records += queue.open.count();
    stats.queued_bytes += queue.open.bytes();
  }
  if (impl_->reliable) impl_->reliable->fill(stats);
  return stats;
}

void PushBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void PushBase::on_room(std::function<void()> handler) {
  impl_->room_handler = blocks::guarded(impl_->hub.calls(), std::move(handler));
}
void PushBase::tap(Tap tap) {
  (impl_->reliable ? impl_->reliable->tap : impl_->tap) = blocks::guarded(impl_->hub.calls(), std::move(tap));
}
TensorRoom PushBase::allocate(std::size_t bytes) {
  return impl_->hub.allocate(bytes);
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
  blocks::CallAll all;
  all.call([&] { impl.pump(); });
  if (!impl.hub.closed()) {  // by a tap
    open_ = nullptr;
    impl.close();
  }
  all.rethrow();
}

wire::BatchBuilder* PushBase::begin(const To& to, SendStatus& why) {
  Impl& impl = *impl_;
  why = SendStatus::closed;
  if (impl.hub.closed() || impl.draining) return nullptr;
  if (impl.reliable && impl.by_peer()) impl.update_room();  // counts what is open for each receiver
  if (impl.blocked) impl.pump();
  if (impl.hub.closed()) return nullptr;  // by who was told of an outcome, and this may be gone
  if (impl.blocked) {
    const SendStatus refusal = impl.refusal();
    if (refusal == SendStatus::no_space || refusal == SendStatus::failed) {
      why = refusal;
      return nullptr;
    }
    switch (impl.options.overflow) {
      case Overflow::block:
        why = impl.hub.hopeless() ? SendStatus::refused : SendStatus::would_block;
        return nullptr;
      case Overflow::fail:
        why = SendStatus::full;
        return nullptr;
      case Overflow::drop_newest:
        impl.drop_newest();
        why = SendStatus::dropped;
        return nullptr;
      case Overflow::drop_oldest:
        impl.drop_oldest();
        if (impl.hub.closed()) return nullptr;
        // All of it is on its way: nothing can be taken back, so the new one goes.
        if (impl.reliable && impl.blocked) {
          impl.drop_newest();
          why = SendStatus::dropped;
          return nullptr;
        }
        break;
    }
  }
  Queue* queue = &impl.shared;
  const std::uint64_t key = protocol::name_hash(as_text(to.key.value_or(Bytes{})));
  if (impl.by_peer()) {
    const bool by_key = impl.options.distribute == Distribute::hash;
    std::uint64_t id = 0;
    if (impl.reliable) {
      id = by_key ? impl.reliable->owner_of(key) : impl.reliable->named(to.peer);
    } else if (Peer* peer = by_key ? impl.owner_of(key) : impl.named(to.peer)) {
      id = peer->id;
    }
    impl.ownerless = by_key && id == 0;
    if (id == 0) {
      const SendStatus no_owner = impl.hub.hopeless() ? SendStatus::refused : SendStatus::would_block;
      why = by_key ? no_owner : SendStatus::no_peer;
      return nullptr;
    }
    queue = &impl.queue_of(id);
    queue->lane = static_cast<std::uint32_t>(id);
  }
  if (impl.reliable) impl.note(*queue, to, key);
  return &queue->open;
}

SendStatus PushBase::full(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark) {
  Impl& impl = *impl_;
  if (!blocks::fits(batch, mark, batch_bytes_, impl.hub.frame_for_any())) {
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

SendStatus PushBase::wait_for_room(Deadline deadline) {
  Impl& impl = *impl_;
  const bool ownerless = impl.options.distribute == Distribute::hash && !impl.blocked;
  const auto room = [&] {
    if (!ownerless) return !impl.blocked;
    return impl.reliable ? impl.reliable->owner_of(0) != 0 : impl.owner_of(0) != nullptr;
  };
  if (impl.hub.wait_for_peers(room, deadline)) return SendStatus::ok;
  if (impl.hub.closed()) return SendStatus::closed;
  return impl.hub.hopeless() ? SendStatus::refused : SendStatus::timed_out;
}

bool PushBase::flush(Deadline deadline) {
  Impl& impl = *impl_;
  impl.close_all();
  impl.pump();
  return impl.hub.wait_for_peers(
      [&] { return impl.reliable ? impl.reliable->handed_over() : impl.queued_records == 0; }, deadline);
}

bool PushBase::settle(Deadline deadline) {
  Impl& impl = *impl_;
  const std::uint64_t lost = impl.hub.lost_records();
  if (!flush(deadline)) return false;
  impl.ask_for_acks();
  const bool settled = impl.hub.wait_for_peers([&] { return impl.all_settled(); }, deadline);
  return settled && impl.hub.lost_records() == lost;
}

bool PushBase::sync(Deadline deadline) {
  Impl& impl = *impl_;
  if (!impl.reliable) return true;
  impl.close_all();
  impl.pump();
  const blocks::InCall call(impl.hub.calls());
  const auto over = [&] {
    return impl.reliable->durable() || impl.hub.closed() || impl.refusal() == SendStatus::failed;
  };
  (void)impl.hub.loop().run_until(over, deadline);
  // The journal may have failed with its wake still on the way here, and what is sent next goes ahead of it.
  if (!impl.hub.closed()) impl.update_room();
  return impl.reliable->durable();
}

void PushBase::on_outcome(std::function<void(std::uint64_t, RecordFate)> handler) {
  if (impl_->reliable) impl_->reliable->outcome = blocks::guarded(impl_->hub.calls(), std::move(handler));
}

void PushBase::on_dead_letter(std::function<SendStatus(const DeadLetter&)> handler) {
  if (impl_->reliable) impl_->reliable->dead_letter = blocks::guarded(impl_->hub.calls(), std::move(handler));
}

std::uint64_t PushBase::purge() {
  return impl_->reliable ? impl_->reliable->purge() : 0;
}

void PushBase::peek(std::size_t limit, const std::function<void(const HeldRecord&)>& show) const {
  if (!impl_->reliable) return;
  const blocks::InCall call(impl_->hub.calls());
  impl_->reliable->peek(limit, show);
}

bool PushBase::journaled() const {
  return impl_->reliable && impl_->options.journal;
}

std::uint64_t PushBase::accepted_total() const {
  return impl_->reliable ? impl_->reliable->accepted_total() : impl_->hub.counts().sent_records;
}

bool PushBase::wait_for_peers(std::size_t count, Deadline deadline) {
  Loop& loop = impl_->hub.loop();
  // A plain PUSH socket does not tell when its connection stands: ask again and again.
  const Loop::TimerId ask = impl_->natives.empty() ? 0 : loop.every(kNativeRetry, [] {});
  const bool there = impl_->hub.wait_for_peers([&] { return peers_up() >= count; }, deadline);
  if (ask != 0) loop.cancel(ask);
  return there;
}

}  // namespace weft
