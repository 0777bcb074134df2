#include "sim/sender.hpp"

#include <algorithm>
#include <tuple>

#include <weft/core/format.hpp>

namespace weft::sim {
namespace {

using namespace std::chrono_literals;
using protocol::Fate;
using protocol::Outbox;
using protocol::OutboxEntry;
using protocol::Session;

protocol::SessionOptions session_options(std::uint64_t seed) {
  return {.initiator = true, .heartbeat = 1s, .dead_after = 10s, .jitter_seed = seed};
}

}  // namespace

SimSender::SimSender(PushPullWorld& world, std::uint32_t index, std::uint64_t records)
    : SimProcess(world, index, format("sender/{}", index)), world_(world), records_(records) {
  if (world.options().sender_journal) journal_.emplace(world.options().seed * 1009 + index);
}

std::uint32_t SimSender::process_of(const Peer& peer) const {
  return world_.receiver(static_cast<std::uint32_t>(&peer - peers_.data()));
}

bool SimSender::at_rest() const {
  return made_ == records_ && !blocked_ && outbox_ && outbox_->empty() && unconfirmed_.empty() &&
         ended_.empty();
}

void SimSender::on_start() {
  const PushPullOptions& options = world_.options();
  outbox_.emplace(protocol::OutboxOptions{
      .delivery = options.delivery, .distribute = options.distribute, .max_attempts = options.max_attempts});
  if (options.bug != PlantedBug::forget_epoch || epoch_ == 0) epoch_ = world_.next_epoch();
  // Its clock is another one now.
  next_batch_ = clock();
  if (blocked_) {
    blocked_->not_before = TimePoint::min();
    if (options.ttl > Duration::zero()) blocked_->expires = clock() + options.ttl;
  }
  peers_.clear();
  peers_.resize(options.receivers);
  for (std::uint32_t i = 0; i < options.receivers; ++i)
    peers_[i].lane = outbox_->lane(world_.process(world_.receiver(i)).name());
  if (journal_) restore();
  for (Peer& peer : peers_) peer.session.emplace(session_options(world_.random().next()), clock());
  begin();
  for (Peer& peer : peers_) act(peer, peer.session->on_tick(clock()));
  finish();
}

void SimSender::restore() {
  journal_->open();
  outbox_->durable(journal_->store().durable());
  journal::Store& store = journal_->store();
  if (const auto epoch = store.read("meta", as_key("epoch"))) epoch_ = unpack_numbers(*epoch)[0];
  outbox_->committing(store.next());
  std::vector<std::tuple<std::uint32_t, std::uint64_t, OutboxEntry>> placed;
  store.for_each_from("entry", {}, [&](Bytes key, Bytes value) {
    const auto numbers = unpack_numbers(value);
    auto batch = std::make_shared<SimBatch>();
    batch->bytes = numbers[0];
    batch->key = numbers[1];
    batch->records.assign(numbers.begin() + 6, numbers.end());
    OutboxEntry entry{.id = unpack_numbers(key)[0],
                      .order = numbers[4],
                      .part = static_cast<std::uint32_t>(numbers[5]),
                      .bytes = batch->bytes,
                      .records = static_cast<std::uint32_t>(batch->records.size()),
                      .priority = static_cast<std::uint8_t>(numbers[2]),
                      .lane = static_cast<std::uint32_t>(numbers[3])};
    for (const RecordId record : batch->records) world_.oracle().ledger().accepted(record);
    batches_[entry.id] = std::move(batch);
    if (const auto past = store.read("past", key)) {
      const auto known = unpack_numbers(*past);
      entry.attempts = static_cast<std::uint32_t>(known[0]);
      entry.order = known[1];
      entry.suspect = known[2] != 0;
      entry.part = static_cast<std::uint32_t>(known[3]);
    }
    const auto place = store.read("place", key);
    if (place) {
      const auto at = unpack_numbers(*place);
      entry.attempts = static_cast<std::uint32_t>(at[2]);
      placed.emplace_back(static_cast<std::uint32_t>(at[0]), at[1], entry);
    } else {
      outbox_->accept(entry);
    }
    return true;
  });
  std::sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a)) < std::tie(std::get<0>(b), std::get<1>(b));
  });
  for (const auto& [lane, seq, entry] : placed) outbox_->restore(entry, lane, seq);
  store.for_each_from("next", {}, [&](Bytes key, Bytes value) {
    outbox_->restore_next(static_cast<std::uint32_t>(unpack_numbers(key)[0]), unpack_numbers(value)[0]);
    return true;
  });
  journal_->changes().put("meta", as_key("epoch"), pack_numbers({epoch_}));
  // What was about to end has ended when its commit survived.
  const auto mark = store.read("meta", as_key("mark"));
  const std::uint64_t survived = mark ? unpack_numbers(*mark)[0] : 0;
  for (const Ended& ended : std::exchange(ended_, {})) {
    if (ended.mark <= survived) tell_fate(*ended.batch, ended.fate);
  }
}

void SimSender::begin() {
  if (journal_) outbox_->committing(journal_->store().next());
}

// What was taken back loses its place in the journal before it may get another; then all goes in one commit.
void SimSender::finish() {
  end_batches();
  if (!up()) return;
  if (!refused_) produce();
  assign();
  if (journal_) {
    if (!journal_->changes().empty())
      journal_->changes().put("meta", as_key("mark"), pack_numbers({++marks_}));
    refused_ = !journal_->submit();
    if (journal_->store().waiting() && !flushing_) {
      flushing_ = true;
      flush_after(world_.random().between(100us, 2ms));
    }
  }
  const std::set<std::uint32_t> touched = std::exchange(touched_, {});
  for (const std::uint32_t lane : touched) depart(lane);
  // What waits for the journal is looked at again when that has moved.
  if (journal_ && journal_->store().durable() < journal_->store().submitted()) touched_ = touched;
}

void SimSender::on_flush() {
  flushing_ = false;
  if (world_.chance(world_.options().faults.full)) {
    world_.fault("disk full");
    journal_->disk().set_full(true);
  } else {
    journal_->disk().set_full(false);
  }
  begin();
  if (journal_->store().flush() == journal::Store::Flush::failed) {
    world_.crash(*this);
    return;
  }
  outbox_->durable(journal_->store().durable());
  tell_durable();
  finish();
}

void SimSender::tell_durable() {
  while (!unconfirmed_.empty() && unconfirmed_.front().first <= journal_->store().durable()) {
    record_fate(*unconfirmed_.front().second, &Ledger::accepted);
    unconfirmed_.pop_front();
  }
  while (!ended_.empty() && ended_.front().number <= journal_->store().durable()) {
    tell_fate(*ended_.front().batch, ended_.front().fate);
    ended_.pop_front();
  }
}

void SimSender::record_fate(const SimBatch& batch, void (Ledger::*fate)(RecordId)) {
  for (const RecordId record : batch.records) (world_.oracle().ledger().*fate)(record);
}

void SimSender::on_crash(bool power) {
  if (journal_) {
    journal_->crash(power);
  } else if (outbox_) {
    for (const auto& [id, batch] : batches_) world_.report().sender_lost += batch->records.size();
  }
  outbox_.reset();
  batches_.clear();
  unconfirmed_.clear();
  touched_.clear();
  flushing_ = refused_ = false;
}

// ---- the source ----

void SimSender::produce() {
  const PushPullOptions& options = world_.options();
  Random& random = world_.random();
  while (made_ < records_ || blocked_) {
    if (!blocked_) {
      if (clock() < next_batch_) return;
      next_batch_ = clock() + random.between(Duration::zero(), 2 * options.gap);
      auto batch = std::make_shared<SimBatch>();
      const std::uint64_t count = std::min(random.between(1, options.batch_records), records_ - made_);
      batch->bytes = count * options.record_bytes;
      batch->key = random.below(options.keys);
      for (std::uint64_t i = 0; i < count; ++i) batch->records.push_back(record_id(index_, made_++));
      record_fate(*batch, &Ledger::attempted);
      world_.progress();
      OutboxEntry entry{.bytes = batch->bytes, .records = static_cast<std::uint32_t>(count)};
      if (options.priorities) entry.priority = static_cast<std::uint8_t>(random.below(10));
      if (options.delay > Duration::zero() && random.chance(0.5))
        entry.not_before = clock() + random.between(Duration::zero(), options.delay);
      if (options.ttl > Duration::zero()) entry.expires = clock() + options.ttl;
      blocked_ = entry;
      blocked_batch_ = std::move(batch);
    }
    if (!make_room(blocked_->bytes)) return;
    if (blocked_) {
      blocked_->lane = lane_for(*blocked_batch_);
      accept(blocked_batch_, *blocked_);
    }
    blocked_.reset();
    blocked_batch_.reset();
  }
}

// False: wait. What may not wait is given up here, and was never accepted.
bool SimSender::make_room(std::uint64_t bytes) {
  const PushPullOptions& options = world_.options();
  while (outbox_->bytes() + bytes > options.capacity) {
    if (options.overflow == Overflow::drop_newest) {
      blocked_.reset();
      return true;
    }
    if (options.overflow != Overflow::drop_oldest || !outbox_->drop_oldest()) return false;
    end_batches();
  }
  return true;
}

std::uint32_t SimSender::lane_for(const SimBatch& batch) {
  const PushPullOptions& options = world_.options();
  if (options.distribute == Distribute::explicit_) return peers_[batch.key % peers_.size()].lane;
  if (options.distribute != Distribute::hash) return 0;
  std::vector<protocol::Candidate> candidates;
  std::vector<std::uint32_t> lanes;
  const bool all = std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.gone; });
  for (const Peer& peer : peers_) {
    // A journaled receiver keeps its keys: it will be back, and only it knows what it has committed.
    if (peer.gone && !all && options.delivery == Delivery::at_least_once) continue;
    candidates.push_back({.id = protocol::name_hash(outbox_->at(peer.lane).receiver())});
    lanes.push_back(peer.lane);
  }
  return lanes[*protocol::by_key(candidates, protocol::name_hash(format("{}", batch.key)))];
}

// ---- what the outbox says ----

void SimSender::end_batches() {
  for (const std::uint64_t id : outbox_->take_released()) {
    if (journal_) journal_->changes().erase("place", pack_numbers({id}));
    keep_past(id);
  }
  for (const auto& done : outbox_->take_done()) end_batch(done);
}

void SimSender::end_batch(const Outbox::Done& done) {
  world_.progress();
  const auto found = batches_.find(done.entry.id);
  const SimBatchPtr batch = found->second;
  batches_.erase(found);
  if (journal_) {
    journal_->changes().erase("entry", pack_numbers({done.entry.id}));
    journal_->changes().erase("place", pack_numbers({done.entry.id}));
    journal_->changes().erase("past", pack_numbers({done.entry.id}));
  }
  if (done.fate == Fate::orphaned) {
    OutboxEntry entry = done.entry;
    entry.lane = lane_for(*batch);
    accept(batch, entry);
    return;
  }
  if (done.fate == Fate::processed) {
    for (const RecordId record : batch->records) world_.oracle().told_processed(record);
  }
  // An application is told when the end is durable: until then a crash may bring the batch back.
  if (journal_) {
    ended_.push_back({journal_->store().next(), marks_ + 1, batch, done.fate});
  } else {
    tell_fate(*batch, done.fate);
  }
}

void SimSender::tell_fate(const SimBatch& batch, Fate fate) {
  record_fate(batch, &Ledger::accepted);
  if (fate == Fate::expired) record_fate(batch, &Ledger::expired);
  if (fate == Fate::dead_lettered) record_fate(batch, &Ledger::dead_lettered);
  if (fate == Fate::dropped) record_fate(batch, &Ledger::purged);
}

void SimSender::assign() {
  do {
    while (const auto assignment = outbox_->assign(clock())) {
      if (assignment->split != 0) {
        split(assignment->id, assignment->split);
        continue;
      }
      touched_.insert(assignment->lane);
      if (!journal_) continue;
      const auto id = pack_numbers({assignment->id});
      const std::uint64_t attempts = assignment->attempts;
      journal_->changes().put("place", id, pack_numbers({assignment->lane, assignment->seq, attempts}));
      journal_->changes().put("next", pack_numbers({assignment->lane}), pack_numbers({assignment->seq + 1}));
    }
    end_batches();  // assigning may have found some that expired
  } while (outbox_->any_done());
}

void SimSender::depart(std::uint32_t lane) {
  Peer& peer = peers_[lane - 1];
  while (const auto departure = outbox_->departure(lane)) {
    SimMessage message{.kind = SimKind::data, .to = process_of(peer), .epoch = epoch_, .seq = departure->seq};
    message.first_retained = outbox_->at(lane).first_retained();
    if (departure->id != 0) message.batch = batches_.at(departure->id);
    message.report = departure->report;
    send(std::move(message));
    if (departure->id != 0) ++world_.report().batches_sent;
    if (departure->id != 0 && departure->again) ++world_.report().batches_retransmitted;
    outbox_->departed(lane, departure->seq, clock());
    peer.session->on_sent(clock());
  }
}

// ---- peers ----

void SimSender::act(Peer& peer, const Session::Action& action) {
  if (action.became_suspect) outbox_->set_usable(peer.lane, false);
  if (action.became_up) outbox_->set_usable(peer.lane, true);
  if (action.became_dead) {
    outbox_->give_up(peer.lane);
    peer.gone = true;
    if (world_.options().distribute == Distribute::hash &&
        world_.options().delivery == Delivery::at_least_once)
      world_.oracle().forget_order();
  }
  if (action.say_hello) say_hello(peer);
  if (action.ping) ping(peer);
}

// From a HELLO to its answer the lane rests: a batch that left in between might arrive behind the answer,
// which would then say of it that the receiver has not got it.
void SimSender::say_hello(Peer& peer) {
  outbox_->cut(peer.lane);
  send({.kind = SimKind::hello,
        .to = process_of(peer),
        .epoch = epoch_,
        .first_retained = outbox_->at(peer.lane).first_retained(),
        .attempt = ++peer.hellos});
}

void SimSender::ping(Peer& peer) {
  send({.kind = SimKind::ping,
        .to = process_of(peer),
        .epoch = epoch_,
        .attempt = outbox_->at(peer.lane).probe()});
  peer.session->on_sent(clock());
}

void SimSender::on_message(const SimMessage& message) {
  Peer& peer = this->peer(message.from);
  // A connection to an earlier life of the receiver is gone.
  if (message.from_life < peer.life) return;
  peer.life = message.from_life;
  begin();
  switch (message.kind) {
    case SimKind::hello:
      on_hello(peer, message);
      break;
    case SimKind::ack:
      on_ack(peer, message);
      break;
    case SimKind::nack_reject:
      on_reject(peer, message);
      break;
    case SimKind::nack_retry:
      act(peer, peer.session->on_stranger(clock()));
      break;
    default:
      break;
  }
  finish();
}

void SimSender::on_hello(Peer& peer, const SimMessage& message) {
  if (message.attempt <= peer.ignored) return;
  if (peer.gone && world_.options().bug == PlantedBug::give_up_for_good) return;
  peer.ignored = peer.hellos;
  outbox_->at(peer.lane).work().meet(world_.options().prefetch_records);
  const auto met =
      outbox_->meet(peer.lane, message.from_life, *message.view, world_.options().window, clock());
  if (met != Outbox::Ack::ok) {
    world_.oracle().problem(format("{} says in its HELLO that it has what {} never sent",
                                   world_.process(message.from).name(), name()));
    return;
  }
  peer.gone = false;
  touched_.insert(peer.lane);
  act(peer, peer.session->on_hello(clock()));
}

// False: it is not on speaking terms, and its HELLO has to be waited for.
bool SimSender::hear(Peer& peer) {
  const protocol::PeerState state = peer.session->state();
  if (state == protocol::PeerState::connecting) return false;
  if (state == protocol::PeerState::suspect) {
    act(peer, peer.session->on_stranger(clock()));
    return false;
  }
  act(peer, peer.session->on_traffic(clock()));
  return peer.session->state() == protocol::PeerState::up;
}

void SimSender::on_ack(Peer& peer, const SimMessage& message) {
  if (!hear(peer)) return;
  const auto probe = message.attempt == 0 ? std::nullopt : std::optional(message.attempt);
  const auto outcome =
      outbox_->acknowledge(peer.lane, *message.view, world_.options().window, probe, clock());
  if (outcome == Outbox::Ack::beyond)
    world_.oracle().problem(
        format("{} acknowledges what {} never sent", world_.process(message.from).name(), name()));
  touched_.insert(peer.lane);
}

void SimSender::on_reject(Peer& peer, const SimMessage& message) {
  if (message.epoch != epoch_ || !hear(peer)) return;
  const auto entry = outbox_->reject(peer.lane, message.seq, clock());
  touched_.insert(peer.lane);
  if (!entry) return;
  const auto found = batches_.find(entry->id);
  const SimBatchPtr batch = found->second;
  batches_.erase(found);
  if (journal_) {
    journal_->changes().erase("entry", pack_numbers({entry->id}));
    journal_->changes().erase("place", pack_numbers({entry->id}));
    journal_->changes().erase("past", pack_numbers({entry->id}));
  }
  const std::uint32_t most = world_.options().max_attempts;
  if (most != 0 && entry->attempts >= most) {
    if (journal_) {
      ended_.push_back({journal_->store().next(), marks_ + 1, batch, Fate::dead_lettered});
    } else {
      tell_fate(*batch, Fate::dead_lettered);
    }
    return;
  }
  // The records of a refused batch are tried in two halves.
  const auto middle = batch->records.begin() + static_cast<std::ptrdiff_t>((batch->records.size() + 1) / 2);
  for (const auto& [first, last] :
       {std::pair(batch->records.begin(), middle), std::pair(middle, batch->records.end())}) {
    if (first == last) continue;
    auto part = std::make_shared<SimBatch>();
    part->records.assign(first, last);
    part->bytes = part->records.size() * world_.options().record_bytes;
    part->key = batch->key;
    OutboxEntry again = *entry;
    again.bytes = part->bytes;
    again.records = static_cast<std::uint32_t>(part->records.size());
    again.not_before = TimePoint::min();
    again.order = 0;
    again.part = 0;
    again.suspect = false;
    accept(part, again);
  }
}

TimePoint SimSender::on_tick() {
  begin();
  for (const std::uint32_t lane : outbox_->on_tick(clock()).probe) ping(peers_[lane - 1]);
  for (Peer& peer : peers_) {
    if (peer.session->next_tick() <= clock()) act(peer, peer.session->on_tick(clock()));
  }
  finish();
  TimePoint next = outbox_->next_tick();
  for (const Peer& peer : peers_) next = std::min(next, peer.session->next_tick());
  if (made_ < records_ && !blocked_) next = std::min(next, std::max(next_batch_, clock() + 1us));
  if (refused_ || (blocked_ && journal_)) next = std::min(next, clock() + 50ms);
  return next;
}

void SimSender::check_bounds() {
  if (!outbox_) return;
  SimReport& report = world_.report();
  report.peak_sender_bytes = std::max(report.peak_sender_bytes, outbox_->bytes());
  if (outbox_->bytes() > world_.options().capacity)
    world_.oracle().problem(
        format("{} holds {} bytes, more than its {}", name(), outbox_->bytes(), world_.options().capacity));
}

}  // namespace weft::sim
