#include <weft/blocks/pub.hpp>

#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/defaults.hpp"
#include "blocks/pub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {
namespace {

constexpr std::size_t kReserve = 16 * 1024;

}  // namespace

PubBase::Impl::Impl(Loop& loop, PortOptions given, RecordType type)
    : options(std::move(given)),
      hub(loop, options,
          {.block = "pub",
           .peer_block = "sub",
           .type = std::move(type),
           .reply_type = {},
           .sends = false,
           .receives = false,
           .data_endpoint = {}},
          *this),
      strangers(loop, options, hub.stream(), "a subscription"),
      window(options.retain_bytes) {}

auto PubBase::Impl::topic_of(std::string_view name) -> Topic* {
  const auto frame = blocks::topic_frame(name);
  if (!frame) return nullptr;
  const auto found = topics.find(*frame);
  if (found != topics.end()) return found->second.get();
  if (topics.size() >= options.max_topics) return nullptr;
  auto topic = std::make_unique<Topic>(hub.pool(), kReserve);
  topic->id = static_cast<std::uint32_t>(in_order.size());
  topic->frame = *frame;
  topic->stream = format("{}#{}", hub.stream(), *frame);
  topic->header = wire::DataHeader(wire::Kind::data, topic->stream, hub.epoch(), hub.seals());
  in_order.push_back(topic.get());
  return topics.emplace(*frame, std::move(topic)).first->second.get();
}

SendStatus PubBase::Impl::put(std::string_view name, const std::function<void(wire::BatchBuilder&)>& encode) {
  if (hub.closed() || draining) return SendStatus::closed;
  if (const auto refused = no_room()) return *refused;
  Topic* topic = topic_of(name);
  if (!topic) {
    if (!blocks::topic_frame(name)) return SendStatus::bad_topic;
    ++hub.counts().accepted_records;
    ++hub.counts().dropped_records;
    return SendStatus::dropped;
  }
  const auto mark = topic->open.mark();
  encode(topic->open);
  const SendStatus why = blocks::judge(topic->open, mark, batch_bytes(), hub.frame_for_all());
  if (why != SendStatus::ok) {
    topic->open.roll_back(mark);
    return why;
  }
  topic->last_record = mark.body;
  if (!topic->dirty) {
    topic->dirty = true;
    dirty.push_back(topic);
  }
  const bool is_full = topic->open.bytes() >= batch_bytes() || topic->open.count() >= options.batch_records ||
                       topic->open.tensors().size() > wire::kMaxTensors / 2;
  if (!is_full) return SendStatus::ok;
  // A log has what was accepted first, whatever topic it is of: who goes on behind it leaves nothing out.
  if (log) {
    flush();
  } else {
    send(*topic);
    taps.rethrow();
  }
  return SendStatus::ok;
}

void PubBase::Impl::send(Topic& topic) {
  if (topic.open.empty()) return;
  const std::size_t last = topic.last_record;
  Batch batch = topic.open.take();
  hub.counts().accepted_records += batch.count;
  const auto show = [&] { tap(true, blocks::topic_name(topic.frame), batch.body.view(), batch.count); };
  if (tap && !hub.closed()) taps.call(show);
  if (hub.closed()) {  // by the tap
    hub.counts().dropped_records += batch.count;
    return;
  }
  blocks::PubBatch out;
  if (options.keep_last) out.kept = last_record_of(batch, last);
  out.count = batch.count;
  out.frames.reserve(1 + batch.tensors.size());
  // A small body would pin a large pooled block for as long as it is on its way, or retained: copy it then.
  if (batch.body.size() * (reliable() ? 2 : 4) < batch.body.capacity()) {
    out.frames.emplace_back(batch.body.view());
  } else {
    out.frames.emplace_back(std::move(batch.body));
  }
  for (const Tensor& tensor : batch.tensors) out.frames.emplace_back(tensor);
  log ? append(topic, std::move(out), batch.bytes) : publish(topic, std::move(out), batch.bytes);
}

void PubBase::Impl::publish(Topic& topic, blocks::PubBatch batch, std::uint64_t bytes) {
  hub.counts().sent_records += batch.count;
  hub.counts().sent_bytes += bytes;
  ++hub.counts().sent_batches;
  ++topic.seq;
  if (options.keep_last) keep(topic, std::exchange(batch.kept, {}), topic.seq);
  if (topic.seq == topic.announced + 1) changed.push_back(&topic);
  wire::Buffer head = hub.pool()->take(512);
  topic.header.encode(topic.seq, batch.count, head);
  std::vector<transport::Frame> frames;
  frames.reserve(2 + batch.frames.size());
  frames.emplace_back(as_bytes(topic.frame));
  frames.emplace_back(head.view());
  for (transport::Frame& frame : batch.frames) {
    frames.push_back(reliable() ? frame.share() : std::move(frame));
  }
  if (hub.seals()) blocks::Hub::seal(std::span(frames).subspan(1));
  // XPUB drops for those who are full and never blocks.
  (void)data->send(frames);
  if (log) batch.frames.clear();
  if (reliable()) window.add(topic.id, topic.seq, bytes, std::move(batch));
}

auto PubBase::Impl::last_record_of(const Batch& batch, std::size_t last) -> Batch {
  wire::BatchBuilder one(hub.pool(), 512);
  add_forwarded(one, {batch.body.view().subspan(last), batch.tensors});
  return one.take();
}

void PubBase::Impl::keep(Topic& topic, Batch record, std::uint64_t seq) {
  kept_bytes -= topic.kept.bytes;
  topic.kept = {};
  if (kept_bytes + record.bytes > options.capacity_bytes) {  // late joiners do without this topic
    ++hub.counts().unkept_records;
    return;
  }
  topic.kept = std::move(record);
  topic.kept_seq = seq;
  kept_bytes += topic.kept.bytes;
}

void PubBase::Impl::flush() {
  const std::vector<Topic*> now = std::exchange(dirty, {});
  for (Topic* topic : now) {
    topic->dirty = false;
    send(*topic);
  }
  // Refused: there is no room now. What is open stays open, and goes with the next try.
  if (log && !now.empty()) (void)log->journal().submit();
  taps.rethrow();
}

void PubBase::Impl::on_idle() {
  if (dirty.empty()) return;
  if (options.linger == Duration::zero()) return flush();
  if (linger_timer != 0) return;
  linger_timer = hub.loop().at(hub.loop().now() + options.linger, [this] {
    linger_timer = 0;
    flush();
  });
}

PubBase::PubBase(Loop& loop, PortOptions options, RecordType type) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  if (options.bind.empty() || !options.connect.empty()) {
    throw Error(Errc::invalid_argument,
                format("port {}: a Pub binds and its subscribers connect; give `bind` and no "
                       "`connect`",
                       options.name));
  }
  std::unique_ptr<blocks::PubLog> log;
  if (options.journal) {
    log = std::make_unique<blocks::PubLog>(options.journal, options.name);
    options.epoch = log->epoch(options.epoch != 0 ? options.epoch : wall_micros());
  }
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(type));
  Impl& impl = *impl_;
  if (log) {
    impl.log = std::move(log);
    impl.open_log();
  }
  // The data socket first: the answer to the first HELLO names it.
  impl.open_data(impl.options.bind.front());
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
}

PubBase::~PubBase() {
  blocks::end_block(impl_, [this] { close(); });
}

std::vector<std::string> PubBase::endpoints() const {
  return impl_->hub.endpoints();
}
std::string PubBase::data_endpoint() const {
  return impl_->data_endpoint;
}
void PubBase::connect(const std::string&) {
  throw Error(Errc::unsupported, "a Pub binds; let its subscribers connect");
}
void PubBase::disconnect(const std::string&) {}
std::size_t PubBase::peers_up() const {
  // One that joins anew may be there twice for a moment: its earlier subscription ends with its earlier
  // socket.
  const auto who = [](std::string_view topic) { return topic.substr(0, topic.rfind('.')); };
  std::size_t count = 0;
  std::string_view last;
  for (const auto& [topic, connection] : impl_->subscribers) {  // in order: those of one follow each other
    if (who(topic) != std::exchange(last, who(topic))) ++count;
  }
  return count;
}
void PubBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void PubBase::tap(Tap tap) {
  impl_->tap = blocks::guarded(impl_->hub.calls(), std::move(tap));
}
void PubBase::on_room(std::function<void()> handler) {
  impl_->room_handler = blocks::guarded(impl_->hub.calls(), std::move(handler));
}
void PubBase::flush() {
  impl_->flush();
}

PortStats PubBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.peers_up = peers_up();
  if (impl_->data && impl_->data->open()) stats.rejected_connections += impl_->data->rejected_connections();
  stats.queued_bytes += impl_->pending_bytes;
  for (const auto& waiting : impl_->pending) stats.queued_records += waiting.batch.count;
  for (const auto* topic : impl_->dirty) {
    stats.accepted_records += topic->open.count();
    stats.queued_records += topic->open.count();
    stats.queued_bytes += topic->open.bytes();
  }
  impl_->count_unheard(stats);
  return stats;
}

void PubBase::begin_drain() {
  Impl& impl = *impl_;
  if (impl.draining || impl.hub.closed()) return;
  blocks::CallAll all;
  all.call([&] { impl.flush(); });
  impl.draining = true;
  if (impl.pending.empty() && !impl.hub.closed()) impl.end_drain();
  all.rethrow();
}

bool PubBase::drained() const {
  return impl_->hub.closed() || (impl_->said_goodbye && !impl_->awaits_anyone());
}

std::vector<PubBase::Awaited> PubBase::awaited() const {
  std::vector<Awaited> out;
  Impl& impl = *impl_;
  for (const auto& [name, follower] : impl.followers) {
    if (!impl.is_awaited(follower)) continue;
    const blocks::Peer* peer = impl.hub.find(follower.peer);
    const std::uint64_t unheard = impl.hub.counts().sent_records - follower.heard;
    out.push_back(
        {follower.node, peer ? blocks::Hub::state_of(*peer) : "dead", peer && peer->up() ? 0 : unheard});
  }
  return out;
}

void PubBase::let_go(std::string_view node) {
  std::erase_if(impl_->followers, [&](const auto& one) {
    const blocks::Peer* peer = impl_->hub.find(one.second.peer);
    return one.second.node == node && !(peer && peer->living());
  });
}

std::uint64_t PubBase::sequence(std::string_view topic) const {
  const auto frame = blocks::topic_frame(topic);
  const auto found = frame ? impl_->topics.find(*frame) : impl_->topics.end();
  return found == impl_->topics.end() ? 0 : found->second->seq;
}

bool PubBase::journaled() const {
  return impl_->log != nullptr;
}

std::optional<std::uint64_t> PubBase::accepted_total() const {
  if (impl_->log && !impl_->counts_accepted) return std::nullopt;
  return impl_->log ? impl_->durable_records : impl_->hub.counts().sent_records;
}

void PubBase::set_snapshot(SnapshotHandler handler) {
  impl_->snapshot_handler = blocks::guarded(impl_->hub.calls(), std::move(handler));
}

void PubBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  blocks::CallAll all;
  if (impl.data) all.call([&] { impl.flush(); });
  if (impl.hub.closed()) return all.rethrow();  // by a tap
  // What is not durable yet is in the journal's hands, and goes out when it is opened again.
  if (impl.log) impl.log->stop();
  impl.hub.close();
  Loop& loop = impl.hub.loop();
  loop.remove_hook(impl.hook);
  if (impl.heartbeat != 0) loop.cancel(impl.heartbeat);
  if (impl.linger_timer != 0) loop.cancel(impl.linger_timer);
  impl.strangers.close();
  if (impl.data_watch != 0) loop.unwatch(impl.data_watch);
  if (impl.data) impl.data->close();
  all.rethrow();
}

bool PubBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.wait_for_peers([&] { return peers_up() >= count; }, deadline);
}

SendStatus PubBase::put(std::string_view topic, const std::function<void(wire::BatchBuilder&)>& encode) {
  return impl_->put(topic, encode);
}

}  // namespace weft
