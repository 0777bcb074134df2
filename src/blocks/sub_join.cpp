// The publishers of a Sub, as they come and go.
#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/sub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::Peer;
using blocks::Source;

namespace {

constexpr Duration kLastData = std::chrono::seconds(1);  // how long a BYE waits for data that it overtook
// How long a Sub that drains waits for more of what has come already, and at most for a publisher that goes
// on.
constexpr Duration kReadUp = std::chrono::milliseconds(250);
constexpr Duration kLongestReadUp = std::chrono::seconds(1);
constexpr int kReturns = 6;  // times `dead-after`, within which one that went comes by another address
constexpr int kJoinHighWater = 2000;
constexpr std::size_t kMostEarlier = 64;

// This process has not run for a while, and timers come before sockets: nobody has looked whether it is
// quiet.
bool stood_still(TimePoint due, TimePoint now) {
  return now > due + kReadUp;
}

}  // namespace

void SubBase::Impl::on_up(Peer& peer) {
  Source& source = sources[peer.id];
  if (reliable() && !source.reader && !meet_again(peer, source)) return;
  const bool goes_on = source.reader && source.epoch == peer.epoch;
  const std::string endpoint = blocks::reachable(peer.data_endpoint, peer.endpoint);
  if (source.socket && source.epoch == peer.epoch && source.endpoint == endpoint) {
    // ZeroMQ reconnects it. When its connection never broke, only a new subscription brings a new PING.
    if (!source.confirmation.confirmed()) {
      subscribe_anew(source);
      source.earlier_topics.clear();
    }
    return resume(peer.id, source);
  }
  drop_socket(source);
  if (peer.data_endpoint.empty()) {
    hub.nack(peer, wire::Code::bad_request, "a publisher's HELLO needs the option data_endpoint");
    return;
  }
  source.name = blocks::name_key(peer.node, peer.port);
  source.endpoint = endpoint;
  source.epoch = peer.epoch;
  source.confirmation.lapse();
  source.finished = false;
  source.joins = 0;
  source.lanes.clear();
  source.pinged = source.doubted = false;
  if (reliable() && !goes_on) follow(peer.id, source);
  if (open_data(peer, source)) resume(peer.id, source);
}

// A socket of its own for the data, subscribed to everything that is wanted.
bool SubBase::Impl::open_data(Peer& peer, Source& source) {
  source.own_topic = new_own_topic();
  source.earlier_topics.clear();
  transport::Socket socket(
      hub.loop().context(), transport::SocketType::sub,
      {.receive_high_water = kJoinHighWater, .max_frame_bytes = options.max_frame_bytes});
  try {
    socket.connect(source.endpoint, peer.socket && peer.socket->connects_by_ipv6());
  } catch (const Error& error) {  // the publisher named nonsense
    hub.nack(peer, wire::Code::bad_request, error.what());
    return false;
  }
  for (const std::string& prefix : prefixes) socket.subscribe(as_bytes(prefix));
  socket.subscribe(as_bytes(blocks::kTopicAll));
  socket.subscribe(as_bytes(source.own_topic));  // last: when it is active, so are the others
  source.socket.emplace(std::move(socket));
  source.channel.begin(hub.loop().now());
  watch(peer.id, source);
  plan_look(peer.id, source);
  return true;
}

void SubBase::Impl::plan_look(std::uint64_t id, Source& source) {
  const Peer* peer = hub.find(id);
  if (!peer || source.look_timer != 0) return;
  const TimePoint when = source.channel.next_look(hub.loop().now(), peer->session.suspected_after());
  source.look_timer = hub.loop().at(when, [this, id] { look(id); });
}

// The network may lose everything of one connection and tell nobody, while the session beside it lives: it
// would be waited for data that never comes.
void SubBase::Impl::look(std::uint64_t id) {
  const auto found = sources.find(id);
  if (found == sources.end() || hub.closed()) return;
  Source& source = found->second;
  source.look_timer = 0;
  Peer* peer = hub.find(id);
  if (!peer || source.finished) return;
  if (!source.socket) return replace(*peer, source);
  const TimePoint now = hub.loop().now();
  // Unread data is no silence. A publisher that never says PING there may have nothing to say: doubted once.
  const bool unread = source.watch == 0 || source.socket->readable();
  if (unread || !peer->up()) source.channel.begin(now);
  const bool expected = source.pinged || !source.doubted || !source.confirmation.confirmed();
  const protocol::Session& session = peer->session;
  if (peer->up() && expected && source.channel.dead(now, session.last_heard(), session.suspected_after())) {
    return replace(*peer, source);
  }
  plan_look(id, source);
}

void SubBase::Impl::replace(Peer& peer, Source& source) {
  if (source.socket) {
    options.log.warn(
        format("{}: nothing comes by the data connection to {}, while its session lives: it "
               "gets a new one",
               hub.stream(), peer.name()));
    ++hub.counts().reconnects;
    source.socket->close_at_once();  // nothing gets through it, so nothing is waited for
  }
  drop_socket(source);
  source.doubted = !source.pinged;
  source.confirmation.lapse();
  // The lanes stay: what the old connection took with it shows as a gap, or is fetched.
  try {
    if (!open_data(peer, source)) return;
  } catch (const Error& error) {  // out of descriptors, say: tried again with the next look
    options.log.warn(format("{}: no new connection to {}: {}", hub.stream(), peer.name(), error.what()));
    plan_look(peer.id, source);
  }
  source.channel.replaced(hub.loop().now());
  resume(peer.id, source);
}

void SubBase::Impl::subscribe_anew(Source& source) {
  if (!source.socket) return;
  source.socket->unsubscribe(as_bytes(source.own_topic));
  if (source.earlier_topics.size() == kMostEarlier) source.earlier_topics.clear();
  source.earlier_topics.push_back(std::move(source.own_topic));
  source.own_topic = new_own_topic();
  source.socket->subscribe(as_bytes(source.own_topic));
}

std::string SubBase::Impl::new_own_topic() {
  return format("{}{}", blocks::own_topics(options.node, options.name, hub.epoch()), ++joins);
}

void SubBase::Impl::on_down(Peer& peer, PeerEvent::What what) {
  const auto found = sources.find(peer.id);
  if (found == sources.end()) return;
  if (what == PeerEvent::What::finished) return await_last_data(peer.id);
  if (what == PeerEvent::What::dead && hub.find(peer.id) != nullptr && peer.socket && peer.socket->open()) {
    found->second.confirmation.lapse();  // it may come back on the same socket
    if (found->second.reader) found->second.reader->pause();
    if (draining) begin_wind_up(peer.id);
    return;
  }
  if (what == PeerEvent::What::restarted) restarted.insert(peer.id);
  forget(found);
}

/// The session's BYE may overtake data; the BYE behind the data may be lost with it, at the high-water
/// mark.
void SubBase::Impl::await_last_data(std::uint64_t id) {
  const auto found = sources.find(id);
  if (found == sources.end() || found->second.finished) return;
  const TimePoint quiet = std::max(found->second.last_data, hub.loop().now()) + kLastData;
  hub.loop().at(quiet, [this, id, quiet, weak = std::weak_ptr<bool>(hub.alive())] {
    if (weak.expired() || hub.closed()) return;
    const auto source = sources.find(id);
    if (source == sources.end()) return;
    const bool more = source->second.last_data + kLastData > quiet || full();
    more || stood_still(quiet, hub.loop().now()) ? await_last_data(id) : finish(id, source->second);
  });
}

/// Nothing new is wanted of it. What was sent before may not have been read yet: this process may have been
/// stopped, and the publisher have ended meanwhile.
void SubBase::Impl::begin_wind_up(std::uint64_t id) {
  Source& source = sources.at(id);
  if (source.finished || std::exchange(source.winding_up, true)) return;
  source.last_data = Clock::now();
  wind_up(id, source.last_data + kLongestReadUp);
}

void SubBase::Impl::wind_up(std::uint64_t id, TimePoint limit) {
  const auto found = sources.find(id);
  const Peer* peer = hub.find(id);
  if (found == sources.end() || found->second.finished || (peer && peer->finished)) return;
  const TimePoint now = std::max(hub.loop().now(), found->second.last_data);
  // Of who is not there any more the end comes by itself; what waits for the handler to catch up is not
  // quiet.
  const bool goes_on = peer && peer->up();
  TimePoint next = full() ? now + kReadUp : found->second.last_data + kReadUp;
  if (goes_on) next = std::min(next, limit);
  if (now >= next) return leave_publisher(id);
  hub.loop().at(next, [this, id, limit, next, weak = std::weak_ptr<bool>(hub.alive())] {
    if (weak.expired() || hub.closed()) return;
    const TimePoint then = hub.loop().now();
    if (!stood_still(next, then)) return wind_up(id, limit);
    if (const auto at = sources.find(id); at != sources.end()) at->second.last_data = then;
    wind_up(id, then + kLongestReadUp);
  });
}

void SubBase::Impl::leave_publisher(std::uint64_t id) {
  Source& source = sources.at(id);
  source.finished = true;
  Peer* peer = hub.find(id);
  const bool goes_on = peer && peer->up() && !peer->finished;
  if (goes_on) hub.bye(*peer, wire::kLast);
  // What could still have been asked for is not missed by one that wants no more.
  if (source.reader && !hand_over_rest(id, goes_on ? Lacking::unwanted : Lacking::missed)) return;
  if (const auto still = sources.find(id); still != sources.end()) drop_socket(still->second);
}

/// The publisher has said BYE and nothing of it is on its way any more.
void SubBase::Impl::finish(std::uint64_t id, Source& source) {
  if (source.finished) return;
  source.finished = true;
  if (source.reader && !hand_over_rest(id)) return;
  if (Peer* peer = hub.find(id)) hub.emit(*peer, PeerEvent::What::finished);
}

void SubBase::Impl::drop_socket(Source& source) {
  if (source.watch != 0) hub.loop().unwatch(source.watch);
  source.watch = 0;
  if (source.socket) source.socket->close();
  source.socket.reset();
}

void SubBase::Impl::forget(std::map<std::uint64_t, Source>::iterator at) {
  drop_socket(at->second);
  const std::uint64_t id = at->first;
  if (at->second.reader && !hand_over_rest(id)) return;
  const auto still = sources.find(id);
  if (still == sources.end()) return;
  for (const Loop::TimerId timer : {still->second.timer, still->second.look_timer}) {
    if (timer != 0) hub.loop().cancel(timer);
  }
  sources.erase(still);
}

void SubBase::Impl::forget_removed() {
  std::vector<std::uint64_t> removed;
  for (const auto& entry : sources) {
    if (hub.find(entry.first) == nullptr) removed.push_back(entry.first);
  }
  for (const std::uint64_t id : removed) {
    restarted.erase(id);
    if (const auto at = sources.find(id); at != sources.end()) let_depart(at);
    if (hub.closed()) return;
  }
}

// A launcher tells of a publisher that was started again by its new address, and the old one goes. With a log
// it goes on where it was, so its subscriber must, too: who joined anew would lack what was published
// meanwhile, or get all of it a second time.
void SubBase::Impl::let_depart(std::map<std::uint64_t, Source>::iterator at) {
  Source& source = at->second;
  const bool may_return = source.reader && !source.finished && !draining && !source.name.empty();
  if (may_return && !departed.contains(source.name) && departed.size() < options.max_peers) {
    tally(source);
    departed.emplace(source.name,
                     blocks::Departed{at->first, source.epoch, std::move(source.reader), source.tallied});
    const TimePoint until = hub.loop().now() + kReturns * options.dead_after;
    hub.loop().at(until, [this, name = source.name, id = at->first, weak = std::weak_ptr<bool>(hub.alive())] {
      if (weak.expired() || hub.closed()) return;
      const auto gone = departed.find(name);
      if (gone != departed.end() && gone->second.peer == id) (void)give_up_departed(gone);
    });
  }
  forget(at);
}

// One that went comes by another address: its reader goes on, unless it begins anew. False: the source is
// gone.
bool SubBase::Impl::meet_again(Peer& peer, Source& source) {
  auto known = departed.extract(blocks::name_key(peer.node, peer.port));
  if (known.empty()) return true;
  source.epoch = known.mapped().epoch;
  source.reader = std::move(known.mapped().reader);
  source.tallied = known.mapped().tallied;
  source.reader->pause();
  if (source.epoch == peer.epoch) return true;
  restarted.insert(peer.id);
  return hand_over_rest(peer.id);
}

/// Who has not come back by now never will. False: this block is closed.
bool SubBase::Impl::give_up_departed() {
  while (!departed.empty()) {
    if (!give_up_departed(departed.begin())) return false;
  }
  return true;
}

bool SubBase::Impl::give_up_departed(std::map<std::string, blocks::Departed>::iterator at) {
  blocks::Departed gone = std::move(at->second);
  departed.erase(at);
  Source& source = sources[gone.peer];
  source.finished = true;
  source.reader = std::move(gone.reader);
  source.tallied = gone.tallied;
  if (!hand_over_rest(gone.peer) && hub.closed()) return false;
  sources.erase(gone.peer);
  return true;
}

}  // namespace weft
