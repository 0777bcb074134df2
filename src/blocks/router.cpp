#include <weft/blocks/router.hpp>

#include <algorithm>
#include <deque>
#include <map>

#include <weft/core/error.hpp>

#include "blocks/defaults.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"

namespace weft {

using blocks::Hub;
using blocks::Peer;
using Batch = wire::BatchBuilder::Batch;

namespace {

constexpr std::size_t kMaxOpenRequests = 1 << 20;  // of one asker
constexpr std::uint64_t kErrorBytes = 128;         // what an error reply counts against credit

/// Replies to consecutive requests that leave together, or one error.
struct Replies {
  Batch batch;
  std::uint64_t first = 0;
  wire::Code code = wire::Code::none;
  std::string text;
  [[nodiscard]] std::uint64_t bytes() const { return code == wire::Code::none ? batch.bytes : kErrorBytes; }
};

struct Asker {
  wire::BatchBuilder open;
  std::uint64_t first = 0;  // request that the open batch begins with
  std::deque<Replies> ready;
  std::uint64_t unanswered = 0;
  std::uint64_t queued_bytes = 0;  // of `ready`
  explicit Asker(const std::shared_ptr<wire::BufferPool>& pool) : open(pool, 16 * 1024) {}
};

/// A batch of requests, held until the last of them has been handed out.
struct RequestHold {
  transport::Frame body;
  std::vector<Tensor> tensors;
  std::uint64_t peer = 0;
  std::uint64_t epoch = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

struct Waiting {
  std::shared_ptr<RequestHold> hold;
  wire::RecordView view;
  RouterBase::Ticket ticket;
  bool last = false;  // of its batch
};

}  // namespace

struct RouterBase::Impl final : blocks::HubClient {
  PortOptions options;
  Hub hub;
  Handler handler;
  std::map<std::uint64_t, Asker> askers;
  std::deque<Waiting> waiting;  // without a handler
  std::shared_ptr<void> shown;  // what the record that was handed out last views
  std::uint64_t queued_bytes = 0;
  std::size_t open_requests = 0;
  Loop::HookId hook = 0;
  Tap tap;
  bool draining = false;
  bool pumping = false;
  std::shared_ptr<Impl*> self = std::make_shared<Impl*>(this);

  Impl(Loop& loop, PortOptions given, RecordType request, RecordType reply)
      : options(std::move(given)),
        hub(loop, options,
            {.block = "router",
             .peer_block = "dealer",
             .type = std::move(request),
             .reply_type = std::move(reply),
             .sends = true,
             .receives = true,
             .data_endpoint = {}},
            *this) {}

  Asker& asker_of(const Peer& peer) {
    auto found = askers.find(peer.id);
    if (found == askers.end()) found = askers.emplace(peer.id, Asker(hub.pool())).first;
    return found->second;
  }

  // ---- requests ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                  std::size_t at) override {
    if (header.kind == wire::Kind::cancel) return;  // the asker no longer waits; its reply will be late there
    if (header.kind != wire::Kind::request) return hub.reject(wire::Rejection::unexpected, &peer);
    if (message.size() <= at) return hub.reject(wire::Rejection::bad_frame_count, &peer);
    const std::uint64_t count = header.options.has(wire::Options::count) ? header.options.count_v : 1;
    if (const auto why = wire::check_body(message[at].view(), count); why != wire::Rejection::none) {
      return hub.reject(why, &peer);
    }
    if (header.seq > UINT64_MAX / 2) return hub.reject(wire::Rejection::unexpected, &peer);
    // A peer that ignores its credit would fill the memory of this one.
    if (peer.held_bytes > 2 * options.window_bytes) return hub.reject(wire::Rejection::too_large, &peer);
    const auto outcome = peer.in.arrive(header.epoch, header.seq);
    hub.counts().missed_batches += outcome.missed;
    if (outcome.verdict != protocol::ReceiveLane::Verdict::accept) {
      const bool old = outcome.verdict == protocol::ReceiveLane::Verdict::fenced;
      ++(old ? hub.counts().fenced_batches : hub.counts().duplicate_batches);
      return;
    }
    peer.in.skip_to(header.seq + count - 1);
    auto hold = std::make_shared<RequestHold>();
    std::uint64_t bytes = 0;
    for (std::size_t i = at; i < message.size(); ++i) bytes += message[i].size();
    hold->tensors = blocks::take_tensors(message, at + 1);
    hold->body = std::move(message[at]);
    hub.counts().received_records += count;
    hub.counts().received_bytes += bytes;
    ++hub.counts().received_batches;
    if (tap) tap(false, peer.node, hold->body.view(), count);
    hold->peer = peer.id;
    hold->epoch = header.epoch;
    hold->first = header.seq;
    hold->count = count;
    hold->bytes = bytes;
    peer.held_bytes += bytes;
    dispatch(peer, hold);
  }

  void dispatch(Peer& peer, const std::shared_ptr<RequestHold>& hold) {
    const std::weak_ptr<bool> alive = hub.alive();
    const std::uint64_t id = peer.id;
    const std::uint64_t generation = peer.epoch;
    const std::string node = peer.node;
    bool held = false;
    wire::BatchReader reader(hold->body.view());
    for (std::uint64_t i = 0; i < hold->count; ++i) {
      const wire::RecordView view{reader.next(), hold->tensors};
      Asker& asker = asker_of(peer);
      ++asker.unanswered;
      ++open_requests;
      Ticket ticket(self, id, generation, hold->first + i, node);
      if (asker.unanswered > kMaxOpenRequests) {
        ticket.fail(wire::Code::full, "too many requests without an answer");
      } else if (handler) {
        hand_out(view, std::move(ticket), handler);
      } else {
        held = i + 1 == hold->count;
        waiting.push_back({hold, view, std::move(ticket), held});
      }
      if (alive.expired() || hub.closed() || hub.find(id) == nullptr) return;
    }
    if (!held) done(*hold);
  }

  /// All requests of a batch have been handed out: its bytes are free, and so is the asker's credit.
  void done(const RequestHold& hold) {
    Peer* peer = hub.find(hold.peer);
    if (!peer) return;
    peer->held_bytes -= std::min(peer->held_bytes, hold.bytes);
    if (hold.count != 0) hub.settled(*peer, hold.epoch, hold.first + hold.count - 1, hold.bytes);
  }

  bool hand_out(Waiting next, const Handler& to) {
    const std::weak_ptr<bool> alive = hub.alive();
    const bool taken = hand_out(next.view, std::move(next.ticket), to);
    if (next.last && !alive.expired() && !hub.closed()) done(*next.hold);
    return taken;
  }

  bool hand_out(const wire::RecordView& view, Ticket ticket, const Handler& to) {
    const std::uint64_t peer = peer_of(ticket);
    const std::weak_ptr<bool> alive = hub.alive();
    if (to(view, std::move(ticket))) return true;
    // The ticket went into the handler unused, and has answered "failed" already; say why in the counts.
    if (!alive.expired()) hub.reject(wire::Rejection::wrong_type, hub.find(peer));
    return false;
  }

  static std::uint64_t peer_of(const Ticket& ticket) { return ticket.peer_; }

  // ---- replies ----

  Asker* answering(std::uint64_t peer_id, std::uint64_t generation) {
    --open_requests;
    Peer* peer = hub.find(peer_id);
    const auto asker = askers.find(peer_id);
    if (hub.closed() || !peer || peer->epoch != generation || asker == askers.end()) {
      ++hub.counts().late_replies;
      return nullptr;
    }
    if (asker->second.unanswered != 0) --asker->second.unanswered;
    const auto state = peer->session.state();
    if (state == protocol::PeerState::dead || state == protocol::PeerState::closed) {
      ++hub.counts().late_replies;
      return nullptr;
    }
    // An asker that does not read: what it waits for will time out. The others are not disturbed.
    if (asker->second.queued_bytes >= options.capacity_bytes) {
      ++hub.counts().dropped_records;
      return nullptr;
    }
    return &asker->second;
  }

  void reply(std::uint64_t peer, std::uint64_t generation, std::uint64_t number,
             const std::function<void(wire::BatchBuilder&)>& encode) {
    Asker* asker = answering(peer, generation);
    if (!asker) return;
    if (!asker->open.empty() && number != asker->first + asker->open.count()) close_batch(*asker);
    if (asker->open.empty()) asker->first = number;
    const std::uint64_t batch_bytes = std::min(options.batch_bytes, options.max_frame_bytes / 2);
    const auto mark = asker->open.mark();
    encode(asker->open);
    if (!blocks::fits(asker->open, mark, batch_bytes, options.max_frame_bytes)) {
      asker->open.roll_back(mark);
      return queue_error(*asker, number, wire::Code::too_large, "the reply does not fit a frame");
    }
    if (asker->open.bytes() >= batch_bytes || asker->open.count() >= options.batch_records ||
        asker->open.tensors().size() > wire::kMaxTensors / 2) {
      close_batch(*asker);
    }
  }

  void queue_error(Asker& asker, std::uint64_t number, wire::Code code, std::string_view text) {
    close_batch(asker);
    asker.ready.push_back({{}, number, code, std::string(text)});
    asker.queued_bytes += kErrorBytes;
    queued_bytes += kErrorBytes;
  }

  void fail(std::uint64_t peer, std::uint64_t generation, std::uint64_t number, wire::Code code,
            std::string_view text) {
    Asker* asker = answering(peer, generation);
    if (asker) queue_error(*asker, number, code == wire::Code::none ? wire::Code::failed : code, text);
  }

  void close_batch(Asker& asker) {
    if (asker.open.empty()) return;
    asker.ready.push_back({asker.open.take(), asker.first, wire::Code::none, {}});
    asker.queued_bytes += asker.ready.back().bytes();
    queued_bytes += asker.ready.back().bytes();
  }

  void pump() {
    if (pumping || hub.closed()) return;
    pumping = true;
    for (auto& [id, asker] : askers) {
      close_batch(asker);
      Peer* peer = hub.find(id);
      while (peer && peer->up() && !asker.ready.empty() && send_one(*peer, asker)) {
      }
    }
    pumping = false;
    std::erase_if(askers, [this](auto& entry) {
      if (hub.find(entry.first)) return false;
      for (const Replies& replies : entry.second.ready) queued_bytes -= replies.bytes();
      return true;
    });
  }

  bool send_one(Peer& peer, Asker& asker) {
    Replies& replies = asker.ready.front();
    const std::uint64_t bytes = replies.bytes();
    const std::uint64_t count = replies.code == wire::Code::none ? replies.batch.count : 1;
    if (!peer.out.admits(bytes)) return false;
    if (replies.code == wire::Code::none) {
      if (tap) tap(true, peer.node, replies.batch.body.view(), count);
      if (!hub.send_batch(peer, wire::Kind::reply, replies.first, replies.batch)) return false;
    } else if (!send_error(peer, replies)) {
      return false;
    }
    peer.out.send(bytes, count, count);
    hub.counts().sent_records += count;
    hub.counts().sent_bytes += bytes;
    ++hub.counts().sent_batches;
    queued_bytes -= bytes;
    asker.queued_bytes -= bytes;
    asker.ready.pop_front();
    return true;
  }

  bool send_error(Peer& peer, const Replies& replies) {
    wire::Header header{.kind = wire::Kind::reply,
                        .stream = peer.lane,
                        .epoch = hub.epoch(),
                        .seq = replies.first,
                        .options = {}};
    header.options.code_v = replies.code;
    header.options.mark(wire::Options::code);
    header.options.text_v = replies.text;
    header.options.mark(wire::Options::text);
    return hub.send_header(peer, header) == transport::SendStatus::sent;
  }

  // ---- what the hub tells ----

  void on_up(Peer& peer) override {
    pump();
    if (draining) hub.bye(peer, wire::kDraining);  // it was away when the others were told
  }
  void on_room(Peer&) override { pump(); }
  void on_down(Peer& peer, PeerEvent::What what) override {
    if (what == PeerEvent::What::finished) return;  // it may still read what it waits for
    const auto found = askers.find(peer.id);
    if (found == askers.end()) return;
    Asker& asker = found->second;
    close_batch(asker);
    for (const Replies& replies : asker.ready) {
      queued_bytes -= replies.bytes();
      hub.counts().late_replies += replies.code == wire::Code::none ? replies.batch.count : 1;
    }
    asker.ready.clear();
    asker.queued_bytes = 0;
    if (what == PeerEvent::What::restarted) asker.unanswered = 0;
  }

  void on_idle() {
    const bool anything = std::ranges::any_of(
        askers, [](const auto& a) { return !a.second.open.empty() || !a.second.ready.empty(); });
    if (anything) pump();
  }
};

RouterBase::RouterBase(Loop& loop, PortOptions options, RecordType request, RecordType reply) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(request), std::move(reply));
  Impl& impl = *impl_;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) impl.hub.connect(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
}

RouterBase::~RouterBase() {
  close();
}

std::vector<std::string> RouterBase::endpoints() const {
  return impl_->hub.endpoints();
}
void RouterBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void RouterBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
}
std::size_t RouterBase::peers_up() const {
  return impl_->hub.peers_up();
}
std::size_t RouterBase::open_requests() const {
  return impl_->open_requests;
}
void RouterBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void RouterBase::tap(Tap tap) {
  impl_->tap = std::move(tap);
}

PortStats RouterBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.queued_bytes = impl_->queued_bytes;
  return stats;
}

void RouterBase::begin_drain() {
  impl_->draining = true;
  impl_->hub.bye_all(wire::kDraining);
}

bool RouterBase::drained() const {
  const Impl& impl = *impl_;
  if (impl.hub.closed()) return true;
  return impl.draining && !impl.hub.anyone_living() && impl.open_requests == 0 && impl.queued_bytes == 0;
}

void RouterBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.pump();
  impl.hub.close();
  impl.waiting.clear();
  impl.askers.clear();
  impl.hub.loop().remove_hook(impl.hook);
}

void RouterBase::set_handler(Handler handler) {
  Impl& impl = *impl_;
  impl.handler = std::move(handler);
  while (impl.handler && !impl.waiting.empty()) {
    Waiting next = std::move(impl.waiting.front());
    impl.waiting.pop_front();
    (void)impl.hand_out(std::move(next), impl.handler);
  }
}

bool RouterBase::next_one(Deadline deadline, const Handler& take) {
  Impl& impl = *impl_;
  for (;;) {
    if (!impl.hub.loop().run_until([&] { return !impl.waiting.empty() || impl.hub.closed(); }, deadline))
      return false;
    if (impl.hub.closed()) return false;
    Waiting next = std::move(impl.waiting.front());
    impl.waiting.pop_front();
    impl.shown = next.hold;
    if (impl.hand_out(std::move(next), take)) return true;
  }
}

bool RouterBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.loop().run_until([&] { return peers_up() >= count; }, deadline);
}

// ---- Ticket ----

RouterBase::Ticket& RouterBase::Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  if (open()) fail(wire::Code::failed, "the handler dropped the request");
  router_ = std::move(other.router_);
  peer_ = other.peer_;
  generation_ = other.generation_;
  number_ = std::exchange(other.number_, 0);
  node_ = std::move(other.node_);
  return *this;
}

RouterBase::Ticket::~Ticket() {
  if (open()) fail(wire::Code::failed, "the handler dropped the request");
}

void RouterBase::Ticket::reply(const std::function<void(wire::BatchBuilder&)>& encode) {
  if (!open()) return;
  const std::uint64_t number = std::exchange(number_, 0);
  if (const auto router = router_.lock()) (*router)->reply(peer_, generation_, number, encode);
}

void RouterBase::Ticket::fail(wire::Code code, std::string_view text) {
  if (!open()) return;
  const std::uint64_t number = std::exchange(number_, 0);
  if (const auto router = router_.lock()) (*router)->fail(peer_, generation_, number, code, text);
}

}  // namespace weft
