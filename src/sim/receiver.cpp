#include "sim/receiver.hpp"

#include <algorithm>

#include <weft/core/format.hpp>

#include "sim/link_peer.hpp"

namespace weft::sim {
namespace {

using namespace std::chrono_literals;
using protocol::AckView;
using protocol::InboundStream;
using protocol::SequenceSet;
using Verdict = InboundStream::Verdict;

constexpr Duration kRejectAgain = 200ms;
constexpr std::uint64_t kPoison = 9;  // number of the record that a receiver dies of

}  // namespace

SimReceiver::SimReceiver(PushPullWorld& world, std::uint32_t index, std::uint32_t number)
    : SimProcess(world, index, format("receiver/{}", number)), world_(world) {
  if (world.options().delivery == Delivery::exactly_once)
    journal_.emplace(world.options().seed * 1013 + index);
}

bool SimReceiver::at_rest() const {
  if (!queue_.empty() || !places_.empty() || !commits_.empty() || busy_) return false;
  return timed_.empty();
}

void SimReceiver::on_start() {
  const protocol::Credit window = world_.options().window;
  streams_.clear();
  for (std::uint32_t i = 0; i < world_.options().senders; ++i)
    streams_.emplace_back(InboundStream::Limits{window.bytes, window.batches}, window);
  if (!journal_) return;
  journal_->open();
  journal::Store& store = journal_->store();
  store.for_each_from("marks", {}, [&](Bytes key, Bytes value) {
    std::uint64_t epoch = 0;
    SequenceSet processed;
    if (protocol::decode_marks(value, epoch, processed))
      streams_[unpack_numbers(key)[0]].in.restore(epoch, processed);
    return true;
  });
  // What was submitted and never known to be durable is there or not: its outputs say.
  for (const Commit& commit : std::exchange(commits_, {})) {
    const auto key = pack_numbers({commit.item.from, commit.item.epoch, commit.item.seq});
    if (commit.item.batch && store.read("out", key)) count_committed(commit.item);
  }
  if (store.count("out") != committed_)
    world_.oracle().problem(format("the journal of {} holds {} outputs, of {} that it committed", name(),
                                   store.count("out"), committed_));
}

void SimReceiver::on_crash(bool power) {
  if (journal_) {
    journal_->crash(power);
  } else {
    commits_.clear();
  }
  streams_.clear();
  queue_.clear();
  places_.clear();
  timed_.clear();
  touched_.clear();
  bytes_ = 0;
  busy_ = flushing_ = false;
}

// ---- messages ----

void SimReceiver::on_message(const SimMessage& message) {
  Stream& stream = touch(message.from);
  if (message.from_life < stream.peer_life) return;  // its connection has been replaced
  if (message.kind == SimKind::hello) {
    on_hello(message);
  } else if (message.from_life != stream.peer_life) {
    send({.kind = SimKind::nack_retry, .to = message.from, .to_life = message.from_life});
  } else if (message.kind == SimKind::data) {
    on_data(message);
  } else if (message.kind == SimKind::ping) {
    acknowledge(message.from, SimKind::ack, message.attempt);
  }
}

void SimReceiver::restart_stream(std::uint32_t from) {
  Stream& stream = touch(from);
  stream.held.clear();
  stream.rejected.clear();
  stream.reports.clear();
  stream.newest = 0;
  stream.reject_at = TimePoint::max();
}

void SimReceiver::begin_stream(std::uint32_t from, std::uint64_t epoch, std::uint64_t first_retained) {
  Stream& stream = touch(from);
  bool restarted = false;
  if (!stream.in.begin(epoch, first_retained, restarted)) {
    world_.oracle().problem(format("{} fenced the epoch {} of sender {}", name(), epoch, from));
    return;
  }
  if (restarted) restart_stream(from);
  if (first_retained > 1) {
    stream.held.erase(stream.held.begin(), stream.held.lower_bound(first_retained));
    stream.rejected.erase(stream.rejected.begin(), stream.rejected.lower_bound(first_retained));
  }
  // What ended elsewhere, or belongs to an earlier life of its sender, is not worth the work any more.
  std::erase_if(queue_, [&](const Item& item) {
    if (item.from != from || !void_now(item)) return false;
    stream.queued_bytes -= item.batch->bytes;
    return true;
  });
  while (const auto seq = stream.in.due()) {
    const auto held = stream.held.find(*seq);
    hand_out(from, *seq, held->second);
    stream.held.erase(held);
  }
}

void SimReceiver::on_hello(const SimMessage& message) {
  Stream& stream = touch(message.from);
  stream.peer_life = message.from_life;
  begin_stream(message.from, message.epoch, message.first_retained);
  acknowledge(message.from, SimKind::hello, message.attempt);
  handle_next();
}

void SimReceiver::on_data(const SimMessage& message) {
  Stream& stream = touch(message.from);
  if (!message.batch) begin_stream(message.from, message.epoch, message.first_retained);
  const std::uint64_t bytes = message.batch ? message.batch->bytes : 0;
  const InboundStream::Arrival arrival = stream.in.arrive(message.epoch, message.seq, bytes);
  if (arrival.restarted) restart_stream(message.from);
  if (message.report) stream.reports.insert(message.seq);
  bool tell = arrival.gap;
  if (arrival.verdict == Verdict::deliver) {
    hand_out(message.from, message.seq, message.batch);
    while (const auto seq = stream.in.due()) {
      const auto held = stream.held.find(*seq);
      hand_out(message.from, *seq, held->second);
      stream.held.erase(held);
    }
  } else if (arrival.verdict == Verdict::hold) {
    if (message.batch) {
      stream.held[message.seq] = message.batch;
    } else {
      places_.push_back({message.from, message.epoch, message.seq, nullptr});
    }
  } else if (arrival.verdict == Verdict::duplicate) {
    tell = true;
    if (!message.batch) {
      stream.rejected.erase(message.seq);
      places_.push_back({message.from, message.epoch, message.seq, nullptr});
    } else if (stream.rejected.contains(message.seq)) {
      refuse(message.from, message.seq);
    }
  }
  settle_places();
  handle_next();
  if (tell) acknowledge(message.from, SimKind::ack, 0);
}

void SimReceiver::hand_out(std::uint32_t from, std::uint64_t seq, SimBatchPtr batch) {
  Stream& stream = touch(from);
  if (seq <= stream.newest)
    world_.oracle().problem(
        format("{} handed out batch {} of sender {} behind batch {}", name(), seq, from, stream.newest));
  stream.newest = seq;
  Item item{from, stream.in.epoch(), seq, std::move(batch)};
  if (!item.batch) {
    places_.push_back(std::move(item));
    return;
  }
  stream.queued_bytes += item.batch->bytes;
  if (world_.options().bug == PlantedBug::acknowledge_before_processing) {
    (void)stream.in.settle(item.epoch, seq);
    stream.in.publish(item.epoch, seq);
    settled(from, seq, item.batch->bytes);
  }
  queue_.push_back(std::move(item));
}

void SimReceiver::acknowledge(std::uint32_t from, SimKind kind, std::uint32_t attempt) {
  Stream& stream = touch(from);
  auto view = std::make_shared<AckView>(stream.in.ack());
  if (world_.options().bug == PlantedBug::drop_ranges) view->processed_count = view->missing_count = 0;
  send({.kind = kind, .to = from, .to_life = stream.peer_life, .attempt = attempt, .view = std::move(view)});
  stream.policy.sent();
  stream.ack_at = TimePoint::max();
}

void SimReceiver::refuse(std::uint32_t from, std::uint64_t seq) {
  Stream& stream = touch(from);
  send({.kind = SimKind::nack_reject,
        .to = from,
        .to_life = stream.peer_life,
        .epoch = stream.in.epoch(),
        .seq = seq});
  stream.reject_at = clock() + kRejectAgain;
}

// ---- the handler ----

bool SimReceiver::void_now(const Item& item) const {
  const InboundStream& in = streams_[item.from].in;
  if (world_.options().bug == PlantedBug::acknowledge_before_processing) return false;
  return item.epoch != in.epoch() || in.processed().contains(item.seq);
}

void SimReceiver::handle_next() {
  if (busy_ || queue_.empty()) return;
  busy_ = true;
  handled_after(world_.random().between(Duration::zero(), 2 * world_.options().service));
}

// The handler has done its work on the first batch of the queue; what it did counts from here on.
void SimReceiver::on_handled() {
  busy_ = false;
  if (queue_.empty()) return;  // what it was at is void
  const Item item = queue_.front();
  if (!void_now(item) && world_.options().poison && item.batch) {
    // What it had done before that record is done, unless a journal would have committed it with the rest.
    for (const RecordId record : item.batch->records) {
      if (record == record_id(0, kPoison)) return world_.crash(*this);
    }
  }
  if (void_now(item) || process(item)) {
    touch(item.from).queued_bytes -= item.batch->bytes;
    queue_.pop_front();
  }
  handle_next();
}

// False: its journal has no room, so that it has to be tried again.
bool SimReceiver::process(const Item& item) {
  Stream& stream = touch(item.from);
  if (world_.chance(world_.options().reject)) {
    stream.rejected.insert(item.seq);
    refuse(item.from, item.seq);
    return true;
  }
  if (journal_) return commit(item);
  for (const RecordId record : item.batch->records)
    world_.oracle().processed(record, item.batch->key, name());
  if (stream.in.settle(item.epoch, item.seq)) {
    stream.in.publish(item.epoch, item.seq);
    settled(item.from, item.seq, item.batch->bytes);
  }
  return true;
}

// The mark and the outputs are one commit. Only when the journal has taken it does the stream know of it.
bool SimReceiver::commit(const Item& item) {
  Stream& stream = touch(item.from);
  SequenceSet processed = stream.in.processed();
  processed.add(item.seq);
  JournalTxn& changes = journal_->changes();
  changes.put("marks", pack_numbers({item.from}), protocol::encode_marks(item.epoch, processed));
  if (item.batch)
    changes.put("out", pack_numbers({item.from, item.epoch, item.seq}), pack_numbers(item.batch->records));
  const std::uint64_t number = journal_->store().next();
  if (!journal_->submit()) {
    changes.clear();
    return false;
  }
  (void)stream.in.settle(item.epoch, item.seq);
  commits_.push_back({number, item});
  ask_flush();
  return true;
}

void SimReceiver::settled(std::uint32_t from, std::uint64_t seq, std::uint64_t bytes) {
  Stream& stream = touch(from);
  const bool report = stream.reports.erase(seq) != 0;
  if (stream.policy.settled(bytes) || report) {
    acknowledge(from, SimKind::ack, 0);
  } else if (stream.ack_at == TimePoint::max()) {
    stream.ack_at = clock() + kAckDelay;
  }
}

// Nothing comes in these places.
void SimReceiver::settle_places() {
  while (!places_.empty()) {
    const Item& item = places_.front();
    Stream& stream = touch(item.from);
    if (item.epoch == stream.in.epoch() && !stream.in.processed().contains(item.seq)) {
      stream.held.erase(item.seq);
      if (journal_) {
        if (!commit(item)) return;
      } else if (stream.in.settle(item.epoch, item.seq)) {
        stream.in.publish(item.epoch, item.seq);
        settled(item.from, item.seq, 0);
      }
      while (const auto seq = stream.in.due()) {
        const auto held = stream.held.find(*seq);
        const std::uint32_t from = item.from;
        hand_out(from, *seq, held->second);
        stream.held.erase(held);
      }
    }
    places_.pop_front();
  }
}

// ---- the journal ----

void SimReceiver::ask_flush() {
  if (flushing_ || !journal_ || !journal_->store().waiting()) return;
  flushing_ = true;
  flush_after(world_.random().between(100us, 2ms));
}

void SimReceiver::count_committed(const Item& item) {
  ++committed_;
  for (const RecordId record : item.batch->records)
    world_.oracle().processed(record, item.batch->key, name());
}

void SimReceiver::on_flush() {
  flushing_ = false;
  const bool full = world_.chance(world_.options().faults.full);
  if (full) world_.fault("disk full");
  journal_->disk().set_full(full);
  if (journal_->store().flush() == journal::Store::Flush::failed) {
    world_.crash(*this);
    return;
  }
  while (!commits_.empty() && commits_.front().number <= journal_->store().durable()) {
    const Item item = std::move(commits_.front().item);
    commits_.pop_front();
    if (item.batch) count_committed(item);
    touch(item.from).in.publish(item.epoch, item.seq);
    settled(item.from, item.seq, item.batch ? item.batch->bytes : 0);
  }
  settle_places();
  handle_next();
}

// ---- time ----

TimePoint SimReceiver::on_tick() {
  const TimePoint now = clock();
  TimePoint next = TimePoint::max();
  settle_places();
  handle_next();
  const std::set<std::uint32_t> timed = std::exchange(timed_, {});
  for (const std::uint32_t from : timed) {
    Stream& stream = touch(from);
    if (stream.ack_at <= now) acknowledge(from, SimKind::ack, 0);
    if (stream.reject_at <= now) {
      stream.reject_at = TimePoint::max();
      for (const std::uint64_t seq : stream.rejected) refuse(from, seq);
    }
    next = std::min({next, stream.ack_at, stream.reject_at});
  }
  ask_flush();
  if (!places_.empty() || (journal_ && journal_->store().waiting())) next = std::min(next, now + 20ms);
  return next;
}

void SimReceiver::check_bounds() {
  const PushPullOptions& options = world_.options();
  const std::uint64_t most =
      options.window.bytes + std::uint64_t{options.batch_records} * options.record_bytes;
  for (const std::uint32_t from : touched_) {
    Stream& stream = streams_[from];
    const std::uint64_t bytes = stream.in.held_bytes() + stream.queued_bytes;
    bytes_ += bytes - std::exchange(stream.counted, bytes);
    if (stream.ack_at != TimePoint::max() || stream.reject_at != TimePoint::max()) timed_.insert(from);
    if (stream.held.size() != stream.in.held())
      world_.oracle().problem(format("{} keeps {} batches out of their turn, and should {}", name(),
                                     stream.held.size(), stream.in.held()));
    if (stream.in.held_bytes() > options.window.bytes || stream.queued_bytes > most)
      world_.oracle().problem(format("{} holds {} and {} bytes of one sender, whose window is {}", name(),
                                     stream.in.held_bytes(), stream.queued_bytes, options.window.bytes));
  }
  touched_.clear();
  SimReport& report = world_.report();
  report.peak_receiver_bytes = std::max(report.peak_receiver_bytes, bytes_);
}

}  // namespace weft::sim
