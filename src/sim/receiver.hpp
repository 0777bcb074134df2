// SimReceiver: the receiving end of a simulated push-pull link, with its handler.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <weft/protocol/inbound.hpp>
#include <weft/protocol/lane.hpp>

#include "sim/node_journal.hpp"
#include "sim/push_pull_world.hpp"

namespace weft::sim {

class SimReceiver final : public SimProcess {
 public:
  SimReceiver(PushPullWorld& world, std::uint32_t index, std::uint32_t number);

  [[nodiscard]] bool at_rest() const override;

 protected:
  void on_start() override;
  void on_message(const SimMessage& message) override;
  TimePoint on_tick() override;
  void on_crash(bool power) override;
  void check_bounds() override;
  void on_flush() override;
  void on_handled() override;

 private:
  struct Stream {
    Stream(protocol::InboundStream::Limits limits, protocol::Credit window) : in(limits), policy(window) {}
    protocol::InboundStream in;
    protocol::AckPolicy policy;
    std::uint64_t peer_life = 0;  // 0: has not said HELLO to this life
    std::map<std::uint64_t, SimBatchPtr> held;
    std::set<std::uint64_t> reports;   // sequences whose sender waits for the word that they are processed
    std::set<std::uint64_t> rejected;  // sequences; their empty places have not come yet
    std::uint64_t queued_bytes = 0;
    std::uint64_t newest = 0;  // handed out last
    TimePoint ack_at = TimePoint::max();
    TimePoint reject_at = TimePoint::max();
    std::uint64_t counted = 0;  // bytes in bytes_
  };
  struct Item {
    std::uint32_t from = 0;
    std::uint64_t epoch = 0;
    std::uint64_t seq = 0;
    SimBatchPtr batch;  // null: an empty place
  };
  struct Commit {
    std::uint64_t number = 0;
    Item item;
  };

  Stream& touch(std::uint32_t from) {
    touched_.insert(from);
    return streams_[from];
  }
  void on_hello(const SimMessage& message);
  void on_data(const SimMessage& message);
  void begin_stream(std::uint32_t from, std::uint64_t epoch, std::uint64_t first_retained);
  void hand_out(std::uint32_t from, std::uint64_t seq, SimBatchPtr batch);
  void restart_stream(std::uint32_t from);
  void handle_next();
  bool process(const Item& item);
  bool commit(const Item& item);
  void settled(std::uint32_t from, std::uint64_t seq, std::uint64_t bytes);
  void settle_places();
  void count_committed(const Item& item);
  void acknowledge(std::uint32_t from, SimKind kind, std::uint32_t attempt);
  void refuse(std::uint32_t from, std::uint64_t seq);
  void ask_flush();
  [[nodiscard]] bool void_now(const Item& item) const;

  PushPullWorld& world_;
  std::vector<Stream> streams_;      // a sender each
  std::set<std::uint32_t> timed_;    // streams that may have a timer
  std::set<std::uint32_t> touched_;  // streams that this step changed
  std::uint64_t bytes_ = 0;          // of all streams, held or queued
  std::deque<Item> queue_;
  bool busy_ = false;
  std::deque<Item> places_;  // empty ones that are to be settled
  std::optional<NodeJournal> journal_;
  std::deque<Commit> commits_;  // submitted, and not yet known to be durable
  std::uint64_t committed_ = 0;
  bool flushing_ = false;
};

}  // namespace weft::sim
