// The queue of an Outbox: what waits, in which order it leaves, and how it ends.
#include <weft/protocol/outbox.hpp>

#include <algorithm>
#include <cmath>

namespace weft::protocol {
namespace {

// Batches of each lower class that one class more overtakes.
constexpr std::int64_t kOvertakes = 1024;

OutboxRank rank(const OutboxEntry& entry) {
  return {static_cast<std::int64_t>(entry.order) - kOvertakes * entry.priority, entry.order, entry.part,
          entry.id};
}

// So many of its records go first where the whole is too large. 0: it is one record.
std::uint32_t halved(const OutboxEntry& entry) {
  return entry.records <= 1 ? 0 : (entry.records + 1) / 2;
}

}  // namespace

std::string_view to_string(Fate fate) {
  switch (fate) {
    case Fate::processed:
      return "processed";
    case Fate::expired:
      return "expired";
    case Fate::dead_lettered:
      return "dead-lettered";
    case Fate::dropped:
      return "dropped";
    case Fate::orphaned:
      return "orphaned";
    case Fate::too_large:
      return "too large";
  }
  return "unknown";
}

std::uint64_t Outbox::accept(OutboxEntry entry) {
  if (entry.id == 0) entry.id = next_id_;
  next_id_ = std::max(next_id_, entry.id + 1);
  if (entry.order == 0) entry.order = entry.id;
  bytes_ += entry.bytes;
  records_ += entry.records;
  entries_[entry.id] = entry;
  wait(entry);
  return entry.id;
}

void Outbox::wait(const OutboxEntry& entry) {
  waiting_.insert(entry.id);
  waiting_records_ += entry.records;
  // Its time to live is that until its first receiver.
  if (entry.expires != TimePoint::max() && entry.attempts == 0) expiring_.emplace(entry.expires, entry.id);
  if (entry.not_before != TimePoint::min()) {
    delayed_.emplace(entry.not_before, entry.id);
  } else {
    line_up(entry);
  }
}

void Outbox::line_up(const OutboxEntry& entry) {
  if (entry.lane != 0) {
    at(entry.lane).bound_.insert(rank(entry));
    binding_.insert(entry.lane);
  } else {
    shared_.insert(rank(entry));
  }
}

void Outbox::unwait(const OutboxEntry& entry) {
  if (waiting_.erase(entry.id) == 0) return;
  waiting_records_ -= entry.records;
  if (entry.expires != TimePoint::max()) expiring_.erase({entry.expires, entry.id});
  if (entry.not_before != TimePoint::min()) delayed_.erase({entry.not_before, entry.id});
  if (entry.lane != 0) {
    at(entry.lane).bound_.erase(rank(entry));
    if (at(entry.lane).bound_.empty()) binding_.erase(entry.lane);
  } else {
    shared_.erase(rank(entry));
  }
}

void Outbox::end(std::uint64_t id, Fate fate, const std::string& receiver) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  unwait(found->second);
  bytes_ -= found->second.bytes;
  records_ -= found->second.records;
  done_.push_back({found->second, fate, receiver});
  entries_.erase(found);
}

bool Outbox::drop_oldest() {
  if (waiting_.empty()) return false;
  end(*waiting_.begin(), Fate::dropped, {});
  return true;
}

std::uint64_t Outbox::purge() {
  const std::uint64_t records = waiting_records_;
  while (drop_oldest()) {
  }
  return records;
}

std::vector<Outbox::Held> Outbox::oldest(std::size_t limit) const {
  std::vector<std::uint64_t> ids;
  ids.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) ids.push_back(id);
  const std::size_t count = std::min(limit, ids.size());
  std::ranges::partial_sort(ids, ids.begin() + static_cast<std::ptrdiff_t>(count));
  ids.resize(count);
  std::vector<Held> out;
  out.reserve(count);
  for (const std::uint64_t id : ids) out.push_back({entries_.at(id), {}});
  for (const auto& lane : lanes_) {
    for (const Flight& flight : lane->flights_) {
      if (flight.done) continue;
      const auto found = std::ranges::lower_bound(ids, flight.id);
      if (found != ids.end() && *found == flight.id) out[found - ids.begin()].receiver = lane->receiver();
    }
  }
  return out;
}

// Who gets a part of it needs credit for a part.
std::uint64_t Outbox::part_of(const OutboxLane& lane, const OutboxEntry& entry) {
  return lane.work_.active() ? entry.bytes / std::max(1U, entry.records) : entry.bytes;
}

std::optional<std::uint32_t> Outbox::choose(const OutboxEntry& entry) {
  candidates_.clear();
  receivers_ = 0;
  // By what they still have to do, where they tell; else by what they say that they would take.
  const bool told = std::ranges::any_of(lanes_, [](const auto& lane) { return lane->work_.active(); });
  for (const auto& lane : lanes_) {
    if (lane->usable_) ++receivers_;
    candidates_.push_back({.id = lane->hash_,
                           .ready = lane->takes(entry, alone(entry), part_of(*lane, entry)),
                           .room = told ? UINT64_MAX - lane->work_.load(lane->records_) : lane->room()});
  }
  round_.among(receivers_);
  const auto chosen = options_.distribute == Distribute::round_robin ? round_robin(candidates_, last_choice_)
                                                                     : most_room(candidates_, last_choice_);
  if (!chosen) return std::nullopt;
  last_choice_ = *chosen;
  return static_cast<std::uint32_t>(*chosen + 1);
}

// Each further attempt has the n-th root of its records left, so that the last one has one.
std::uint32_t Outbox::piece(const OutboxEntry& entry) const {
  if (!isolates() || entry.attempts == 0 || entry.records <= 1) return entry.records;
  const std::uint32_t left = options_.max_attempts - std::min(entry.attempts, options_.max_attempts - 1);
  if (left == 1) return 1;
  if (!entry.suspect) return entry.records;
  return static_cast<std::uint32_t>(std::ceil(std::pow(entry.records, 1.0 - 1.0 / left)));
}

// Nothing else is with the receiver then that it could die of.
bool Outbox::alone(const OutboxEntry& entry) const {
  return isolates() && (entry.suspect || entry.attempts + 1 >= options_.max_attempts);
}

// By those who can be given something: who is gone took larger frames in vain. A record of its own, which
// nothing makes smaller, waits for one that may come back.
bool Outbox::fits_nobody(const OutboxEntry& entry) const {
  if (entry.largest == 0) return false;
  bool any = false;
  for (const auto& lane : lanes_) {
    if (entry.lane != 0 && lane.get() != lanes_[entry.lane - 1].get()) continue;
    any = any || lane->usable_;
    const bool returns = entry.records == 1 && lane->met_ && !lane->up_ && !lane->given_up_;
    if ((lane->usable_ || returns) && lane->max_frame_ >= entry.largest) return false;
  }
  return any;
}

// Whoever takes such frames has no room now, and one that has room takes smaller ones: one that is full or
// stopped shall cost the others nothing.
bool Outbox::held_by_size(const OutboxEntry& entry) const {
  if (entry.records <= 1) return false;
  OutboxEntry small = entry;
  small.largest = 0;
  return std::ranges::any_of(lanes_, [&](const auto& lane) {
    return lane->max_frame_ < entry.largest && lane->takes(small, alone(entry), part_of(*lane, entry));
  });
}

// How many of its records may leave together. 0: not even one.
std::uint32_t Outbox::together(const OutboxEntry& entry) const {
  if (!fits_nobody(entry)) return std::min(entry.records, piece(entry));
  return halved(entry);
}

std::optional<Outbox::Assignment> Outbox::divide(const OutboxEntry& entry, std::uint32_t records) {
  if (records != 0) return Assignment{entry.id, entry.lane, 0, entry.attempts, records, true};
  end(entry.id, Fate::too_large, {});
  return std::nullopt;
}

Outbox::Assignment Outbox::place(OutboxEntry& entry, std::uint32_t index, TimePoint now) {
  unwait(entry);
  entry.not_before = TimePoint::min();
  OutboxLane& lane = at(index);
  lane.alone_ = alone(entry);
  ++entry.attempts;
  Flight flight;
  flight.id = entry.id;
  flight.bytes = entry.bytes;
  flight.records = entry.records;
  flight.gate = commit_;
  flight.report = lane.work_.asks(lane.records_ + entry.records, now);
  lane.work_.sent(entry.records, flight.report, now);
  lane.flights_.push_back(flight);
  if (lane.count_ == 0) {  // its silence so far was that of a lane at rest
    lane.progress_ = now;
    lane.silent_probes_ = 0;
  }
  ++lane.count_;
  lane.bytes_ += entry.bytes;
  lane.records_ += entry.records;
  return {entry.id, index, lane.next() - 1, entry.attempts};
}

Outbox::Assignment Outbox::place_or_split(OutboxEntry& entry, std::uint32_t index, TimePoint now) {
  const OutboxLane& lane = at(index);
  if (!lane.work_.active() || entry.records <= 1) return place(entry, index, now);
  const bool any = entry.lane == 0;
  std::uint64_t records = lane.work_.piece(lane.records_, any ? waiting_records_ : 0, any ? receivers_ : 0);
  // Credit in bytes may be enough for some of them.
  if (!lane.admits(entry.bytes) || (lane.count_ == 0 && entry.bytes > lane.room())) {
    records = std::min(records, lane.room() / (1 + entry.bytes / entry.records));
  }
  if (records >= entry.records) return place(entry, index, now);
  return {entry.id, index, 0, entry.attempts,
          static_cast<std::uint32_t>(std::max<std::uint64_t>(1, records))};
}

std::optional<OutboxEntry> Outbox::waiting(std::uint64_t id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !waiting_.contains(id)) return std::nullopt;
  return found->second;
}

std::vector<std::uint64_t> Outbox::split(std::uint64_t id, const std::vector<Part>& parts) {
  std::vector<std::uint64_t> ids;
  const auto found = entries_.find(id);
  if (found == entries_.end() || !waiting_.contains(id) || parts.size() < 2) return ids;
  OutboxEntry rest = found->second;
  unwait(rest);
  bytes_ -= rest.bytes;
  records_ -= rest.records;
  entries_.erase(found);
  for (const Part& part : parts) {
    const bool last = &part == &parts.back();
    OutboxEntry entry = rest;
    entry.id = last ? id : 0;
    entry.bytes = part.bytes;
    entry.records = part.records;
    entry.largest = part.largest != 0 ? part.largest : std::min(rest.largest, part.bytes);
    rest.part += part.records;
    const std::uint64_t accepted = accept(entry);
    if (!last) ids.push_back(accepted);
  }
  return ids;
}

// What is past its time to live ends, and what was delayed may leave.
void Outbox::wake(TimePoint now) {
  while (!expiring_.empty() && expiring_.begin()->first <= now) {
    end(expiring_.begin()->second, Fate::expired, {});
  }
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    OutboxEntry& entry = entries_.at(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    entry.not_before = TimePoint::min();
    line_up(entry);
  }
}

std::optional<Outbox::Assignment> Outbox::assign(TimePoint now) {
  wake(now);
  for (const std::uint32_t i : binding_) {
    OutboxLane& lane = at(i);
    if (!lane.usable_) continue;
    OutboxEntry& entry = entries_.at(lane.bound_.begin()->id);
    if (const auto some = together(entry); some != entry.records) return divide(entry, some);
    if (lane.takes(entry, alone(entry), part_of(lane, entry))) return place_or_split(entry, i, now);
  }
  if (shared_.empty()) return std::nullopt;
  OutboxEntry& entry = entries_.at(shared_.begin()->id);
  if (const auto some = together(entry); some != entry.records) return divide(entry, some);
  const std::size_t last = last_choice_;
  const auto lane = choose(entry);
  if (!lane) {
    if (!held_by_size(entry)) return std::nullopt;
    return divide(entry, halved(entry));
  }
  const Assignment given = place_or_split(entry, *lane, now);
  if (given.split != 0) last_choice_ = last;  // it is still its turn
  return given;
}

Duration Outbox::probe_after(const OutboxLane& lane) const {
  const auto doubled = options_.first_probe * (1LL << std::min(lane.silent_probes_, 20U));
  return std::min<Duration>(options_.last_probe, doubled);
}

Outbox::Tick Outbox::on_tick(TimePoint now) {
  Tick out;
  wake(now);
  for (std::uint32_t i = 1; i <= lanes_.size(); ++i) {
    OutboxLane& lane = at(i);
    if (!lane.up_ || lane.count_ == 0 || now - lane.progress_ < probe_after(lane)) continue;
    ++lane.silent_probes_;
    ++lane.probe_;
    lane.progress_ = now;
    out.probe.push_back(i);
  }
  return out;
}

TimePoint Outbox::next_tick() const {
  TimePoint next = TimePoint::max();
  if (!expiring_.empty()) next = expiring_.begin()->first;
  if (!delayed_.empty()) next = std::min(next, delayed_.begin()->first);
  for (const auto& lane : lanes_) {
    if (lane->up_ && lane->count_ != 0) next = std::min(next, lane->progress_ + probe_after(*lane));
  }
  return next;
}

}  // namespace weft::protocol
