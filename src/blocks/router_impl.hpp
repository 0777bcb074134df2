// What a Router is inside: requests that wait for their handler, and replies that wait for credit.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/blocks/router.hpp>

#include "blocks/defaults.hpp"
#include "blocks/deferred.hpp"
#include "blocks/durable.hpp"
#include "blocks/guarded.hpp"
#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"
#include "blocks/reply_window.hpp"

namespace weft {

using blocks::Hub;
using blocks::Peer;
using Batch = wire::BatchBuilder::Batch;

namespace blocks {

inline constexpr std::size_t kMaxOpenRequests = 1 << 20;  // of one asker
inline constexpr std::uint64_t kErrorBytes = 128;         // what an error reply counts against credit

/// Replies to consecutive requests that leave together, or one error to each of them.
struct Replies {
  Batch batch;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  wire::Code code = wire::Code::none;
  std::string text;
  [[nodiscard]] std::uint64_t bytes() const { return code == wire::Code::none ? batch.bytes : kErrorBytes; }
};

/// A reply on its way to a best-effort asker, until it is acknowledged.
struct Told {
  std::uint64_t last = 0;  // on the reply lane
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// Consecutive requests.
struct Run {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

inline constexpr std::size_t kMaxOwed = 1 << 16;  // runs, of one asker

struct Asker {
  wire::BatchBuilder open;
  std::uint64_t first = 0;  // request that the open batch begins with
  std::deque<Replies> ready;
  std::uint64_t unanswered = 0;
  std::uint64_t queued_bytes = 0;  // of `ready`
  /// Batches with records that wait for next(): epoch and first number. Nothing from the first of them on is
  /// acknowledged.
  std::multiset<std::pair<std::uint64_t, std::uint64_t>> held;
  std::deque<Told> told;
  /// Best-effort: done, but the reply is gone with a connection, or with the belief that the asker was dead.
  /// It gets a word on each of them when it is back.
  std::vector<Run> owed;
  Peer& peer;
  bool listed = false;  // in Impl::changed
  std::shared_ptr<const RouterBase::Ticket::Origin> origin;
  Asker(Peer& who, const std::shared_ptr<wire::BufferPool>& pool) : open(pool, 16 * 1024), peer(who) {}
};

/// A batch of requests, held until each of them has been handed out.
struct RequestHold {
  transport::Frame body;
  std::vector<Tensor> tensors;
  std::uint64_t peer = 0;
  std::uint64_t epoch = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  bool report = false;        // its asker waits for the word that they were handed out
  bool deep = false;          // records of it are nested too deep
  std::uint64_t waiting = 0;  // records that have not been handed out, and one while it is read
  bool listed = false;        // in Asker::held
};

struct Waiting {
  std::shared_ptr<RequestHold> hold;
  wire::RecordView view;
  RouterBase::Ticket ticket;
};

}  // namespace blocks

using blocks::Asker;
using blocks::kErrorBytes;
using blocks::kMaxOpenRequests;
using blocks::Replies;
using blocks::RequestHold;
using blocks::Waiting;

struct RouterBase::Impl final : blocks::HubClient {
  PortOptions options;
  Hub hub;
  std::shared_ptr<const Handler> handler;           // whoever calls it holds it
  std::unordered_map<std::uint64_t, Asker> askers;  // by peer, as long as the hub has that
  Asker* latest = nullptr;                          // that was looked up: replies come in runs
  std::vector<std::uint64_t> changed;               // askers that have something to send since the last pump
  std::vector<std::uint64_t> pumped;                // memory of pump()
  std::unique_ptr<blocks::ReplyWindow> window;  // null: best-effort, each request comes once or not at all
  std::deque<Waiting> waiting;                  // without a handler
  std::shared_ptr<RequestHold> spare;           // memory of on_message()
  blocks::Deferred deferred{[this](const blocks::HandledBatch& batch) { handled(batch); }};
  std::shared_ptr<void> shown;  // what the record that was handed out last views
  std::uint64_t queued_bytes = 0;
  std::size_t open_requests = 0;
  Loop::HookId hook = 0;
  Tap tap;
  bool draining = false;
  bool pumping = false;
  blocks::CallAll taps;  // what one of them threw is thrown when all has left
  std::size_t journal_wake = 0;
  bool journal_watched = false;
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
             .reports = true,
             .data_endpoint = {},
             .same_delivery = true,
             .shares_memory = true},
            *this) {
    if (options.delivery != Delivery::best_effort) window = std::make_unique<blocks::ReplyWindow>(options);
    if (window && window->journal()) watch_journal();
  }
  ~Impl() override {
    leave_journal();
    *self = nullptr;
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// The journal's thread says that something became durable; this loop's thread sends what waited for it.
  void watch_journal();
  void leave_journal();
  void on_durable();

  Asker& asker_of(Peer& peer);
  Asker* find(std::uint64_t peer);
  std::shared_ptr<const Ticket::Origin> origin_of(Asker& asker) const;

  // ---- requests ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                  std::size_t at) override;

  /// Best-effort: once, in order. Else only an old epoch is refused here; each request is looked at by
  /// itself.
  bool accept(Peer& peer, const wire::Header& header);
  /// True: do it. One that came before gets its reply again, if that is there.
  bool fresh(Peer& peer, std::uint64_t number);
  /// The asker wants no reply any more: what no handler has seen yet is not done.
  void on_cancel(Peer& peer, std::uint64_t number);
  void dispatch(Peer& peer, const std::shared_ptr<RequestHold>& hold);

  /// One of those that hold a batch is done; with the last of them all its requests have been handed out.
  void let_go(RequestHold& hold);
  /// And those that were deferred are settled: its bytes are free, and so is the asker's credit.
  void handled(const blocks::HandledBatch& batch);

  /// False: it was refused, as not of the block's type.
  bool hand_out(Waiting next, const Handler& to);

  bool hand_out(const wire::RecordView& view, Ticket ticket, const Handler& to);

  [[nodiscard]] std::uint64_t frame_for(const Peer& asker) const {
    return std::min(options.max_frame_bytes, asker.max_frame);
  }

  // ---- replies ----

  /// Who asked that, when a reply gets there; counted as late, or owed, when not.
  /// `settles`: one request less of it is unanswered.
  Asker* reachable(std::uint64_t peer_id, std::uint64_t generation, std::uint64_t number, bool settles);
  /// The reply to these will not come: the asker is told so, as soon as it is there.
  void owe(Asker& asker, const blocks::Run& run);
  void pay(Asker& asker);
  /// Remembers a reply, then sends it.
  void keep(std::uint64_t peer, std::uint64_t generation, std::uint64_t number, blocks::KeptReply reply);
  void deliver(Asker& asker, std::uint64_t number, const blocks::KeptReply& reply);

  void reply(std::uint64_t peer, std::uint64_t generation, std::uint64_t number,
             const std::function<void(wire::BatchBuilder&)>& encode);

  /// The asker does not read: its reply goes, and a word on that comes in its place.
  void drop_reply(Asker& asker, std::uint64_t number);
  [[nodiscard]] bool full(const Asker& asker) const { return asker.queued_bytes >= options.capacity_bytes; }
  void queue_error(Asker& asker, std::uint64_t number, wire::Code code, std::string_view text);
  /// It has something to send, in this turn.
  void list(Asker& asker);

  void fail(std::uint64_t peer, std::uint64_t generation, std::uint64_t number, wire::Code code,
            std::string_view text);

  void close_batch(Asker& asker);
  void forget_askers() {
    latest = nullptr;
    askers.clear();
  }

  /// Sends what has changed; the others wait for credit, or for their connection.
  void pump();
  void pump(Asker& asker);

  bool send_one(Asker& asker);

  bool send_error(Peer& peer, const Replies& error);

  // ---- what the hub tells ----

  void on_up(Peer& peer) override;
  void on_room(Peer& peer) override;
  void on_removed(Peer& peer) override;
  void on_down(Peer& peer, PeerEvent::What what) override;
  void on_lost(Peer& peer, std::uint64_t accepted, std::uint64_t said) override;
};

}  // namespace weft
