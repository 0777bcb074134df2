// SimSender: the sending end of a simulated push-pull link, with its source.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/protocol/outbox.hpp>
#include <weft/protocol/session.hpp>

#include "sim/node_journal.hpp"
#include "sim/push_pull_world.hpp"

namespace weft::sim {

class SimSender final : public SimProcess {
 public:
  SimSender(PushPullWorld& world, std::uint32_t index, std::uint64_t records);

  [[nodiscard]] bool at_rest() const override;

 protected:
  void on_start() override;
  void on_message(const SimMessage& message) override;
  TimePoint on_tick() override;
  void on_crash(bool power) override;
  void check_bounds() override;
  void on_flush() override;

 private:
  struct Peer {
    std::optional<protocol::Session> session;
    std::uint32_t lane = 0;
    std::uint32_t hellos = 0;   // said
    std::uint32_t ignored = 0;  // answers up to this one are late
    std::uint64_t life = 0;     // of the receiver, the latest one that was heard
    bool gone = false;          // given up, and not back yet
  };
  Peer& peer(std::uint32_t process) { return peers_[process - world_.options().senders]; }
  std::uint32_t process_of(const Peer& peer) const;

  void restore();
  void begin();   // of a step
  void finish();  // of a step: what follows from it
  void act(Peer& peer, const protocol::Session::Action& action);
  void say_hello(Peer& peer);
  void ping(Peer& peer);
  void on_hello(Peer& peer, const SimMessage& message);
  bool hear(Peer& peer);
  void on_ack(Peer& peer, const SimMessage& message);
  void on_reject(Peer& peer, const SimMessage& message);
  void produce();
  bool make_room(std::uint64_t bytes);
  void accept(const SimBatchPtr& batch, protocol::OutboxEntry entry);
  std::uint32_t lane_for(const SimBatch& batch);
  void keep_past(std::uint64_t id);
  void end_batches();
  void end_batch(const protocol::Outbox::Done& done);
  void assign();
  void split(std::uint64_t id, std::uint32_t records);
  void keep(std::uint64_t id, const SimBatch& batch, const protocol::OutboxEntry& entry);
  void depart(std::uint32_t lane);
  void tell_durable();
  void tell_fate(const SimBatch& batch, protocol::Fate fate);
  void record_fate(const SimBatch& batch, void (Ledger::*fate)(RecordId));

  PushPullWorld& world_;
  std::uint64_t records_;
  std::uint64_t made_ = 0;  // the source goes on where it was
  std::optional<protocol::Outbox> outbox_;
  std::unordered_map<std::uint64_t, SimBatchPtr> batches_;
  std::vector<Peer> peers_;
  std::optional<NodeJournal> journal_;
  std::uint64_t epoch_ = 0;
  TimePoint next_batch_ = TimePoint::min();
  std::optional<protocol::OutboxEntry> blocked_;  // the source waits with this one for room
  SimBatchPtr blocked_batch_;
  std::set<std::uint32_t> touched_;  // lanes that may have something to send
  struct Ended {
    std::uint64_t number = 0;  // commit that ends it, as the journal of this life counts
    std::uint64_t mark = 0;    // the same, counted over all lives
    SimBatchPtr batch;
    protocol::Fate fate = protocol::Fate::processed;
  };
  std::deque<std::pair<std::uint64_t, SimBatchPtr>> unconfirmed_;  // accepted with a commit not yet durable
  std::deque<Ended> ended_;  // by a commit not yet durable: a crash may give it back
  std::uint64_t marks_ = 0;  // commits made, over all lives
  bool flushing_ = false;
  bool refused_ = false;  // by the journal: no room
};

}  // namespace weft::sim
