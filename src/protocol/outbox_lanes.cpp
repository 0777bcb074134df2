// The lanes of an Outbox: what is on its way to each receiver, and what has to be sent again.
#include <algorithm>

#include <weft/protocol/outbox.hpp>

namespace weft::protocol {
namespace {

bool within(const AckView::Range* ranges, std::size_t count, std::uint64_t seq) {
  for (std::size_t i = 0; i < count; ++i) {
    if (seq >= ranges[i].first && seq <= ranges[i].last) return true;
  }
  return false;
}

}  // namespace

bool OutboxLane::admits(std::uint64_t bytes) const {
  if (credit_.batches == 0) return false;
  if (count_ == 0) return true;
  return count_ < credit_.batches && bytes_ + bytes <= credit_.bytes;
}

std::uint64_t OutboxLane::room() const {
  if (count_ >= credit_.batches) return 0;
  return bytes_ >= credit_.bytes ? 0 : credit_.bytes - bytes_;
}

std::uint32_t Outbox::lane(std::string_view receiver) {
  const auto [found, fresh] =
      by_name_.try_emplace(std::string(receiver), static_cast<std::uint32_t>(lanes_.size() + 1));
  if (fresh) {
    lanes_.push_back(std::make_unique<OutboxLane>());
    lanes_.back()->receiver_ = receiver;
    lanes_.back()->hash_ = name_hash(receiver);
  }
  return found->second;
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
  entries_[entry.id] = entry;
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
  if (lane.flights_.empty() && next > lane.base_) lane.base_ = lane.cursor_ = next;
  while (lane.next() < next) {
    Flight settled;
    settled.done = settled.sent = true;
    lane.flights_.push_back(settled);
  }
  lane.last_sent_ = std::max(lane.last_sent_, lane.next() - 1);
}

void Outbox::settle(OutboxLane& lane, Flight& flight) {
  flight.done = true;
  --lane.count_;
  lane.bytes_ -= flight.bytes;
  lane.records_ -= flight.records;
}

void Outbox::trim(OutboxLane& lane) {
  while (!lane.flights_.empty() && lane.flights_.front().done) {
    lane.flights_.pop_front();
    ++lane.base_;
  }
  lane.cursor_ = std::max(lane.cursor_, lane.base_);
  lane.again_.erase(lane.again_.begin(), lane.again_.lower_bound(lane.base_));
}

// Everything that the receiver has processed ends. True: something did.
bool Outbox::finish_processed(OutboxLane& lane, const AckView& view) {
  bool any = false;
  const auto finish = [&](std::uint64_t first, std::uint64_t last) {
    first = std::max(first, lane.base_);
    last = std::min(last, lane.next() - 1);
    for (std::uint64_t seq = first; seq <= last && seq != 0; ++seq) {
      Flight& flight = lane.flights_[seq - lane.base_];
      if (flight.done) continue;
      settle(lane, flight);
      end(flight.id, Fate::processed, lane.receiver_);
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
void Outbox::resend_all_unseen(OutboxLane& lane, const AckView& view, bool restarted) {
  for (std::uint64_t seq = lane.base_; seq < lane.next(); ++seq) {
    Flight& flight = lane.flights_[seq - lane.base_];
    const bool seen = seq <= view.seen && !within(view.missing, view.missing_count, seq);
    if (flight.done || seen) {
      if (flight.done && !seen && seq <= view.seen) lane.again_.insert(seq);
      continue;
    }
    if (restarted && flight.ever_sent) {
      OutboxEntry& entry = entries_.at(flight.id);
      redelivered_ += entry.records;
      // It has not been processed, as the receiver's journal says; its place stays empty.
      if (options_.max_attempts != 0 && entry.attempts >= options_.max_attempts) {
        settle(lane, flight);
        end(flight.id, Fate::dead_lettered, lane.receiver_);
        continue;
      }
      ++entry.attempts;
    }
    send_again(lane, seq, flight);
  }
  trim(lane);
}

// What the acknowledgement proves lost is sent again. True: something was.
bool Outbox::resend_lost(OutboxLane& lane, const AckView& view, std::optional<std::uint32_t> probe,
                         TimePoint now) {
  if (view.missing_count == 0 && !probe) return false;
  if (view.missing_count != 0 && view.missing[0].first < lane.base_) lane.skip_ = true;
  bool any = false;
  for (std::uint64_t seq = lane.base_; seq < lane.next(); ++seq) {
    Flight& flight = lane.flights_[seq - lane.base_];
    const bool hole = seq <= view.seen && within(view.missing, view.missing_count, seq);
    if (flight.done) {
      if (hole) lane.again_.insert(seq);
      continue;
    }
    if (!flight.sent || (seq <= view.seen && !hole)) continue;
    const bool asked_since = probe && flight.probe < *probe;
    const bool old_hole = hole && now - flight.sent_at >= options_.hole_age;
    if (!asked_since && !old_hole) continue;
    send_again(lane, seq, flight);
    any = true;
  }
  return any;
}

void Outbox::meet(std::uint32_t index, std::uint64_t receiver_epoch, const AckView& view, Credit credit,
                  TimePoint now) {
  OutboxLane& lane = at(index);
  const bool restarted = lane.met_ && receiver_epoch != lane.receiver_epoch_;
  // What the journal of the sender gave back may have been sent in its former life, or not.
  const bool first = !lane.met_;
  lane.met_ = true;
  lane.receiver_epoch_ = receiver_epoch;
  lane.credit_ = credit;
  lane.up_ = lane.usable_ = true;
  lane.progress_ = now;
  lane.silent_probes_ = 0;
  lane.skip_ = false;
  (void)finish_processed(lane, view);
  if (restarted && options_.delivery == Delivery::at_least_once) {
    free_flights(lane, false);
  } else {
    lane.cursor_ = std::max(lane.cursor_, lane.base_);
    resend_all_unseen(lane, view, restarted && !first);
  }
}

void Outbox::cut(std::uint32_t index) {
  OutboxLane& lane = at(index);
  lane.up_ = lane.usable_ = false;
}

void Outbox::give_up(std::uint32_t index) {
  cut(index);
  if (options_.delivery == Delivery::at_least_once) free_flights(at(index), true);
}

// Takes everything back that is on its way; the numbers are not used again.
void Outbox::free_flights(OutboxLane& lane, bool gone) {
  const std::deque<Flight> flights = std::exchange(lane.flights_, {});
  lane.base_ += flights.size();
  lane.cursor_ = lane.base_;
  lane.again_.clear();
  lane.count_ = lane.bytes_ = lane.records_ = 0;
  lane.last_sent_ = std::max(lane.last_sent_, lane.base_ - 1);
  for (const Flight& flight : flights) {
    if (!flight.done) release(lane, flight, gone);
  }
  if (!gone || options_.distribute != Distribute::hash) return;
  while (!lane.bound_.empty()) end(lane.bound_.begin()->second, Fate::orphaned, lane.receiver_);
  for (std::uint64_t id : std::vector<std::uint64_t>(waiting_.begin(), waiting_.end())) {
    const auto& entry = entries_.at(id);
    if (entry.lane != 0 && &at(entry.lane) == &lane) end(id, Fate::orphaned, lane.receiver_);
  }
}

void Outbox::release(OutboxLane& lane, const Flight& flight, bool gone) {
  OutboxEntry& entry = entries_.at(flight.id);
  if (flight.ever_sent) {
    redelivered_ += entry.records;
  } else {
    --entry.attempts;
  }
  if (options_.max_attempts != 0 && entry.attempts >= options_.max_attempts) {
    end(flight.id, Fate::dead_lettered, lane.receiver_);
  } else if (gone && options_.distribute == Distribute::hash) {
    end(flight.id, Fate::orphaned, lane.receiver_);
  } else {
    wait(entry);
  }
}

Outbox::Ack Outbox::acknowledge(std::uint32_t index, const AckView& view, std::optional<Credit> credit,
                                std::optional<std::uint32_t> probe, TimePoint now) {
  OutboxLane& lane = at(index);
  const std::uint64_t most =
      view.processed_count == 0 ? view.seq : view.processed[view.processed_count - 1].last;
  if (most > lane.last_sent_) return Ack::beyond;
  if (credit) lane.credit_ = *credit;
  const bool progress = finish_processed(lane, view);
  const bool lost = resend_lost(lane, view, probe, now);
  if (progress || lost) {
    lane.silent_probes_ = 0;
    lane.progress_ = now;
  }
  return Ack::ok;
}

std::optional<OutboxEntry> Outbox::reject(std::uint32_t index, std::uint64_t seq) {
  OutboxLane& lane = at(index);
  Flight* flight = lane.flight(seq);
  if (!flight || flight->done || !flight->ever_sent) return std::nullopt;
  const auto found = entries_.find(flight->id);
  OutboxEntry entry = found->second;
  bytes_ -= entry.bytes;
  records_ -= entry.records;
  entries_.erase(found);
  settle(lane, *flight);
  trim(lane);
  return entry;
}

void Outbox::gate(std::uint32_t index, std::uint64_t seq, std::uint64_t number) {
  if (Flight* flight = at(index).flight(seq)) flight->gate = number;
}

std::optional<Outbox::Departure> Outbox::departure(std::uint32_t index) {
  OutboxLane& lane = at(index);
  if (!lane.up_) return std::nullopt;
  if (lane.skip_) return Departure{0, lane.base_ - 1, true};
  while (!lane.again_.empty()) {
    const std::uint64_t seq = *lane.again_.begin();
    const Flight* flight = lane.flight(seq);
    if (flight && (flight->done || !flight->sent)) return Departure{flight->done ? 0 : flight->id, seq, true};
    lane.again_.erase(lane.again_.begin());
  }
  for (; lane.cursor_ < lane.next(); ++lane.cursor_) {
    const Flight& flight = lane.flights_[lane.cursor_ - lane.base_];
    if (flight.done || flight.sent) continue;
    if (flight.gate > durable_) return std::nullopt;
    return Departure{flight.id, lane.cursor_, flight.ever_sent};
  }
  return std::nullopt;
}

void Outbox::departed(std::uint32_t index, std::uint64_t seq, TimePoint now) {
  OutboxLane& lane = at(index);
  if (lane.skip_ && seq + 1 == lane.base_) {
    lane.skip_ = false;
    return;
  }
  lane.again_.erase(seq);
  Flight* flight = lane.flight(seq);
  if (!flight || flight->done) return;
  if (flight->ever_sent) ++retransmitted_;
  flight->sent = flight->ever_sent = true;
  flight->sent_at = now;
  flight->probe = lane.probe_;
  lane.last_sent_ = std::max(lane.last_sent_, seq);
  lane.progress_ = now;
}

}  // namespace weft::protocol
