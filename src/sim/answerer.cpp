#include "sim/answerer.hpp"

#include <algorithm>
#include <utility>

#include <weft/core/format.hpp>

namespace weft::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kErrorBytes = 128;

std::vector<std::byte> key_of(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
  std::vector<std::byte> key = pack_numbers({epoch, number});
  const Bytes name = as_key(client);
  key.insert(key.end(), name.begin(), name.end());
  return key;
}
std::string client_in(Bytes key) {
  return std::string(reinterpret_cast<const char*>(key.data()), key.size());
}

}  // namespace

// ---- replies in the journal ----

void SimReplyStore::restore(const Floor& floor, const Kept& reply) const {
  const journal::Store& store = journal_.store();
  store.for_each_from("floors", {}, [&](Bytes key, Bytes value) {
    const auto numbers = unpack_numbers(value);
    floor(client_in(key), numbers[0], numbers[1]);
    return true;
  });
  store.for_each_from("replies", {}, [&](Bytes key, Bytes value) {
    const auto at = unpack_numbers(key.first(16));
    const auto numbers = unpack_numbers(value);
    reply(client_in(key.subspan(16)), at[0], at[1],
          {.request = numbers[0], .code = static_cast<wire::Code>(numbers[1]), .size = numbers[2]});
    return true;
  });
}

void SimReplyStore::put(std::string_view client, std::uint64_t epoch, std::uint64_t number, SimReply& reply) {
  journal_.changes().put("replies", key_of(client, epoch, number),
                         pack_numbers({reply.request, static_cast<std::uint64_t>(reply.code), reply.size}));
  reply.commit = journal_.store().next();
}

void SimReplyStore::erase(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
  journal_.changes().erase("replies", key_of(client, epoch, number));
}

void SimReplyStore::floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) {
  journal_.changes().put("floors", as_key(client), pack_numbers({epoch, floor}));
}

// ---- the process ----

SimAnswerer::SimAnswerer(RequestWorld& world, std::uint32_t index, std::uint32_t number)
    : LinkProcess(world, index, format("answerer/{}", number)), world_(world) {
  if (world.options().journal) journal_.emplace(world.options().seed * 1021 + index);
}

bool SimAnswerer::at_rest() const {
  const bool idle = !busy_ && waiting_.empty() && parked_.empty() && commits_.empty();
  return idle && (!book_ || book_->pending() == 0) &&
         std::all_of(askers_.begin(), askers_.end(), [](const Asker& asker) { return asker.ready.empty(); });
}

void SimAnswerer::on_start() {
  const RequestOptions& o = world_.options();
  if (!journal_) {
    epoch_ = world_.next_epoch();
  } else if (!open_journal()) {
    return;
  }
  make_book();
  askers_.resize(o.askers);
  for (std::uint32_t i = 0; i < o.askers; ++i) {
    peers_.emplace_back(i, false, world_.random().next(), clock(), epoch_, o.window);
    peers_.back().session.lose();  // nobody has come yet
    askers_[i].client = world_.process(i).name();
  }
}

// Askers tell by the epoch whether this end remembers what it did. False: it died over that.
bool SimAnswerer::open_journal() {
  journal_->disk().set_full(false);
  journal_->open();
  journal::Store& store = journal_->store();
  // What was submitted and never known to be durable is there or not.
  for (const Commit& commit : std::exchange(commits_, {})) {
    if (!store.read("done", commit.key)) continue;
    ++committed_;
    world_.done(commit.request, name());
  }
  if (store.count("done") != committed_)
    world_.problem(format("the journal of {} holds the effects of {} requests, of {} that it committed",
                          name(), store.count("done"), committed_));
  if (const auto epoch = store.read("meta", as_key("epoch"))) {
    epoch_ = unpack_numbers(*epoch)[0];
    return true;
  }
  epoch_ = world_.next_epoch();
  journal_->changes().put("meta", as_key("epoch"), pack_numbers({epoch_}));
  (void)journal_->submit();
  if (store.flush() == journal::Store::Flush::done) return true;
  world_.crash(*this);
  return false;
}

void SimAnswerer::make_book() {
  const RequestOptions& o = world_.options();
  book_.reset();
  store_.reset();
  if (journal_) store_.emplace(*journal_);
  book_.emplace(protocol::ReplyCacheOptions{.max_bytes = o.reply_window_bytes,
                                            .max_entries = o.reply_window,
                                            .max_clients = 2 * std::size_t{o.askers}},
                store_ ? &*store_ : nullptr);
}

void SimAnswerer::on_crash(bool power) {
  book_.reset();
  store_.reset();
  if (journal_) {
    journal_->crash(power);
  } else {
    commits_.clear();
  }
  peers_.clear();
  askers_.clear();
  waiting_.clear();
  parked_.clear();
  busy_ = flushing_ = false;
}

// ---- requests ----

void SimAnswerer::on_message(const SimMessage& message) {
  LinkPeer& peer = peers_[message.from];
  if (message.kind == SimKind::hello) {
    const std::uint64_t before = peer.connection;
    if (meet(peer, message) && world_.options().bug == RequestBug::forget_replies &&
        before != peer.connection && waiting_.empty() && parked_.empty() && commits_.empty()) {
      book_.emplace(protocol::ReplyCacheOptions{}, nullptr);
    }
  } else if (hear(peer, message)) {
    if (message.kind == SimKind::request) on_request(peer, message);
    if (message.kind == SimKind::cancel) on_cancel(peer, message.seq);
  }
  pump();
  ask_flush();
}

void SimAnswerer::on_request(LinkPeer& peer, const SimMessage& message) {
  const auto& body = static_cast<const RequestBody&>(*message.body);
  if (message.epoch != peer.epoch) return;
  if (peer.lanes.overfull()) {
    // Dropped, but not for the asker's credit: out of it, it could not even ask again.
    peer.lanes.in.skip_to(message.seq + body.requests.size() - 1);
    return;
  }
  const bool meant = body.stream_epoch == epoch_ || world_.options().bug == RequestBug::ignore_epoch;
  if (!meant) return (void)send_to(peer, {.kind = SimKind::nack_retry});
  if (message.first_retained > message.seq) {
    world_.problem(format("{} asks for {} and has settled what is below {}",
                          world_.process(peer.process).name(), message.seq, message.first_retained));
    return;
  }
  book_->settled_below(askers_[peer.process].client, peer.epoch, message.first_retained);
  const std::uint64_t count = body.requests.size();
  peer.lanes.in.skip_to(message.seq + count - 1);
  auto hold = std::make_shared<Hold>(Hold{message.epoch, message.seq + count - 1, message.bytes});
  peer.lanes.held_bytes += hold->bytes;
  bool held = false;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!fresh(peer, message.seq + i)) continue;
    held = i + 1 == count;
    waiting_.push_back(
        {peer.process, message.epoch, message.seq + i, body.requests[i], held ? hold : nullptr});
  }
  if (!held) {
    peer.lanes.held_bytes -= hold->bytes;
    settle(peer, hold->epoch, hold->last, hold->bytes);
  }
  handle_next();
}

bool SimAnswerer::fresh(LinkPeer& peer, std::uint64_t number) {
  const std::uint32_t at = peer.process;
  const auto found = book_->arrive(askers_[at].client, peer.epoch, number);
  using Verdict = Book::Verdict;
  if (found.verdict == Verdict::fresh) return true;
  if (found.verdict != Verdict::full) ++world_.report().repeated;
  if (askers_[at].queued_bytes >= world_.options().capacity) return false;
  if (found.verdict == Verdict::replied) queue(at, number, *found.reply);
  if (found.verdict == Verdict::gone) queue(at, number, {.code = wire::Code::gone});
  if (found.verdict == Verdict::full) queue(at, number, {.code = wire::Code::full});
  return false;
}

void SimAnswerer::on_cancel(LinkPeer& peer, std::uint64_t number) {
  const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const Item& item) {
    return item.asker == peer.process && item.number == number && item.epoch == peer.epoch;
  });
  if (at == waiting_.end()) return;
  const Item item = std::move(*at);
  waiting_.erase(at);
  book_->withdraw(askers_[item.asker].client, item.epoch, number);
  if (!item.last) return;
  peer.lanes.held_bytes -= std::min(peer.lanes.held_bytes, item.last->bytes);
  settle(peer, item.last->epoch, item.last->last, item.last->bytes);
}

// ---- the handler ----

void SimAnswerer::handle_next() {
  if (busy_ || (waiting_.empty() && parked_.empty())) return;
  busy_ = true;
  handled_after(world_.random().between(Duration::zero(), 2 * world_.options().service));
}

// The handler takes one and answers it, or keeps it for later and answers another one.
void SimAnswerer::on_handled() {
  busy_ = false;
  Random& random = world_.random();
  if (!waiting_.empty()) {
    Item item = std::move(waiting_.front());
    waiting_.pop_front();
    if (const auto hold = std::exchange(item.last, nullptr)) {
      LinkPeer& peer = peers_[item.asker];
      peer.lanes.held_bytes -= std::min(peer.lanes.held_bytes, hold->bytes);
      settle(peer, hold->epoch, hold->last, hold->bytes);
    }
    random.chance(0.2) ? parked_.push_back(std::move(item)) : answer(item);
  }
  if (!parked_.empty() && (waiting_.empty() || random.chance(0.3))) {
    const auto at = parked_.begin() + static_cast<std::ptrdiff_t>(random.below(parked_.size()));
    const Item item = *at;
    parked_.erase(at);
    answer(item);
  }
  handle_next();
  pump();
  ask_flush();
}

void SimAnswerer::answer(const Item& item) {
  const RequestOptions& o = world_.options();
  if (world_.chance(o.refuse)) {
    book_->withdraw(askers_[item.asker].client, item.epoch, item.number);
    deliver(item.asker, item.epoch, item.number, {.request = item.request, .code = wire::Code::retry});
    return;
  }
  if (world_.random().chance(o.fail))
    return keep(item, {.request = item.request, .code = wire::Code::failed, .size = kErrorBytes});
  if (journal_) {
    // What the handler does, and its reply, are one commit.
    auto key = key_of(askers_[item.asker].client, item.epoch, item.number);
    journal_->changes().put("done", key, pack_numbers({item.request}));
    commits_.push_back({journal_->store().next(), item.request, std::move(key)});
  } else {
    world_.done(item.request, name());
  }
  keep(item, {.request = item.request, .size = o.reply_bytes});
}

void SimAnswerer::keep(const Item& item, SimReply reply) {
  const SimReply copy = reply;
  const std::string& client = askers_[item.asker].client;
  const SimReply* kept = book_->answer(item.asker, client, item.epoch, item.number, std::move(reply));
  if (journal_) (void)journal_->submit();
  if (journal_ && world_.options().bug == RequestBug::reply_before_durable) kept = &copy;
  if (kept) deliver(item.asker, item.epoch, item.number, *kept);
}

// ---- replies ----

/// One that is away, or does not read, gets it when it asks again.
void SimAnswerer::deliver(std::uint32_t asker, std::uint64_t epoch, std::uint64_t number,
                          const SimReply& reply) {
  const LinkPeer& peer = peers_[asker];
  const bool reachable = peer.epoch == epoch && peer.living();
  if (reachable && askers_[asker].queued_bytes < world_.options().capacity) queue(asker, number, reply);
}

void SimAnswerer::queue(std::uint32_t asker, std::uint64_t number, const SimReply& reply) {
  Asker& to = askers_[asker];
  const bool error = reply.code != wire::Code::none;
  const std::uint64_t bytes = error ? kErrorBytes : reply.size;
  const bool follows = !error && !to.ready.empty() && to.ready.back().code == wire::Code::none &&
                       number == to.ready.back().first + to.ready.back().replies.size() &&
                       to.ready.back().replies.size() < world_.options().batch_requests;
  if (!follows) to.ready.push_back({.first = number, .replies = {}, .code = reply.code});
  to.ready.back().replies.push_back(reply.request);
  to.ready.back().bytes += bytes;
  to.queued_bytes += bytes;
}

void SimAnswerer::pump() {
  for (LinkPeer& peer : peers_) {
    Asker& asker = askers_[peer.process];
    while (peer.up() && !asker.ready.empty()) {
      Ready& next = asker.ready.front();
      if (!peer.lanes.out.admits(next.bytes)) break;
      auto body = std::make_shared<ReplyBody>();
      body->replies = next.replies;
      body->code = next.code;
      const bool sent = send_to(
          peer, {.kind = SimKind::reply, .seq = next.first, .bytes = next.bytes, .body = std::move(body)});
      if (!sent) break;
      peer.lanes.out.send(next.bytes, next.replies.size(), next.replies.size());
      asker.queued_bytes -= next.bytes;
      asker.ready.pop_front();
    }
  }
}

void SimAnswerer::on_down(LinkPeer& peer, bool) {
  askers_[peer.process].ready.clear();
  askers_[peer.process].queued_bytes = 0;
}

// ---- the journal ----

void SimAnswerer::ask_flush() {
  if (flushing_ || !journal_ || !journal_->store().waiting()) return;
  flushing_ = true;
  flush_after(world_.random().between(100us, 2ms));
}

void SimAnswerer::on_flush() {
  flushing_ = false;
  const bool full = world_.chance(world_.faults().full);
  if (full) world_.fault("disk full");
  journal_->disk().set_full(full);
  if (journal_->store().flush() == journal::Store::Flush::failed) {
    world_.crash(*this);
    return;
  }
  while (!commits_.empty() && commits_.front().number <= journal_->store().durable()) {
    const RequestId request = commits_.front().request;
    commits_.pop_front();
    ++committed_;
    world_.done(request, name());
  }
  book_->on_durable(
      [this](std::uint64_t asker, std::uint64_t epoch, std::uint64_t number, const SimReply& reply) {
        deliver(static_cast<std::uint32_t>(asker), epoch, number, reply);
      });
  pump();
  ask_flush();
}

TimePoint SimAnswerer::on_tick() {
  TimePoint next = TimePoint::max();
  for (LinkPeer& peer : peers_) next = std::min(next, tick(peer));
  handle_next();
  pump();
  ask_flush();
  for (const LinkPeer& peer : peers_) next = std::min(next, peer.ack_at);
  if (journal_ && journal_->store().waiting()) next = std::min(next, clock() + 20ms);
  return next;
}

void SimAnswerer::check_bounds() {
  const RequestOptions& o = world_.options();
  const Book::Cache& cache = book_->cache();
  world_.report().peak_window_bytes = std::max(world_.report().peak_window_bytes, cache.bytes());
  const std::uint64_t one = std::max<std::uint64_t>(o.reply_bytes, kErrorBytes);
  if (o.bug != RequestBug::forget_replies &&
      (cache.bytes() > std::max(o.reply_window_bytes, one) || cache.entries() > o.reply_window))
    world_.problem(format("{} remembers {} replies of {} bytes, more than its window", name(),
                          cache.entries(), cache.bytes()));
  if (cache.handling() > o.reply_window && o.bug != RequestBug::forget_replies)
    world_.problem(
        format("{} has {} requests in hand, more than its {}", name(), cache.handling(), o.reply_window));
  for (const LinkPeer& peer : peers_) {
    check_credit(peer, 0);
    if (peer.lanes.held_bytes > 2 * o.window.bytes + std::uint64_t{o.request_bytes} * o.batch_requests)
      world_.problem(format("{} holds {} bytes of requests of {}, whose window is {}", name(),
                            peer.lanes.held_bytes, world_.process(peer.process).name(), o.window.bytes));
  }
}

}  // namespace weft::sim
