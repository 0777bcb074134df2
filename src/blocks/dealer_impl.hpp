// What every Dealer is inside, whatever it promises: sessions, replies that come in, and the way to an end.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/blocks/dealer.hpp>

#include "blocks/defaults.hpp"
#include "blocks/guarded.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"

namespace weft {

using blocks::Hub;
using blocks::Peer;
using Batch = wire::BatchBuilder::Batch;

struct DealerBase::Impl : blocks::HubClient {
  using Done = DealerBase::Done;
  using RawReply = DealerBase::RawReply;
  using Encode = std::function<void(wire::BatchBuilder&)>;

  PortOptions options;
  Hub hub;
  Loop::HookId hook = 0;
  bool woken = false;
  Tap tap;
  bool draining = false;
  bool said_bye = false;
  bool pumping = false;
  blocks::CallAll taps;             // what one of them threw is thrown when all has left
  std::uint64_t lost_requests = 0;  // with their router
  bool sharing = false;             // there are, or were, several routers
  protocol::WorkRound round;        // of these

  Impl(Loop& loop, PortOptions given, RecordType request, RecordType reply)
      : options(std::move(given)),
        hub(loop, options,
            {.block = "dealer",
             .peer_block = "router",
             .type = std::move(request),
             .reply_type = std::move(reply),
             .sends = true,
             .receives = true,
             .data_endpoint = {},
             .same_delivery = true,
             .shares_memory = true},
            *this) {}

  // ---- requests ----

  virtual RequestId add(const RequestTo& to, Deadline deadline, const Encode& encode, Done done) = 0;
  virtual bool cancel(RequestId id) = 0;
  [[nodiscard]] virtual bool has_room(const RequestTo& to) = 0;
  [[nodiscard]] virtual std::size_t open_requests() const = 0;
  virtual void fill(PortStats& stats) const = 0;
  /// Sends what can leave, and ends what never will. Not re-entered.
  void pump();
  /// A part of pump(): sends.
  virtual void send_all() = 0;
  /// A part of pump(), behind the other one: ends those that are too large for their router's frames.
  virtual void refuse_oversize() = 0;
  /// Ends what waits, when whom it waits for has refused this port for good.
  virtual void refuse_waiting() = 0;
  /// At the end of a turn in which wake() was called.
  void on_idle();
  /// Ends what the hub has told to be lost. False: this block is closed.
  virtual bool end_lost() { return true; }
  /// Ends all that is open, as closed.
  virtual void end_all() = 0;

  [[nodiscard]] std::uint64_t batch_bytes() const;
  /// Takes the request back that was added since `mark` when it cannot be sent, and says so. True: it can.
  bool keep(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark, const Done& done);
  [[nodiscard]] static RawReply too_large(std::uint64_t most);
  void refuse(const Done& done, Outcome outcome, std::string text, const std::string& peer);
  /// Tells who waits for a request, and may end this block.
  void call(const Done& done, RawReply& reply);
  void send_cancel(Peer& peer, std::uint64_t number);
  /// A request that was accepted has ended so: each goes through here, once, before who waits for it is told.
  void count_end(Outcome outcome);
  /// "server/0 is dead, server/1 is up", of those that `to` allows; who is known at all when that is none.
  [[nodiscard]] std::string states(std::string_view node = {}) const;
  void check_drain();

  // ---- replies ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                  std::size_t at) override;
  /// False: nothing was ever asked of that peer.
  [[nodiscard]] virtual bool asked(const Peer& peer) const = 0;
  /// The request with that number has its reply, or its error; whoever waits for it may do anything, even
  /// close this block.
  virtual void on_reply(std::uint64_t peer_id, std::uint64_t number, RawReply& reply) = 0;
  /// A reply lane counts replies: its sequence is how many there were.
  void settle(Peer& peer, std::uint64_t epoch, std::uint64_t count, std::uint64_t bytes);

  /// Something can be sent, or ended, that could not be before: pump() at the end of this turn.
  void wake() {
    if (!std::exchange(woken, true)) hub.loop().ask_for(hook);
  }

  // ---- who has room ----

  /// Where requests may go to any router, each gets what it hands out soon.
  void share();
  /// Requests that it has room for beside `open` that are about to leave.
  [[nodiscard]] static std::uint64_t work_room(const Peer& peer, std::uint64_t open) {
    return peer.work.room(peer.out.outstanding_records() + open);
  }
  /// The same, as far as the bound goes that it has set itself: that holds for every request.
  [[nodiscard]] static std::uint64_t bound_room(const Peer& peer, std::uint64_t open) {
    return peer.work.bound_room(peer.out.outstanding_records() + open);
  }
  /// Requests that may leave together: half of its bound, and of those that may go `anywhere` only as many as
  /// it has time for.
  [[nodiscard]] std::uint32_t most_together(std::uint64_t peer, bool anywhere);
  /// It has told how many of its requests were handed out.
  void report(Peer& peer) {
    if (!peer.work.active()) return;
    round.among(hub.peers_up());
    peer.work.handled(peer.out.outstanding_records(), Clock::now(), &round);
  }

  void on_up(Peer&) override {
    share();
    pump();
  }
  void on_room(Peer& peer) override {
    report(peer);
    wake();
  }
  void on_removed(Peer&) override {
    wake();  // perhaps those that are left have refused this port for good
  }
};

}  // namespace weft
