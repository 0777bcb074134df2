// Implementation of ReplayReader: how a subscriber joins, and what snapshots replace.
#pragma once

#include <weft/protocol/replay_reader.hpp>

namespace weft::protocol {

inline constexpr std::size_t kSyncTopics = 14;  // of at most 200 bytes each: they fit one header

template <class P>
void ReplayReader<P>::begin_sync(bool full, TimePoint now) {
  for (Topic* topic : sync_.topics) overrun_.push_back(topic);  // a full one answers for them as well
  sync_ = {};
  sync_.active = true;
  sync_.full = full;
  sync_.when = now;
  sync_.back_off = options_.first_retry;
  if (full) overrun_.clear();
  while (!full && !overrun_.empty() && sync_.topics.size() < kSyncTopics) {
    sync_.topics.push_back(overrun_.front());
    overrun_.pop_front();
  }
}

template <class P>
void ReplayReader<P>::position(std::string_view name, std::uint64_t seq) {
  if (!sync_.active || !sane(seq)) return;
  Topic* topic = find_or_add(name);
  if (topic && !topic->cursor.placed()) topic->position = seq;
}

template <class P>
auto ReplayReader<P>::snapshot(std::string_view name, std::uint64_t seq) -> Arrival {
  if (!sync_.active || !sane(seq)) return {};
  Topic* topic = find_or_add(name);
  if (!topic) return {.verdict = Verdict::no_topic};
  if (topic->cursor.placed() || seq < topic->cursor.last()) return {};
  // A snapshot may come in several parts; the live stream waits until the last one is here.
  if (!topic->snapshot) {
    ++counts_.snapshots;
    topic->reset = topic->reset || topic->overrun;
  }
  topic->snapshot = std::max(topic->snapshot.value_or(0), seq);
  return {.verdict = Verdict::next, .reset = take_reset(*topic)};
}

template <class P>
void ReplayReader<P>::join_answered(std::uint32_t number, std::uint64_t token, TimePoint now) {
  if (!sync_.active || !sync_.asked || number != sync_.number) return;
  sync_.asked = false;
  sync_.back_off = options_.first_retry;
  if (token != 0) {
    sync_.token = token;
    sync_.when = now;
    return;
  }
  end_sync(now);
}

template <class P>
void ReplayReader<P>::end_sync(TimePoint now) {
  const bool full = sync_.full;
  const std::vector<Topic*> some = std::exchange(sync_.topics, {});
  sync_ = {};
  if (full) {
    joined_ = true;
    for (auto& entry : topics_) settle(entry.second, true, now);
  } else {
    for (Topic* topic : some) settle(*topic, false, now);
  }
}

// The answer has ended: the topic has its place.
template <class P>
void ReplayReader<P>::settle(Topic& topic, bool full, TimePoint now) {
  const auto position = std::exchange(topic.position, std::nullopt);
  const auto snapshot = std::exchange(topic.snapshot, std::nullopt);
  if (topic.cursor.placed()) return;
  const bool was_overrun = std::exchange(topic.overrun, false);
  if (snapshot) {
    topic.cursor.place(*snapshot);
  } else if (was_overrun && full) {  // it may have become so behind its place in the answer
    topic.overrun = true;
    overrun_.push_back(&topic);
    return;
  } else if (was_overrun) {  // there is no snapshot of it: what is gone is gone
    topic.cursor.place(topic.cursor.last());
    return skip(topic, topic.first_retained, now);
  } else {
    topic.cursor.place(options_.start ? *options_.start : position.value_or(0));
    if (options_.start && position) topic.cursor.announce(*position);
  }
  update(topic, now, now);
}

}  // namespace weft::protocol
