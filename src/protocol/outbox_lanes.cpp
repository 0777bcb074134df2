// The lanes of an Outbox: what is on its way to each receiver, and what has to be sent again.
#include <algorithm>
#include <iterator>

#include <weft/protocol/outbox.hpp>

namespace weft::protocol {
namespace {

// Places that a lane may span, settled ones in their middle included: with the first one unprocessed for ever
// and all others processed, credit alone would bound nothing.
constexpr std::size_t kMostPlaces = 65'536;

bool within(const AckView::Range* ranges, std::size_t count, std::uint64_t seq) {
  for (std::size_t i = 0; i < count; ++i) {
    if (seq >= ranges[i].first && seq <= ranges[i].last) return true;
  }
  return false;
}

// The last place of which a receiver says anything.
std::uint64_t claimed(const AckView& view) {
  const std::uint64_t processed =
      view.processed_count == 0 ? view.seq : view.processed[view.processed_count - 1].last;
  return std::max({processed, view.seq, view.seen});
}
// No honest stream comes so far.
constexpr std::uint64_t kMostClaimed = UINT64_MAX / 2;

}  // namespace

bool OutboxLane::admits(std::uint64_t bytes) const {
  if (credit_.batches == 0) return false;
  if (count_ == 0) return true;
  if (flights_.size() >= kMostPlaces) return false;
  return count_ < credit_.batches && bytes_ + bytes <= credit_.bytes;
}

bool OutboxLane::takes(const OutboxEntry& entry, bool alone, std::uint64_t bytes) const {
  if (!usable_ || alone_ || entry.largest > max_frame_ || (alone && count_ != 0)) return false;
  return admits(bytes) && work_.room(records_) != 0;
}

std::uint64_t OutboxLane::room() const {
  if (count_ >= credit_.batches) return 0;
  return bytes_ >= credit_.bytes ? 0 : credit_.bytes - bytes_;
}

std::uint32_t Outbox::lane(std::string_view receiver) {
  const auto [found, fresh] = by_name_.try_emplace(std::string(receiver), 0);
  if (!fresh) return found->second;
  if (unused_.empty()) {
    lanes_.push_back(std::make_unique<OutboxLane>());
    found->second = static_cast<std::uint32_t>(lanes_.size());
  } else {
    found->second = unused_.back();
    unused_.pop_back();
  }
  at(found->second).receiver_ = receiver;
  at(found->second).hash_ = name_hash(receiver);
  return found->second;
}

bool Outbox::forget(std::uint32_t index) {
  OutboxLane& lane = at(index);
  if (lane.receiver_.empty()) return false;
  const bool delayed =
      std::ranges::any_of(delayed_, [&](const auto& one) { return entries_.at(one.second).lane == index; });
  // What has ended and was not taken yet may come back for this lane.
  if (lane.up_ || lane.count_ != 0 || !lane.bound_.empty() || delayed || any_done()) return false;
  if (unretained_.contains(&lane)) return false;
  by_name_.erase(lane.receiver_);
  lane = OutboxLane();
  unused_.push_back(index);
  return forgot_ = true;
}

// A receiver that was forgotten has more of its lane than this end knows of: the lane goes on behind that.
bool Outbox::remember(std::uint32_t index, const AckView& view) {
  const OutboxLane& lane = at(index);
  if (!forgot_ || lane.met_ || lane.last_sent_ != 0 || !lane.flights_.empty()) return false;
  const std::uint64_t last = claimed(view);
  if (last >= kMostClaimed) return false;
  restore_next(index, last + 1);
  return true;
}

std::optional<std::uint32_t> Outbox::find(std::string_view receiver) const {
  const auto found = by_name_.find(std::string(receiver));
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

void Outbox::restore(const OutboxEntry& entry, std::uint32_t index, std::uint64_t seq) {
  OutboxLane& lane = at(index);
  next_id_ = std::max(next_id_, entry.id + 1);
  bytes_ += entry.bytes;
  records_ += entry.records;
  OutboxEntry& kept = entries_[entry.id] = entry;
  if (kept.order == 0) kept.order = kept.id;
  restore_next(index, seq);
  // What is not there any more has been settled; the first one that is there is the first retained.
  Flight flight;
  flight.id = entry.id;
  flight.bytes = entry.bytes;
  flight.records = entry.records;
  flight.ever_sent = true;
  lane.flights_.push_back(flight);
  lane.last_sent_ = seq;
  ++lane.count_;
  lane.bytes_ += entry.bytes;
  lane.records_ += entry.records;
}

void Outbox::restore_next(std::uint32_t index, std::uint64_t next) {
  OutboxLane& lane = at(index);
  if (lane.flights_.empty() && next > lane.base_) lane.base_ = lane.cursor_ = lane.retained_ = next;
  while (lane.next() < next) {
    Flight settled;
    settled.done = settled.sent = settled.ever_sent = true;
    lane.flights_.push_back(settled);
  }
  lane.last_sent_ = std::max(lane.last_sent_, lane.next() - 1);
}

void Outbox::settle(OutboxLane& lane, Flight& flight) const {
  flight.done = true;
  flight.gate = commit_;
  --lane.count_;
  lane.bytes_ -= flight.bytes;
  lane.records_ -= flight.records;
  if (lane.count_ == 0) lane.alone_ = false;
}

void Outbox::trim(OutboxLane& lane) {
  std::uint64_t base = lane.base_;
  while (!lane.flights_.empty() && lane.flights_.front().done) {
    lane.flights_.pop_front();
    ++base;
  }
  advance(lane, base);
  lane.cursor_ = std::max(lane.cursor_, lane.base_);
  lane.again_.erase(lane.again_.begin(), lane.again_.lower_bound(lane.base_));
}

// The first place that matters moves on, and may be told once that is durable.
void Outbox::advance(OutboxLane& lane, std::uint64_t base) {
  if (base == lane.base_) return;
  lane.base_ = base;
  if (!lane.retaining_.empty() && lane.retaining_.back().first == commit_) lane.retaining_.pop_back();
  lane.retaining_.emplace_back(commit_, base);
  if (!refresh(lane)) unretained_.insert(&lane);
}

// True: nothing waits for a commit any more.
bool Outbox::refresh(OutboxLane& lane) const {
  while (!lane.retaining_.empty() && lane.retaining_.front().first <= durable_) {
    lane.retained_ = lane.retaining_.front().second;
    lane.retaining_.pop_front();
  }
  return lane.retaining_.empty();
}

void Outbox::durable(std::uint64_t number) {
  durable_ = number;
  for (auto lane = unretained_.begin(); lane != unretained_.end();)
    lane = refresh(**lane) ? unretained_.erase(lane) : std::next(lane);
}

void Outbox::skip(OutboxLane& lane) {
  lane.skip_ = true;
  lane.skip_to_ = lane.base_;
}

// Everything that the receiver has processed ends. True: something did.
bool Outbox::finish_processed(OutboxLane& lane, const AckView& view) {
  bool any = false;
  const auto finish = [&](std::uint64_t first, std::uint64_t last) {
    first = std::max(first, lane.base_);
    last = std::min({last, lane.next() - 1, lane.last_sent_});
    for (std::uint64_t seq = first; seq <= last && seq != 0; ++seq) {
      Flight& flight = lane.flights_[seq - lane.base_];
      if (flight.done) continue;
      settle(lane, flight);
      end(flight.id, Fate::processed, lane.receiver_);
      lane.again_.erase(seq);
      any = true;
    }
  };
  finish(lane.base_, view.seq);
  for (std::size_t i = 0; i < view.processed_count; ++i)
    finish(view.processed[i].first, view.processed[i].last);
  trim(lane);
  return any;
}

void Outbox::send_again(OutboxLane& lane, std::uint64_t seq, Flight& flight) {
  flight.sent = false;
  if (seq < lane.cursor_) lane.again_.insert(seq);
}

// After a HELLO: what the receiver has not got is sent again, whatever was on its way.
void Outbox::resend_all_unseen(OutboxLane& lane, const AckView& view, bool restarted, TimePoint now) {
  for (std::uint64_t seq = lane.base_; seq < lane.next(); ++seq) {
    Flight& flight = lane.flights_[seq - lane.base_];
    const bool seen = seq <= view.seen && !within(view.missing, view.missing_count, seq);
    if (seen) {
      // A sender that has read it back from its journal does not know yet that it was sent.
      if (!flight.sent) flight.sent_at = now;
      flight.sent = flight.ever_sent = true;
      continue;
    }
    if (flight.done) {
      lane.again_.insert(seq);
      continue;
    }
    if (OutboxEntry& entry = entries_.at(flight.id); entry.largest > lane.max_frame_) {
      settle(lane, flight);
      lane.again_.insert(seq);
      released_.push_back(entry.id);
      wait(entry);  // for one that takes it, or to be divided
      continue;
    }
    if (restarted && options_.max_attempts != 0) {
      lose(lane, seq, flight);
      continue;
    }
    if (restarted && flight.ever_sent) {
      OutboxEntry& entry = entries_.at(flight.id);
      redelivered_ += entry.records;
      ++entry.attempts;
    }
    send_again(lane, seq, flight);
  }
  trim(lane);
}

// Notes the latest departure that is known to have arrived. What was sent more than once says nothing: nobody
// knows which copy arrived.
void Outbox::see(OutboxLane& lane, const AckView& view) {
  const std::uint64_t end = std::min(lane.next(), view.seen + 1);
  for (std::uint64_t seq = lane.base_; seq < end; ++seq) {
    const Flight& flight = lane.flights_[seq - lane.base_];
    if (flight.sends != 1 || flight.order <= lane.seen_order_) continue;
    if (!within(view.missing, view.missing_count, seq)) lane.seen_order_ = flight.order;
  }
}

// The receiver misses what is not retained any more: it has to hear that nothing comes.
void Outbox::mention_skipped(OutboxLane& lane, const AckView& view) {
  const std::uint64_t missing = view.missing_count != 0 ? view.missing[0].first : view.seen + 1;
  if (missing < lane.base_) skip(lane);
}

// What was freed while the receiver was away may lie there still, and would be worked on beside a whole
// window that comes anew. Its HELLO could not say so where that was not durable yet, or was decided behind
// it: so it hears it before anything else.
void Outbox::mention_freed(OutboxLane& lane, const AckView& view) {
  if (view.seq + 1 < lane.base_) return skip(lane);
  mention_skipped(lane, view);
}

bool Outbox::claims_unsent(const OutboxLane& lane, const AckView& view) {
  return claimed(view) > lane.last_sent_;
}

// A connection keeps order, so a hole is a loss once something that left later has arrived: for what was sent
// once, the hole itself says so. (A hole that is very young may be the work of a network that reorders.)
bool Outbox::hole_is_loss(const OutboxLane& lane, const Flight& flight, TimePoint now) const {
  if (flight.sent_at == TimePoint::min()) return true;
  if (now - flight.sent_at < options_.hole_age) return false;
  return flight.sends <= 1 || flight.order < lane.seen_order_;
}

// What the acknowledgement proves lost is sent again. True: something was.
bool Outbox::resend_lost(OutboxLane& lane, const AckView& view, std::optional<std::uint32_t> probe,
                         TimePoint now) {
  if (view.missing_count == 0 && !probe) return false;
  if (view.missing_count != 0) mention_skipped(lane, view);
  bool any = false;
  for (std::uint64_t seq = lane.base_; seq < lane.next(); ++seq) {
    Flight& flight = lane.flights_[seq - lane.base_];
    const bool hole = seq <= view.seen && within(view.missing, view.missing_count, seq);
    if (!flight.sent || (seq <= view.seen && !hole)) continue;
    const bool asked_since = probe && flight.probe < *probe;
    if (!asked_since && !(hole && hole_is_loss(lane, flight, now))) continue;
    if (flight.done) {
      lane.again_.insert(seq);
    } else {
      send_again(lane, seq, flight);
    }
    any = true;
  }
  return any;
}

Outbox::Ack Outbox::meet(std::uint32_t index, std::uint64_t receiver_epoch, const AckView& view,
                         Credit credit, TimePoint now, std::uint64_t max_frame) {
  OutboxLane& lane = at(index);
  if (claims_unsent(lane, view) && !remember(index, view)) return Ack::beyond;
  const bool restarted = lane.met_ && receiver_epoch != lane.receiver_epoch_;
  if (lane.met_ && !restarted) break_off(lane, view);
  lane.met_ = true;
  lane.receiver_epoch_ = receiver_epoch;
  lane.credit_ = credit;
  lane.max_frame_ = max_frame;
  lane.up_ = lane.usable_ = true;
  lane.given_up_ = false;
  lane.progress_ = now;
  lane.silent_probes_ = 0;
  lane.skip_ = false;
  const auto met = std::ranges::count_if(lanes_, [](const auto& one) { return one->met_; });
  sharing_ = sharing_ || met > 1;
  for (const auto& one : lanes_) one->work_.share(sharing_);
  see(lane, view);
  (void)finish_processed(lane, view);
  if (restarted && options_.delivery == Delivery::at_least_once) {
    free_flights(lane, false);
  } else {
    lane.cursor_ = std::max(lane.cursor_, lane.base_);
    resend_all_unseen(lane, view, restarted, now);
  }
  mention_freed(lane, view);
  lane.work_.reset(lane.records_);
  lane.unseen_ = unseen(lane, view);
  return Ack::ok;
}

void Outbox::cut(std::uint32_t index) {
  OutboxLane& lane = at(index);
  lane.up_ = lane.usable_ = false;
}

void Outbox::give_up(std::uint32_t index) {
  cut(index);
  at(index).given_up_ = true;
  if (options_.delivery == Delivery::at_least_once) free_flights(at(index), true);
}

// Takes everything back that is on its way; the numbers are not used again.
void Outbox::free_flights(OutboxLane& lane, bool gone) {
  const std::deque<Flight> flights = std::exchange(lane.flights_, {});
  advance(lane, lane.base_ + flights.size());
  lane.cursor_ = lane.base_;
  lane.again_.clear();
  lane.count_ = lane.bytes_ = lane.records_ = lane.unseen_ = 0;
  lane.work_.reset(0);
  lane.alone_ = false;
  lane.last_sent_ = std::max(lane.last_sent_, lane.base_ - 1);
  for (const Flight& flight : flights) {
    if (!flight.done) release(lane, flight, gone);
  }
  if (!gone || options_.distribute != Distribute::hash) return;
  while (!lane.bound_.empty()) end(lane.bound_.begin()->id, Fate::orphaned, lane.receiver_);
  for (std::uint64_t id : std::vector<std::uint64_t>(waiting_.begin(), waiting_.end())) {
    const auto& entry = entries_.at(id);
    if (entry.lane != 0 && &at(entry.lane) == &lane) end(id, Fate::orphaned, lane.receiver_);
  }
}

void Outbox::release(OutboxLane& lane, const Flight& flight, bool gone) {
  OutboxEntry& entry = entries_.at(flight.id);
  if (flight.ever_sent) {
    redelivered_ += entry.records;
    entry.suspect = true;
  } else {
    --entry.attempts;
  }
  if (!give_back(entry, lane.receiver_)) return;
  if (gone && options_.distribute == Distribute::hash) {
    end(flight.id, Fate::orphaned, lane.receiver_);
  } else {
    released_.push_back(entry.id);
    wait(entry);
  }
}

// Exactly-once: its receiver has died, and has not processed it, as its journal says. The place stays empty.
void Outbox::lose(OutboxLane& lane, std::uint64_t seq, Flight& flight) {
  settle(lane, flight);
  lane.again_.insert(seq);
  OutboxEntry& entry = entries_.at(flight.id);
  if (flight.ever_sent) {
    redelivered_ += entry.records;
    entry.suspect = true;
  } else {
    --entry.attempts;  // it goes back to its place in the queue, behind those
  }
  if (!give_back(entry, lane.receiver_)) return;
  released_.push_back(entry.id);
  wait(entry);
}

// False: it was offered as often as it may be, and has ended.
bool Outbox::give_back(OutboxEntry& entry, const std::string& receiver) {
  if (options_.max_attempts == 0 || entry.attempts < options_.max_attempts) return true;
  // It was not alone, as one that was read from a journal: nobody knows yet which record it was.
  if (isolates() && entry.records > 1) {
    entry.attempts = options_.max_attempts - 1;
    return true;
  }
  end(entry.id, Fate::dead_lettered, receiver);
  return false;
}

Outbox::Ack Outbox::acknowledge(std::uint32_t index, const AckView& view, std::optional<Credit> credit,
                                std::optional<std::uint32_t> probe, TimePoint now) {
  OutboxLane& lane = at(index);
  if (claims_unsent(lane, view)) return Ack::beyond;
  if (credit) lane.credit_ = *credit;
  if (probe && *probe > lane.probe_) probe.reset();  // nobody asked that
  see(lane, view);
  const bool progress = finish_processed(lane, view);
  if (progress && lane.work_.active()) lane.work_.handled(lane.records_, now, &round_);
  const bool lost = resend_lost(lane, view, probe, now);
  see_burst(lane, view);
  if (progress || lost) {
    lane.silent_probes_ = 0;
    lane.progress_ = now;
  }
  return Ack::ok;
}

std::optional<OutboxEntry> Outbox::reject(std::uint32_t index, std::uint64_t seq, TimePoint now) {
  OutboxLane& lane = at(index);
  Flight* flight = lane.flight(seq);
  if (seq == 0 || seq >= lane.next() || (flight && !flight->ever_sent)) return std::nullopt;
  if (!flight) {
    skip(lane);
    return std::nullopt;
  }
  lane.again_.insert(seq);
  if (flight->done) return std::nullopt;
  const auto found = entries_.find(flight->id);
  OutboxEntry entry = found->second;
  bytes_ -= entry.bytes;
  records_ -= entry.records;
  entries_.erase(found);
  settle(lane, *flight);
  // A refusal is the report that was asked for: the receiver has had the batch in its hands.
  if (lane.work_.active()) lane.work_.handled(lane.records_, now, &round_);
  trim(lane);
  if (seq < lane.base_) skip(lane);
  return entry;
}

std::optional<Outbox::Departure> Outbox::departure(std::uint32_t index) {
  OutboxLane& lane = at(index);
  if (!lane.up_) return std::nullopt;
  if (lane.skip_ && lane.retained_ >= lane.skip_to_) return Departure{0, lane.retained_ - 1, true, false};
  for (auto next = lane.again_.begin(); next != lane.again_.end();) {
    const Flight* flight = lane.flight(*next);
    if (!flight || (flight->sent && !flight->done)) {
      next = lane.again_.erase(next);
      continue;
    }
    if (flight->gate <= durable_ && !holds_back(lane, *flight)) {
      return Departure{flight->done ? 0 : flight->id, *next, true, wants_word(lane, *flight)};
    }
    ++next;
  }
  for (; lane.cursor_ < lane.next(); ++lane.cursor_) {
    const Flight& flight = lane.flights_[lane.cursor_ - lane.base_];
    if (flight.done || flight.sent) continue;
    if (flight.gate > durable_ || holds_back(lane, flight)) return std::nullopt;
    return Departure{flight.id, lane.cursor_, flight.ever_sent, wants_word(lane, flight)};
  }
  return std::nullopt;
}

void Outbox::departed(std::uint32_t index, std::uint64_t seq, TimePoint now) {
  OutboxLane& lane = at(index);
  if (seq < lane.base_) {
    if (lane.skip_ && seq + 1 >= lane.skip_to_) lane.skip_ = false;
    return;
  }
  lane.again_.erase(seq);
  Flight* flight = lane.flight(seq);
  if (!flight) return;
  flight->sent_at = now;
  flight->probe = lane.probe_;
  flight->order = ++lane.departures_;
  ++flight->sends;
  if (flight->done) return;
  if (!flight->sent) lane.unseen_ += flight->bytes;
  if (flight->ever_sent) ++retransmitted_;
  flight->sent = flight->ever_sent = true;
  lane.last_sent_ = std::max(lane.last_sent_, seq);
  lane.progress_ = now;
}

}  // namespace weft::protocol
