#include <weft/blocks/sub.hpp>

#include <algorithm>
#include <map>
#include <unordered_map>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "blocks/defaults.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::Hub;
using blocks::InboxItem;
using blocks::Peer;

namespace {

constexpr int kMessagesPerTurn = 256;
constexpr Duration kLastData = std::chrono::seconds(1);  // how long a BYE waits for data that it overtook
constexpr int kHighWater = 2000;

/// The stream of one topic.
struct Lane : protocol::ReceiveLane {
  unsigned live = 0;  // the join in which its last live batch came
};

/// The data of one publisher.
struct Source {
  std::optional<transport::Socket> socket;
  Loop::WatchId watch = 0;
  std::string endpoint;
  std::string own_topic;  // the subscription that is ours alone
  std::uint64_t epoch = 0;
  unsigned joins = 0;      // confirmations on this socket
  bool confirmed = false;  // our subscriptions are active there
  bool finished = false;   // its BYE came behind its last data
  TimePoint last_data{};
  std::unordered_map<std::string, Lane> lanes;
};

}  // namespace

struct SubBase::Impl final : blocks::HubClient {
  PortOptions options;
  std::vector<std::string> prefixes;
  Hub hub;
  blocks::Inbox inbox;
  std::map<std::uint64_t, Source> sources;  // by peer
  transport::Message message;
  std::uint64_t held_bytes = 0;
  std::uint64_t joins = 0;
  Tap tap;
  bool draining = false;

  Impl(Loop& loop, PortOptions given, RecordType type)
      : options(std::move(given)),
        hub(loop, options,
            {.block = "sub",
             .peer_block = "pub",
             .type = std::move(type),
             .reply_type = {},
             .sends = false,
             .receives = false,
             .data_endpoint = {},
             .finish_is_told = true},
            *this) {
    for (const std::string& topic : options.topics) {
      const auto frame = blocks::topic_frame(topic);
      if (!frame) {
        throw Error(
            Errc::invalid_argument,
            format("topics has {}: a topic is at most {} bytes of UTF-8 and does not begin with a zero byte",
                   weft::quoted(topic), wire::kMaxTopicBytes - 1));
      }
      prefixes.push_back(*frame);
    }
    inbox.on_done = [this](InboxItem& item) {
      held_bytes -= std::min(held_bytes, item.bytes);
      watch_all();
    };
    inbox.on_bad_record = [this](const InboxItem&) {
      hub.reject(wire::Rejection::wrong_type, nullptr);
      --hub.counts().received_records;
    };
  }

  // ---- joining a publisher ----

  void on_up(Peer& peer) override {
    Source& source = sources[peer.id];
    const std::string endpoint = blocks::reachable(peer.data_endpoint, peer.endpoint);
    if (source.socket && source.epoch == peer.epoch && source.endpoint == endpoint) {
      // ZeroMQ reconnects it. When its connection never broke, only a new subscription brings a new PING.
      if (!source.confirmed) {
        source.socket->unsubscribe(as_bytes(source.own_topic));
        source.own_topic = new_own_topic();
        source.socket->subscribe(as_bytes(source.own_topic));
      }
      return;
    }
    drop_socket(source);
    if (peer.data_endpoint.empty()) {
      hub.nack(peer, wire::Code::bad_request, "a publisher's HELLO needs the option data_endpoint");
      return;
    }
    source.endpoint = endpoint;
    source.epoch = peer.epoch;
    source.confirmed = source.finished = false;
    source.joins = 0;
    source.lanes.clear();
    source.own_topic = new_own_topic();
    transport::Socket socket(hub.loop().context(), transport::SocketType::sub,
                             {.receive_high_water = kHighWater, .max_frame_bytes = options.max_frame_bytes});
    try {
      socket.connect(endpoint);
    } catch (const Error& error) {  // the publisher named nonsense
      hub.nack(peer, wire::Code::bad_request, error.what());
      return;
    }
    for (const std::string& prefix : prefixes) socket.subscribe(as_bytes(prefix));
    socket.subscribe(as_bytes(blocks::kTopicAll));
    socket.subscribe(as_bytes(source.own_topic));  // last: when it is active, so are the others
    source.socket.emplace(std::move(socket));
    watch(peer.id, source);
  }

  std::string new_own_topic() {
    return std::string(blocks::kTopicSub) + format("{}.{}/{}.{}", options.node.substr(0, 100),
                                                   options.name.substr(0, 30), hub.epoch(), ++joins);
  }

  void on_down(Peer& peer, PeerEvent::What what) override {
    const auto found = sources.find(peer.id);
    if (found == sources.end()) return;
    if (what == PeerEvent::What::finished) return await_last_data(peer.id);
    if (what == PeerEvent::What::dead && hub.find(peer.id) != nullptr && peer.socket && peer.socket->open()) {
      found->second.confirmed = false;  // it may come back on the same socket
      return;
    }
    drop_socket(found->second);
    sources.erase(found);
  }

  /// The session's BYE may overtake data; the BYE behind the data may be lost with it, at the high-water
  /// mark.
  void await_last_data(std::uint64_t id) {
    const auto found = sources.find(id);
    if (found == sources.end() || found->second.finished) return;
    const TimePoint quiet = std::max(found->second.last_data, hub.loop().now()) + kLastData;
    hub.loop().at(quiet, [this, id, quiet, weak = std::weak_ptr<bool>(hub.alive())] {
      if (weak.expired() || hub.closed()) return;
      const auto source = sources.find(id);
      if (source == sources.end()) return;
      source->second.last_data + kLastData > quiet ? await_last_data(id) : finish(id, source->second);
    });
  }

  /// The publisher has said BYE and nothing of it is on its way any more.
  void finish(std::uint64_t id, Source& source) {
    if (source.finished) return;
    source.finished = true;
    if (Peer* peer = hub.find(id)) hub.emit(*peer, PeerEvent::What::finished);
  }

  void drop_socket(Source& source) {
    if (source.watch != 0) hub.loop().unwatch(source.watch);
    source.watch = 0;
    if (source.socket) source.socket->close();
    source.socket.reset();
  }

  void forget_removed() {
    for (auto at = sources.begin(); at != sources.end();) {
      if (hub.find(at->first) == nullptr) {
        drop_socket(at->second);
        at = sources.erase(at);
      } else {
        ++at;
      }
    }
  }

  [[nodiscard]] bool full() const {
    return inbox.paused() || (!inbox.handler && held_bytes >= options.window_bytes);
  }

  void watch(std::uint64_t id, Source& source) {
    if (source.watch != 0 || !source.socket || full()) return;
    source.watch = hub.loop().watch(*source.socket, [this, id] { read(id); });
  }
  void watch_all() {
    for (auto& [id, source] : sources) watch(id, source);
  }

  // ---- data ----

  void read(std::uint64_t id) {
    const std::weak_ptr<bool> alive = hub.alive();
    for (int i = 0; i < kMessagesPerTurn; ++i) {
      const auto found = sources.find(id);
      if (found == sources.end() || !found->second.socket) return;
      Source& source = found->second;
      if (full()) {
        hub.loop().unwatch(source.watch);
        source.watch = 0;
        return;
      }
      if (!source.socket->receive(message)) return;
      source.last_data = hub.loop().now();
      handle(id, source);
      if (alive.expired() || hub.closed()) return;
    }
  }

  void handle(std::uint64_t id, Source& source) {
    if (message.oversize() || message.size() < 2)
      return hub.reject(wire::Rejection::bad_frame_count, nullptr);
    const std::string topic(as_text(message[0].view()));
    wire::Header header;
    const auto why = wire::decode(message[1].view(), header);
    if (why != wire::Rejection::none) return hub.reject(why, nullptr);
    if (blocks::is_reserved(topic)) return control(id, source, topic, header);
    if (header.kind != wire::Kind::data) return hub.reject(wire::Rejection::unexpected, nullptr);
    if (blocks::topic_of_stream(header.stream) != topic)
      return hub.reject(wire::Rejection::bad_topic, nullptr);
    Lane* lane = lane_of(source, header.stream);
    if (!lane) return hub.reject(wire::Rejection::too_large, nullptr);
    lane->live = std::max(source.joins, 1U);
    if (!lane->started()) {  // this is where we came in
      (void)lane->begin(header.epoch);
      lane->skip_to(header.seq - 1);
    }
    InboxItem item;
    if (!checked(header, 2, item)) return;
    const auto outcome = lane->arrive(header.epoch, header.seq);
    if (!accepted(outcome)) return;
    take(id, std::move(item), topic, header);
  }

  Lane* lane_of(Source& source, std::string_view stream) {
    const auto found = source.lanes.find(std::string(stream));
    if (found != source.lanes.end()) return &found->second;
    if (source.lanes.size() >= options.max_topics) return nullptr;
    return &source.lanes[std::string(stream)];
  }

  bool checked(const wire::Header& header, std::size_t at, InboxItem& item) {
    if (header.seq == 0 || !header.options.has(wire::Options::count) || message.size() <= at) {
      hub.reject(wire::Rejection::malformed, nullptr);
      return false;
    }
    if (const auto why = wire::check_body(message[at].view(), header.options.count_v);
        why != wire::Rejection::none) {
      hub.reject(why, nullptr);
      return false;
    }
    for (std::size_t i = at; i < message.size(); ++i) item.bytes += message[i].size();
    item.tensors = blocks::take_tensors(message, at + 1);
    item.body = std::move(message[at]);
    return true;
  }

  bool accepted(const protocol::ReceiveLane::Outcome& outcome) {
    hub.counts().missed_batches += outcome.missed;
    if (outcome.verdict == protocol::ReceiveLane::Verdict::duplicate) ++hub.counts().duplicate_batches;
    if (outcome.verdict == protocol::ReceiveLane::Verdict::fenced) ++hub.counts().fenced_batches;
    return outcome.verdict == protocol::ReceiveLane::Verdict::accept;
  }

  void take(std::uint64_t id, InboxItem item, std::string_view topic, const wire::Header& header,
            bool snapshot = false) {
    const Peer* peer = hub.find(id);
    item.peer = peer ? peer->node : "";
    item.topic = blocks::topic_name(topic);
    item.peer_id = id;
    item.epoch = header.epoch;
    item.seq = header.seq;
    item.snapshot = snapshot;
    held_bytes += item.bytes;
    hub.counts().received_records += header.options.count_v;
    hub.counts().received_bytes += item.bytes;
    ++hub.counts().received_batches;
    if (tap) tap(false, item.topic, item.body.view(), header.options.count_v);
    inbox.add(std::move(item));
    inbox.deliver();
  }

  // ---- reserved topics ----

  void control(std::uint64_t id, Source& source, std::string_view topic, const wire::Header& header) {
    if (topic == source.own_topic && header.kind == wire::Kind::ping) {
      source.confirmed = true;
      ++source.joins;
      if (options.keep_last) ask_for_kept(id);
      return;
    }
    if (topic != blocks::kTopicAll) return;  // another subscriber's, seen because "" takes everything
    if (header.kind == wire::Kind::bye) {
      finish(id, source);
    } else if (header.kind == wire::Kind::ping) {
      compare(source, header);
    } else {
      hub.reject(wire::Rejection::bad_kind, nullptr);
    }
  }

  /// A PING names the last sequences of topics: what should have come and did not is missed.
  void compare(Source& source, const wire::Header& header) {
    if (!header.options.has(wire::Options::topics) || !header.options.has(wire::Options::sequences)) return;
    wire::Unpack names(header.options.topics_v);
    wire::Unpack sequences(header.options.sequences_v);
    const std::uint32_t count = names.array().value_or(0);
    if (sequences.array().value_or(0) != count) return hub.reject(wire::Rejection::bad_option, nullptr);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto name = names.str();
      const auto seq = sequences.uint();
      if (!name || !seq) return hub.reject(wire::Rejection::bad_option, nullptr);
      const auto lane = source.lanes.find(std::string(header.stream) + "#" + std::string(*name));
      if (lane == source.lanes.end() || lane->second.epoch() != header.epoch) continue;
      hub.counts().missed_batches += lane->second.missing_until(*seq);
      lane->second.skip_to(*seq);
    }
  }

  void ask_for_kept(std::uint64_t id) {
    Peer* peer = hub.find(id);
    if (!peer) return;
    wire::Buffer names = hub.pool()->take(1024);
    wire::Pack pack(names);
    // A header is at most 4,096 bytes: with many prefixes ask for everything, and let the lanes sort it out.
    std::size_t bytes = 0;
    for (const std::string& prefix : prefixes) bytes += prefix.size() + 2;
    const bool all = bytes > 3000;
    pack.array(all ? 1 : prefixes.size());
    if (all) pack.str("");
    for (const std::string& prefix : prefixes) {
      if (!all) pack.str(prefix);
    }
    wire::Header sync{
        .kind = wire::Kind::sync, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
    sync.options.topics_v = names.view();
    sync.options.mark(wire::Options::topics);
    sync.options.flags_v = wire::kSnapshot;
    sync.options.mark(wire::Options::flags);
    (void)hub.send_header(*peer, sync);
  }

  /// On the session: kept last values.
  void on_message(Peer& peer, const wire::Header& header, transport::Message& received,
                  std::size_t at) override {
    const std::uint32_t flags = header.options.has(wire::Options::flags) ? header.options.flags_v : 0;
    if (header.kind != wire::Kind::data || (flags & wire::kSnapshot) == 0) {
      return hub.reject(wire::Rejection::unexpected, &peer);
    }
    if ((flags & wire::kEndOfSnapshot) != 0) return;
    const auto source = sources.find(peer.id);
    if (source == sources.end()) return;
    const std::string topic(blocks::topic_of_stream(header.stream));
    if (std::ranges::none_of(prefixes, [&](const auto& p) { return topic.starts_with(p); })) return;
    Lane* lane = lane_of(source->second, header.stream);
    if (!lane) return hub.reject(wire::Rejection::too_large, &peer);
    const bool started = lane->started() && lane->epoch() == header.epoch;
    // The live stream flows: it has this value, or brings it, with all that is between.
    if (started && (lane->live == source->second.joins || lane->last() >= header.seq)) return;
    message.clear();
    for (std::size_t i = at; i < received.size(); ++i) message.push_back(std::move(received[i]));
    InboxItem item;
    if (!checked(header, 0, item)) return;
    // Joined again: what came between was missed but for its last value.
    if (started) hub.counts().missed_batches += lane->missing_until(header.seq) - 1;
    (void)lane->begin(header.epoch);
    lane->skip_to(header.seq);
    take(peer.id, std::move(item), topic, header, true);
  }
};

SubBase::SubBase(Loop& loop, PortOptions options, RecordType type) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  if (!options.bind.empty()) {
    throw Error(
        Errc::invalid_argument,
        format("port {}: a Sub connects to its publishers; give `connect`, not `bind`", options.name));
  }
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(type));
  for (const std::string& endpoint : impl_->options.connect) impl_->hub.connect(endpoint);
}

SubBase::~SubBase() {
  close();
}

std::vector<std::string> SubBase::endpoints() const {
  return {};
}
void SubBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void SubBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
  impl_->forget_removed();
}

std::size_t SubBase::peers_up() const {
  return static_cast<std::size_t>(std::ranges::count_if(impl_->sources, [this](const auto& entry) {
    const Peer* peer = impl_->hub.find(entry.first);
    return entry.second.confirmed && !entry.second.finished && peer && peer->up() && !peer->finished;
  }));
}

PortStats SubBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.peers_up = peers_up();
  stats.queued_bytes = impl_->held_bytes;
  return stats;
}

void SubBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void SubBase::tap(Tap tap) {
  impl_->tap = std::move(tap);
}

void SubBase::pause(bool paused) {
  Impl& impl = *impl_;
  if (paused == impl.inbox.paused()) return;
  impl.inbox.pause(paused);
  if (paused) return;
  impl.watch_all();
  impl.hub.loop().at(impl.hub.loop().now(), [weak = std::weak_ptr<bool>(impl.hub.alive()), &impl] {
    if (!weak.expired()) impl.inbox.deliver();
  });
}

void SubBase::set_handler(Handler handler) {
  impl_->inbox.handler = std::move(handler);
  impl_->watch_all();
  impl_->inbox.deliver();
}

bool SubBase::receive_one(Deadline deadline, const Handler& take) {
  Impl& impl = *impl_;
  for (;;) {
    if (impl.inbox.take_one(take)) return true;
    impl.watch_all();
    if (!impl.hub.loop().run_until([&] { return !impl.inbox.empty() || impl.hub.closed(); }, deadline))
      return false;
    if (impl.hub.closed()) return false;
  }
}

bool SubBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.loop().run_until([&] { return peers_up() >= count; }, deadline);
}

void SubBase::begin_drain() {
  Impl& impl = *impl_;
  impl.draining = true;
  // From a publisher that goes on, nothing more is wanted; one that has said BYE still has data on its way
  // here.
  for (auto& [id, source] : impl.sources) {
    Peer* peer = impl.hub.find(id);
    if (!peer || peer->finished || source.finished) continue;
    if (peer->up()) impl.hub.bye(*peer, wire::kLast);
    source.finished = true;
    impl.drop_socket(source);
  }
}

bool SubBase::drained() const {
  const Impl& impl = *impl_;
  if (impl.hub.closed()) return true;
  if (!impl.draining || !impl.inbox.empty()) return false;
  return std::ranges::all_of(impl.sources, [](const auto& entry) {
    return entry.second.finished || !entry.second.socket || !entry.second.confirmed;
  });
}

void SubBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.hub.close();
  impl.inbox.clear();
  for (auto& [id, source] : impl.sources) impl.drop_socket(source);
  impl.sources.clear();
}

}  // namespace weft
