#include <weft/blocks/sub.hpp>

#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "blocks/defaults.hpp"
#include "blocks/sub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::InboxItem;
using blocks::Peer;

SubBase::Impl::Impl(Loop& loop, PortOptions given, RecordType type)
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
  inbox.on_bad_record = [this](const InboxItem& item, wire::Rejection why) {
    hub.tell_unfit(item.peer, why);
    hub.reject_records(why, nullptr, 1);
    --hub.counts().received_records;
  };
}

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
  blocks::end_block(impl_, [this] { close(); });
}

std::vector<std::string> SubBase::endpoints() const {
  return {};
}
void SubBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void SubBase::disconnect(const std::string& endpoint) {
  Impl& impl = *impl_;
  impl.hub.disconnect(endpoint);
  if (!impl.hub.closed()) impl.forget_removed();
}

std::size_t SubBase::peers_up() const {
  return static_cast<std::size_t>(std::ranges::count_if(impl_->sources, [this](const auto& entry) {
    const Peer* peer = impl_->hub.find(entry.first);
    return entry.second.confirmation.confirmed() && !entry.second.finished && peer && peer->up() &&
           !peer->finished;
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
  impl_->tap = blocks::guarded(impl_->hub.calls(), std::move(tap));
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
  Impl& impl = *impl_;
  impl.inbox.handler = blocks::guarded(impl.hub.calls(), std::move(handler));
  impl.watch_all();
  impl.inbox.deliver();
}

bool SubBase::receive_one(Deadline deadline, const Handler& take) {
  Impl& impl = *impl_;
  for (;;) {
    if (impl.inbox.take_one(take)) return true;
    impl.watch_all();
    if (!impl.hub.wait_for_peers([&] { return !impl.inbox.empty() || impl.hub.closed(); }, deadline))
      return false;
    if (impl.hub.closed()) return false;
  }
}

bool SubBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.wait_for_peers([&] { return peers_up() >= count; }, deadline);
}

void SubBase::begin_drain() {
  Impl& impl = *impl_;
  impl.draining = true;
  if (!impl.give_up_departed()) return;
  // From a publisher that goes on, nothing more is wanted; one that has said BYE still has data on its way
  // here, or is asked for what is missing.
  for (const auto& [id, source] : impl.sources) {
    const Peer* peer = impl.hub.find(id);
    if (peer && !peer->finished && !(source.leaving && peer->living())) impl.begin_wind_up(id);
  }
}

bool SubBase::drained() const {
  const Impl& impl = *impl_;
  if (impl.hub.closed()) return true;
  if (!impl.draining || !impl.inbox.empty()) return false;
  return std::ranges::all_of(impl.sources,
                             [](const auto& entry) { return entry.second.finished || !entry.second.socket; });
}

void SubBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.hub.close();
  impl.inbox.clear();
  for (auto& [id, source] : impl.sources) {
    impl.drop_socket(source);
    for (const Loop::TimerId timer : {source.timer, source.look_timer}) {
      if (timer != 0) impl.hub.loop().cancel(timer);
    }
  }
  impl.sources.clear();
  impl.departed.clear();
}

}  // namespace weft
