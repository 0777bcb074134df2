#include "sim/publisher.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>

namespace weft::sim {
namespace {

using namespace std::chrono_literals;
using Window = protocol::ReplayWindow<SimValue>;
using What = AnswerBody::What;

constexpr Duration kHeartbeat = 1s;

}  // namespace

SimPublisher::SimPublisher(PubSubWorld& world, std::uint32_t index, std::uint64_t batches)
    : LinkProcess(world, index, format("publisher/{}", index)), world_(world), batches_(batches) {}

void SimPublisher::on_start() {
  const PubSubOptions& o = world_.options();
  epoch_ = world_.next_epoch();
  world_.begin_epoch(index_, epoch_);
  retained_.emplace(o.retain_bytes);
  topics_.assign(o.topics, {});
  next_batch_ = clock();
  next_ping_ = clock() + kHeartbeat;
  for (std::uint32_t i = 0; i < o.subscribers; ++i) {
    peers_.emplace_back(world_.right(i), false, world_.random().next(), clock(), epoch_, window());
    peers_.back().session.lose();  // nobody has come yet
  }
}

void SimPublisher::on_crash(bool) {
  retained_.reset();
  topics_.clear();
  in_order_.clear();
  peers_.clear();
  active_.clear();
}

// ---- data ----

/// Never waits: whoever is slow loses some.
void SimPublisher::publish() {
  const PubSubOptions& o = world_.options();
  Random& random = world_.random();
  while (made_ < batches_ && clock() >= next_batch_) {
    next_batch_ += random.between(1us, 2 * o.gap);
    ++made_;
    // Some topics are busy, some have not begun for long.
    const std::uint32_t topic = static_cast<std::uint32_t>(random.below(1 + random.below(o.topics)));
    Topic& at = topics_[topic];
    if (at.seq == 0) in_order_.push_back(topic);
    ++at.seq;
    at.kept = world_.say(index_, topic);
    auto body = std::make_shared<LiveBody>();
    body->batch = {topic, at.seq, at.kept};
    for (const auto& [subscriber, life] : active_)
      send_data(subscriber, {.kind = SimKind::live, .seq = at.seq, .bytes = o.batch_bytes, .body = body});
    retained_->add(topic, at.seq, o.batch_bytes, at.kept);
  }
}

void SimPublisher::send_data(std::uint32_t subscriber, SimMessage message) {
  message.to = subscriber;
  message.to_life = active_.at(subscriber);
  message.channel = 1;
  message.epoch = epoch_;
  (void)send(std::move(message));
}

void SimPublisher::ping_all() {
  auto body = std::make_shared<PositionsBody>();
  for (const Topic& topic : topics_) body->last.push_back(topic.seq);
  for (const auto& [subscriber, life] : active_)
    send_data(subscriber, {.kind = SimKind::positions, .body = body});
}

/// Comes last in the subscriber's list, so the others are active when it is here: what is published from now
/// on reaches the subscriber, or is missed by it.
void SimPublisher::on_subscribe(const SimMessage& message) {
  active_[message.from] = message.from_life;
  send_data(message.from,
            {.kind = SimKind::ping, .ordered = true, .seq = retained_->number(), .attempt = message.attempt});
}

// ---- sessions ----

void SimPublisher::on_message(const SimMessage& message) {
  publish();
  if (message.kind == SimKind::subscribe) return on_subscribe(message);
  LinkPeer& peer = peers_[message.from - world_.options().publishers];
  if (message.kind == SimKind::hello) {
    (void)meet(peer, message);
  } else if (hear(peer, message) && message.kind == SimKind::sync) {
    const auto& sync = static_cast<const SyncBody&>(*message.body);
    sync.ranges.empty() ? answer_join(peer, sync) : answer_fetch(peer, sync);
  }
}

void SimPublisher::answer(LinkPeer& peer, std::unique_ptr<AnswerBody> body, std::uint64_t bytes, bool& sent) {
  if (!sent) return;
  sent = send_to(peer, {.kind = SimKind::answer, .ordered = true, .bytes = bytes, .body = std::move(body)});
}

void SimPublisher::answer_join(LinkPeer& peer, const SyncBody& sync) {
  const PubSubOptions& o = world_.options();
  std::uint64_t room = sync.credit;
  bool sent = true;
  const auto spend = [&room](std::uint64_t bytes) { room -= std::min(room, bytes + Window::kMessageCost); };
  const auto make = [&sync](What what) {
    auto body = std::make_unique<AnswerBody>();
    body->what = what;
    body->number = sync.number;
    return body;
  };
  auto began = make(What::began);
  auto last = make(What::last);
  const std::uint64_t mark = o.bug == PubSubBug::answer_as_of_now ? UINT64_MAX : sync.mark;
  std::size_t at = sync.token == 0 ? 0 : sync.token - 1;
  for (; at < in_order_.size() && room != 0; ++at) {
    const std::uint32_t topic = in_order_[at];
    const bool wanted = sync.topics.empty() || std::ranges::find(sync.topics, topic) != sync.topics.end();
    if (!wanted) continue;
    const Window::Place place = retained_->place_at(topic, mark, sync.snapshots);
    if (place.snapshot) {
      auto part = make(What::snapshot);
      part->batch = {topic, topics_[topic].seq, topics_[topic].kept};
      if (o.bug == PubSubBug::snapshot_too_new) ++part->batch.seq;
      spend(o.batch_bytes);
      answer(peer, std::move(part), o.batch_bytes, sent);
    } else if (place.position != 0) {
      began->where.emplace_back(topic, place.position);
      spend(0);
    }
    if (place.more) last->where.emplace_back(topic, topics_[topic].seq);
  }
  if (!began->where.empty()) answer(peer, std::move(began), 0, sent);
  if (!last->where.empty()) answer(peer, std::move(last), 0, sent);
  auto end = make(What::join_end);
  end->token = at < in_order_.size() ? at + 1 : 0;
  answer(peer, std::move(end), 0, sent);
}

void SimPublisher::answer_fetch(LinkPeer& peer, const SyncBody& sync) {
  const std::uint32_t topic = sync.topics.front();
  const std::uint64_t bytes = world_.options().batch_bytes;
  bool sent = true;
  const Window::Replayed replayed =
      retained_->replay(topic, sync.ranges, sync.credit, [&](const Window::Batch& batch) {
        auto body = std::make_unique<AnswerBody>();
        body->batch = {topic, batch.seq, batch.payload};
        answer(peer, std::move(body), bytes, sent);
        return sent;
      });
  if (replayed.gone) ++world_.report().overruns;
  auto end = std::make_unique<AnswerBody>();
  end->what = What::fetch_end;
  end->number = sync.number;
  end->batch = {topic, topics_[topic].seq, 0};
  end->first_retained = replayed.first_retained;
  end->gone = replayed.gone;
  answer(peer, std::move(end), 0, sent);
}

TimePoint SimPublisher::on_tick() {
  TimePoint next = TimePoint::max();
  publish();
  if (clock() >= next_ping_) {
    next_ping_ = clock() + kHeartbeat;
    ping_all();
  }
  for (LinkPeer& peer : peers_) next = std::min(next, tick(peer));
  if (made_ < batches_) next = std::min(next, std::max(next_batch_, clock() + 1us));
  return std::min(next, next_ping_);
}

void SimPublisher::check_bounds() {
  const PubSubOptions& o = world_.options();
  PubSubReport& report = world_.report();
  report.peak_window_bytes = std::max(report.peak_window_bytes, retained_->bytes());
  if (retained_->bytes() > o.retain_bytes)
    world_.problem(
        format("{} retains {} bytes, more than its {}", name(), retained_->bytes(), o.retain_bytes));
}

}  // namespace weft::sim
