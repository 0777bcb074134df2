#include <weft/blocks/pull.hpp>

#include <unordered_map>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/defaults.hpp"
#include "blocks/deferred.hpp"
#include "blocks/guarded.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"
#include "blocks/pull_reliable.hpp"

namespace weft {

using blocks::Hub;
using blocks::InboxItem;
using blocks::Peer;

namespace {

constexpr std::size_t kMaxNativeStreams = 65536;
constexpr int kNativeMessagesPerTurn = 256;
constexpr int kNativeHighWater = 100;

}  // namespace

struct PullBase::Impl final : blocks::HubClient {
  PortOptions options;
  RecordType type;
  Hub hub;
  blocks::Inbox inbox;
  std::optional<transport::Socket> native;
  std::optional<blocks::Strangers> native_accepts;
  Loop::WatchId native_watch = 0;
  std::vector<std::string> native_endpoints;
  std::unordered_map<std::string, protocol::ReceiveLane> native_lanes;
  transport::Message message;
  std::function<void()> batch_end;
  Tap tap;
  bool draining = false;
  bool turn_planned = false;
  std::unordered_map<std::uint64_t, std::uint64_t>
      wide;                                        // by peer: credit beyond the window, for large batches
  std::unique_ptr<blocks::ReliablePull> reliable;  // acknowledged deliveries
  blocks::Deferred deferred{[this](const blocks::HandledBatch& batch) { handled(batch); }};  // best-effort

  Impl(Loop& loop, PortOptions given, RecordType record)
      : options(std::move(given)),
        type(std::move(record)),
        hub(loop, options,
            {.block = "pull",
             .peer_block = "push",
             .type = type,
             .reply_type = {},
             .sends = false,
             .receives = true,
             .reports = true,
             .data_endpoint = {},
             .same_delivery = true,
             .shares_memory = !options.native},
            *this) {
    inbox.on_done = [this](InboxItem& item) { done(item); };
    if (options.delivery != Delivery::best_effort) {
      inbox.strict = true;
      reliable = std::make_unique<blocks::ReliablePull>(hub, inbox, [this] { hand_out(); });
      inbox.on_begin = [this](const InboxItem& item) { reliable->begin(item); };
    }
    inbox.on_bad_record = [this](const InboxItem& item, wire::Rejection why) {
      // Trying again would not help. It costs its sender no more than this record.
      if (reliable) {
        reliable->note(
            item, inbox.index(),
            Verdict::reject(why == wire::Rejection::too_deep ? "a record that is nested deeper than 32 levels"
                                                             : "not a record of the receiver's type"));
      } else if (Peer* from = hub.find(item.peer_id)) {
        from->fates.reject(1);
      }
      hub.tell_unfit(item.peer, why);
      --hub.counts().received_records;
      hub.reject_records(why, nullptr, 1);
    };
  }

  // Where priorities differ, what has come meanwhile is read between two batches.
  void hand_out() {
    if (!inbox.ranks()) return inbox.deliver();
    if (std::exchange(turn_planned, true)) return;
    hub.loop().at(hub.loop().now(), [weak = std::weak_ptr<bool>(hub.alive()), this] {
      if (weak.expired()) return;
      turn_planned = false;
      inbox.deliver(1);
      if (!hub.closed() && !inbox.paused() && !inbox.empty()) hand_out();
    });
  }

  void on_up(Peer& peer) override {
    if (draining) hub.bye(peer, wire::kDraining);  // it was away when the others were told
  }

  void on_removed(Peer& peer) override {
    wide.erase(peer.id);
    if (reliable && !hub.closed()) reliable->on_removed(peer);
  }

  [[nodiscard]] bool keeps_streams() const override { return reliable != nullptr; }
  void describe(Peer& peer, wire::Header& header) override { reliable->describe(peer, header); }
  void on_met(Peer& peer, const wire::Header& header, bool) override { reliable->on_met(peer, header); }

  void done(InboxItem& item) {
    if (reliable) {
      if (batch_end) batch_end();  // before the commit: what it flushes belongs to it
      return reliable->done(item);
    }
    deferred.handed_out({item.peer_id, item.epoch, item.seq, item.bytes, item.lent, item.report});
    if (batch_end) batch_end();
  }

  void handled(const blocks::HandledBatch& batch) {
    Peer* peer = hub.find(batch.peer);
    if (!peer) return;
    peer->held_bytes -= std::min(peer->held_bytes, batch.bytes);
    const std::uint64_t credit = protocol::window_for(options.window_bytes, batch.bytes, batch.lent);
    if (credit != options.window_bytes) return settled_large(*peer, batch, credit);
    hub.settled(*peer, batch.epoch, batch.seq, batch.bytes);
    if (batch.report && peer->ack.untold()) hub.acknowledge(*peer);
  }

  // More than a quarter of the window is acknowledged at once, here with more credit than others get.
  void settled_large(Peer& peer, const blocks::HandledBatch& batch, std::uint64_t credit) {
    if (batch.epoch != peer.in.epoch()) return;  // of a sender that has been replaced since
    (void)peer.settle(batch.epoch, batch.seq, batch.bytes);
    std::uint64_t& most = wide[peer.id];
    most = std::max(most, credit);
    wire::Header ack = hub.header(wire::Kind::ack, peer.settled);
    ack.options.credit_bytes = credit;
    ack.options.credit_batches = options.window_batches;
    ack.options.mark(wire::Options::credit);
    hub.say_rejected(peer, ack);
    if (hub.send_header(peer, ack) == transport::SendStatus::sent) peer.ack.sent();
  }

  /// The most that the peer may have on its way.
  [[nodiscard]] std::uint64_t granted(const Peer& peer) const {
    if (reliable) return reliable->most_held(peer);
    const auto found = wide.find(peer.id);
    return found == wide.end() ? options.window_bytes : found->second;
  }

  void on_message(Peer& peer, const wire::Header& header, transport::Message& received,
                  std::size_t at) override {
    if (header.kind != wire::Kind::data) return hub.reject(wire::Rejection::unexpected, &peer);
    InboxItem item;
    const wire::Options& o = header.options;
    if (reliable && o.has(wire::Options::flags) && (o.flags_v & wire::kTombstone) != 0) {
      return reliable->on_void(peer, header);
    }
    if (!checked(header, received, at, item, &peer)) return unreadable(peer, header, received, at);
    // A peer that ignores its credit would fill the memory of this one.
    if (peer.overfull() && peer.held_bytes > 2 * granted(peer)) {
      return hub.reject(wire::Rejection::too_large, &peer);
    }
    item.peer = peer.node;
    item.peer_id = peer.id;
    item.lent = o.has(wire::Options::flags) && (o.flags_v & wire::kShared) != 0;
    item.report = o.has(wire::Options::flags) && (o.flags_v & wire::kReport) != 0;
    if (reliable) {
      item.count = static_cast<std::uint32_t>(o.count_v);
      item.attempt = o.has(wire::Options::attempt) ? o.attempt_v : 1;
      item.priority = o.has(wire::Options::priority) ? o.priority_v : blocks::kUsualPriority;
      return tapped(std::move(item), o.count_v,
                    [&](InboxItem whole) { reliable->on_batch(peer, header, std::move(whole)); });
    }
    const auto outcome = peer.in.arrive(header.epoch, header.seq);
    if (!accepted(outcome)) {
      if (outcome.verdict == protocol::ReceiveLane::Verdict::fenced) {
        hub.nack(peer, wire::Code::fenced, "this epoch has been replaced by a later one");
      } else {
        hub.acknowledge(peer);
      }
      return;
    }
    peer.held_bytes += item.bytes;
    take(std::move(item), header);
  }

  /// The records of a batch cannot be told apart. It is done with all the same, behind those before it, or
  /// its sender would wait for it; an acknowledging one hears of it.
  void unreadable(Peer& peer, const wire::Header& header, const transport::Message& received,
                  std::size_t at) {
    if (hub.closed() || peer.session.state() == protocol::PeerState::closed) return;
    if (received.size() <= at || !header.options.has(wire::Options::count)) return;
    options.log.warn(format("{}: a batch of {} cannot be read and is lost", hub.stream(), peer.name()));
    if (reliable) {
      const std::uint64_t most = received[at].size();  // each takes a byte at least
      return reliable->on_unreadable(peer, header, std::min(header.options.count_v, most));
    }
    if (!accepted(peer.in.arrive(header.epoch, header.seq))) return;
    InboxItem nothing;
    nothing.peer = peer.node;
    nothing.peer_id = peer.id;
    nothing.epoch = header.epoch;
    nothing.seq = header.seq;
    inbox.add(std::move(nothing));
    hand_out();
  }

  /// Frames and body are as the header says; fills `item` with them.
  bool checked(const wire::Header& header, transport::Message& received, std::size_t at, InboxItem& item,
               Peer* peer) {
    if (received.size() <= at || !header.options.has(wire::Options::count)) {
      hub.reject(received.size() <= at ? wire::Rejection::bad_frame_count : wire::Rejection::malformed, peer);
      return false;
    }
    const auto why = wire::check_body(received[at].view(), header.options.count_v);
    if (why != wire::Rejection::none && why != wire::Rejection::too_deep) {  // those are refused one by one
      hub.reject_records(why, peer, header.options.count_v);
      return false;
    }
    for (std::size_t i = at; i < received.size(); ++i) item.bytes += received[i].size();
    item.epoch = header.epoch;
    item.seq = header.seq;
    item.tensors = blocks::take_tensors(received, at + 1);
    item.body = std::move(received[at]);
    return true;
  }

  bool accepted(const protocol::ReceiveLane::Outcome& outcome) {
    hub.counts().missed_batches += outcome.missed;
    if (outcome.verdict == protocol::ReceiveLane::Verdict::duplicate) ++hub.counts().duplicate_batches;
    if (outcome.verdict == protocol::ReceiveLane::Verdict::fenced) ++hub.counts().fenced_batches;
    return outcome.verdict == protocol::ReceiveLane::Verdict::accept;
  }

  void take(InboxItem item, const wire::Header& header) {
    hub.counts().received_records += header.options.count_v;
    hub.counts().received_bytes += item.bytes;
    ++hub.counts().received_batches;
    tapped(std::move(item), header.options.count_v, [&](InboxItem whole) {
      inbox.add(std::move(whole));
      inbox.deliver();
    });
  }

  /// Shows a batch before it is taken: it is that also when the tap throws, but not when it closes the port.
  template <class Take>
  void tapped(InboxItem item, std::uint64_t count, const Take& take_it) {
    if (!tap) return take_it(std::move(item));
    blocks::CallAll all;
    all.call([&] { tap(false, item.peer, item.body.view(), count); });
    if (!hub.closed()) all.call([&] { take_it(std::move(item)); });
    all.rethrow();
  }

  // ---- wire: native ----

  void bind_native(const std::string& endpoint) {
    if (!native) {
      native.emplace(hub.loop().context(), transport::SocketType::pull,
                     transport::SocketOptions{.receive_high_water = kNativeHighWater,
                                              .max_frame_bytes = options.max_frame_bytes});
      native_accepts.emplace(hub.loop(), options, hub.stream(), "");  // a plain PUSH may be silent for long
      native_accepts->watch(*native);
      watch_native();
    }
    native_endpoints.push_back(native->bind(endpoint));
  }

  void watch_native() {
    if (native_watch != 0 || !native || !native->open() || inbox.paused()) return;
    native_watch = hub.loop().watch(*native, [this] { read_native(); });
  }

  void read_native() {
    for (int i = 0; i < kNativeMessagesPerTurn && native_watch != 0; ++i) {
      if (inbox.paused()) return unwatch_native();
      if (!native || !native->open() || !native->receive(message)) return;
      handle_native();
    }
  }

  void unwatch_native() {
    if (native_watch != 0) hub.loop().unwatch(native_watch);
    native_watch = 0;
  }

  void handle_native() {
    wire::Header header;
    if (message.oversize() || message.empty()) return hub.reject(wire::Rejection::bad_frame_count, nullptr);
    const auto why = wire::decode(message[0].view(), header);
    if (why != wire::Rejection::none) return hub.reject(why, nullptr);
    if (header.kind != wire::Kind::data) return hub.reject(wire::Rejection::unexpected, nullptr);
    const bool typed = header.options.has(wire::Options::fingerprint) && header.options.fingerprint_v != 0;
    if (typed && type.fingerprint != 0 && header.options.fingerprint_v != type.fingerprint) {
      return hub.reject(wire::Rejection::wrong_type, nullptr);
    }
    const std::string stream(header.stream);
    InboxItem item;
    if (!checked(header, message, 1, item, nullptr)) return;
    auto lane = native_lanes.find(stream);
    if (lane == native_lanes.end()) {
      if (native_lanes.size() >= kMaxNativeStreams) return hub.reject(wire::Rejection::too_large, nullptr);
      lane = native_lanes.emplace(stream, protocol::ReceiveLane()).first;
    }
    if (!accepted(lane->second.arrive(header.epoch, header.seq))) return;
    item.peer = stream;
    // Without a session nothing but the high-water marks holds a sender back: do not read on before this is
    // handled.
    take(std::move(item), header);
    if (!inbox.handler) unwatch_native();
  }
};

PullBase::PullBase(Loop& loop, PortOptions options, RecordType type) {
  blocks::fill_defaults(options);
  if (options.delivery == Delivery::exactly_once && !options.journal) {
    throw Error(
        Errc::invalid_argument,
        format("port {}: exactly-once needs a journal at the receiving end; give PortOptions::journal",
               options.name));
  }
  if (options.native && !options.connect.empty()) {
    throw Error(Errc::invalid_argument,
                format("port {}: a native Pull binds and its Push connects; give `bind`, not `connect`",
                       options.name));
  }
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(type));
  Impl& impl = *impl_;
  for (const std::string& endpoint : impl.options.bind) {
    impl.options.native ? impl.bind_native(endpoint) : impl.hub.bind(endpoint);
  }
  for (const std::string& endpoint : impl.options.connect) impl.hub.connect(endpoint);
}

PullBase::~PullBase() {
  blocks::end_block(impl_, [this] { close(); });
}

std::vector<std::string> PullBase::endpoints() const {
  return impl_->options.native ? impl_->native_endpoints : impl_->hub.endpoints();
}

void PullBase::connect(const std::string& endpoint) {
  if (impl_->options.native) throw Error(Errc::invalid_argument, "a native Pull binds; it cannot connect");
  impl_->hub.connect(endpoint);
}

void PullBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
}

std::size_t PullBase::peers_up() const {
  return impl_->options.native ? impl_->native_lanes.size() : impl_->hub.peers_up();
}

std::size_t PullBase::senders_known() const {
  return impl_->reliable ? impl_->reliable->senders_known() : impl_->hub.peers().size();
}

PortStats PullBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.peers_up = peers_up();
  if (impl_->reliable) impl_->reliable->fill(stats);
  if (impl_->native && impl_->native->open()) {
    stats.rejected_connections = impl_->native->rejected_connections();
  }
  return stats;
}

void PullBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void PullBase::on_batch_end(std::function<void()> handler) {
  impl_->batch_end = blocks::guarded(impl_->hub.calls(), std::move(handler));
}
void PullBase::tap(Tap tap) {
  impl_->tap = blocks::guarded(impl_->hub.calls(), std::move(tap));
}
bool PullBase::paused() const {
  return impl_->inbox.paused();
}

void PullBase::pause(bool paused) {
  Impl& impl = *impl_;
  if (paused == impl.inbox.paused()) return;
  impl.inbox.pause(paused);
  // What waits is delivered from the loop, not from inside the caller.
  if (!paused) {
    impl.watch_native();
    impl.hub.loop().at(impl.hub.loop().now(), [weak = std::weak_ptr<bool>(impl.hub.alive()), &impl] {
      if (!weak.expired()) impl.hand_out();
    });
  }
}

void PullBase::postpone() {
  impl_->inbox.postpone();
}

void PullBase::judge(Verdict outcome) {
  const InboxItem* item = impl_->inbox.current();
  if (impl_->reliable && item) impl_->reliable->note(*item, impl_->inbox.index(), std::move(outcome));
}

Receipt PullBase::defer() {
  const InboxItem* item = impl_->inbox.current();
  if (!item) return {};
  if (impl_->reliable) return impl_->reliable->defer(*item, impl_->inbox.index());
  return {.stream = {}, .seq = impl_->deferred.defer()};
}

bool PullBase::settle(const Receipt& receipt, Verdict outcome) {
  if (!impl_->reliable) return impl_->deferred.settle(receipt.seq);
  return impl_->reliable->settle(receipt, std::move(outcome));
}

void PullBase::set_handler(Handler handler) {
  Impl& impl = *impl_;
  impl.inbox.handler = blocks::guarded(impl.hub.calls(), std::move(handler));
  impl.watch_native();
  impl.hand_out();
}

bool PullBase::receive_one(Deadline deadline, const Handler& take) {
  Impl& impl = *impl_;
  const blocks::InCall call(impl.hub.calls());
  for (;;) {
    if (impl.inbox.take_one(take)) return true;
    impl.watch_native();
    if (!impl.hub.loop().run_until([&] { return !impl.inbox.empty() || impl.hub.closed(); }, deadline))
      return false;
    if (impl.hub.closed()) return false;
  }
}

bool PullBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.wait_for_peers([&] { return peers_up() >= count; }, deadline);
}

void PullBase::begin_drain() {
  impl_->draining = true;
  impl_->hub.bye_all(wire::kDraining);
}

bool PullBase::drained() const {
  const Impl& impl = *impl_;
  if (impl.hub.closed()) return true;
  if (!impl.draining || !impl.inbox.empty() || !impl.deferred.empty()) return false;
  if (impl.reliable && !impl.reliable->idle()) return false;
  return !impl.hub.anyone_living();
}

void PullBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  try {
    impl.inbox.finish();  // its sender should know that the last record was taken
  } catch (const std::exception& error) {
    impl.options.log.error(format("{}: the end of its last batch failed, which comes again: {}",
                                  impl.hub.stream(), error.what()));
  }
  if (impl.hub.closed()) return;  // by the handler of that end
  impl.hub.close();
  if (impl.reliable) impl.reliable->close();
  impl.inbox.clear();
  impl.deferred.clear();
  impl.unwatch_native();
  impl.native_accepts.reset();
  if (impl.native) impl.native->close();
}

}  // namespace weft
