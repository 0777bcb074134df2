// SYNC at a Pub: kept last values, where topics stand, snapshots, and past batches. Each answer is bounded by
// the credit that came with its question, and nothing is remembered of it but what an application's snapshot
// has left to send: a subscriber that stops asking costs nothing.
#include <algorithm>

#include "blocks/defaults.hpp"
#include "blocks/pub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::Peer;
using blocks::PubSnapshot;
using transport::Frame;

namespace {

constexpr std::uint64_t kDefaultPage = 256 * 1024;
constexpr std::uint64_t kMaxPage = 4ULL << 20;
constexpr std::size_t kPageTopics = 100;
constexpr std::size_t kPageTopicBytes = 2800;

std::uint64_t page_bytes(const wire::Header& header) {
  if (!header.options.has(wire::Options::credit)) return kDefaultPage;
  return std::min(header.options.credit_bytes, kMaxPage);
}

std::vector<std::string> names_in(const wire::Header& header) {
  std::vector<std::string> out;
  if (!header.options.has(wire::Options::topics)) return out;
  wire::Unpack names(header.options.topics_v);
  const std::uint32_t count = names.array().value_or(0);
  for (std::uint32_t i = 0; i < count; ++i) out.emplace_back(names.str().value_or(std::string_view()));
  return out;
}

bool wanted(const std::string& frame, const std::vector<std::string>& prefixes) {
  return std::ranges::any_of(prefixes, [&](const auto& prefix) { return frame.starts_with(prefix); });
}

std::vector<Frame> frames_of(const wire::BatchBuilder::Batch& batch) {
  std::vector<Frame> frames;
  frames.reserve(1 + batch.tensors.size());
  frames.emplace_back(batch.body.view());
  for (const Tensor& tensor : batch.tensors) frames.emplace_back(tensor);
  return frames;
}

/// A list of topics and sequences that goes out when a header holds no more.
struct Positions {
  wire::Buffer names;
  wire::Buffer sequences;
  std::size_t count = 0;
};

}  // namespace

void PubBase::Impl::on_message(Peer& peer, const wire::Header& header, transport::Message&, std::size_t) {
  if (header.kind != wire::Kind::sync) return hub.reject(wire::Rejection::unexpected, &peer);
  blocks::CallAll all;
  all.call([this] { flush(); });
  if (!hub.closed()) all.call([&] { answer(peer, header); });
  all.rethrow();
}

void PubBase::Impl::answer(Peer& peer, const wire::Header& header) {
  const std::uint32_t flags = header.options.has(wire::Options::flags) ? header.options.flags_v : 0;
  if ((flags & wire::kReplay) == 0) return give_kept(peer, header);
  follow(peer, true);
  header.options.has(wire::Options::ranges) ? answer_fetch(peer, header) : answer_join(peer, header);
}

// ---- kept values, for who asks for nothing else
// -----------------------------------------------------------------

void PubBase::Impl::give_kept(Peer& peer, const wire::Header& header) {
  const std::vector<std::string> prefixes = names_in(header);
  for (const auto& [frame, topic] : topics) {
    if (topic->kept.count == 0) continue;
    if (wanted(topic->frame, prefixes) && !send_kept(peer, *topic)) return;
  }
  wire::Header end{
      .kind = wire::Kind::data, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
  end.options.flags_v = wire::kSnapshot | wire::kEndOfSnapshot;
  end.options.mark(wire::Options::flags);
  (void)hub.send_header(peer, end);
}

bool PubBase::Impl::send_kept(Peer& peer, const Topic& topic) {
  return send_on_session(peer, topic, topic.kept_seq, topic.kept.count, wire::kSnapshot,
                         frames_of(topic.kept));
}

bool PubBase::Impl::send_on_session(Peer& peer, const Topic& topic, std::uint64_t seq, std::uint32_t count,
                                    std::uint32_t flags, std::vector<Frame> frames) {
  wire::Header header{
      .kind = wire::Kind::data, .stream = topic.stream, .epoch = hub.epoch(), .seq = seq, .options = {}};
  header.options.count_v = count;
  header.options.mark(wire::Options::count);
  header.options.flags_v = flags;
  header.options.mark(wire::Options::flags);
  wire::Buffer head = hub.pool()->take(512);
  hub.encode(header, head);
  frames.insert(frames.begin(), Frame(head.view()));
  return hub.send(peer, frames) == transport::SendStatus::sent;
}

// ---- joining
// -----------------------------------------------------------------------------------------------------

// Where each topic stood when the subscriber's subscriptions became active (its SYNC says so by a count of
// batches), snapshots where it wants them, and what has been sent since: page by page, the topics in the
// order in which they came. `processed` says where the next page begins.
void PubBase::Impl::answer_join(Peer& peer, const wire::Header& header) {
  const std::vector<std::string> prefixes = names_in(header);
  const bool with_snapshots = (header.options.flags_v & wire::kSnapshot) != 0;
  const std::uint64_t token = header.options.has(wire::Options::processed) ? header.options.processed_v : 0;
  std::uint64_t room = page_bytes(header);
  const auto spend = [&room](std::uint64_t bytes) {
    room -= std::min(room, bytes + decltype(window)::kMessageCost);
  };
  const auto end = [&](std::uint64_t next) {
    wire::Header mark{
        .kind = wire::Kind::data, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
    mark.options.flags_v = wire::kReplay | wire::kSnapshot | (next == 0 ? wire::kEndOfSnapshot : wire::kLast);
    mark.options.mark(wire::Options::flags);
    mark.options.attempt_v = header.options.has(wire::Options::attempt) ? header.options.attempt_v : 0;
    mark.options.mark(wire::Options::attempt);
    mark.options.processed_v = next;
    mark.options.mark(wire::Options::processed);
    (void)hub.send_header(peer, mark);
  };
  if (token == 0 && with_snapshots && !collect_snapshot(peer, prefixes)) return;
  auto& parts = snapshots[peer.id];
  for (; !parts.empty(); parts.pop_front()) {
    if (room == 0) return end(1);
    const PubSnapshot& part = parts.front();
    spend(part.batch.bytes);
    if (!send_on_session(peer, *part.topic, part.covers, part.batch.count, wire::kSnapshot | wire::kReplay,
                         frames_of(part.batch))) {
      return;
    }
  }
  snapshots.erase(peer.id);

  Positions began{hub.pool()->take(1024), hub.pool()->take(1024)};
  Positions lasts{hub.pool()->take(1024), hub.pool()->take(1024)};
  const auto flush_list = [&](Positions& list, std::uint32_t flags) {
    if (list.count == 0) return;
    spend(list.names.size() + list.sequences.size());
    send_positions(peer, list.names, list.sequences, list.count, flags);
    list.names.clear(), list.sequences.clear();
    list.count = 0;
  };
  const auto add = [&](Positions& list, const Topic& topic, std::uint64_t seq, std::uint32_t flags) {
    if (list.count == kPageTopics || list.names.size() + topic.frame.size() > kPageTopicBytes) {
      flush_list(list, flags);
    }
    wire::Pack(list.names).str(topic.frame);
    wire::Pack(list.sequences).uint(seq);
    ++list.count;
  };
  std::size_t at = token == 0 ? 0 : token - 1;
  for (; at < in_order.size() && room != 0; ++at) {
    const Topic& topic = *in_order[at];
    if (topic.seq == 0 || !wanted(topic.frame, prefixes)) continue;
    // A topic that began after the subscriber came is whole without a snapshot. What joined a publisher that
    // keeps no count of batches begins with what comes next.
    const bool kept = with_snapshots && !snapshot_handler && topic.kept.count != 0;
    const auto place = reliable() ? window.place_at(topic.id, header.seq, kept)
                                  : decltype(window)::Place{.position = topic.seq, .snapshot = kept};
    if (place.snapshot) {
      spend(topic.kept.bytes);
      if (!send_on_session(peer, topic, topic.kept_seq, topic.kept.count, wire::kSnapshot | wire::kReplay,
                           frames_of(topic.kept))) {
        return;
      }
    } else if (place.position != 0) {
      add(began, topic, place.position, wire::kReplay | wire::kSnapshot);
    }
    if (place.more) add(lasts, topic, topic.seq, wire::kReplay);
  }
  flush_list(began, wire::kReplay | wire::kSnapshot);
  flush_list(lasts, wire::kReplay);
  end(at < in_order.size() ? at + 1 : 0);
}

void PubBase::Impl::send_positions(Peer& peer, const wire::Buffer& names, const wire::Buffer& sequences,
                                   std::size_t count, std::uint32_t flags) {
  wire::Buffer packed_names = hub.pool()->take(names.size() + 8);
  wire::Buffer packed_sequences = hub.pool()->take(sequences.size() + 8);
  wire::Pack(packed_names).array(count);
  packed_names.append(names.view());
  wire::Pack(packed_sequences).array(count);
  packed_sequences.append(sequences.view());
  wire::Header list{
      .kind = wire::Kind::data, .stream = hub.stream(), .epoch = hub.epoch(), .seq = 0, .options = {}};
  list.options.flags_v = flags;
  list.options.mark(wire::Options::flags);
  list.options.topics_v = packed_names.view();
  list.options.mark(wire::Options::topics);
  list.options.sequences_v = packed_sequences.view();
  list.options.mark(wire::Options::sequences);
  (void)hub.send_header(peer, list);
}

// Asks the application for its snapshot and keeps what it gives until it is sent. False: the peer is gone.
bool PubBase::Impl::collect_snapshot(Peer& peer, const std::vector<std::string>& prefixes) {
  ++hub.counts().snapshots;
  if (!snapshot_handler) return true;
  const std::uint64_t id = peer.id;
  std::deque<PubSnapshot> parts;
  std::uint64_t bytes = 0;
  for (const std::string& prefix : prefixes) {
    const bool inner = std::ranges::any_of(prefixes, [&](const auto& other) {
      return &other != &prefix && prefix.starts_with(other) && (prefix != other || &other < &prefix);
    });
    if (inner) continue;
    wire::BatchBuilder open(hub.pool());
    Topic* of = nullptr;
    std::uint64_t covered = 0;
    const auto close = [&] {
      if (open.empty()) return;
      bytes += open.bytes();
      parts.push_back({of, covered, open.take()});
    };
    const SnapshotPut into = [&](std::string_view name, const Encode& encode,
                                 std::optional<std::uint64_t> covers) {
      Topic* topic = topic_of(name);
      if (!topic || !topic->frame.starts_with(prefix)) return false;
      const std::uint64_t seq = std::min(covers.value_or(topic->seq), topic->seq);
      if (topic != of || seq != covered || open.bytes() >= batch_bytes()) close();
      of = topic;
      covered = seq;
      const auto mark = open.mark();
      encode(open);
      const bool good = blocks::judge(open, mark, batch_bytes(), hub.frame_for_all()) == SendStatus::ok &&
                        bytes + open.bytes() <= options.capacity_bytes;
      if (!good) {
        open.roll_back(mark);
        ++hub.counts().unkept_records;
      }
      return good;
    };
    snapshot_handler(blocks::topic_name(prefix), into);
    close();
    if (hub.closed() || hub.find(id) == nullptr) return false;
  }
  snapshots[id] = std::move(parts);
  return true;
}

// ---- past batches
// ------------------------------------------------------------------------------------------------

void PubBase::Impl::answer_fetch(Peer& peer, const wire::Header& header) {
  const std::vector<std::string> names = names_in(header);
  const auto found = names.size() == 1 ? topics.find(names[0]) : topics.end();
  if (found == topics.end() || header.options.range_count == 0) {
    return hub.reject(wire::Rejection::unexpected, &peer);
  }
  const Topic& topic = *found->second;
  std::vector<protocol::Range> ranges;
  for (std::size_t i = 0; i < header.options.range_count; ++i)
    ranges.push_back({header.options.ranges_v[2 * i], header.options.ranges_v[2 * i + 1]});
  bool lost = false;
  const auto give = [&](const protocol::ReplayWindow<blocks::PubBatch>::Batch& batch) {
    if (lost) return false;
    std::vector<Frame> frames;
    if (log) frames = log->read(topic.frame, batch.seq);
    for (const Frame& frame : batch.payload.frames) frames.push_back(frame.share());
    // Damaged, or it would end the connection of a subscriber that came with smaller frames than those before
    // it: the subscriber gives it up, and counts it.
    const auto fits = [&](const Frame& frame) { return frame.size() <= peer.max_frame; };
    if (frames.empty() || !std::ranges::all_of(frames, fits)) return false;
    lost = !send_on_session(peer, topic, batch.seq, batch.payload.count, wire::kReplay, std::move(frames));
    if (!lost) ++hub.counts().replayed_batches;
    return !lost;
  };
  const auto replayed = reliable()
                            ? window.replay(topic.id, ranges, page_bytes(header), give)
                            : decltype(window)::Replayed{topic.seq + 1, ranges.front().first <= topic.seq};
  if (lost) return;
  wire::Header end{.kind = wire::Kind::data,
                   .stream = topic.stream,
                   .epoch = hub.epoch(),
                   .seq = topic.seq,
                   .options = {}};
  end.options.flags_v = wire::kReplay | wire::kLast;
  end.options.mark(wire::Options::flags);
  end.options.attempt_v = header.options.has(wire::Options::attempt) ? header.options.attempt_v : 0;
  end.options.mark(wire::Options::attempt);
  end.options.first_retained_v = replayed.first_retained;
  end.options.mark(wire::Options::first_retained);
  if (replayed.gone) {
    end.options.code_v = wire::Code::gone;
    end.options.mark(wire::Options::code);
  }
  (void)hub.send_header(peer, end);
}

}  // namespace weft
