// A Sub without gaps: what its ReplayReaders ask goes to the publishers as SYNC on the sessions, what comes
// back and what is live goes to them, and what they find in order goes to the inbox.
#include <algorithm>

#include "blocks/sub_impl.hpp"
#include "blocks/topics.hpp"

namespace weft {

using blocks::InboxItem;
using blocks::Peer;
using blocks::Source;
using Arrived = Source::Reader::Verdict;

namespace {

constexpr std::uint64_t kOpenQuestions = 4;  // they share the window

}  // namespace

void SubBase::Impl::follow(std::uint64_t id, Source& source) {
  protocol::ReplayReaderOptions reader{.hold_bytes = options.window_bytes,
                                       .hold_batches = options.window_batches,
                                       .max_topics = options.max_topics,
                                       .from_oldest = options.from == From::earliest,
                                       .snapshots = options.keep_last,
                                       .restarted = restarted.contains(id),
                                       .fetches = kOpenQuestions};
  if (options.from == From::earliest) reader.start = 0;
  if (options.from == From::sequence) reader.start = options.from_sequence;
  source.reader = std::make_unique<Source::Reader>(reader);
  source.tallied = {};
}

/// The session is up, and the subscriptions are on their way.
void SubBase::Impl::resume(std::uint64_t id, Source& source) {
  if (!source.reader) return;
  source.finished = source.leaving = false;
  source.reader->resume();
  source.confirmation.await(hub.loop().now());
  plan(id, source);
}

void SubBase::Impl::confirmed(std::uint64_t id, Source& source, const wire::Header& ping) {
  if (ping.epoch != source.epoch) return;
  source.confirmation.confirm();
  ++source.joins;
  source.reader->subscribed(ping.seq, hub.loop().now());
  pump(id);
}

void SubBase::Impl::live(std::uint64_t id, Source& source, std::string_view topic,
                         const wire::Header& header) {
  if (header.epoch != source.epoch) {
    // A later one is of an incarnation whose HELLO is still to come, and which will be asked for it.
    if (header.epoch < source.epoch) ++hub.counts().fenced_batches;
    return;
  }
  on_batch(id, source, topic, header, 2, false);
}

/// BYE behind the data: when nothing is missing, the publisher hears that it may end.
void SubBase::Impl::leave(std::uint64_t id, Source& source, const wire::Header& bye) {
  if (bye.epoch != source.epoch) return;
  source.leaving = true;
  pump(id);
}

void SubBase::Impl::on_batch(std::uint64_t id, Source& source, std::string_view topic,
                             const wire::Header& header, std::size_t at, bool replayed) {
  if (header.seq == 0 || !header.options.has(wire::Options::count) || message.size() <= at) {
    return hub.reject(wire::Rejection::malformed, hub.find(id));
  }
  const TimePoint now = hub.loop().now();
  std::uint64_t bytes = 0;
  for (std::size_t i = at; i < message.size(); ++i) bytes += message[i].size();
  const auto arrival = source.reader->arrive(topic, header.seq, bytes, replayed, now);
  if (arrival.verdict == Arrived::duplicate) ++hub.counts().duplicate_batches;
  if (arrival.verdict == Arrived::no_topic) hub.reject(wire::Rejection::too_large, nullptr);
  const bool taken = arrival.verdict == Arrived::next || arrival.verdict == Arrived::held;
  InboxItem item;
  if (taken && checked(header, at, item)) {
    fill(item, id, topic, header);
    item.reset = arrival.reset;
    if (arrival.verdict == Arrived::held) {
      source.reader->hold(topic, header.seq, bytes, std::move(item), now);
    } else {
      take(std::move(item));
      if (hub.closed()) return;
    }
  }
  pump(id);
}

// ---- answers
// -----------------------------------------------------------------------------------------------------

void SubBase::Impl::on_answer(Peer& peer, const wire::Header& header, std::uint32_t flags) {
  const auto found = sources.find(peer.id);
  if (found == sources.end() || !found->second.reader || header.epoch != found->second.epoch) return;
  Source& source = found->second;
  const std::uint64_t id = peer.id;
  const TimePoint now = hub.loop().now();
  const wire::Options& o = header.options;
  const std::string topic(blocks::topic_of_stream(header.stream));
  const std::uint32_t number = o.has(wire::Options::attempt) ? o.attempt_v : 0;
  const bool snapshot = (flags & wire::kSnapshot) != 0;
  if (o.has(wire::Options::topics)) {
    on_list(source, header, flags);
  } else if (o.has(wire::Options::count)) {
    if (!wants(topic)) return;
    return snapshot ? on_snapshot(id, source, header) : on_batch(id, source, topic, header, 0, true);
  } else if (snapshot) {
    const bool more = (flags & wire::kEndOfSnapshot) == 0 && o.has(wire::Options::processed);
    source.reader->join_answered(number, more ? o.processed_v : 0, now);
  } else {
    const bool gone = o.has(wire::Options::code) && o.code_v == wire::Code::gone;
    const std::uint64_t first = o.has(wire::Options::first_retained) ? o.first_retained_v : 1;
    source.reader->fetch_answered(number, topic, header.seq, first, gone, now);
  }
  pump(id);
}

void SubBase::Impl::on_snapshot(std::uint64_t id, Source& source, const wire::Header& header) {
  const std::string topic(blocks::topic_of_stream(header.stream));
  InboxItem item;
  if (!checked(header, 0, item)) return;
  const auto arrival = source.reader->snapshot(topic, header.seq);
  if (arrival.verdict == Arrived::no_topic) hub.reject(wire::Rejection::too_large, nullptr);
  if (arrival.verdict != Arrived::next) return;
  fill(item, id, topic, header);
  item.snapshot = true;
  item.reset = arrival.reset;
  take(std::move(item));
}

/// Where topics stood when we subscribed, or how far they have come since.
void SubBase::Impl::on_list(Source& source, const wire::Header& header, std::uint32_t flags) {
  if (!header.options.has(wire::Options::sequences)) return hub.reject(wire::Rejection::bad_option, nullptr);
  wire::Unpack names(header.options.topics_v);
  wire::Unpack sequences(header.options.sequences_v);
  const std::uint32_t count = std::min(names.array().value_or(0), sequences.array().value_or(0));
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto name = names.str();
    const auto seq = sequences.uint();
    if (!name || !seq) return hub.reject(wire::Rejection::bad_option, nullptr);
    if (!wants(*name)) continue;
    if ((flags & wire::kSnapshot) != 0) {
      source.reader->position(*name, *seq);
    } else {
      source.reader->announce(*name, *seq, false, hub.loop().now());
    }
  }
}

// ---- what the readers want
// -----------------------------------------------------------------------------------------------------

bool SubBase::Impl::hand_over(std::uint64_t id) {
  for (;;) {
    const auto found = sources.find(id);
    if (found == sources.end() || !found->second.reader) return false;
    auto ready = found->second.reader->next(hub.loop().now());
    if (!ready) return true;
    ready->payload.reset = ready->reset;
    take(std::move(ready->payload));
    if (hub.closed()) return false;
  }
}

/// Nothing more comes of it: what is held is handed over, and what is lacking between is counted unless it is
/// unwanted. False: the source is gone.
bool SubBase::Impl::hand_over_rest(std::uint64_t id, Lacking lacking) {
  const auto found = sources.find(id);
  if (found == sources.end() || !found->second.reader) return false;
  tally(found->second);
  found->second.reader->abandon(hub.loop().now());
  if (!hand_over(id)) return false;
  Source& source = sources.find(id)->second;
  if (lacking == Lacking::unwanted) source.tallied = source.reader->counts();
  tally(source);
  return true;
}

void SubBase::Impl::pump(std::uint64_t id) {
  if (!hand_over(id)) return;
  Source& source = sources.find(id)->second;
  Peer* peer = hub.find(id);
  source.stalled = full();
  if (peer && peer->up() && !source.stalled) ask(*peer, source.reader->tick(hub.loop().now()));
  tally(source);
  if (source.leaving && !source.finished && source.reader->complete()) {
    finish(id, source);
    if (peer && peer->up()) hub.bye(*peer, wire::kLast);
    return;
  }
  plan(id, source);
}

void SubBase::Impl::ask(Peer& peer, const protocol::ReplayStep& step) {
  const auto send = [&](std::uint32_t number, std::uint64_t seq, std::uint32_t flags,
                        const wire::Buffer& names, wire::Header& sync) {
    sync.kind = wire::Kind::sync;
    sync.stream = hub.stream();
    sync.epoch = hub.epoch();
    sync.seq = seq;
    sync.options.flags_v = flags;
    sync.options.mark(wire::Options::flags);
    sync.options.topics_v = names.view();
    sync.options.mark(wire::Options::topics);
    sync.options.attempt_v = number;
    sync.options.mark(wire::Options::attempt);
    // So much may come in answer: what is open at once fits the window.
    sync.options.credit_bytes = options.window_bytes / kOpenQuestions;
    sync.options.credit_batches = options.window_batches;
    sync.options.mark(wire::Options::credit);
    (void)hub.send_header(peer, sync);
  };
  if (step.join) {
    wire::Buffer names = hub.pool()->take(1024);
    if (step.join->topics.empty()) {
      pack_prefixes(names);
    } else {
      wire::Pack(names).array(step.join->topics.size());
      for (const std::string_view topic : step.join->topics) wire::Pack(names).str(topic);
    }
    wire::Header sync;
    sync.options.processed_v = step.join->token;
    sync.options.mark(wire::Options::processed);
    send(step.join->number, step.join->mark, wire::kReplay | (step.join->snapshots ? wire::kSnapshot : 0U),
         names, sync);
  }
  for (const auto& fetch : step.fetches) {
    wire::Buffer names = hub.pool()->take(256);
    wire::Pack(names).array(1);
    wire::Pack(names).str(fetch.topic);
    wire::Header sync;
    for (const protocol::Range range : fetch.ranges) {
      sync.options.ranges_v[2 * sync.options.range_count] = range.first;
      sync.options.ranges_v[2 * sync.options.range_count + 1] = range.last;
      ++sync.options.range_count;
    }
    sync.options.mark(wire::Options::ranges);
    send(fetch.number, fetch.ranges.front().first, wire::kReplay, names, sync);
  }
}

void SubBase::Impl::plan(std::uint64_t id, Source& source) {
  if (!source.reader) return;
  const Peer* peer = hub.find(id);
  if (!peer || !peer->up()) return;  // resume() goes on
  TimePoint when = source.stalled ? TimePoint::max() : source.reader->next_tick();
  when = std::min(when, source.confirmation.next_tick());
  if (when >= source.timer_at) return;
  if (source.timer != 0) hub.loop().cancel(source.timer);
  source.timer_at = when;
  const TimePoint at = std::max(when, hub.loop().now());
  source.timer = hub.loop().at(at, [this, id] {
    const auto found = sources.find(id);
    if (found == sources.end() || hub.closed()) return;
    Source& due = found->second;
    due.timer = 0;
    due.timer_at = TimePoint::max();
    if (due.confirmation.overdue(hub.loop().now())) subscribe_anew(due);
    pump(id);
  });
}

void SubBase::Impl::tally(Source& source) {
  const protocol::ReplayCounts& now = source.reader->counts();
  PortStats& counts = hub.counts();
  counts.missed_batches += now.missed - source.tallied.missed;
  counts.replayed_batches += now.replayed - source.tallied.replayed;
  counts.gaps_filled += now.filled - source.tallied.filled;
  counts.snapshots += now.snapshots - source.tallied.snapshots;
  source.tallied = now;
}

}  // namespace weft
