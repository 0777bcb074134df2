// PushBase::Impl: batches that are open or wait, who gets them, and what is left to do before the end.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <weft/blocks/push.hpp>
#include <weft/protocol/choose.hpp>

#include "blocks/hub.hpp"
#include "blocks/push_queue.hpp"
#include "blocks/push_reliable.hpp"

namespace weft {

using namespace blocks;
using Batch = wire::BatchBuilder::Batch;

struct PushBase::Impl final : blocks::HubClient {
  PushBase& self;
  PortOptions options;
  RecordType type;
  Hub hub;
  std::size_t reserve;
  Queue shared;
  std::map<std::uint64_t, Queue> queues;   // by peer id; acknowledged: by lane
  std::unique_ptr<ReliablePush> reliable;  // acknowledged deliveries
  std::size_t prepare = 0;                 // id of the call before a commit
  std::vector<std::unique_ptr<NativeTarget>> natives;
  std::vector<protocol::Candidate> candidates;
  std::size_t last_choice = SIZE_MAX;
  std::size_t receivers = 0;  // that could take something, of those listed last
  protocol::WorkRound round;  // of these
  bool sharing = false;       // there are, or were, several
  bool held_by_size = false;  // of those listed last, one has room and takes no frame so large
  std::uint64_t queued_bytes = 0;
  std::uint64_t queued_records = 0;
  Loop::HookId hook = 0;
  Loop::TimerId linger_timer = 0;
  Loop::TimerId native_timer = 0;
  Duration native_retry = kNativeRetry;
  std::size_t natives_made = 0;
  std::function<void()> room_handler;
  Tap tap;
  CallAll taps;                     // what one of them threw is thrown when all has left
  std::vector<std::uint64_t> down;  // peers that take nothing more
  bool pumping = false;
  bool room_came = false;
  bool blocked = false;
  bool ownerless = false;  // a key had no living receiver
  bool draining = false;
  bool said_bye = false;

  Impl(PushBase& owner, Loop& loop, PortOptions given, RecordType record)
      : self(owner),
        options(std::move(given)),
        type(std::move(record)),
        hub(loop, options,
            {.block = "push",
             .peer_block = "pull",
             .type = type,
             .reply_type = {},
             .sends = true,
             .receives = false,
             .data_endpoint = {},
             .same_delivery = true,
             .shares_memory = !options.native},
            *this),
        reserve(std::min<std::size_t>(options.batch_bytes + options.batch_bytes / 8, 1 << 20)),
        shared(hub.pool(), reserve) {
    if (options.delivery == Delivery::best_effort) return;
    shared.kind = default_kind();
    reliable = std::make_unique<ReliablePush>(hub, [this] {
      update_room();
      check_drain();
    });
    reliable->collects = [this](std::uint32_t lane) {
      const auto queue = queues.find(lane);
      return queue != queues.end() && !queue->second.open.empty();
    };
    // What a handler sends joins the commit of what it was given.
    if (options.journal) {
      prepare = options.journal->before_commit(
          [this] {
            if (options.journal->entered()) return;
            close_all();
            reliable->unstage();
            pump();
          },
          [this] {
            close_all();
            reliable->drop_staged();
            update_room();
          });
    }
  }

  [[nodiscard]] bool by_peer() const {
    return options.distribute == Distribute::hash || options.distribute == Distribute::explicit_;
  }

  // ---- who gets it ----

  /// For the oldest batch of those that are for any peer.
  void list_candidates();

  /// False: none of the peers takes a frame so large; the batch was divided, or dropped and counted.
  bool fits_somebody(Queue& queue, const Peer* only);
  /// The oldest batch of a queue, of two records at least, becomes two.
  void divide(Queue& queue);

  /// Bytes at which a batch is full, so that every peer takes it.
  [[nodiscard]] std::uint64_t batch_bytes() const;

  /// The receiver that owns a key: among those that live, whether or not they have room now.
  Peer* owner_of(std::uint64_t key);

  Peer* named(std::string_view name) {
    for (const auto& peer : hub.peers()) {
      if (peer->usable() && peer->node == name) return peer.get();
    }
    return nullptr;
  }

  Queue& queue_of(std::uint64_t id) {
    auto found = queues.find(id);
    if (found == queues.end()) found = queues.emplace(id, Queue(hub.pool(), reserve)).first;
    return found->second;
  }

  // ---- queues ----

  void close_batch(Queue& queue) {
    if (queue.open.empty()) return;
    hub.counts().accepted_records += queue.open.count();
    if (reliable) return hand_over(queue);
    queue.ready.push_back(queue.open.take());
    queued_bytes += queue.ready.back().bytes;
    queued_records += queue.ready.back().count;
  }

  void hand_over(Queue& queue);

  /// What a record brings that its batch has to remember. A batch holds records of one class.
  void note(Queue& queue, const To& to, std::uint64_t key);

  [[nodiscard]] BatchClass default_kind() const { return {options.priority, options.ttl, options.delay}; }

  /// A transaction that is open keeps what belongs to it to itself.
  [[nodiscard]] bool staging() const { return reliable && options.journal && options.journal->entered(); }

  void close_all() {
    close_batch(shared);
    for (auto& [id, queue] : queues) close_batch(queue);
  }

  void pop(Queue& queue) {
    queued_bytes -= queue.ready.front().bytes;
    queued_records -= queue.ready.front().count;
    queue.ready.pop_front();
    queue.taken = 0;
  }

  void pump();

  /// A part of pump(), for best-effort.
  void send_all();
  void pump_shared();

  bool send_one(Peer& peer, Queue& queue);
  bool send_part(Peer& peer, Queue& queue, std::uint64_t records);
  /// Sends a batch to it, which is left as it is when that fails.
  bool send_batch(Peer& peer, Batch& batch);
  /// From the second receiver on the work is shared.
  void share();

  bool send_native(NativeTarget& native);

  void count_sent(std::uint64_t bytes, std::uint32_t count) {
    hub.counts().sent_records += count;
    hub.counts().sent_bytes += bytes;
    ++hub.counts().sent_batches;
  }

  /// `open_` is null exactly when send() has to think first.
  void update_room();

  [[nodiscard]] SendStatus refusal() const {
    if (!reliable) return queued_bytes >= options.capacity_bytes ? SendStatus::would_block : SendStatus::ok;
    std::uint64_t open_bytes = shared.open.bytes(), open_records = shared.open.count();
    for (const auto& [id, queue] : queues) {
      open_bytes += queue.open.bytes();
      open_records += queue.open.count();
    }
    return reliable->room(open_bytes, open_records);
  }

  void drop(std::uint64_t records) { hub.counts().dropped_records += records; }
  /// One that never came to stand in a queue.
  void drop_newest() {
    ++hub.counts().accepted_records;
    drop(1);
  }

  void drop_oldest();
  /// Its hub, and all that it keeps; what is being sent just now stays until that is over.
  void close();
  void forget_all();
  /// Says that the block was closed with records that nobody has, where nobody else would.
  void tell_dropped(std::uint64_t records) const;

  // ---- idle, drain ----

  void tell_room() {
    if (std::exchange(room_came, false) && room_handler) room_handler();
  }

  void on_idle();

  [[nodiscard]] bool all_settled() const {
    if (reliable) {
      return shared.open.empty() && reliable->settled() &&
             std::ranges::all_of(queues, [](const auto& q) { return q.second.open.empty(); });
    }
    return queued_records == 0 && std::ranges::all_of(hub.peers(), [](const auto& peer) {
             // One that is silent for a while is slow, not dead, and one that is met anew will say what it
             // got.
             const auto state = peer->session.state();
             const bool over = state == protocol::PeerState::dead || state == protocol::PeerState::closed;
             return over || peer->unsettled_records() == 0;
           });
  }

  /// Asks those who have not acknowledged yet to do so now.
  void ask_for_acks() {
    if (reliable) return reliable->probe_all();
    for (std::size_t i = 0; i < hub.peers().size(); ++i) {
      Peer& peer = *hub.peers()[i];
      if (peer.up() && peer.unsettled_records() != 0) hub.ping(peer);
    }
  }

  void check_drain() {
    if (!draining || said_bye || !all_settled()) return;
    said_bye = true;
    hub.bye_all(wire::kLast);
  }

  // ---- what the hub tells ----

  void on_message(Peer& peer, const wire::Header& header, transport::Message& message,
                  std::size_t at) override {
    if (!reliable) return hub.reject(wire::Rejection::unexpected, &peer);
    reliable->on_message(peer, header, message, at);
    check_drain();
  }
  void on_up(Peer& peer) override {
    room_came = room_came || std::exchange(ownerless, false);
    if (reliable) {
      reliable->on_up(peer);
    } else {
      share();
    }
    pump();
  }
  [[nodiscard]] bool keeps_streams() const override { return reliable != nullptr; }
  void describe(Peer& peer, wire::Header& header) override { reliable->describe(peer, header); }
  void on_met(Peer& peer, const wire::Header& header, bool) override { reliable->on_met(peer, header); }
  void on_ack(Peer& peer, const wire::Header& header) override {
    reliable->on_ack(peer, header);
    update_room();
    check_drain();
  }
  void on_removed(Peer& peer) override {
    if (reliable) reliable->on_removed(peer);
  }
  void on_down(Peer& peer, PeerEvent::What what) override;
  void on_room(Peer& peer) override;

  /// Batches that wait for a peer that takes nothing more: keys and explicit names cannot be read back from a
  /// batch, so the records are dropped, and counted. (What waits for any peer is not touched.)
  void forget_down();
};

}  // namespace weft
