#include <algorithm>
#include <deque>
#include <map>

#include <weft/blocks/dealer.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/protocol/choose.hpp>
#include <weft/protocol/requests.hpp>

#include "blocks/defaults.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"

namespace weft {

using blocks::Hub;
using blocks::Peer;
using Batch = wire::BatchBuilder::Batch;

namespace {

/// Requests that leave together, and who waits for them.
struct Requests {
  Batch batch;
  std::vector<std::uint64_t> tickets;
  std::optional<std::uint64_t> key;
  std::string peer;  // not empty: this router and no other
};

/// The requests of one router: what collects, what waits for credit, what is on its way.
struct Outlet {
  wire::BatchBuilder open;
  std::vector<std::uint64_t> open_tickets;
  std::deque<Requests> ready;
  std::deque<std::uint64_t> sent;  // tickets by request number, from `first_sent` on; 0: ended
  std::uint64_t first_sent = 1;
  std::size_t unanswered = 0;
  explicit Outlet(const std::shared_ptr<wire::BufferPool>& pool) : open(pool, 16 * 1024) {}
};

struct ReplyHold {
  transport::Frame body;
  std::vector<Tensor> tensors;
};

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::ok:
      return "ok";
    case Outcome::remote_error:
      return "remote error";
    case Outcome::timed_out:
      return "timed out";
    case Outcome::peer_lost:
      return "peer lost";
    case Outcome::malformed:
      return "malformed reply";
    case Outcome::no_room:
      return "no room";
    case Outcome::no_peer:
      return "no peer";
    case Outcome::closed:
      return "closed";
  }
  return "unknown";
}

struct DealerBase::Impl final : blocks::HubClient {
  PortOptions options;
  Hub hub;
  protocol::RequestBook<Done> book;  // by ticket
  std::map<std::uint64_t, Outlet> outlets;
  std::deque<Requests> unassigned;  // no router could take them yet
  std::vector<protocol::Candidate> candidates;
  std::vector<Peer*> choice;
  std::size_t last_choice = SIZE_MAX;
  std::uint64_t next_ticket = 1;
  std::uint64_t queued_bytes = 0;
  Loop::HookId hook = 0;
  Loop::TimerId timer = 0;
  TimePoint timer_at = TimePoint::max();
  Tap tap;
  bool draining = false;
  bool said_bye = false;
  bool pumping = false;

  Impl(Loop& loop, PortOptions given, RecordType request, RecordType reply)
      : options(std::move(given)),
        hub(loop, options,
            {.block = "dealer",
             .peer_block = "router",
             .type = std::move(request),
             .reply_type = std::move(reply),
             .sends = true,
             .receives = true,
             .data_endpoint = {}},
            *this) {}

  Outlet& outlet_of(const Peer& peer) {
    auto found = outlets.find(peer.id);
    if (found == outlets.end()) {
      found = outlets.emplace(peer.id, Outlet(hub.pool())).first;
      found->second.first_sent = peer.out.last_sent() + 1;
    }
    return found->second;
  }

  // ---- which router ----

  Peer* choose(std::optional<std::uint64_t> key, std::string_view name) {
    candidates.clear();
    choice.clear();
    if (name.empty() && options.distribute == Distribute::explicit_) return nullptr;
    for (const auto& peer : hub.peers()) {
      if (!name.empty() && peer->node != name) continue;
      // A key stays with its router through a silence; anything else goes to those that answer.
      const bool silent = key && options.distribute == Distribute::hash && peer->met && !peer->finished &&
                          !peer->draining && peer->session.state() == protocol::PeerState::suspect;
      if (!peer->usable() && !silent) continue;
      const auto found = outlets.find(peer->id);
      const std::size_t busy =
          found == outlets.end() ? 0 : found->second.unanswered + found->second.open_tickets.size();
      choice.push_back(peer.get());
      candidates.push_back({.id = peer->name_hash, .ready = true, .room = UINT64_MAX - busy});
    }
    std::optional<std::size_t> at;
    if (key && options.distribute == Distribute::hash) {
      at = protocol::by_key(candidates, *key);
    } else if (options.distribute == Distribute::round_robin) {
      at = protocol::round_robin(candidates, last_choice);
    } else {
      at = protocol::most_room(candidates, last_choice);  // least outstanding
    }
    if (!at) return nullptr;
    last_choice = *at;
    return choice[*at];
  }

  // ---- sending ----

  void add(const RequestTo& to, Deadline deadline, const std::function<void(wire::BatchBuilder&)>& encode,
           Done done) {
    if (hub.closed() || draining)
      return refuse(done, Outcome::closed, "the dealer takes no new requests", {});
    if (queued_bytes >= options.capacity_bytes) {
      return refuse(done, Outcome::no_room, format("{} bytes of requests wait already", queued_bytes), {});
    }
    const std::optional<std::uint64_t> key =
        to.key ? std::optional(protocol::name_hash(as_text(*to.key))) : std::nullopt;
    Peer* peer = choose(key, to.peer);
    if (!peer && options.distribute == Distribute::explicit_) {
      return refuse(done, Outcome::no_peer, format("router {} is not up", quoted(to.peer)),
                    std::string(to.peer));
    }
    if (!peer) return add_unassigned({.key = key, .peer = to.peer}, deadline, encode, std::move(done));
    Outlet& outlet = outlet_of(*peer);
    const auto mark = outlet.open.mark();
    encode(outlet.open);
    if (!fits(outlet.open, mark)) {
      outlet.open.roll_back(mark);
      return refuse_large(done);
    }
    outlet.open_tickets.push_back(open(deadline, std::move(done)));
    if (outlet.open.bytes() >= batch_bytes() || outlet.open.count() >= options.batch_records ||
        outlet.open.tensors().size() > wire::kMaxTensors / 2 || !to.peer.empty()) {
      close_batch(outlet, to.peer);
    }
  }

  struct Where {
    std::optional<std::uint64_t> key;
    std::string_view peer;
  };
  void add_unassigned(const Where& where, Deadline deadline,
                      const std::function<void(wire::BatchBuilder&)>& encode, Done done) {
    wire::BatchBuilder single(hub.pool(), 4096);
    encode(single);
    if (!fits(single, {})) return refuse_large(done);
    queued_bytes += single.bytes();
    unassigned.push_back(
        {single.take(), {open(deadline, std::move(done))}, where.key, std::string(where.peer)});
  }

  std::uint64_t open(Deadline deadline, Done done) {
    const std::uint64_t ticket = next_ticket++;
    book.open(ticket, 0, deadline, std::move(done));
    plan_expiry(deadline.point());
    return ticket;
  }

  [[nodiscard]] std::uint64_t batch_bytes() const {
    return std::min(options.batch_bytes, options.max_frame_bytes / 2);
  }

  bool fits(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark) const {
    return blocks::fits(batch, mark, batch_bytes(), options.max_frame_bytes);
  }

  void refuse_large(const Done& done) {
    RawReply reply;
    reply.outcome = Outcome::no_room;
    reply.code = wire::Code::too_large;
    reply.text = format("the request does not fit a frame of {} bytes", options.max_frame_bytes);
    done(reply);
  }

  static void refuse(const Done& done, Outcome outcome, std::string text, std::string peer) {
    RawReply reply;
    reply.outcome = outcome;
    reply.text = std::move(text);
    reply.peer = std::move(peer);
    done(reply);
  }

  void close_batch(Outlet& outlet, std::string_view only = {}) {
    if (outlet.open.empty()) return;
    Requests requests{outlet.open.take(), std::move(outlet.open_tickets), std::nullopt, std::string(only)};
    outlet.open_tickets.clear();
    queued_bytes += requests.batch.bytes;
    outlet.ready.push_back(std::move(requests));
  }

  void pump() {
    if (hub.closed() || pumping) return;
    pumping = true;
    assign();
    for (auto& [id, outlet] : outlets) {
      close_batch(outlet);
      Peer* peer = hub.find(id);
      while (peer && peer->up() && !peer->finished && !outlet.ready.empty() && send_one(*peer, outlet)) {
      }
      if (peer) say_bye_when_idle(*peer, outlet);
    }
    pumping = false;
    check_drain();
  }

  void assign() {
    for (std::size_t i = unassigned.size(); i-- > 0;) {
      Requests requests = std::move(unassigned.front());
      unassigned.pop_front();
      Peer* peer = choose(requests.key, requests.peer);
      if (peer) {
        Outlet& outlet = outlet_of(*peer);
        close_batch(outlet);  // keeps the order of what was asked
        outlet.ready.push_back(std::move(requests));
      } else {
        unassigned.push_back(std::move(requests));
      }
    }
  }

  bool send_one(Peer& peer, Outlet& outlet) {
    Requests& requests = outlet.ready.front();
    const std::uint64_t bytes = requests.batch.bytes;
    const std::uint64_t count = requests.batch.count;
    if (!peer.out.admits(bytes)) return false;
    if (tap) tap(true, peer.node, requests.batch.body.view(), count);
    if (!hub.send_batch(peer, wire::Kind::request, peer.out.last_sent() + 1, requests.batch)) return false;
    peer.out.send(bytes, count, count);
    hub.counts().sent_records += count;
    hub.counts().sent_bytes += bytes;
    ++hub.counts().sent_batches;
    queued_bytes -= bytes;
    outlet.unanswered += count;
    if (outlet.sent.empty()) outlet.first_sent = peer.out.last_sent() - count + 1;
    for (const std::uint64_t ticket : requests.tickets) outlet.sent.push_back(ticket);
    outlet.ready.pop_front();
    return true;
  }

  // ---- replies ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                  std::size_t at) override {
    if (header.kind != wire::Kind::reply) return hub.reject(wire::Rejection::unexpected, &peer);
    const auto found = outlets.find(peer.id);
    if (found == outlets.end()) return hub.reject(wire::Rejection::unexpected, &peer);
    std::uint64_t bytes = 0;
    for (std::size_t i = at; i < message.size(); ++i) bytes += message[i].size();
    if (header.options.has(wire::Options::code) && header.options.code_v != wire::Code::none) {
      settle(peer, header.epoch, 1, bytes);
      return on_error_reply(peer, found->second, header);
    }
    if (message.size() <= at) return hub.reject(wire::Rejection::bad_frame_count, &peer);
    if (!header.options.has(wire::Options::count)) return hub.reject(wire::Rejection::malformed, &peer);
    const std::uint64_t count = header.options.count_v;
    if (const auto why = wire::check_body(message[at].view(), count); why != wire::Rejection::none) {
      return hub.reject(why, &peer);
    }
    auto hold = std::make_shared<ReplyHold>();
    hold->tensors = blocks::take_tensors(message, at + 1);
    hold->body = std::move(message[at]);
    hub.counts().received_records += count;
    hub.counts().received_bytes += bytes;
    ++hub.counts().received_batches;
    if (tap) tap(false, peer.node, hold->body.view(), count);
    settle(peer, header.epoch, count, bytes);
    const std::uint64_t id = peer.id;
    const std::string name = peer.node;
    const std::uint64_t first = header.seq;
    const std::weak_ptr<bool> alive = hub.alive();
    wire::BatchReader reader(hold->body.view());
    for (std::uint64_t i = 0; i < count; ++i) {
      RawReply reply;
      reply.outcome = Outcome::ok;
      reply.peer = name;
      reply.record = {reader.next(), hold->tensors};
      reply.hold = hold;
      end_sent(id, first + i, reply);
      if (alive.expired() || hub.closed()) return;
    }
  }

  void on_error_reply(Peer& peer, Outlet&, const wire::Header& header) {
    RawReply reply;
    reply.outcome = Outcome::remote_error;
    reply.code = header.options.code_v;
    reply.text = header.options.has(wire::Options::text) ? header.options.text_v : std::string_view();
    reply.peer = peer.node;
    end_sent(peer.id, header.seq, reply);
  }

  /// A reply lane counts replies: its sequence is how many there were.
  void settle(Peer& peer, std::uint64_t epoch, std::uint64_t count, std::uint64_t bytes) {
    if (peer.in.begin(epoch) == protocol::ReceiveLane::Verdict::fenced) return;
    peer.in.skip_to(peer.in.last() + count);
    hub.settled(peer, epoch, peer.in.last(), bytes);
  }

  /// The request with that number has its answer; `done` may do anything, even close this block.
  void end_sent(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) {
    const auto found = outlets.find(peer_id);
    if (found == outlets.end()) return;
    Outlet& outlet = found->second;
    const bool known = number >= outlet.first_sent && number - outlet.first_sent < outlet.sent.size();
    std::uint64_t ticket = 0;
    if (known) {
      ticket = std::exchange(outlet.sent[number - outlet.first_sent], 0);
      if (ticket != 0) --outlet.unanswered;
      trim(outlet);
    }
    auto done = ticket != 0 ? book.answer(ticket, 0) : std::nullopt;
    if (!done) {
      ++hub.counts().late_replies;
      return;
    }
    (*done)(reply);
  }

  static void trim(Outlet& outlet) {
    while (!outlet.sent.empty() && outlet.sent.front() == 0) {
      outlet.sent.pop_front();
      ++outlet.first_sent;
    }
  }

  // ---- ends without a reply ----

  void plan_expiry(TimePoint when) {
    if (when >= timer_at) return;
    if (timer != 0) hub.loop().cancel(timer);
    timer_at = when;
    timer = hub.loop().at(when, [this] {
      timer = 0;
      timer_at = TimePoint::max();
      expire();
    });
  }

  void expire() {
    const std::weak_ptr<bool> alive = hub.alive();
    for (auto& [ticket, done] : book.expire(hub.loop().now())) {
      ++hub.counts().timed_out_requests;
      RawReply reply;
      reply.outcome = Outcome::timed_out;
      reply.text = forget(ticket, reply.peer);
      done(reply);
      if (alive.expired() || hub.closed()) return;
    }
    forget_unsent();
    if (const auto next = book.next_deadline()) plan_expiry(*next);
    check_drain();
  }

  /// Takes a ticket out of wherever it waits; says where that was.
  std::string forget(std::uint64_t ticket, std::string& peer_name) {
    for (auto& [id, outlet] : outlets) {
      for (std::uint64_t& sent : outlet.sent) {
        if (sent != ticket) continue;
        sent = 0;
        --outlet.unanswered;
        const Peer* peer = hub.find(id);
        peer_name = peer ? peer->name() : "";
        trim(outlet);
        return format("no reply from {} ({})", peer_name, peer ? to_string(peer->session.state()) : "gone");
      }
    }
    if (hub.peers().empty()) return "never sent: no router is known";
    std::string states;
    for (const auto& peer : hub.peers()) {
      states +=
          format("{}{} is {}", states.empty() ? "" : ", ", peer->name(), to_string(peer->session.state()));
    }
    return "never sent: " + states;
  }

  /// What nobody waits for any more is not sent: whole batches only, because numbers follow each other.
  void forget_unsent() {
    const auto forgotten = [this](const Requests& requests) {
      if (std::ranges::any_of(requests.tickets, [this](auto t) { return book.contains(t); })) return false;
      queued_bytes -= requests.batch.bytes;
      return true;
    };
    std::erase_if(unassigned, forgotten);
    if (pumping) return;
    for (auto& [id, outlet] : outlets) std::erase_if(outlet.ready, forgotten);
  }

  void on_up(Peer&) override { pump(); }
  void on_room(Peer&) override { pump(); }

  void on_down(Peer& peer, PeerEvent::What what) override {
    const auto found = outlets.find(peer.id);
    if (found == outlets.end()) return;
    Outlet outlet = std::move(found->second);
    outlets.erase(found);
    close_batch(outlet);
    // What was never sent may go to another router, before what was asked later; what was sent had its one
    // attempt. So has what was meant for the owner of a key: the keys of a batch have different new owners.
    for (auto at = outlet.ready.rbegin(); at != outlet.ready.rend(); ++at) {
      if (options.distribute == Distribute::hash && at->peer.empty() && !at->key) {
        queued_bytes -= at->batch.bytes;
        outlet.sent.insert(outlet.sent.end(), at->tickets.begin(), at->tickets.end());
      } else {
        unassigned.push_front(std::move(*at));
      }
    }
    const std::weak_ptr<bool> alive = hub.alive();
    const std::string name = peer.name();
    for (const std::uint64_t ticket : outlet.sent) {
      auto done = ticket != 0 ? book.answer(ticket, 0) : std::nullopt;
      if (!done) continue;
      RawReply reply;
      reply.outcome = Outcome::peer_lost;
      reply.code = wire::Code::dead;
      reply.peer = name;
      reply.text = format("{} was lost before it replied ({})", name, to_string(what));
      (*done)(reply);
      if (alive.expired() || hub.closed()) return;
    }
    pump();
  }

  void say_bye_when_idle(Peer& peer, const Outlet& outlet) {
    if (!peer.draining || peer.finished || outlet.unanswered != 0 || !outlet.ready.empty()) return;
    hub.bye(peer, wire::kLast);
    peer.finished = true;
  }

  void check_drain() {
    if (!draining || said_bye || book.size() != 0) return;
    said_bye = true;
    hub.bye_all(wire::kLast);
  }

  void on_idle() {
    if (pumping) return;
    const bool waiting = std::ranges::any_of(
        outlets, [](const auto& o) { return !o.second.open.empty() || !o.second.ready.empty(); });
    const bool leaving =
        std::ranges::any_of(hub.peers(), [](const auto& p) { return p->draining && !p->finished; });
    if (waiting || leaving || draining) pump();
    // A router that never got a request has no outlet to finish with.
    for (std::size_t i = 0; leaving && i < hub.peers().size(); ++i) {
      Peer& peer = *hub.peers()[i];
      if (outlets.find(peer.id) == outlets.end()) say_bye_when_idle(peer, Outlet(hub.pool()));
    }
  }
};

DealerBase::DealerBase(Loop& loop, PortOptions options, RecordType request, RecordType reply) {
  blocks::fill_defaults(options);
  if (options.native) throw Error(Errc::invalid_argument, "native is for Push and Pull only");
  impl_ = std::make_unique<Impl>(loop, std::move(options), std::move(request), std::move(reply));
  Impl& impl = *impl_;
  for (const std::string& endpoint : impl.options.bind) impl.hub.bind(endpoint);
  for (const std::string& endpoint : impl.options.connect) impl.hub.connect(endpoint);
  impl.hook = loop.on_idle([&impl] { impl.on_idle(); });
}

DealerBase::~DealerBase() {
  close();
}

std::vector<std::string> DealerBase::endpoints() const {
  return impl_->hub.endpoints();
}
void DealerBase::connect(const std::string& endpoint) {
  impl_->hub.connect(endpoint);
}
void DealerBase::disconnect(const std::string& endpoint) {
  impl_->hub.disconnect(endpoint);
}
std::size_t DealerBase::peers_up() const {
  return impl_->hub.peers_up();
}
std::size_t DealerBase::open_requests() const {
  return impl_->book.size();
}
void DealerBase::on_peer(std::function<void(const PeerEvent&)> handler) {
  impl_->hub.on_peer(std::move(handler));
}
void DealerBase::tap(Tap tap) {
  impl_->tap = std::move(tap);
}

PortStats DealerBase::stats() const {
  PortStats stats;
  impl_->hub.fill(stats);
  stats.outstanding_records = impl_->book.size();
  stats.queued_bytes = impl_->queued_bytes;
  stats.queued_records = impl_->unassigned.size();
  for (const auto& [id, outlet] : impl_->outlets) {
    stats.queued_records += outlet.open_tickets.size();
    for (const auto& requests : outlet.ready) stats.queued_records += requests.tickets.size();
  }
  return stats;
}

std::vector<std::string> DealerBase::peer_names() const {
  std::vector<std::string> names;
  for (const auto& peer : impl_->hub.peers()) {
    if (peer->usable()) names.push_back(peer->node);
  }
  return names;
}

void DealerBase::begin_drain() {
  impl_->draining = true;
  impl_->pump();
}

bool DealerBase::drained() const {
  return impl_->said_bye || impl_->hub.closed();
}

void DealerBase::close() {
  Impl& impl = *impl_;
  if (impl.hub.closed()) return;
  impl.hub.close();
  impl.hub.loop().remove_hook(impl.hook);
  if (impl.timer != 0) impl.hub.loop().cancel(impl.timer);
  impl.timer = 0;
  impl.outlets.clear();
  impl.unassigned.clear();
  for (auto& [ticket, done] : impl.book.expire(TimePoint::max())) {
    RawReply reply;
    reply.text = "the dealer was closed";
    done(reply);
  }
}

void DealerBase::submit(const RequestTo& to, Deadline deadline,
                        const std::function<void(wire::BatchBuilder&)>& encode, Done done) {
  impl_->add(to, deadline, encode, std::move(done));
}

void DealerBase::wait(const bool& finished, Deadline deadline) {
  // The deadline itself ends the request; the margin is for the loop to say so.
  const auto margin = std::chrono::seconds(1);
  const TimePoint point = deadline.point();
  const Deadline last = point > TimePoint::max() - margin ? deadline : Deadline::at(point + margin);
  (void)impl_->hub.loop().run_until([&] { return finished; }, last);
}

bool DealerBase::wait_for_room(const RequestTo& to, Deadline deadline) {
  Impl& impl = *impl_;
  const bool must_be_up = impl.options.distribute == Distribute::explicit_;
  return impl.hub.loop().run_until(
      [&] {
        if (impl.hub.closed() || impl.draining) return true;
        return impl.queued_bytes < impl.options.capacity_bytes &&
               (!must_be_up || impl.choose(std::nullopt, to.peer) != nullptr);
      },
      deadline);
}

bool DealerBase::wait_for_peers(std::size_t count, Deadline deadline) {
  return impl_->hub.loop().run_until([&] { return peers_up() >= count; }, deadline);
}

}  // namespace weft
