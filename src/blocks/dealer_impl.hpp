// What a Dealer is inside: requests that wait, requests that are on their way, and who waits for them.
#pragma once

#include <algorithm>
#include <deque>
#include <map>

#include <weft/blocks/dealer.hpp>
#include <weft/protocol/choose.hpp>
#include <weft/protocol/requests.hpp>

#include "blocks/defaults.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"

namespace weft {

using blocks::Hub;
using blocks::Peer;
using Batch = wire::BatchBuilder::Batch;

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

}  // namespace blocks

using blocks::Outlet;
using blocks::ReplyHold;
using blocks::Requests;

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

  Peer* choose(std::optional<std::uint64_t> key, std::string_view name);

  // ---- sending ----

  void add(const RequestTo& to, Deadline deadline, const std::function<void(wire::BatchBuilder&)>& encode,
           Done done);
  struct Where {
    std::optional<std::uint64_t> key;
    std::string_view peer;
  };
  void add_unassigned(const Where& where, Deadline deadline,
                      const std::function<void(wire::BatchBuilder&)>& encode, Done done);
  std::uint64_t open(Deadline deadline, Done done);
  [[nodiscard]] std::uint64_t batch_bytes() const;
  bool fits(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark) const;
  void refuse_large(const Done& done);
  static void refuse(const Done& done, Outcome outcome, std::string text, std::string peer);
  void close_batch(Outlet& outlet, std::string_view only = {});
  void pump();
  void assign();
  bool send_one(Peer& peer, Outlet& outlet);

  // ---- replies ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                  std::size_t at) override;
  void on_error_reply(Peer& peer, Outlet&, const wire::Header& header);
  /// A reply lane counts replies: its sequence is how many there were.
  void settle(Peer& peer, std::uint64_t epoch, std::uint64_t count, std::uint64_t bytes);
  /// The request with that number has its answer; `done` may do anything, even close this block.
  void end_sent(std::uint64_t peer_id, std::uint64_t number, RawReply& reply);
  static void trim(Outlet& outlet);

  // ---- ends without a reply ----

  void plan_expiry(TimePoint when);
  void expire();
  /// Takes a ticket out of wherever it waits; says where that was.
  std::string forget(std::uint64_t ticket, std::string& peer_name);
  /// What nobody waits for any more is not sent: whole batches only, because numbers follow each other.
  void forget_unsent();
  void on_up(Peer&) override { pump(); }
  void on_room(Peer&) override { pump(); }
  void on_down(Peer& peer, PeerEvent::What what) override;
  void say_bye_when_idle(Peer& peer, const Outlet& outlet);
  void check_drain();
  void on_idle();
};

}  // namespace weft
