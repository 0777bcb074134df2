// Implementation of ReplayReader.
#pragma once

#include <weft/protocol/replay_reader.hpp>

namespace weft::protocol {

inline constexpr std::size_t kFetchRanges = 32;

template <class P>
auto ReplayReader<P>::find(std::string_view name) -> Topic* {
  const auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : &found->second;
}

template <class P>
auto ReplayReader<P>::find_or_add(std::string_view name) -> Topic* {
  if (Topic* known = find(name)) return known;
  if (topics_.size() >= options_.max_topics) return nullptr;
  const auto added = topics_.emplace(std::string(name), Topic{}).first;
  Topic& topic = added->second;
  topic.name = &added->first;
  topic.index = topics_.size();
  topic.back_off = options_.first_retry;
  topic.reset = options_.restarted;
  // Once all that existed has been named, another one is new, and begins at its beginning.
  if (joined_) topic.cursor.place(options_.start.value_or(0));
  return &topic;
}

template <class P>
void ReplayReader<P>::ask_at(Topic& topic, Ask ask, TimePoint when) {
  if (topic.ask == Ask::waiting) waiting_.erase({topic.when, &topic});
  if (topic.ask == Ask::asked) asked_.erase({topic.when, &topic});
  topic.ask = ask;
  topic.when = when;
  if (ask == Ask::waiting) waiting_.insert({when, &topic});
  if (ask == Ask::asked) asked_.insert({when, &topic});
}

// After any change of a topic: what it holds is counted, what is in order is offered, a hole is scheduled to
// be asked for at `when`.
template <class P>
void ReplayReader<P>::update(Topic& topic, TimePoint when, TimePoint now) {
  held_bytes_ += topic.cursor.held_bytes() - topic.counted_bytes;
  held_batches_ += topic.cursor.held() - topic.counted_batches;
  topic.counted_bytes = topic.cursor.held_bytes();
  topic.counted_batches = topic.cursor.held();
  if (topic.cursor.ready() && !topic.in_ready) {
    topic.in_ready = true;
    ready_.push_back(&topic);
  }
  if (!topic.cursor.has_hole()) {
    topic.hole = false;
    topic.back_off = options_.first_retry;
    if (topic.ask == Ask::waiting) ask_at(topic, Ask::idle, now);
    return;
  }
  if (!topic.hole) {
    topic.hole = true;
    topic.gives_up = TimePoint::max();  // begins with the first question
  }
  if (abandoned_) return skip(topic, topic.cursor.target() + 1, now);
  if (topic.ask == Ask::idle || (topic.ask == Ask::waiting && when < topic.when)) {
    ask_at(topic, Ask::waiting, when);
  }
}

template <class P>
void ReplayReader<P>::resume() {
  if (!paused_) return;
  paused_ = abandoned_ = false;
  for (auto& entry : topics_) entry.second.gives_up = TimePoint::max();
}

template <class P>
void ReplayReader<P>::pause() {
  paused_ = true;
  while (!asked_.empty()) ask_at(*asked_.begin()->second, Ask::waiting, TimePoint::min());
  sync_.asked = false;
  sync_.when = TimePoint::min();
  sync_.token = 0;
}

template <class P>
void ReplayReader<P>::abandon(TimePoint now) {
  abandoned_ = paused_ = true;
  sync_ = {};
  overrun_.clear();
  for (auto& entry : topics_) {
    Topic& topic = entry.second;
    // Where a topic began was not told: what is held begins it.
    if (!topic.cursor.placed()) {
      const auto holes = topic.cursor.holes(1);
      const bool began = topic.cursor.last() != 0 || holes.empty() || topic.cursor.held() == 0;
      topic.cursor.place(began ? topic.cursor.last() : holes.front().last);
    }
    update(topic, now, now);
  }
}

template <class P>
void ReplayReader<P>::subscribed(std::uint64_t mark, TimePoint now) {
  // After a reconnection, too, topics that are new to us began after the first time.
  if (!mark_) mark_ = mark;
  joined_ = false;
  begin_sync(true, now);
}

template <class P>
auto ReplayReader<P>::arrive(std::string_view name, std::uint64_t seq, std::uint64_t bytes, bool replayed,
                             TimePoint now) -> Arrival {
  if (seq == 0 || !sane(seq)) return {};
  Topic* topic = find_or_add(name);
  if (!topic) return {.verdict = Verdict::no_topic};
  const auto verdict = topic->cursor.arrive(seq);
  if (verdict == TopicCursor<P>::Verdict::duplicate) return {};
  if (replayed) {
    ++counts_.replayed;
    ++topic->replays;
  }
  const bool was_hole = topic->hole;
  if (verdict == TopicCursor<P>::Verdict::next) {
    topic->gives_up = TimePoint::max();
    update(*topic, now, now);
    if (was_hole && replayed && !topic->hole) ++counts_.filled;
    return {.verdict = Verdict::next, .reset = take_reset(*topic)};
  }
  update(*topic, now, now);
  const bool room = held_bytes_ + bytes <= options_.hold_bytes && held_batches_ < options_.hold_batches;
  return {.verdict = room ? Verdict::held : Verdict::no_room};
}

template <class P>
void ReplayReader<P>::hold(std::string_view name, std::uint64_t seq, std::uint64_t bytes, P payload,
                           TimePoint now) {
  Topic* topic = find(name);
  if (!topic) return;
  topic->cursor.hold(seq, bytes, std::move(payload));
  update(*topic, now, now);
}

template <class P>
auto ReplayReader<P>::next(TimePoint now) -> std::optional<Ready> {
  while (!ready_.empty()) {
    Topic& topic = *ready_.front();
    if (!topic.cursor.ready()) {
      topic.in_ready = false;
      ready_.pop_front();
      update(topic, now, now);
      continue;
    }
    P payload = topic.cursor.take_held().first;
    Ready ready{*topic.name, topic.cursor.last(), take_reset(topic), std::move(payload)};
    topic.gives_up = TimePoint::max();
    update(topic, now, now);
    return ready;
  }
  return std::nullopt;
}

template <class P>
void ReplayReader<P>::announce(std::string_view name, std::uint64_t seq, bool in_band, TimePoint now) {
  if (seq == 0 || !sane(seq)) return;
  // Before the join is answered nobody knows where an unknown topic begins: its answer will say.
  Topic* topic = joined_ || sync_.asked ? find_or_add(name) : find(name);
  if (!topic || seq <= topic->cursor.target()) return;
  topic->cursor.announce(seq);
  update(*topic, in_band ? now : now + options_.grace, now);
}

template <class P>
void ReplayReader<P>::fetch_answered(std::uint32_t number, std::string_view name, std::uint64_t last,
                                     std::uint64_t first_retained, bool gone, TimePoint now) {
  Topic* topic = find(name);
  if (!topic || topic->ask != Ask::asked || topic->number != number || !sane(first_retained)) return;
  const bool progress = topic->replays != 0 || topic->cursor.last() != topic->asked_behind;
  const bool more = topic->cursor.has_hole();
  ask_at(*topic, Ask::idle, now);
  if (sane(last)) topic->cursor.announce(last);
  if (gone) return overrun(*topic, first_retained, now);
  if (more && !progress) topic->back_off = doubled(topic->back_off);
  // What is known from this answer alone may be on its way as live data.
  update(*topic, !more ? now + options_.grace : progress ? now : now + topic->back_off, now);
}

// A range is gone.
template <class P>
void ReplayReader<P>::overrun(Topic& topic, std::uint64_t first_retained, TimePoint now) {
  if (!topic.cursor.has_hole()) return;
  topic.first_retained = first_retained;
  if (!options_.snapshots) return skip(topic, first_retained, now);
  topic.overrun = true;
  topic.cursor.unplace();
  update(topic, now, now);
  if (!sync_.active || !sync_.full) overrun_.push_back(&topic);
}

template <class P>
void ReplayReader<P>::skip(Topic& topic, std::uint64_t first_retained, TimePoint now) {
  const std::uint64_t missed = topic.cursor.skip_to(first_retained);
  if (missed != 0 && !(topic.fresh && options_.from_oldest)) {
    counts_.missed += missed;
    topic.reset = true;
  }
  topic.hole = false;
  if (missed == 0) topic.back_off = doubled(topic.back_off);  // it contradicts itself
  update(topic, missed != 0 ? now : now + topic.back_off, now);
}

template <class P>
ReplayStep ReplayReader<P>::tick(TimePoint now) {
  ReplayStep step;
  if (paused_) return step;
  if (sync_.active && sync_.asked && now >= sync_.when) {  // no answer: from its beginning
    sync_.asked = false;
    sync_.token = 0;
    sync_.back_off = doubled(sync_.back_off);
  }
  if (!sync_.active && joined_ && !overrun_.empty()) begin_sync(false, now);
  if (sync_.active && !sync_.asked && now >= sync_.when && mark_) {
    sync_.asked = true;
    sync_.number = next_number_++;
    sync_.when = now + sync_.back_off;
    step.join.emplace();
    step.join->number = sync_.number;
    step.join->mark = sync_.full ? *mark_ : UINT64_MAX;  // a replacement is as of now
    step.join->token = sync_.token;
    step.join->snapshots = options_.snapshots && (!sync_.full || !options_.start || options_.restarted);
    for (const Topic* topic : sync_.topics) step.join->topics.push_back(*topic->name);
  }
  while (!asked_.empty() && asked_.begin()->first <= now) {
    Topic& topic = *asked_.begin()->second;
    topic.back_off = doubled(topic.back_off);
    ask_at(topic, Ask::waiting, now);
    update(topic, now, now);
  }
  while (!waiting_.empty() && waiting_.begin()->first <= now && asked_.size() < options_.fetches) {
    Topic& topic = *waiting_.begin()->second;
    if (now >= topic.gives_up) {
      ask_at(topic, Ask::idle, now);
      overrun(topic, topic.cursor.holes(1).front().last + 1, now);
      continue;
    }
    if (topic.gives_up == TimePoint::max()) topic.gives_up = now + options_.give_up;
    ask_at(topic, Ask::asked, now + topic.back_off);
    topic.number = next_number_++;
    topic.replays = 0;
    topic.asked_behind = topic.cursor.last();
    step.fetches.push_back({topic.number, *topic.name, topic.cursor.holes(kFetchRanges)});
  }
  return step;
}

template <class P>
TimePoint ReplayReader<P>::next_tick() const {
  TimePoint when = TimePoint::max();
  if (paused_) return when;
  if (sync_.active) when = std::min(when, sync_.when);
  if (!sync_.active && joined_ && !overrun_.empty()) when = TimePoint::min();
  if (!asked_.empty()) when = std::min(when, asked_.begin()->first);
  if (!waiting_.empty() && asked_.size() < options_.fetches) when = std::min(when, waiting_.begin()->first);
  return when;
}

}  // namespace weft::protocol
