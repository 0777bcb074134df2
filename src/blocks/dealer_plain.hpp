// A best-effort Dealer: one attempt for each request. What waits, what is on its way, and who waits for it.
#pragma once

#include <algorithm>
#include <deque>
#include <map>

#include <weft/protocol/choose.hpp>
#include <weft/protocol/requests.hpp>

#include "blocks/dealer_impl.hpp"

namespace weft {

namespace blocks {

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
  std::string only;  // of the open batch: not empty: this router and no other
  std::deque<Requests> ready;
  std::deque<std::uint64_t> sent;  // tickets by request number, from `first_sent` on; 0: ended
  std::uint64_t first_sent = 1;
  std::size_t unanswered = 0;
  explicit Outlet(const std::shared_ptr<wire::BufferPool>& pool) : open(pool, 16 * 1024) {}
};

}  // namespace blocks

using blocks::Outlet;
using blocks::Requests;

struct PlainDealer final : DealerBase::Impl {
  protocol::RequestBook<Done> book;
  std::map<std::uint64_t, Outlet> outlets;  // by peer
  std::uint64_t latest = 0;                 // that known_outlet() has found: they come in runs
  Outlet* latest_outlet = nullptr;
  std::deque<Requests> unassigned;                           // no router could take them yet
  std::size_t waiting_anywhere = 0;                          // of these, those that any router may have
  std::vector<std::pair<Requests, std::uint64_t>> oversize;  // too large for their router's frames
  struct Lost {
    std::uint64_t ticket;
    std::string peer;
    std::string text;
  };
  std::deque<Lost> lost;  // with their router or connection: nobody has been told yet
  std::vector<protocol::Candidate> candidates;
  std::vector<Peer*> choice;
  std::size_t last_choice = SIZE_MAX;
  std::uint64_t queued_bytes = 0;
  Loop::TimerId timer = 0;
  TimePoint timer_at = TimePoint::max();

  using Impl::Impl;

  Outlet* known_outlet(std::uint64_t peer_id) {
    if (latest_outlet && latest == peer_id) return latest_outlet;
    const auto found = outlets.find(peer_id);
    if (found == outlets.end()) return nullptr;
    latest = peer_id;
    return latest_outlet = &found->second;
  }
  Outlet& outlet_of(const Peer& peer) {
    if (Outlet* known = known_outlet(peer.id)) return *known;
    outlets.emplace(peer.id, Outlet(hub.pool())).first->second.first_sent = peer.out.last_sent() + 1;
    return *known_outlet(peer.id);
  }

  // ---- which router ----

  Peer* choose(std::optional<std::uint64_t> key, std::string_view name);
  [[nodiscard]] bool goes_anywhere(const std::optional<std::uint64_t>& key, std::string_view name) const {
    return name.empty() && !(key && options.distribute == Distribute::hash);
  }
  /// Requests that it has room for beside those that wait here for it.
  [[nodiscard]] std::uint64_t room_at(const Peer& peer);

  // ---- sending ----

  RequestId add(const RequestTo& to, Deadline deadline, const Encode& encode, Done done) override;
  bool cancel(RequestId id) override;
  [[nodiscard]] bool has_room(const RequestTo& to) override;
  [[nodiscard]] std::size_t open_requests() const override { return book.size(); }
  void fill(PortStats& stats) const override;
  void end_all() override;
  struct Where {
    std::optional<std::uint64_t> key;
    std::string_view peer;
  };
  RequestId add_unassigned(const Where& where, Deadline deadline, const Encode& encode, Done done);
  std::uint64_t open(Deadline deadline, Done done);
  void close_batch(Outlet& outlet);
  void send_all() override;
  void assign();
  void give(Outlet& outlet, Requests requests, const Peer& peer);
  void split(Outlet& outlet, std::uint32_t most);
  bool send_one(Peer& peer, Outlet& outlet);

  // ---- replies ----

  [[nodiscard]] bool asked(const Peer& peer) const override { return peer.out.last_sent() != 0; }
  void on_reply(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) override;
  static void trim(Outlet& outlet);

  // ---- ends ----

  /// Every request that was accepted ends in here, once: counted, then told.
  void tell(const Done& done, RawReply& reply);
  /// Ends a request if it is still open. False: this block is closed.
  bool finish(std::uint64_t ticket, RawReply& reply);
  /// Out of the book, and nobody has been told yet.
  struct Ended {
    Done done;
    RawReply reply;
    std::string peer;
    explicit Ended(Done who) : done(std::move(who)) {}
  };
  void finish_all(std::vector<Ended> ended);
  void plan_expiry(TimePoint when);
  void expire();
  /// Takes a ticket out of wherever it waits; says where that was.
  std::string forget(std::uint64_t ticket, std::string& peer_name);
  void refuse_waiting() override;
  void refuse_oversize() override;
  /// What nobody waits for any more is not sent: whole batches only, because numbers follow each other.
  void forget_unsent();
  void count_waiting();
  void on_down(Peer& peer, PeerEvent::What what) override;
  void on_lost(Peer& peer, std::uint64_t accepted, std::uint64_t said) override;
  bool end_lost() override;
  /// To a router that drains and owes nothing more, if ever it did.
  void say_bye_when_idle(Peer& peer);
};

}  // namespace weft
