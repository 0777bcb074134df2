#include "sim/subscriber.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>

namespace weft::sim {
namespace {

using namespace std::chrono_literals;
using What = AnswerBody::What;

}  // namespace

SimSubscriber::SimSubscriber(PubSubWorld& world, std::uint32_t index, std::uint32_t number)
    : LinkProcess(world, index, format("subscriber/{}", number)), world_(world) {}

void SimSubscriber::on_start() {
  const PubSubOptions& o = world_.options();
  epoch_ = world_.next_epoch();
  joins_at_ = clock();
  if (o.late && life() == 1) joins_at_ += world_.random().between(Duration::zero(), o.faults_for);
  sources_.resize(o.publishers);
}

void SimSubscriber::connect() {
  for (std::uint32_t i = 0; i < world_.options().publishers; ++i)
    peers_.emplace_back(i, true, world_.random().next(), clock(), epoch_, window());
}

void SimSubscriber::on_crash(bool) {
  peers_.clear();
  sources_.clear();
  inbox_.clear();
  busy_ = false;
}

// ---- publishers, as they come and go ----

void SimSubscriber::on_up(LinkPeer& peer) {
  Source& source = sources_[peer.process];
  const bool blind = world_.options().bug == PubSubBug::ignore_epoch;
  const bool goes_on = source.reader && (source.epoch == peer.epoch || blind);
  if (!source.open || source.epoch != peer.epoch) {
    source.epoch = peer.epoch;
    source.confirmation.lapse();
    if (!goes_on) follow(source);
    source.open = true;
    subscribe(peer, source);
  } else if (!source.confirmation.confirmed()) {
    subscribe(peer, source);
  }
  if (goes_on && world_.options().bug == PubSubBug::stay_paused) return;
  source.reader->resume();
  source.confirmation.await(clock());
}

void SimSubscriber::on_down(LinkPeer& peer, bool restarted) {
  Source& source = sources_[peer.process];
  source.confirmation.lapse();
  if (!source.reader) return;
  if (!restarted) return source.reader->pause();  // it may come back
  if (world_.options().bug == PubSubBug::ignore_epoch) return;
  source.followed = true;
  source.open = false;
  source.reader->abandon(clock());
  hand_over(peer.process);
  tally(source);
  source.reader.reset();
}

void SimSubscriber::subscribe(LinkPeer& peer, Source& source) {
  source.own = ++joins_;
  (void)send(
      {.kind = SimKind::subscribe, .to = peer.process, .channel = 1, .ordered = true, .attempt = source.own});
}

void SimSubscriber::follow(Source& source) {
  const PubSubOptions& o = world_.options();
  source.reader.emplace(protocol::ReplayReaderOptions{.hold_bytes = o.window.bytes,
                                                      .hold_batches = o.window.batches,
                                                      .snapshots = o.keep_last,
                                                      .restarted = source.followed});
  source.tallied = {};
  source.view = {
      .epoch = source.epoch, .later = source.followed, .mark = {}, .topics = std::vector<Seen>(o.topics)};
}

// ---- what comes ----

void SimSubscriber::on_message(const SimMessage& message) {
  if (peers_.empty()) return;
  LinkPeer& peer = peers_[message.from];
  if (message.channel == 1) {
    on_data(peer, message);
  } else if (message.kind == SimKind::hello) {
    (void)meet(peer, message);
  } else if (hear(peer, message) && message.kind == SimKind::answer &&
             message.epoch == sources_[message.from].epoch && sources_[message.from].reader) {
    on_answer(message.from, static_cast<const AnswerBody&>(*message.body));
  }
  if (sources_[message.from].reader) pump(peer, sources_[message.from]);
}

void SimSubscriber::on_data(LinkPeer& peer, const SimMessage& message) {
  Source& source = sources_[message.from];
  if (!source.reader || message.epoch != source.epoch) return;
  if (message.kind == SimKind::live) {
    if (full()) {
      ++world_.report().dropped;
      return;
    }
    on_batch(message.from, static_cast<const LiveBody&>(*message.body).batch, false);
  } else if (message.kind == SimKind::positions) {
    const auto& last = static_cast<const PositionsBody&>(*message.body).last;
    for (std::uint32_t topic = 0; topic < last.size(); ++topic)
      source.reader->announce(topic_name(topic), last[topic], true, clock());
  } else if (message.kind == SimKind::ping && message.attempt == source.own) {
    on_confirmed(source, peer.process, message.seq);
  }
}

void SimSubscriber::on_confirmed(Source& source, std::uint32_t publisher, std::uint64_t mark) {
  source.confirmation.confirm();
  const PubSubWorld::Said& said = world_.said(publisher);
  if (source.view.mark.empty() && said.epoch == source.epoch) source.view.mark = said.positions_at(mark);
  source.reader->subscribed(mark, clock());
}

void SimSubscriber::on_batch(std::uint32_t publisher, const TopicBatch& batch, bool replayed) {
  Source& source = sources_[publisher];
  const std::uint64_t bytes = world_.options().batch_bytes;
  const std::string topic = topic_name(batch.topic);
  const auto arrival = source.reader->arrive(topic, batch.seq, bytes, replayed, clock());
  const bool early = arrival.verdict == Reader::Verdict::held;
  if (early && world_.options().bug != PubSubBug::apply_before_filled)
    return source.reader->hold(topic, batch.seq, bytes, batch.value, clock());
  if (arrival.verdict == Reader::Verdict::no_room) ++world_.report().dropped;
  if (early || arrival.verdict == Reader::Verdict::next)
    take({publisher, source.epoch, batch, false, arrival.reset, source.reader->counts().missed});
}

void SimSubscriber::on_answer(std::uint32_t publisher, const AnswerBody& answer) {
  Reader& reader = *sources_[publisher].reader;
  switch (answer.what) {
    case What::snapshot:
      return on_snapshot(publisher, answer.batch);
    case What::began:
      for (const auto& [topic, seq] : answer.where) reader.position(topic_name(topic), seq);
      return;
    case What::last:
      for (const auto& [topic, seq] : answer.where) reader.announce(topic_name(topic), seq, false, clock());
      return;
    case What::join_end:
      return reader.join_answered(answer.number, answer.token, clock());
    case What::batch:
      return on_batch(publisher, answer.batch, true);
    case What::fetch_end:
      return reader.fetch_answered(answer.number, topic_name(answer.batch.topic), answer.batch.seq,
                                   answer.first_retained, answer.gone, clock());
  }
}

void SimSubscriber::on_snapshot(std::uint32_t publisher, const TopicBatch& batch) {
  Source& source = sources_[publisher];
  const auto arrival = source.reader->snapshot(topic_name(batch.topic), batch.seq);
  if (arrival.verdict == Reader::Verdict::next)
    take({publisher, source.epoch, batch, true, arrival.reset, source.reader->counts().missed});
}

// ---- what the readers want ----

void SimSubscriber::hand_over(std::uint32_t publisher) {
  Source& source = sources_[publisher];
  while (const auto ready = source.reader->next(clock())) {
    take({publisher,
          source.epoch,
          {topic_number(ready->topic), ready->seq, ready->payload},
          false,
          ready->reset,
          source.reader->counts().missed});
  }
}

void SimSubscriber::pump(LinkPeer& peer, Source& source) {
  hand_over(peer.process);
  if (peer.up() && !full()) ask(peer, source.reader->tick(clock()));
  tally(source);
}

void SimSubscriber::ask(LinkPeer& peer, const protocol::ReplayStep& step) {
  const auto send_sync = [&](std::shared_ptr<SyncBody> body) {
    body->credit = world_.options().page_bytes;
    ++world_.report().questions;
    (void)send_to(peer, {.kind = SimKind::sync, .body = std::move(body)});
  };
  if (step.join) {
    auto body = std::make_shared<SyncBody>();
    body->number = step.join->number;
    body->mark = step.join->mark;
    body->token = step.join->token;
    body->snapshots = step.join->snapshots;
    for (const std::string_view topic : step.join->topics) body->topics.push_back(topic_number(topic));
    send_sync(std::move(body));
  }
  for (const protocol::ReplayFetch& fetch : step.fetches) {
    auto body = std::make_shared<SyncBody>();
    body->number = fetch.number;
    body->topics.push_back(topic_number(fetch.topic));
    body->ranges = fetch.ranges;
    send_sync(std::move(body));
  }
}

void SimSubscriber::tally(Source& source) {
  const protocol::ReplayCounts& now = source.reader->counts();
  PubSubReport& report = world_.report();
  report.missed += now.missed - source.tallied.missed;
  report.replayed += now.replayed - source.tallied.replayed;
  report.filled += now.filled - source.tallied.filled;
  source.tallied = now;
}

// ---- the application ----

void SimSubscriber::take(Item item) {
  inbox_.push_back(item);
  if (std::exchange(busy_, true)) return;
  handled_after(world_.random().between(Duration::zero(), 2 * world_.options().service));
}

void SimSubscriber::on_handled() {
  busy_ = false;
  const Item item = inbox_.front();
  inbox_.pop_front();
  apply(item);
  if (inbox_.empty()) return;
  busy_ = true;
  handled_after(world_.random().between(Duration::zero(), 2 * world_.options().service));
}

void SimSubscriber::apply(const Item& item) {
  View& view = sources_[item.publisher].view;
  const PubSubWorld::Said& said = world_.said(item.publisher);
  const TopicBatch& batch = item.batch;
  ++(item.snapshot ? world_.report().snapshots : world_.report().applied);
  world_.progress();
  if (item.epoch != view.epoch) return;  // of an epoch whose view was given up
  if (said.epoch == item.epoch) {
    const auto& values = said.topics[batch.topic];
    if (batch.seq == 0 || batch.seq > values.size() || values[batch.seq - 1] != batch.value)
      world_.problem(format("{} has {} as batch {} of {} of {}, which is not what was published", name(),
                            batch.value, batch.seq, topic_name(batch.topic),
                            world_.process(item.publisher).name()));
  }
  Seen& seen = view.topics[batch.topic];
  check_order(item, view, seen);
  seen = {true, batch.seq, batch.value};
}

/// Within an epoch a batch follows the one before it, or the place where the subscriber came in; all else is
/// a snapshot, or said to be a new beginning, and counted.
void SimSubscriber::check_order(const Item& item, View& view, Seen& seen) {
  const TopicBatch& batch = item.batch;
  std::uint64_t last = seen.seq;
  // An earlier subscription, whose PING was lost, may have brought something before the place.
  if (!seen.started && !view.later && !view.mark.empty())
    last = std::min(view.mark[batch.topic], std::max<std::uint64_t>(batch.seq, 1) - 1);
  const auto complain = [&](std::string_view what) {
    world_.problem(format("{} of {} at {}: batch {} came behind batch {}, {}", topic_name(batch.topic),
                          world_.process(item.publisher).name(), name(), batch.seq, last, what));
  };
  if (item.snapshot) {
    if (batch.seq < last) complain("as a snapshot");
  } else if (batch.seq <= last) {
    complain("a second time");
  } else if (batch.seq != last + 1) {
    if (!item.reset) return complain("without a word");
    view.jumped += batch.seq - last - 1;
    if (view.jumped > item.missed) complain("and that is not counted as missed");
  }
}

// ---- time ----

TimePoint SimSubscriber::on_tick() {
  if (peers_.empty()) {
    if (clock() < joins_at_) return joins_at_;
    connect();
  }
  TimePoint next = TimePoint::max();
  for (LinkPeer& peer : peers_) {
    next = std::min(next, tick(peer));
    Source& source = sources_[peer.process];
    if (!source.reader) continue;
    if (peer.up() && source.confirmation.overdue(clock())) subscribe(peer, source);
    pump(peer, source);
    if (!peer.up()) continue;
    next = std::min(next, source.confirmation.next_tick());
    if (!full()) next = std::min(next, source.reader->next_tick());
  }
  return full() ? std::min(next, clock() + 5ms) : next;
}

void SimSubscriber::check_bounds() {
  const PubSubOptions& o = world_.options();
  for (const Source& source : sources_) {
    if (!source.reader) continue;
    PubSubReport& report = world_.report();
    report.peak_held_bytes = std::max(report.peak_held_bytes, source.reader->held_bytes());
    if (source.reader->held_bytes() > o.window.bytes || source.reader->held_batches() > o.window.batches)
      world_.problem(format("{} holds {} batches of {} bytes back, more than its window", name(),
                            source.reader->held_batches(), source.reader->held_bytes()));
  }
}

bool SimSubscriber::caught_up(std::uint32_t publisher) const {
  const Source& source = sources_[publisher];
  const PubSubWorld::Said& said = world_.said(publisher);
  if (!peers_[publisher].up() || !source.reader || source.epoch != said.epoch) return false;
  if (!source.confirmation.confirmed() || !source.reader->complete()) return false;
  for (std::uint32_t topic = 0; topic < said.topics.size(); ++topic) {
    const auto& values = said.topics[topic];
    if (values.empty()) continue;
    if (source.reader->last(topic_name(topic)) != values.size()) return false;
    const Seen& seen = source.view.topics[topic];
    const bool same = seen.seq == values.size() && seen.value == values.back();
    // Without snapshots what was there before, or is gone, is no part of the view.
    const bool may_lack = !world_.options().keep_last &&
                          (source.reader->counts().missed != 0 || (!seen.started && !source.view.later));
    if (!same && !may_lack) return false;
  }
  return true;
}

bool SimSubscriber::at_rest() const {
  if (peers_.empty() || !inbox_.empty()) return false;
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    if (!caught_up(i)) return false;
  }
  return true;
}

}  // namespace weft::sim
