#include "sim/asker.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/protocol/choose.hpp>

namespace weft::sim {

using namespace std::chrono_literals;
using protocol::RetryBook;

SimAsker::SimAsker(RequestWorld& world, std::uint32_t index, std::uint64_t requests)
    : LinkProcess(world, index, format("asker/{}", index)), world_(world), requests_(requests) {}

void SimAsker::on_start() {
  const RequestOptions& o = world_.options();
  Random& random = world_.random();
  const std::uint64_t seed = random.next();
  book_.emplace(protocol::RetryBookOptions{
      .delivery = o.bug == RequestBug::retry_elsewhere ? Delivery::at_least_once : o.delivery,
      .distribute = o.distribute,
      .retry = {.first = 100ms, .longest = 5s, .seed = seed},
      .circuit = {.failures = 5, .probe = {.first = 1s, .longest = 10s, .seed = seed + 1}},
      .attempt_timeout = o.attempt_timeout,
      .max_attempts = o.max_attempts});
  if (o.bug != RequestBug::forget_epoch || epoch_ == 0) epoch_ = world_.next_epoch();
  next_request_ = clock();
  for (std::uint32_t i = 0; i < o.answerers; ++i)
    peers_.emplace_back(world_.right(i), true, random.next(), clock(), epoch_, o.window);
  batches_.resize(o.answerers);
  for (LinkPeer& peer : peers_) act(peer, peer.session.on_tick(clock()));
}

void SimAsker::on_crash(bool) {
  std::vector<RequestId> lost;
  for (const auto& [ticket, request] : open_) lost.push_back(request);
  for (const RequestId request : lost) world_.abandoned(request);
  open_.clear();
  book_.reset();
  peers_.clear();
  batches_.clear();
  cancels_.clear();
  changed_ = false;
}

// ---- who asks ----

void SimAsker::ask() {
  const RequestOptions& o = world_.options();
  Random& random = world_.random();
  while (made_ < requests_ && clock() >= next_request_ &&
         (open_.size() + 1) * o.request_bytes <= o.capacity) {
    const std::uint64_t left = requests_ - made_;
    const bool probe = left <= probes();
    if (probe && !world_.healed()) {
      next_request_ = clock() + 250ms;
      return;
    }
    next_request_ = clock() + random.between(Duration::zero(), 2 * o.gap);
    const RequestId request = record_id(index_, made_++);
    const RetryBook::Ticket ticket = next_ticket_++;
    world_.asked(request, probe);
    RetryBook::Target target;
    if (o.distribute == Distribute::explicit_) target.only = 1 + random.below(o.answerers);
    if (probe) target.only = left;
    if (o.distribute == Distribute::hash)
      target.key = protocol::name_hash(format("key {}", random.below(o.keys)));
    const Duration life =
        probe ? Duration(world_.pauses() ? 100s : 30s) : random.between(o.deadline / 4, o.deadline);
    open_.emplace(ticket, request);
    book_->open(ticket, clock() + life, target);
    if (!probe && random.chance(o.cancel))
      cancels_.emplace_back(clock() + random.between(0ms, life / 8), ticket);
    changed_ = true;
  }
}

void SimAsker::cancel(RetryBook::Ticket ticket) {
  if (!open_.contains(ticket)) return;
  for (const RetryBook::Placement& at : book_->cancel(ticket)) {
    LinkPeer& peer = peer_of(at.replica);
    if (peer.up()) (void)send_to(peer, {.kind = SimKind::cancel, .seq = at.number});
  }
  world_.cancelled(take(ticket));
  changed_ = true;
}

RequestId SimAsker::take(RetryBook::Ticket ticket) {
  const auto at = open_.find(ticket);
  if (at == open_.end()) {
    world_.problem(format("{} ended a request that it does not have", name()));
    return record_id(index_, 0);
  }
  const RequestId request = at->second;
  open_.erase(at);
  return request;
}

// ---- sending ----

RetryBook::View SimAsker::see(RetryBook::Id id) {
  const LinkPeer& peer = peer_of(id);
  const std::uint64_t open = batches_[id - 1].requests.size() * world_.options().request_bytes;
  return {.usable = peer.up(), .living = peer.living(), .room = peer.lanes.out.admits_beside(open, 1)};
}

void SimAsker::pump() {
  if (!std::exchange(changed_, false)) return;
  book_->pump(
      clock(), [this](RetryBook::Id id) { return see(id); },
      [this](const RetryBook::Send& send) { collect(send); });
  for (RetryBook::Id id = 1; id <= batches_.size(); ++id) flush(id);
}

void SimAsker::collect(const RetryBook::Send& send) {
  Open& open = batches_[send.replica - 1];
  const bool follows = send.number == open.first + open.requests.size() && send.attempt == open.attempt;
  if (!follows || open.requests.size() >= world_.options().batch_requests) flush(send.replica);
  if (open.requests.empty()) {
    open.first = send.number;
    open.attempt = send.attempt;
  }
  open.requests.push_back(open_.at(send.ticket));
}

void SimAsker::flush(RetryBook::Id id) {
  Open& open = batches_[id - 1];
  if (open.requests.empty()) return;
  LinkPeer& peer = peer_of(id);
  auto body = std::make_shared<RequestBody>();
  body->requests = std::exchange(open.requests, {});
  body->stream_epoch = peer.epoch;
  const std::uint64_t count = body->requests.size();
  const std::uint64_t bytes = count * world_.options().request_bytes;
  const std::uint64_t last = open.first + count - 1;
  world_.report().requests_sent += count;
  if (open.attempt > 1) world_.report().retries += count;
  (void)send_to(peer, {.kind = SimKind::request,
                       .seq = open.first,
                       .first_retained = book_->settled_below(id),
                       .attempt = open.attempt,
                       .bytes = bytes,
                       .body = std::move(body)});
  const std::uint64_t sent = peer.lanes.out.last_sent();
  peer.lanes.out.send(bytes, count, last > sent ? last - sent : 0);
}

// ---- what comes ----

void SimAsker::on_message(const SimMessage& message) {
  LinkPeer& peer = peers_[message.from - world_.options().askers];
  const RequestBug bug = world_.options().bug;
  if (message.kind == SimKind::hello) {
    if (!peer.met || peer.living() || bug != RequestBug::give_up_for_good) (void)meet(peer, message);
  } else if (hear(peer, message)) {
    if (message.kind == SimKind::reply) on_reply(peer, message);
  } else if (message.kind == SimKind::ack) {
    changed_ = true;
  }
  ask();
  pump();
}

void SimAsker::on_reply(LinkPeer& peer, const SimMessage& message) {
  const auto& body = static_cast<const ReplyBody&>(*message.body);
  const RetryBook::Id id = replica_of(peer, peers_.front());
  const bool counts = peer.lanes.count(message.epoch, body.replies.size());
  if (counts && world_.options().bug != RequestBug::keep_replies_unsaid)
    settle(peer, message.epoch, peer.lanes.in.last(), message.bytes);
  for (std::size_t i = 0; i < body.replies.size(); ++i) {
    const std::uint64_t number = message.seq + i;
    if (!book_->expects(id, number)) {
      world_.late(body.replies[i]);
    } else if (body.code == wire::Code::none) {
      if (const auto ticket = book_->reply(id, number))
        world_.replied(take(*ticket), body.replies[i], body.code, name());
    } else if (const auto end = book_->error(id, number, body.code, clock())) {
      const bool remote = end->why == RetryBook::End::Why::remote_error;
      remote ? world_.replied(take(end->ticket), body.replies[i], body.code, name()) : finish(*end);
    }
    changed_ = true;
  }
}

void SimAsker::finish(const RetryBook::End& end) {
  world_.ended(take(end.ticket), end, name());
}

void SimAsker::on_up(LinkPeer& peer) {
  const RetryBook::Id id = replica_of(peer, peers_.front());
  book_->add(id, id, protocol::name_hash(format("answerer/{}", id)));
  book_->up(id, peer.lanes.out.last_sent());
  changed_ = true;
}

void SimAsker::on_down(LinkPeer& peer, bool restarted) {
  for (const RetryBook::End& end : book_->down(replica_of(peer, peers_.front()), restarted, clock()))
    finish(end);
  changed_ = true;
}

TimePoint SimAsker::on_tick() {
  for (const RetryBook::End& end : book_->tick(clock())) finish(end);
  changed_ = true;
  std::erase_if(cancels_, [this](const auto& entry) {
    if (entry.first > clock()) return false;
    cancel(entry.second);
    return true;
  });
  TimePoint next = TimePoint::max();
  for (LinkPeer& peer : peers_) next = std::min(next, tick(peer));
  ask();
  pump();
  next = std::min(next, book_->next_tick(clock()));
  for (const LinkPeer& peer : peers_) next = std::min(next, peer.ack_at);
  for (const auto& [when, ticket] : cancels_) next = std::min(next, when);
  const bool room = (open_.size() + 1) * world_.options().request_bytes <= world_.options().capacity;
  if (made_ < requests_ && room) next = std::min(next, std::max(next_request_, clock() + 1us));
  return next;
}

void SimAsker::check_bounds() {
  const RequestOptions& o = world_.options();
  const std::uint64_t bytes = open_.size() * o.request_bytes;
  world_.report().peak_asker_bytes = std::max(world_.report().peak_asker_bytes, bytes);
  if (bytes > o.capacity)
    world_.problem(format("{} keeps {} bytes of requests, more than its {}", name(), bytes, o.capacity));
  if (book_->size() != open_.size())
    world_.problem(format("{} has {} open requests, and its book {}", name(), open_.size(), book_->size()));
  for (const LinkPeer& peer : peers_) check_credit(peer, o.request_bytes);
}

}  // namespace weft::sim
