// Data as it comes to a Sub: live batches, PING and BYE beside them, kept values; gaps are counted.
#include <algorithm>

#include "blocks/sub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::InboxItem;
using blocks::Peer;
using blocks::Source;

namespace {

constexpr int kLivePerTurn = 256;

}  // namespace

void SubBase::Impl::watch(std::uint64_t id, Source& source) {
  if (source.watch != 0 || !source.socket || full()) return;
  source.channel.begin(hub.loop().now());
  source.watch = hub.loop().watch(*source.socket, [this, id] { read(id); });
}
void SubBase::Impl::watch_all() {
  for (auto& [id, source] : sources) {
    watch(id, source);
    if (source.stalled && !full()) {
      source.stalled = false;
      plan(id, source);
    }
  }
}

void SubBase::Impl::read(std::uint64_t id) {
  for (int i = 0; i < kLivePerTurn; ++i) {
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
    source.channel.heard(source.last_data);
    handle(id, source);
    if (hub.closed()) return;
  }
}

void SubBase::Impl::handle(std::uint64_t id, Source& source) {
  if (message.oversize() || message.size() < 2) return hub.reject(wire::Rejection::bad_frame_count, nullptr);
  const std::string topic(as_text(message[0].view()));
  wire::Header header;
  const auto why = wire::decode(message[1].view(), header);
  const Peer* const publisher = hub.find(id);
  const bool good = why == wire::Rejection::none;
  const bool unsealed = publisher && publisher->seals && !(good && header.options.has(wire::Options::seal));
  if (unsealed || (good && !blocks::Hub::as_sent(header, message, 1))) return hub.garbled(nullptr);
  if (!good) return hub.reject(why, nullptr);
  if (blocks::is_reserved(topic)) return control(id, source, topic, header);
  if (header.kind != wire::Kind::data) return hub.reject(wire::Rejection::unexpected, nullptr);
  if (blocks::topic_of_stream(header.stream) != topic) return hub.reject(wire::Rejection::bad_topic, nullptr);
  if (reliable()) return live(id, source, topic, header);
  blocks::SubLane* lane = lane_of(source, header.stream);
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
  fill(item, id, topic, header);
  take(std::move(item));
}

blocks::SubLane* SubBase::Impl::lane_of(Source& source, std::string_view stream) {
  const auto found = source.lanes.find(std::string(stream));
  if (found != source.lanes.end()) return &found->second;
  if (source.lanes.size() >= options.max_topics) return nullptr;
  return &source.lanes[std::string(stream)];
}

bool SubBase::Impl::checked(const wire::Header& header, std::size_t at, InboxItem& item) {
  if (header.seq == 0 || !header.options.has(wire::Options::count) || message.size() <= at) {
    hub.reject(wire::Rejection::malformed, nullptr);
    return false;
  }
  const auto why = wire::check_body(message[at].view(), header.options.count_v);
  if (why != wire::Rejection::none && why != wire::Rejection::too_deep) {  // those are refused one by one
    hub.reject_records(why, nullptr, header.options.count_v);
    return false;
  }
  for (std::size_t i = at; i < message.size(); ++i) item.bytes += message[i].size();
  item.tensors = blocks::take_tensors(message, at + 1);
  item.body = std::move(message[at]);
  return true;
}

bool SubBase::Impl::accepted(const protocol::ReceiveLane::Outcome& outcome) {
  hub.counts().missed_batches += outcome.missed;
  if (outcome.verdict == protocol::ReceiveLane::Verdict::duplicate) ++hub.counts().duplicate_batches;
  if (outcome.verdict == protocol::ReceiveLane::Verdict::fenced) ++hub.counts().fenced_batches;
  return outcome.verdict == protocol::ReceiveLane::Verdict::accept;
}

void SubBase::Impl::fill(InboxItem& item, std::uint64_t id, std::string_view topic,
                         const wire::Header& header) {
  const Peer* peer = hub.find(id);
  item.peer = peer ? peer->node : "";
  item.topic = blocks::topic_name(topic);
  item.peer_id = id;
  item.epoch = header.epoch;
  item.seq = header.seq;
  item.count = static_cast<std::uint32_t>(header.options.count_v);
}

void SubBase::Impl::take(InboxItem item) {
  held_bytes += item.bytes;
  hub.counts().received_records += item.count;
  hub.counts().received_bytes += item.bytes;
  ++hub.counts().received_batches;
  blocks::CallAll all;
  if (tap) all.call([&] { tap(false, item.topic, item.body.view(), item.count); });
  if (!hub.closed()) {
    inbox.add(std::move(item));
    all.call([this] { inbox.deliver(); });
  }
  all.rethrow();
}

bool SubBase::Impl::wants(std::string_view topic) const {
  return std::ranges::any_of(prefixes, [&](const auto& prefix) { return topic.starts_with(prefix); });
}

// ---- reserved topics ----

void SubBase::Impl::control(std::uint64_t id, Source& source, std::string_view topic,
                            const wire::Header& header) {
  const bool own = topic == source.own_topic ||
                   std::ranges::find(source.earlier_topics, topic) != source.earlier_topics.end();
  if (own && header.kind == wire::Kind::ping) {
    if (source.confirmation.confirmed()) return;  // as an earlier one was
    if (source.reader) return confirmed(id, source, header);
    source.confirmation.confirm();
    ++source.joins;
    if (options.keep_last) ask_for_kept(id);
    return;
  }
  if (topic != blocks::kTopicAll) return;  // another subscriber's, seen because "" takes everything
  if (header.kind == wire::Kind::bye) {
    source.reader ? leave(id, source, header) : finish(id, source);
  } else if (header.kind == wire::Kind::ping) {
    source.pinged = true;
    compare(id, source, header);
  } else {
    hub.reject(wire::Rejection::bad_kind, nullptr);
  }
}

/// A PING names the last sequences of topics: what should have come and did not is missed.
void SubBase::Impl::compare(std::uint64_t id, Source& source, const wire::Header& header) {
  if (!header.options.has(wire::Options::topics) || !header.options.has(wire::Options::sequences)) return;
  wire::Unpack names(header.options.topics_v);
  wire::Unpack sequences(header.options.sequences_v);
  const std::uint32_t count = names.array().value_or(0);
  if (sequences.array().value_or(0) != count) return hub.reject(wire::Rejection::bad_option, nullptr);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto name = names.str();
    const auto seq = sequences.uint();
    if (!name || !seq) return hub.reject(wire::Rejection::bad_option, nullptr);
    if (source.reader) {
      if (header.epoch == source.epoch && wants(*name)) {
        source.reader->announce(*name, *seq, true, hub.loop().now());
      }
      continue;
    }
    const auto lane = source.lanes.find(std::string(header.stream) + "#" + std::string(*name));
    if (lane == source.lanes.end() || lane->second.epoch() != header.epoch) continue;
    hub.counts().missed_batches += lane->second.missing_until(*seq);
    lane->second.skip_to(*seq);
  }
  if (source.reader) pump(id);
}

void SubBase::Impl::pack_prefixes(wire::Buffer& names) const {
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
}

void SubBase::Impl::ask_for_kept(std::uint64_t id) {
  Peer* peer = hub.find(id);
  if (!peer) return;
  wire::Buffer names = hub.pool()->take(1024);
  pack_prefixes(names);
  wire::Header sync{
      .kind = wire::Kind::sync, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
  sync.options.topics_v = names.view();
  sync.options.mark(wire::Options::topics);
  sync.options.flags_v = wire::kSnapshot;
  sync.options.mark(wire::Options::flags);
  (void)hub.send_header(*peer, sync);
}

/// On the session: kept last values.
void SubBase::Impl::on_message(Peer& peer, const wire::Header& header, transport::Message& received,
                               std::size_t at) {
  const std::uint32_t flags = header.options.has(wire::Options::flags) ? header.options.flags_v : 0;
  const std::uint32_t needed = reliable() ? wire::kReplay : wire::kSnapshot;
  if (header.kind != wire::Kind::data || (flags & needed) == 0) {
    return hub.reject(wire::Rejection::unexpected, &peer);
  }
  if (reliable()) {
    message.clear();
    for (std::size_t i = at; i < received.size(); ++i) message.push_back(std::move(received[i]));
    return on_answer(peer, header, flags);
  }
  if ((flags & wire::kEndOfSnapshot) != 0) return;
  const auto source = sources.find(peer.id);
  if (source == sources.end()) return;
  const std::string topic(blocks::topic_of_stream(header.stream));
  if (!wants(topic)) return;
  blocks::SubLane* lane = lane_of(source->second, header.stream);
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
  fill(item, peer.id, topic, header);
  item.snapshot = true;
  take(std::move(item));
}

}  // namespace weft
