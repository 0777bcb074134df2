// What becomes of the parcels of an acknowledging Push: counted, told, buried, and kept in its journal.
#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>

#include "blocks/defaults.hpp"
#include "blocks/push_reliable.hpp"

namespace weft::blocks {
namespace {

RecordFate fate_of(protocol::Fate fate) {
  switch (fate) {
    case protocol::Fate::processed:
      return RecordFate::processed;
    case protocol::Fate::expired:
      return RecordFate::expired;
    case protocol::Fate::dead_lettered:
      return RecordFate::dead_lettered;
    default:
      return RecordFate::dropped;
  }
}

}  // namespace

std::uint64_t journaled_epoch(Journal& journal, const std::string& port, std::uint64_t fresh) {
  const std::string space = "port/" + port;
  if (const auto kept = journal.read(space, as_bytes("epoch"))) {
    if (const auto epoch = number_of(*kept)) return *epoch;
  }
  journal.change().put(space, as_bytes("epoch"), NumberKey(fresh).view());
  (void)journal.submit();
  return fresh;
}

// ---- journal ----

// What was not settled when the former life of this port ended: waiting, or on its way.
void ReliablePush::load() {
  struct Placed {
    ParcelPlace place;
    protocol::OutboxEntry entry;
  };
  std::vector<Placed> placed;
  const auto entry_of = [](std::uint64_t id, const Parcel& parcel) {
    return protocol::OutboxEntry{.id = id,
                                 .order = parcel.order,
                                 .part = parcel.part,
                                 .bytes = parcel.bytes,
                                 .records = parcel.count,
                                 .priority = parcel.kind.priority,
                                 .largest = largest_frame(parcel.body.view(), parcel.tensors)};
  };
  const std::uint64_t wall = wall_micros();
  const TimePoint now = Clock::now();  // of the same moment
  outbox_.durable(journal_->durable());
  outbox_.committing(journal_->next());
  journal_->for_each(entries_space_, [&](Bytes key, Bytes value) {
    const auto id = number_of(key);
    auto parcel = decode_parcel(value);
    if (!id || !parcel) {
      options_.log.error(format("{}: an entry of journal {} cannot be read and is left out", hub_.stream(),
                                journal_->path()));
      return;
    }
    protocol::OutboxEntry entry = entry_of(*id, *parcel);
    if (!parcel->bound.empty()) entry.lane = outbox_.lane(parcel->bound);
    const auto left = [&](Duration span) {
      const auto until =
          std::chrono::microseconds(parcel->accepted_micros) + span - std::chrono::microseconds(wall);
      return now + std::chrono::duration_cast<Duration>(until);
    };
    if (parcel->kind.ttl != Duration::zero()) entry.expires = left(parcel->kind.ttl);
    if (parcel->kind.delay != Duration::zero()) entry.not_before = left(parcel->kind.delay);
    if (const auto past = journal_->read(past_space_, key)) {
      if (const auto known = decode_past(*past)) {
        parcel->has_past = true;
        entry.attempts = known->attempts;
        entry.order = known->order;
        entry.part = known->part;
        entry.suspect = known->suspect;
        entry.not_before = TimePoint::min();  // of its first delay
        if (known->not_before > wall) {
          entry.not_before = now + std::chrono::microseconds(known->not_before - wall);
        }
      }
    }
    if (const auto at = journal_->read(places_space_, key)) {
      if (auto place = decode_place(*at)) {
        entry.attempts = place->attempts;
        entry.not_before = TimePoint::min();
        placed.push_back({std::move(*place), entry});
      }
    } else {
      outbox_.accept(entry);
    }
    parcels_.emplace(*id, std::move(*parcel));
  });
  std::ranges::sort(placed, {}, [](const Placed& p) { return p.place.seq; });
  for (const Placed& p : placed) outbox_.restore(p.entry, outbox_.lane(p.place.receiver), p.place.seq);
  journal_->for_each(next_space_, [&](Bytes key, Bytes value) {
    if (const auto next = number_of(value)) outbox_.restore_next(outbox_.lane(as_text(key)), *next);
  });
  if (const auto total = journal_->read(info_space_, as_bytes("accepted"))) {
    accepted_total_ = durable_total_ = number_of(*total).value_or(0);
  }
  // Exactly-once, and keys, stay with the receiver that they were given to.
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    state(lane).given_up = false;
    state(lane).removed = true;  // until it is met
    if (options_.delivery == Delivery::exactly_once) continue;
    state(lane).give_up_at = hub_.loop().now() + options_.dead_after;
    plan(state(lane).give_up_at);
  }
}

void ReliablePush::journal_put(std::uint64_t id, const Parcel& parcel) {
  if (!journal_.on()) return;
  head_.clear();
  encode_parcel_head(parcel, head_);
  std::vector<Bytes> parts{head_.view(), parcel.body.view()};
  for (const Tensor& tensor : parcel.tensors) parts.push_back(tensor.data);
  journal_->change().put(entries_space_, NumberKey(id).view(), parts);
  last_commit_ = journal_->next();
}

void ReliablePush::journal_erase(std::uint64_t id, const Parcel& parcel) {
  if (!journal_.on()) return;
  if (parcel.has_past) journal_->change().erase(past_space_, NumberKey(id).view());
  journal_->change().erase(entries_space_, NumberKey(id).view());
  journal_->change().erase(places_space_, NumberKey(id).view());
}

void ReliablePush::submit() {
  if (!journal_.on() || journal_->change().empty()) return;
  refused_ = journal_->submit() != CommitStatus::ok;
}

bool ReliablePush::durable() const {
  return !journal_.on() || journal_->durable() >= last_commit_;
}

// ---- acceptance ----

SendStatus ReliablePush::room(std::uint64_t open_bytes, std::uint64_t open_records) const {
  if (journal_.on()) {
    if (journal_->failure()) return SendStatus::failed;
    if (refused_ || journal_->no_space()) return SendStatus::no_space;
  }
  // What a transaction has sent so far goes out when it ends, so it cannot make room by waiting.
  if (outbox_.empty() && !staged_.empty()) return SendStatus::ok;
  // Dead letters that nobody takes yet are held here like all else.
  const std::uint64_t records = outbox_.records() + letter_records_ + staged_records_ + open_records;
  const std::uint64_t bytes =
      outbox_.bytes() + parcels_.size() * kParcelBytes + letter_bytes_ + staged_bytes_ + open_bytes;
  const bool records_full = options_.capacity_records != 0 && records >= options_.capacity_records;
  return records_full || bytes >= options_.capacity_bytes ? SendStatus::would_block : SendStatus::ok;
}

bool ReliablePush::drop_oldest() {
  if (!box().drop_oldest()) return false;
  settle_done();
  return true;
}

std::uint64_t ReliablePush::purge() {
  const std::uint64_t records = box().purge();
  settle_done();
  return records;
}

void ReliablePush::peek(std::size_t limit, const std::function<void(const HeldRecord&)>& show) const {
  const std::uint64_t now = wall_micros();
  for (const protocol::Outbox::Held& held : outbox_.oldest(limit)) {  // a batch has a record at least
    const Parcel& parcel = parcels_.at(held.entry.id);
    const std::uint64_t age = now - std::min(now, parcel.accepted_micros);
    for (wire::BatchReader records(parcel.body.view()); !records.done(); --limit) {
      if (limit == 0) return;
      show({.packed = records.next(),
            .receiver = held.receiver,
            .priority = parcel.kind.priority,
            .attempts = held.entry.attempts,
            .age = std::chrono::microseconds(age)});
    }
  }
}

bool ReliablePush::handed_over() const {
  if (outbox_.waiting_records() != 0) return false;
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    if (outbox_.at(lane).next() != outbox_.at(lane).last_sent() + 1) return false;
  }
  return true;
}

void ReliablePush::accept(wire::BatchBuilder::Batch batch, const BatchClass& kind, std::uint32_t lane,
                          std::vector<std::uint64_t> keys, std::vector<std::uint64_t> correlations) {
  Parcel parcel;
  // A small body would pin a large pooled block for as long as it waits for its acknowledgement: copy it.
  const bool copy = batch.body.size() * 4 < batch.body.capacity();
  parcel.body = copy ? transport::Frame(batch.body.view()) : transport::Frame(std::move(batch.body));
  parcel.tensors = std::move(batch.tensors);
  parcel.count = batch.count;
  parcel.bytes = batch.bytes;
  parcel.kind = kind;
  parcel.accepted_micros = wall_micros();
  parcel.keys = std::move(keys);
  parcel.correlations = std::move(correlations);
  if (lane != 0) parcel.bound = outbox_.at(lane).receiver();
  staged_bytes_ += parcel.bytes;
  staged_records_ += parcel.count;
  staged_.push_back({std::move(parcel), lane});
  if (!journal_.on() || !journal_->entered()) unstage();
}

void ReliablePush::unstage() {
  if (staged_.empty()) return;
  for (Staged& staged : std::exchange(staged_, {})) {
    accepted_total_ += staged.parcel.count;
    admit(std::move(staged.parcel), {.lane = staged.lane}, Duration::zero());
  }
  staged_bytes_ = staged_records_ = 0;
  if (journal_.on()) {
    journal_->change().put(info_space_, as_bytes("accepted"), NumberKey(accepted_total_).view());
    totals_.emplace_back(journal_->next(), accepted_total_);
  }
}

// Whoever was given what these records were made from will be given it again, and make them again.
void ReliablePush::drop_staged() {
  for (const Staged& staged : std::exchange(staged_, {})) {
    hub_.counts().dropped_records += staged.parcel.count;
    tell(staged.parcel, 0, staged.parcel.count, RecordFate::dropped);
  }
  staged_bytes_ = staged_records_ = 0;
}

void ReliablePush::admit(Parcel parcel, const protocol::OutboxEntry& past, Duration delay) {
  if (too_late(parcel)) return;
  protocol::OutboxEntry entry{.order = past.order,
                              .part = past.part,
                              .bytes = parcel.bytes,
                              .records = parcel.count,
                              .priority = parcel.kind.priority,
                              .attempts = past.attempts,
                              .lane = past.lane,
                              .largest = largest_frame(parcel.body.view(), parcel.tensors),
                              .suspect = past.suspect};
  const bool timed = parcel.kind.ttl != Duration::zero() || parcel.kind.delay != Duration::zero() ||
                     delay != Duration::zero();
  // Not the loop's time: who sends outside of it, or at the end of a long turn, counts from now.
  const TimePoint now = timed ? Clock::now() : TimePoint();
  if (parcel.kind.ttl != Duration::zero()) {
    const auto age = std::chrono::microseconds(wall_micros() - parcel.accepted_micros);
    entry.expires = now + parcel.kind.ttl - age;
  }
  if (past.attempts == 0 && past.order == 0) delay = parcel.kind.delay;
  if (delay != Duration::zero()) entry.not_before = now + delay;
  const std::uint64_t id = box().accept(entry);
  journal_put(id, parcel);
  if (past.attempts != 0 || past.order != 0) keep_past(id, parcel, delay);
  parcels_.emplace(id, std::move(parcel));
}

// A restart of this end does not change what a record has behind it.
void ReliablePush::keep_past(std::uint64_t id, Parcel& parcel, Duration delay) {
  const protocol::OutboxEntry* const entry = outbox_.entry(id);
  if (!journal_.on() || !entry) return;
  parcel.has_past = true;
  head_.clear();
  const std::uint64_t not_before =
      delay == Duration::zero()
          ? 0
          : wall_micros() + static_cast<std::uint64_t>(
                                std::chrono::duration_cast<std::chrono::microseconds>(delay).count());
  encode_past({entry->attempts, entry->order, entry->part, entry->suspect, not_before}, head_);
  journal_->change().put(past_space_, NumberKey(id).view(), head_.view());
}

// ---- fates ----

void ReliablePush::settle_done() {
  forget_places();
  for (;;) {
    const auto done = outbox_.take_done();
    if (done.empty()) break;
    for (const auto& one : done) finish(one);
  }
  submit();
  CallAll all;
  all.call([this] { hand_over_letters(); });
  // A journal tells by a call of its own: here this may be inside another port's commit.
  if (!journal_.on()) all.call([this] { tell_ended(); });
  all.rethrow();
}

void ReliablePush::finish(const protocol::Outbox::Done& done) {
  const auto found = parcels_.find(done.entry.id);
  if (found == parcels_.end()) return;
  Parcel parcel = std::move(found->second);
  parcels_.erase(found);
  PortStats& counts = hub_.counts();
  switch (done.fate) {
    case protocol::Fate::orphaned:
      return split_by_owner(parcel, done.entry);
    case protocol::Fate::too_large:
      journal_erase(done.entry.id, parcel);
      return bury(std::move(parcel), done.entry.attempts, "too_large", node_of(done.receiver));
    case protocol::Fate::processed:
      counts.processed_records += parcel.count;
      break;
    case protocol::Fate::dropped:
      counts.dropped_records += parcel.count;
      break;
    case protocol::Fate::expired:
      if (dead_letter) {
        journal_erase(done.entry.id, parcel);
        return bury(std::move(parcel), done.entry.attempts, "expired", node_of(done.receiver));
      }
      counts.expired_records += parcel.count;
      break;
    case protocol::Fate::dead_lettered:
      journal_erase(done.entry.id, parcel);
      return bury(std::move(parcel), done.entry.attempts, "max-attempts", node_of(done.receiver));
  }
  journal_erase(done.entry.id, parcel);
  tell(parcel, 0, parcel.count, fate_of(done.fate));
}

// Behind the call that ends it, when all that has ended with it is counted. With a journal the news waits
// until it is durable: after a crash the records would have another fate.
void ReliablePush::tell(const Parcel& parcel, std::uint32_t first, std::uint32_t count, RecordFate fate) {
  if (!outcome || parcel.correlations.empty()) return;
  const std::uint64_t commit = journal_.on() ? journal_->next() : 0;
  for (std::uint32_t i = first; i < first + count; ++i) {
    if (parcel.correlations[i] != 0) ended_.push_back({commit, parcel.correlations[i], fate});
  }
}

void ReliablePush::tell_ended() {
  // A handler that sends may come here again, once for each record that it sends: what has ended is told
  // behind it.
  if (telling_.depth == kMostTelling) return;
  const InCall deeper(telling_);
  const std::uint64_t durable = journal_.on() ? journal_->durable() : 0;
  for (; !totals_.empty() && totals_.front().first <= durable; totals_.pop_front()) {
    durable_total_ = totals_.front().second;
  }
  CallAll all;
  while (!ended_.empty() && ended_.front().commit <= durable) {
    const Ended news = ended_.front();
    ended_.pop_front();
    if (outcome) all.call([&] { outcome(news.correlation, news.fate); });
  }
  all.rethrow();
}

// What lost its place waits for another one: the journal forgets the old one first.
void ReliablePush::forget_places() {
  for (const std::uint64_t id : outbox_.take_released()) {
    if (!journal_.on()) continue;
    journal_->change().erase(places_space_, NumberKey(id).view());
    if (const auto parcel = parcels_.find(id); parcel != parcels_.end()) {
      keep_past(id, parcel->second, Duration::zero());
    }
  }
}

// The outbox, for a change that the journal's open commit makes durable.
protocol::Outbox& ReliablePush::box() {
  if (journal_.on()) outbox_.committing(journal_->next());
  return outbox_;
}

// So many records of a batch become one of their own, in its place of the queue and with what it has behind
// it. Where only room was wanting the rest becomes parts that grow, so that what is split again and again is
// copied a few times only.
void ReliablePush::split(const protocol::Outbox::Assignment& wanted) {
  const std::uint64_t id = wanted.id;
  const auto found = parcels_.find(id);
  Parcel whole = std::move(found->second);
  parcels_.erase(found);
  std::vector<Parcel> parcels;
  std::vector<protocol::Outbox::Part> parts;
  wire::BatchReader reader(whole.body.view());
  std::uint32_t records = 0;
  for (std::uint32_t first = 0; first < whole.count; first += records) {
    records = std::min(first == 0 || wanted.each ? wanted.split : first, whole.count - first);
    const Parcel& part = parcels.emplace_back(next_part(whole, reader, first, records));
    parts.push_back({part.bytes, part.count, largest_frame(part.body.view(), part.tensors)});
  }
  const std::vector<std::uint64_t> ids = box().split(id, parts);
  const std::uint64_t order = whole.order != 0 ? whole.order : id;
  std::uint32_t at = whole.part;
  for (std::size_t i = 0; i < parcels.size(); ++i) {
    Parcel& parcel = parcels[i];
    parcel.order = order;
    parcel.part = at;
    at += parcel.count;
    const std::uint64_t own = i < ids.size() ? ids[i] : id;
    journal_put(own, parcel);
    if (whole.has_past) keep_past(own, parcel, Duration::zero());
    parcels_.emplace(own, std::move(parcel));
  }
}

// Records `first` to `first + count` of a batch, which the reader comes to next.
Parcel ReliablePush::next_part(const Parcel& whole, wire::BatchReader& reader, std::uint32_t first,
                               std::uint32_t count) {
  wire::BatchBuilder builder(hub_.pool(), 256);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (whole.tensors.empty()) {
      builder.add_packed(reader.next());
    } else {
      add_forwarded(builder, wire::RecordView{reader.next(), whole.tensors});
    }
  }
  Parcel out = parcel_of(builder.take(), whole);
  const auto some = [&](const std::vector<std::uint64_t>& all) {
    const auto from = all.begin() + std::min<std::ptrdiff_t>(first, std::ssize(all));
    return std::vector<std::uint64_t>(from, from + std::min<std::ptrdiff_t>(count, all.end() - from));
  };
  out.keys = some(whole.keys);
  out.correlations = some(whole.correlations);
  return out;
}

// A batch of records of another one.
Parcel ReliablePush::parcel_of(wire::BatchBuilder::Batch batch, const Parcel& from) {
  Parcel out;
  out.body = transport::Frame(batch.body.view());
  out.tensors = std::move(batch.tensors);
  out.count = batch.count;
  out.bytes = batch.bytes;
  out.kind = from.kind;
  out.accepted_micros = from.accepted_micros;
  out.bound = from.bound;
  return out;
}

Parcel ReliablePush::take_records(const Parcel& parcel, const std::vector<std::uint32_t>& indexes) {
  Parcel out = parcel_of(select_records(hub_.pool(), parcel.body.view(), parcel.tensors, indexes), parcel);
  if (!parcel.keys.empty()) {
    for (const std::uint32_t i : indexes) out.keys.push_back(parcel.keys[i]);
  }
  if (!parcel.correlations.empty()) {
    for (const std::uint32_t i : indexes) out.correlations.push_back(parcel.correlations[i]);
  }
  return out;
}

// A receiver is known to the outbox by node and port.
std::string ReliablePush::node_of(const std::string& receiver) const {
  const auto lane = outbox_.find(receiver);
  if (lane && *lane <= lanes_.size() && !lanes_[*lane - 1].node.empty()) return lanes_[*lane - 1].node;
  const std::size_t slash = receiver.rfind('/');  // only a node's name has one
  return receiver.substr(0, receiver.find('.', slash == std::string::npos ? 0 : slash));
}

// The receiver of these keys is gone: each record goes on to the one that owns its key now, in order.
void ReliablePush::split_by_owner(const Parcel& parcel, const protocol::OutboxEntry& entry) {
  std::vector<std::pair<std::uint32_t, std::vector<std::uint32_t>>> parts;
  for (std::uint32_t i = 0; i < parcel.count; ++i) {
    const std::uint32_t owner = owner_of(i < parcel.keys.size() ? parcel.keys[i] : 0);
    auto part = std::ranges::find_if(parts, [&](const auto& p) { return p.first == owner; });
    if (part == parts.end()) part = parts.insert(parts.end(), {owner, {}});
    part->second.push_back(i);
  }
  for (const auto& [owner, indexes] : parts) {
    Parcel part = take_records(parcel, indexes);
    // Nobody is left: it waits for the one that it was for, until another one comes.
    const std::uint32_t lane = owner != 0 ? owner : entry.lane;
    part.bound = outbox_.at(lane).receiver();
    admit(std::move(part), {.attempts = entry.attempts, .lane = lane, .suspect = entry.suspect},
          Duration::zero());
  }
  journal_erase(entry.id, parcel);
}

void ReliablePush::fill(PortStats& stats) const {
  stats.retransmitted_batches = outbox_.retransmitted();
  stats.redelivered_records += outbox_.redelivered_records();
  if (dropped_all_) return;
  stats.queued_records += outbox_.waiting_records() + letter_records_ + staged_records_;
  stats.outstanding_records = outbox_.records() - outbox_.waiting_records();
  stats.queued_bytes += outbox_.bytes() + letter_bytes_;
}

}  // namespace weft::blocks
