#include <weft/blocks/pub.hpp>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/defaults.hpp"
#include "blocks/hub.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::Hub;
using blocks::Peer;
using Batch = wire::BatchBuilder::Batch;

namespace {

// Batches that wait for one slow subscriber; then it loses some, and counts them.
constexpr int kHighWater = 2000;
constexpr std::size_t kReserve = 16 * 1024;
constexpr std::size_t kPingTopicBytes = 2800;  // of the names in one PING: its header stays below 4,096
constexpr std::size_t kPingTopics = 100;
constexpr int kSubscriptionsPerTurn = 1024;

/// The stream of one topic.
struct Topic {
  std::string frame;
  std::string stream;
  wire::DataHeader header;
  wire::BatchBuilder open;
  std::size_t last_record = 0;  // where the last record of the open batch begins
  std::uint64_t seq = 0;
  std::uint64_t announced = 0;  // the sequence that the last PING named
  Batch kept;
  std::uint64_t kept_seq = 0;
  bool dirty = false;
  explicit Topic(const std::shared_ptr<wire::BufferPool>& pool) : open(pool, kReserve) {}
};

}  // namespace

struct PubBase::Impl final : blocks::HubClient {
  PortOptions options;
  Hub hub;
  std::optional<transport::Socket> data;
  std::string data_endpoint;
  Loop::WatchId data_watch = 0;
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics;
  std::vector<Topic*> dirty;
  std::vector<Topic*> changed;   // since a PING named them last
  std::vector<Topic*> in_order;  // all, as they came
  std::size_t next_named = 0;
  std::set<std::string> subscribers;  // their own subscriptions
  std::uint64_t kept_bytes = 0;
  transport::Message message;
  Loop::HookId hook = 0;
  Loop::TimerId heartbeat = 0;
  Loop::TimerId linger_timer = 0;
  Tap tap;
  bool draining = false;

  Impl(Loop& loop, PortOptions given, RecordType type)
      : options(std::move(given)),
        hub(loop, options,
            {.block = "pub",
             .peer_block = "sub",
             .type = std::move(type),
             .reply_type = {},
             .sends = false,
             .receives = false,
             .data_endpoint = {}},
            *this) {}

  void open_data(const std::string& side) {
    data.emplace(hub.loop().context(), transport::SocketType::xpub,
                 transport::SocketOptions{.send_high_water = kHighWater,
                                          .linger = options.close_linger,
                                          .max_frame_bytes = options.max_frame_bytes});
    data_endpoint =
        data->bind(options.data_bind.empty() ? blocks::data_endpoint_beside(side) : options.data_bind);
    hub.set_data_endpoint(data_endpoint);
    data_watch = hub.loop().watch(*data, [this] { read_subscriptions(); });
    heartbeat = hub.loop().every(options.heartbeat, [this] { ping_all(); });
  }

  // ---- subscribers ----

  void read_subscriptions() {
    for (int i = 0; i < kSubscriptionsPerTurn; ++i) {
      if (!data || !data->open() || !data->receive(message)) return;
      const std::string_view text = message.size() == 1 ? as_text(message[0].view()) : std::string_view();
      if (text.empty() || (text[0] != 0 && text[0] != 1) || text.size() > wire::kMaxTopicBytes + 1) {
        hub.reject(wire::Rejection::bad_topic, nullptr);
        continue;
      }
      const std::string_view topic = text.substr(1);
      if (!topic.starts_with(blocks::kTopicSub))
        continue;  // XPUB tells only of the first of equal ones: useless
      if (text[0] == 0) {
        subscribers.erase(std::string(topic));
      } else if (subscribers.size() < options.max_peers) {
        subscribers.emplace(topic);
        confirm(topic);
      } else {
        hub.reject(wire::Rejection::too_large, nullptr);
      }
    }
  }

  /// Comes last in the subscriber's list, so the others are active when this arrives there.
  void confirm(std::string_view topic) {
    wire::Header ping{
        .kind = wire::Kind::ping, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
    send_control(topic, ping);
  }

  void send_control(std::string_view topic, const wire::Header& header) {
    wire::Buffer bytes = hub.pool()->take(wire::kMaxHeaderBytes);
    wire::encode(header, bytes);
    std::array<transport::Frame, 2> frames{transport::Frame(as_bytes(topic)), transport::Frame(bytes.view())};
    (void)data->send(frames);
  }

  /// Names the last sequences of topics, so that a gap at the end shows too: first of those that changed
  /// since they were named last, then of the others in turn, because this PING may be lost with the data.
  /// `everything`: as many PINGs as the changed ones need.
  void ping_all(bool everything = false) {
    if (!data || !data->open()) return;
    do {
      std::vector<Topic*> named;
      std::size_t bytes = 0;
      const auto add = [&](Topic* topic) {
        bytes += topic->frame.size() + 2;
        if (bytes > kPingTopicBytes || named.size() == kPingTopics) return false;
        topic->announced = topic->seq;
        named.push_back(topic);
        return true;
      };
      std::size_t count = 0;
      while (count < changed.size() && add(changed[count])) ++count;
      const bool room = count == changed.size();
      changed.erase(changed.begin(), changed.begin() + static_cast<std::ptrdiff_t>(count));
      for (std::size_t i = 0; room && i < in_order.size() && add(in_order[next_named % in_order.size()]); ++i)
        ++next_named;
      send_ping(named);
    } while (everything && !changed.empty());
  }

  void send_ping(const std::vector<Topic*>& named) {
    wire::Buffer names = hub.pool()->take(kPingTopicBytes + 512);
    wire::Buffer sequences = hub.pool()->take(1024);
    wire::Pack(names).array(named.size());
    wire::Pack(sequences).array(named.size());
    for (const Topic* topic : named) {
      wire::Pack(names).str(topic->frame);
      wire::Pack(sequences).uint(topic->seq);
    }
    wire::Header ping{
        .kind = wire::Kind::ping, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
    ping.options.topics_v = names.view();
    ping.options.sequences_v = sequences.view();
    ping.options.mark(wire::Options::topics);
    ping.options.mark(wire::Options::sequences);
    send_control(blocks::kTopicAll, ping);
  }

  // ---- records ----

  Topic* topic_of(std::string_view name) {
    const auto frame = blocks::topic_frame(name);
    if (!frame) return nullptr;
    const auto found = topics.find(*frame);
    if (found != topics.end()) return found->second.get();
    if (topics.size() >= options.max_topics) return nullptr;
    auto topic = std::make_unique<Topic>(hub.pool());
    topic->frame = *frame;
    topic->stream = format("{}#{}", hub.stream(), *frame);
    topic->header = wire::DataHeader(wire::Kind::data, topic->stream, hub.epoch());
    in_order.push_back(topic.get());
    return topics.emplace(*frame, std::move(topic)).first->second.get();
  }

  SendStatus put(std::string_view name, const std::function<void(wire::BatchBuilder&)>& encode) {
    if (hub.closed() || draining) return SendStatus::closed;
    Topic* topic = topic_of(name);
    if (!topic) {
      ++hub.counts().dropped_records;
      return SendStatus::dropped;
    }
    const auto mark = topic->open.mark();
    encode(topic->open);
    topic->last_record = mark.body;
    if (!blocks::fits(topic->open, mark, batch_bytes(), options.max_frame_bytes)) {
      topic->open.roll_back(mark);
      return SendStatus::too_large;
    }
    if (!topic->dirty) {
      topic->dirty = true;
      dirty.push_back(topic);
    }
    const bool is_full = topic->open.bytes() >= batch_bytes() ||
                         topic->open.count() >= options.batch_records ||
                         topic->open.tensors().size() > wire::kMaxTensors / 2;
    if (is_full) send(*topic);
    return SendStatus::ok;
  }

  [[nodiscard]] std::uint64_t batch_bytes() const {
    return std::min(options.batch_bytes, options.max_frame_bytes / 2);
  }

  void send(Topic& topic) {
    if (topic.open.empty()) return;
    const std::size_t last = topic.last_record;
    Batch batch = topic.open.take();
    ++topic.seq;
    if (topic.seq == topic.announced + 1) changed.push_back(&topic);
    if (options.keep_last) keep(topic, batch, last);
    if (tap) tap(true, blocks::topic_name(topic.frame), batch.body.view(), batch.count);
    hub.counts().sent_records += batch.count;
    hub.counts().sent_bytes += batch.bytes;
    ++hub.counts().sent_batches;
    wire::Buffer head = hub.pool()->take(512);
    topic.header.encode(topic.seq, batch.count, head);
    std::vector<transport::Frame> frames;
    frames.reserve(3 + batch.tensors.size());
    frames.emplace_back(as_bytes(topic.frame));
    frames.emplace_back(head.view());
    if (batch.body.size() * 4 < batch.body.capacity()) {
      frames.emplace_back(batch.body.view());
    } else {
      frames.emplace_back(std::move(batch.body));
    }
    for (const Tensor& tensor : batch.tensors) frames.emplace_back(tensor);
    // XPUB drops for those who are full and never blocks.
    (void)data->send(frames);
  }

  void keep(Topic& topic, const Batch& batch, std::size_t last) {
    kept_bytes -= topic.kept.bytes;
    topic.kept = {};
    wire::BatchBuilder one(hub.pool(), 512);
    add_forwarded(one, {batch.body.view().subspan(last), batch.tensors});
    if (kept_bytes + one.bytes() > options.capacity_bytes) {  // late joiners do without this topic
      ++hub.counts().dropped_records;
      return;
    }
    topic.kept = one.take();
    topic.kept_seq = topic.seq;
    kept_bytes += topic.kept.bytes;
  }

  void flush() {
    const std::vector<Topic*> now = std::exchange(dirty, {});
    for (Topic* topic : now) {
      topic->dirty = false;
      send(*topic);
    }
  }

  void on_idle() {
    if (dirty.empty()) return;
    if (options.linger == Duration::zero()) return flush();
    if (linger_timer != 0) return;
    linger_timer = hub.loop().at(hub.loop().now() + options.linger, [this] {
      linger_timer = 0;
      flush();
    });
  }

  // ---- SYNC: the last values ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message&, std::size_t) override {
    if (header.kind != wire::Kind::sync) return hub.reject(wire::Rejection::unexpected, &peer);
    flush();
    std::vector<std::string> prefixes;
    if (header.options.has(wire::Options::topics)) {
      wire::Unpack names(header.options.topics_v);
      const std::uint32_t count = names.array().value_or(0);
      for (std::uint32_t i = 0; i < count; ++i)
        prefixes.emplace_back(names.str().value_or(std::string_view()));
    }
    for (const auto& [frame, topic] : topics) {
      if (topic->kept.count == 0) continue;
      const bool wanted = std::ranges::any_of(
          prefixes, [name = &topic->frame](const auto& p) { return name->starts_with(p); });
      if (wanted && !send_kept(peer, *topic)) return;
    }
    wire::Header end{
        .kind = wire::Kind::data, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
    end.options.flags_v = wire::kSnapshot | wire::kEndOfSnapshot;
    end.options.mark(wire::Options::flags);
    (void)hub.send_header(peer, end);
  }

  bool send_kept(Peer& peer, Topic& topic) {
    wire::Header header{.kind = wire::Kind::data,
                        .stream = topic.stream,
                        .epoch = hub.epoch(),
                        .seq = topic.kept_seq,
                        .options = {}};
    header.options.count_v = topic.kept.count;
    header.options.mark(wire::Options::count);
    header.options.flags_v = wire::kSnapshot;
    header.options.mark(wire::Options::flags);
    wire::Buffer head = hub.pool()->take(512);
    wire::encode(header, head);
    std::vector<transport::Frame> frames;
    frames.emplace_back(head.view());
    frames.emplace_back(topic.kept.body.view());
    for (const Tensor& tensor : topic.kept.tensors) frames.emplace_back(tensor);
    return hub.send(peer, frames) == transport::SendStatus::sent;
  }
};

PubBase::PubBase(Loop& loop, PortOptions options, RecordType type) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  if (options.bind.empty() || !options.connect.empty()) {
    throw Error(Errc::invalid_argument,
                format("port {}: a Pub binds and its subscribers connect; give `bind` and no "
                       "`connect`",
                       options.name));
  }
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(type));
  Impl& impl = *impl_;
  // The data socket first: the answer to the first HELLO names it.
  impl.open_data(impl.options.bind.front());
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
}

PubBase::~PubBase() {
  close();
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
  return impl_->subscribers.size();
}
void PubBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void PubBase::tap(Tap tap) {
  impl_->tap = std::move(tap);
}
void PubBase::flush() {
  impl_->flush();
}

PortStats PubBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.peers_up = peers_up();
  if (impl_->data && impl_->data->open()) stats.rejected_connections += impl_->data->rejected_connections();
  for (const Topic* topic : impl_->dirty) {
    stats.queued_records += topic->open.count();
    stats.queued_bytes += topic->open.bytes();
  }
  return stats;
}

void PubBase::begin_drain() {
  Impl& impl = *impl_;
  if (impl.draining || impl.hub.closed()) return;
  impl.flush();
  impl.draining = true;
  impl.ping_all(true);
  wire::Header bye{.kind = wire::Kind::bye,
                   .stream = impl.hub.stream(),
                   .epoch = impl.hub.epoch(),
                   .seq = 0,
                   .options = {}};
  bye.options.flags_v = wire::kLast;
  bye.options.mark(wire::Options::flags);
  impl.send_control(blocks::kTopicAll, bye);
  impl.hub.bye_all(wire::kLast);
}

bool PubBase::drained() const {
  return impl_->draining || impl_->hub.closed();
}

void PubBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  if (impl.data) impl.flush();
  impl.hub.close();
  Loop& loop = impl.hub.loop();
  loop.remove_hook(impl.hook);
  if (impl.heartbeat != 0) loop.cancel(impl.heartbeat);
  if (impl.linger_timer != 0) loop.cancel(impl.linger_timer);
  if (impl.data_watch != 0) loop.unwatch(impl.data_watch);
  if (impl.data) impl.data->close();
}

bool PubBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.loop().run_until([&] { return peers_up() >= count; }, deadline);
}

SendStatus PubBase::put(std::string_view topic, const std::function<void(wire::BatchBuilder&)>& encode) {
  return impl_->put(topic, encode);
}

}  // namespace weft
