// Who subscribes to a Pub, and what all of them are told: PING and BYE.
#include <algorithm>

#include "blocks/pub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {
namespace {

// Batches that wait for one slow subscriber; then it loses some, and counts or fetches them.
constexpr int kHighWater = 2000;
constexpr std::size_t kPingTopicBytes = 2800;  // of the names in one PING: its header stays below 4,096
constexpr std::size_t kPingTopics = 100;
constexpr int kSubscriptionsPerTurn = 1024;

}  // namespace

void PubBase::Impl::open_data(const std::string& side) {
  data.emplace(hub.loop().context(), transport::SocketType::xpub,
               transport::SocketOptions{.send_high_water = kHighWater,
                                        .linger = options.close_linger,
                                        .max_frame_bytes = options.max_frame_bytes});
  strangers.watch(*data);
  data_endpoint =
      data->bind(options.data_bind.empty() ? blocks::data_endpoint_beside(side) : options.data_bind);
  hub.set_data_endpoint(data_endpoint);
  data_watch = hub.loop().watch(*data, [this] { read_subscriptions(); });
  heartbeat = hub.loop().every(options.heartbeat, [this] {
    ping_all();
    if (said_goodbye && anyone_follows()) say_goodbye();
  });
}

void PubBase::Impl::read_subscriptions() {
  for (int i = 0; i < kSubscriptionsPerTurn; ++i) {
    if (!data || !data->open() || !data->receive(message)) return;
    const std::string_view text = message.size() == 1 ? as_text(message[0].view()) : std::string_view();
    if (text.empty() || (text[0] != 0 && text[0] != 1) || text.size() > wire::kMaxTopicBytes + 1) {
      hub.reject(wire::Rejection::bad_topic, nullptr);
      continue;
    }
    const auto connection = text[0] == 1 ? data->know(message) : transport::ConnectionId{};
    const std::string_view topic = text.substr(1);
    if (!topic.starts_with(blocks::kTopicSub)) continue;
    if (text[0] == 0) {
      subscribers.erase(std::string(topic));
    } else if (subscribers.size() < options.max_peers) {
      const auto own = subscribers.insert_or_assign(std::string(topic), connection).first;
      confirm(topic);
      end_earlier(own->first, connection);
    } else {
      hub.reject(wire::Rejection::too_large, nullptr);
    }
  }
}

// A subscriber that joins by another connection has given up the one before: that one may be dead without
// anybody having been told, and the batches that wait for it would stay in memory. Its topic names it as its
// HELLO does (see SubBase::Impl::new_own_topic); whoever names topics otherwise is left alone.
void PubBase::Impl::end_earlier(const std::string& topic, const transport::ConnectionId& connection) {
  const std::string who = topic.substr(0, topic.rfind('.') + 1);
  for (auto at = subscribers.lower_bound(who); at != subscribers.end() && at->first.starts_with(who); ++at) {
    if (at->first == topic || at->second == connection) continue;
    const bool known = std::ranges::any_of(hub.peers(), [&](const auto& peer) {
      return peer->met && who == blocks::own_topics(peer->node, peer->port, peer->epoch);
    });
    if (known) data->end(at->second);
  }
}

/// Comes last in the subscriber's list, so the others are active when this arrives there. It counts the
/// batches that were published before: what comes after them reaches the subscriber, or is missed by it.
void PubBase::Impl::confirm(std::string_view topic) {
  send_control(topic, {.kind = wire::Kind::ping,
                       .stream = hub.stream(),
                       .epoch = hub.epoch(),
                       .seq = window.number(),
                       .options = {}});
}

void PubBase::Impl::send_control(std::string_view topic, const wire::Header& header) {
  wire::Buffer bytes = hub.pool()->take(wire::kMaxHeaderBytes);
  hub.encode(header, bytes);
  std::array<transport::Frame, 2> frames{transport::Frame(as_bytes(topic)), transport::Frame(bytes.view())};
  blocks::Hub::seal(std::span(frames).subspan(1));
  (void)data->send(frames);
}

/// Names the last sequences of topics, so that a gap at the end shows too: first of those that changed
/// since they were named last, then of the others in turn, because this PING may be lost with the data.
/// `everything`: as many PINGs as the changed ones need.
void PubBase::Impl::ping_all(bool everything) {
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

void PubBase::Impl::send_ping(const std::vector<Topic*>& named) {
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

/// The last sequence of every topic, then BYE. Both may be lost on the way to a slow subscriber, so this is
/// said again until those who fetch what they missed have said that they have it.
void PubBase::Impl::say_goodbye() {
  if (reliable()) changed = in_order;
  ping_all(true);
  wire::Header bye{
      .kind = wire::Kind::bye, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
  bye.options.flags_v = wire::kLast;
  bye.options.mark(wire::Options::flags);
  send_control(blocks::kTopicAll, bye);
}

void PubBase::Impl::end_drain() {
  said_goodbye = true;
  say_goodbye();
  // Those who fetch what they missed go on doing so, and say BYE when they have everything.
  for (std::size_t i = 0; i < hub.peers().size(); ++i) {
    blocks::Peer& peer = *hub.peers()[i];
    if (peer.up() && !peer.finished && !followers.contains(peer.id)) hub.bye(peer, wire::kLast);
  }
}

void PubBase::Impl::on_down(blocks::Peer& peer, PeerEvent::What) {
  snapshots.erase(peer.id);
  if (peer.finished || hub.find(peer.id) == nullptr) followers.erase(peer.id);
}

bool PubBase::Impl::anyone_follows() const {
  return std::ranges::any_of(hub.peers(), [this](const auto& peer) {
    return followers.contains(peer->id) && !peer->finished && peer->living();
  });
}

}  // namespace weft
