// How an acknowledging Push meets its receivers, sends, and hears what they have processed.
#include "blocks/push_reliable.hpp"

#include <algorithm>

#include <weft/core/format.hpp>

namespace weft::blocks {
namespace {

// A receiver whose connection broke may be back at once; its batches go elsewhere when it is not.
constexpr Duration kReconnectGrace = std::chrono::seconds(1);

std::string receiver_name(const Peer& peer) {
  return peer.node + "." + peer.port;
}

protocol::OutboxOptions outbox_options(const PortOptions& options) {
  return {
      .delivery = options.delivery, .distribute = options.distribute, .max_attempts = options.max_attempts};
}

}  // namespace

bool speaks_of(const wire::Header& header, std::uint64_t epoch) {
  return !header.options.has(wire::Options::stream_epoch) || header.options.stream_epoch_v == epoch;
}

protocol::AckView read_ack(const wire::Header& header, std::uint64_t epoch) {
  const wire::Options& o = header.options;
  protocol::AckView view;
  if (!speaks_of(header, epoch)) return view;
  view.seq = header.seq;
  if (o.has(wire::Options::ranges)) {
    view.processed_count = std::min(o.range_count, protocol::AckView::kMostRanges);
    for (std::size_t i = 0; i < view.processed_count; ++i) {
      view.processed[i] = {o.ranges_v[2 * i], o.ranges_v[2 * i + 1]};
    }
  }
  // Who does not say what has arrived has at least what it has processed.
  view.seen = o.has(wire::Options::seen) ? o.seen_v : header.seq;
  if (o.has(wire::Options::missing)) {
    view.missing_count = std::min(o.missing_count, protocol::AckView::kMostRanges);
    for (std::size_t i = 0; i < view.missing_count; ++i) {
      view.missing[i] = {o.missing_v[2 * i], o.missing_v[2 * i + 1]};
    }
  }
  return view;
}

void write_ack(const protocol::AckView& view, wire::Header& header) {
  wire::Options& o = header.options;
  header.seq = view.seq;
  if (view.processed_count != 0) {
    o.range_count = view.processed_count;
    for (std::size_t i = 0; i < view.processed_count; ++i) {
      o.ranges_v[2 * i] = view.processed[i].first;
      o.ranges_v[2 * i + 1] = view.processed[i].last;
    }
    o.mark(wire::Options::ranges);
  }
  o.seen_v = view.seen;
  o.mark(wire::Options::seen);
  if (view.missing_count != 0) {
    o.missing_count = view.missing_count;
    for (std::size_t i = 0; i < view.missing_count; ++i) {
      o.missing_v[2 * i] = view.missing[i].first;
      o.missing_v[2 * i + 1] = view.missing[i].last;
    }
    o.mark(wire::Options::missing);
  }
}

ReliablePush::ReliablePush(Hub& hub, std::function<void()> on_room)
    : hub_(hub),
      options_(hub.options()),
      room_came_(std::move(on_room)),
      outbox_(outbox_options(options_)),
      journal_(hub.loop(), options_.journal, [this] { on_news(); }),
      entries_space_("out/" + options_.name),
      places_space_("out-place/" + options_.name),
      past_space_("out-past/" + options_.name),
      next_space_("out-next/" + options_.name),
      letters_space_("out-letter/" + options_.name),
      info_space_("port/" + options_.name) {
  if (!journal_.on()) return;
  outbox_.durable(0);
  load();
  load_letters();
}

ReliablePush::~ReliablePush() {
  close();
}

// What a journal has is not dropped: the next life of the port goes on with it. What a transaction had sent
// that never came to its end is made again with its cause.
std::uint64_t ReliablePush::close() {
  const bool journaled = journal_.on();
  journal_.stop();
  if (timer_ != 0) hub_.loop().cancel(timer_);
  timer_ = 0;
  hub_.counts().dropped_records += staged_records_;
  staged_.clear();
  staged_bytes_ = staged_records_ = 0;
  if (journaled || dropped_all_) return 0;
  dropped_all_ = true;
  const std::uint64_t records = outbox_.records() + letter_records_;
  hub_.counts().dropped_records += records;
  return records;
}

// ---- receivers ----

std::uint32_t ReliablePush::lane_of(Peer& peer) {
  if (peer.stream_index != 0) return peer.stream_index;
  const std::string name = receiver_name(peer);
  const bool known = outbox_.find(name).has_value();
  peer.stream_index = outbox_.lane(name);
  const auto kept = known || !journal_.on() ? std::nullopt : journal_->read(next_space_, as_bytes(name));
  const auto next = kept ? number_of(*kept) : std::nullopt;
  if (next) outbox_.restore_next(peer.stream_index, *next);
  return peer.stream_index;
}

ReliablePush::LaneState& ReliablePush::state(std::uint32_t lane) {
  if (lanes_.size() < lane) lanes_.resize(lane);
  return lanes_[lane - 1];
}

std::uint32_t ReliablePush::owner_of(std::uint64_t key_hash) {
  candidates_.clear();
  std::vector<std::uint32_t> owners;
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    if (state(lane).given_up) continue;
    owners.push_back(lane);
    candidates_.push_back({.id = protocol::name_hash(outbox_.at(lane).receiver())});
  }
  const auto at = protocol::by_key(candidates_, key_hash);
  return at ? owners[*at] : 0;
}

std::uint32_t ReliablePush::named(std::string_view node) {
  for (const auto& peer : hub_.peers()) {
    if (peer->met && peer->node == node) return lane_of(*peer);
  }
  // One that is away just now has its lane still.
  const std::string start = format("{}.", node);
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    if (outbox_.at(lane).receiver().starts_with(start)) return lane;
  }
  return 0;
}

void ReliablePush::describe(Peer& peer, wire::Header& header) {
  if (header.kind != wire::Kind::hello || peer.node.empty()) return;
  header.options.first_retained_v = outbox_.at(lane_of(peer)).first_retained();
  header.options.mark(wire::Options::first_retained);
}

void ReliablePush::on_met(Peer& peer, const wire::Header& header) {
  const std::uint32_t lane = lane_of(peer);
  LaneState& now = state(lane);
  now.peer = peer.id;
  now.node = peer.node;
  now.given_up = now.removed = false;
  now.give_up_at = TimePoint::max();
  const wire::Options& o = header.options;
  const protocol::Credit credit = o.has(wire::Options::credit)
                                      ? protocol::Credit{o.credit_bytes, o.credit_batches}
                                      : protocol::Credit{options_.window_bytes, options_.window_batches};
  outbox_.at(lane).work().meet(o.has(wire::Options::credit_records) ? std::optional(o.credit_records_v)
                                                                    : std::nullopt);
  const auto verdict = box().meet(lane, header.epoch, read_ack(header, hub_.epoch()), credit,
                                  hub_.loop().now(), peer.max_frame);
  if (verdict == protocol::Outbox::Ack::beyond) hub_.reject(wire::Rejection::unexpected, &peer);
}

void ReliablePush::on_up(Peer& peer) {
  outbox_.set_usable(lane_of(peer), peer.usable());
  ask_way();
  // Keys of receivers that are gone find an owner again.
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    if (options_.distribute == Distribute::hash && state(lane).given_up) box().give_up(lane);
  }
  pump();
}

// How long the way to them is, before they have work: what a report tells beyond that is their own time.
void ReliablePush::ask_way() {
  for (const auto& peer : hub_.peers()) {
    if (!peer->up() || !peer->met) continue;
    protocol::WorkWindow& work = outbox_.at(lane_of(*peer)).work();
    if (!work.wants_ping()) continue;
    work.pinged(Clock::now());
    hub_.ping(*peer);
  }
}

void ReliablePush::on_down(Peer& peer, PeerEvent::What what) {
  if (what == PeerEvent::What::restarted || !peer.met) return;  // on_met() follows
  const std::uint32_t lane = lane_of(peer);
  LaneState& now = state(lane);
  if (now.peer != 0 && now.peer != peer.id) return;  // it is here by another connection
  outbox_.cut(lane);
  now.peer = 0;
  if (what == PeerEvent::What::dead) {
    // Under hash its keys stay with it as long as it may come back, so that their order holds.
    const Duration grace = options_.distribute == Distribute::hash
                               ? options_.dead_after
                               : std::min(kReconnectGrace, options_.dead_after);
    now.give_up_at = hub_.loop().now() + grace;
    plan(now.give_up_at);
  } else {
    give_up(lane);
  }
  if (!pumping_) pump();
}

// By the owner's word or after a long silence. A restarted receiver has its keys back at once: they wait.
void ReliablePush::on_removed(Peer& peer) {
  if (!peer.met || hub_.closed()) return;
  const std::uint32_t lane = lane_of(peer);
  LaneState& now = state(lane);
  if (now.peer != 0 && now.peer != peer.id) return;
  now.peer = 0;
  now.removed = true;
  outbox_.cut(lane);
  // A hash waits for its receiver's return. The others lose it at once, but in a turn of its own: whoever
  // removes the peer may be amid a walk over all peers.
  const TimePoint now_at = hub_.loop().now();
  now.give_up_at = options_.distribute == Distribute::hash
                       ? std::min(now.give_up_at, now_at + options_.dead_after)
                       : now_at;
  plan(now.give_up_at);
}

void ReliablePush::give_up(std::uint32_t lane) {
  state(lane).give_up_at = TimePoint::max();
  // Exactly-once: what is bound to it waits until its journal has answered, and its keys stay.
  if (options_.delivery != Delivery::exactly_once) state(lane).given_up = true;
  box().give_up(lane);
}

// Else a sender that lives long would remember all that it ever met. Under exactly-once a key stays with its
// receiver for ever, and so does the receiver with its keys.
void ReliablePush::forget(std::uint32_t lane) {
  const LaneState& now = state(lane);
  const bool keys = options_.distribute == Distribute::hash || options_.distribute == Distribute::explicit_;
  const bool bound = keys && options_.delivery == Delivery::exactly_once;
  if (!now.removed || now.peer != 0 || now.give_up_at != TimePoint::max() || bound) return;
  const bool staged = std::ranges::any_of(staged_, [&](const Staged& one) { return one.lane == lane; });
  if (staged || (collects && collects(lane)) || !outbox_.forget(lane)) return;
  state(lane) = LaneState();
  for (const auto& peer : hub_.peers()) {
    if (peer->stream_index == lane) peer->stream_index = 0;
  }
}

void ReliablePush::on_ack(Peer& peer, const wire::Header& header) {
  const wire::Options& o = header.options;
  if (!speaks_of(header, hub_.epoch())) return;  // it has not heard of this one yet
  std::optional<protocol::Credit> credit;
  if (o.has(wire::Options::credit)) credit = protocol::Credit{o.credit_bytes, o.credit_batches};
  std::optional<std::uint32_t> probe;
  if (o.has(wire::Options::attempt)) probe = o.attempt_v;
  if (outbox_.at(lane_of(peer)).work().active()) outbox_.at(lane_of(peer)).work().heard(Clock::now());
  const auto verdict =
      box().acknowledge(lane_of(peer), read_ack(header, hub_.epoch()), credit, probe, Clock::now());
  if (verdict == protocol::Outbox::Ack::beyond) return hub_.reject(wire::Rejection::unexpected, &peer);
  settle_and_send(peer);
}

// Also when somebody throws who is told of an end: the room that the others make is used.
void ReliablePush::settle_and_send(Peer& peer) {
  CallAll all;
  all.call([this] { settle_done(); });
  if (!hub_.closed()) all.call([&] { on_room(peer); });
  all.rethrow();
}

void ReliablePush::on_room(Peer& peer) {
  const std::uint32_t lane = lane_of(peer);
  outbox_.set_usable(lane, peer.usable());
  pump();
  // It wants nothing new: once it is done with what it has, it hears that nothing more comes.
  if (peer.draining && !peer.finished && outbox_.at(lane).outstanding() == 0) {
    hub_.finish(peer);
    give_up(lane);
    pump();
  }
}

// ---- sending ----

void ReliablePush::pump() {
  if (hub_.closed() || pumping_) return;
  {
    const Busy busy(pumping_);
    place_waiting();
    submit();
    send_placed();
  }
  CallAll all;
  all.call([this] { taps_.rethrow(); });
  all.call([this] { settle_done(); });
  plan(outbox_.next_tick());
  room_came_();
  all.rethrow();
}

void ReliablePush::place_waiting() {
  forget_places();
  do {
    for (const auto& done : outbox_.take_done()) finish(done);
    while (const auto place = box().assign(Clock::now())) {
      if (place->split != 0) {
        split(*place);
        continue;
      }
      if (!journal_.on()) continue;
      const protocol::OutboxLane& lane = outbox_.at(place->lane);
      head_.clear();
      encode_place({lane.receiver(), place->seq, place->attempts}, head_);
      journal_->change().put(places_space_, NumberKey(place->id).view(), head_.view());
      journal_->change().put(next_space_, as_bytes(lane.receiver()), NumberKey(lane.next()).view());
    }
  } while (outbox_.any_done());
}

void ReliablePush::send_placed() {
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    Peer* peer = state(lane).peer == 0 ? nullptr : hub_.find(state(lane).peer);
    while (peer && peer->up() && !hub_.closed()) {
      const auto departure = outbox_.departure(lane);
      if (!departure || !send(*peer, lane, *departure)) break;
      outbox_.departed(lane, departure->seq, hub_.loop().now());
    }
  }
}

bool ReliablePush::crowded() const {
  const std::uint64_t records = outbox_.records() - outbox_.waiting_records();
  return options_.capacity_records != 0 && 2 * records >= options_.capacity_records;
}

bool ReliablePush::send(Peer& peer, std::uint32_t lane, const protocol::Outbox::Departure& departure) {
  if (departure.id == 0) return send_void(peer, lane, departure.seq);
  const Parcel& parcel = parcels_.at(departure.id);
  head_.clear();
  const std::uint32_t attempts = outbox_.attempts(departure.id);
  const bool lent = hub_.lend(peer, parcel.body.view(), parcel.tensors);
  const std::uint32_t report = departure.report || crowded() ? std::uint32_t{wire::kReport} : 0U;
  const std::uint32_t flags = report | (lent ? std::uint32_t{wire::kShared} : 0U);
  if (attempts <= 1 && parcel.kind.priority == BatchClass{}.priority) {
    peer.header.encode(departure.seq, parcel.count, head_, 0, flags);
  } else {
    wire::Header header = hub_.header(wire::Kind::data, departure.seq);
    header.stream = peer.lane;
    header.options.count_v = parcel.count;
    header.options.mark(wire::Options::count);
    header.options.priority_v = parcel.kind.priority;
    header.options.mark(wire::Options::priority);
    header.options.attempt_v = attempts;
    header.options.mark(wire::Options::attempt);
    header.options.flags_v = flags;
    if (flags != 0) header.options.mark(wire::Options::flags);
    hub_.encode(header, head_);
  }
  std::vector<transport::Frame> frames;
  frames.reserve(3 + parcel.tensors.size());
  frames.emplace_back(head_.view());
  if (lent) hub_.append_lent(frames);
  if (!lent || !hub_.lent(0)) frames.push_back(parcel.body.share());
  for (std::size_t i = 0; i < parcel.tensors.size(); ++i) {
    if (!lent || !hub_.lent(1 + i)) frames.emplace_back(parcel.tensors[i]);
  }
  const auto status = hub_.send(peer, frames);
  if (status != transport::SendStatus::sent) {
    if (lent) hub_.take_back(peer);
    if (status == transport::SendStatus::would_block) plan(hub_.loop().now() + kRetrySendAfter);
    return false;
  }
  if (tap) taps_.call([&] { tap(true, peer.node, parcel.body.view(), parcel.count); });
  if (!departure.again) {
    hub_.counts().sent_records += parcel.count;
    hub_.counts().sent_bytes += parcel.bytes;
    ++hub_.counts().sent_batches;
  }
  return true;
}

// Nothing comes in this place any more, nor in those before the first that is retained.
bool ReliablePush::send_void(Peer& peer, std::uint32_t lane, std::uint64_t seq) {
  wire::Header header = hub_.header(wire::Kind::data, seq);
  header.stream = peer.lane;
  header.options.count_v = 0;
  header.options.mark(wire::Options::count);
  header.options.flags_v = wire::kTombstone;
  header.options.mark(wire::Options::flags);
  header.options.first_retained_v = outbox_.at(lane).first_retained();
  header.options.mark(wire::Options::first_retained);
  return hub_.send_header(peer, header) == transport::SendStatus::sent;
}

void ReliablePush::probe_all() {
  for (const auto& peer : hub_.peers()) {
    if (!peer->up() || !peer->met) continue;
    const protocol::OutboxLane& lane = outbox_.at(lane_of(*peer));
    if (lane.outstanding() != 0) hub_.probe(*peer, lane.probe());
  }
}

// ---- time ----

void ReliablePush::plan(TimePoint when) {
  if (hub_.closed() || when >= timer_at_) return;
  if (timer_ != 0) hub_.loop().cancel(timer_);
  timer_at_ = when;
  timer_ = hub_.loop().at(when, [this] {
    timer_ = 0;
    timer_at_ = TimePoint::max();
    tick();
  });
}

void ReliablePush::tick() {
  const TimePoint now = hub_.loop().now();
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    if (state(lane).give_up_at <= now) give_up(lane);
  }
  for (const std::uint32_t lane : box().on_tick(now).probe) {
    Peer* peer = state(lane).peer == 0 ? nullptr : hub_.find(state(lane).peer);
    if (peer && peer->up()) hub_.probe(*peer, outbox_.at(lane).probe());
  }
  CallAll all;
  all.call([this] { settle_done(); });
  all.call([this] { pump(); });
  for (std::uint32_t lane = 1; lane <= outbox_.lane_count(); ++lane) {
    plan(state(lane).give_up_at);
    forget(lane);
  }
  all.rethrow();
}

void ReliablePush::on_news() {
  box().durable(journal_->durable());
  CallAll all;
  all.call([this] { tell_ended(); });
  if (hub_.closed()) return all.rethrow();
  if (refused_) submit();
  all.call([this] { pump(); });
  all.rethrow();
}

}  // namespace weft::blocks
