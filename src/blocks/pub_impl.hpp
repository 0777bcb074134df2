// What a Pub is made of. pub.cpp: records and the block's life; pub_members.cpp: who subscribes, and PING;
// pub_followers.cpp: who has not got everything; pub_sync.cpp: kept values, snapshots and replay on the
// sessions; pub_durable.cpp: with a journal.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <weft/blocks/pub.hpp>
#include <weft/protocol/replay_window.hpp>

#include "blocks/defaults.hpp"
#include "blocks/guarded.hpp"
#include "blocks/hub.hpp"
#include "blocks/pub_log.hpp"

namespace weft::blocks {

/// The stream of one topic.
struct PubTopic {
  std::uint32_t id = 0;  // its place in `in_order`, and its number in the window
  std::string frame;
  std::string stream;
  wire::DataHeader header;
  wire::BatchBuilder open;
  std::size_t last_record = 0;  // where the last record of the open batch begins
  std::uint64_t seq = 0;        // of the last batch that was published
  std::uint64_t appended = 0;   // of the last batch that went to the log
  std::uint64_t announced = 0;  // the sequence that the last PING named
  wire::BatchBuilder::Batch kept;
  std::uint64_t kept_seq = 0;
  bool dirty = false;
  PubTopic(const std::shared_ptr<wire::BufferPool>& pool, std::size_t reserve) : open(pool, reserve) {}
};

/// A batch as it went out: body and tensors, shared with the sockets.
struct PubBatch {
  std::uint32_t count = 0;
  std::vector<transport::Frame> frames = {};  // none: they are in the log
  wire::BatchBuilder::Batch kept = {};        // until it goes out: its last record
};

/// A batch that is not durable yet.
struct PubPending {
  PubTopic* topic = nullptr;
  PubBatch batch;
  std::uint64_t bytes = 0;
  std::uint64_t commit = 0;
};

/// A subscriber from its first HELLO to its BYE, over all its connections and lives.
struct PubFollower {
  std::string node;
  std::uint64_t peer = 0;   // id of its latest connection
  bool reliable = false;    // it wants no gaps, and says BYE when it has everything
  std::uint64_t heard = 0;  // records that had been published when it was last heard of, at least
  std::uint64_t lost = 0;   // best-effort, dead: those that were published until that was known
};

/// Part of an application's snapshot.
struct PubSnapshot {
  PubTopic* topic = nullptr;
  std::uint64_t covers = 0;
  wire::BatchBuilder::Batch batch;
};

}  // namespace weft::blocks

namespace weft {

struct PubBase::Impl final : blocks::HubClient {
  using Topic = blocks::PubTopic;
  using Batch = wire::BatchBuilder::Batch;

  PortOptions options;
  blocks::Hub hub;
  std::optional<transport::Socket> data;
  std::string data_endpoint;
  blocks::Strangers strangers;  // at the data socket
  Loop::WatchId data_watch = 0;
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics;
  std::vector<Topic*> dirty;
  std::vector<Topic*> changed;   // since a PING named them last
  std::vector<Topic*> in_order;  // all, as they came
  std::size_t next_named = 0;
  std::map<std::string, transport::ConnectionId> subscribers;  // by their own subscriptions
  std::uint64_t kept_bytes = 0;
  protocol::ReplayWindow<blocks::PubBatch> window;
  std::map<std::string, blocks::PubFollower> followers;  // by name
  TimePoint sampled_at{};                                // when the followers were looked at last
  std::uint64_t sampled_records = 0;                     // that had been published then
  SnapshotHandler snapshot_handler;
  std::map<std::uint64_t, std::deque<blocks::PubSnapshot>> snapshots;  // by peer: what is not sent yet
  std::unique_ptr<blocks::PubLog> log;
  std::deque<blocks::PubPending> pending;
  std::uint64_t pending_bytes = 0;
  std::function<void()> room_handler;
  bool blocked = false;  // a record was refused that is to come again
  std::uint64_t appended_number = 0;
  std::uint64_t appended_records = 0, durable_records = 0;  // over all lives of the log
  bool counts_accepted = true;                              // they are of all lives indeed
  transport::Message message;
  Loop::HookId hook = 0;
  Loop::TimerId heartbeat = 0;
  Loop::TimerId linger_timer = 0;
  Tap tap;
  blocks::CallAll taps;  // what one of them threw is thrown when all has left
  bool draining = false;
  bool said_goodbye = false;

  Impl(Loop& loop, PortOptions given, RecordType type);
  [[nodiscard]] bool reliable() const { return log || options.delivery != Delivery::best_effort; }
  [[nodiscard]] std::uint64_t batch_bytes() const { return blocks::batch_for(options, hub.frame_for_all()); }

  // pub.cpp: records
  Topic* topic_of(std::string_view name);
  SendStatus put(std::string_view name, const std::function<void(wire::BatchBuilder&)>& encode);
  void send(Topic& topic);
  void publish(Topic& topic, blocks::PubBatch batch, std::uint64_t bytes);
  Batch last_record_of(const Batch& batch, std::size_t last);
  void keep(Topic& topic, Batch record, std::uint64_t seq);
  void flush();
  void on_idle();

  // pub_members.cpp
  void open_data(const std::string& side);
  void read_subscriptions();
  void confirm(std::string_view topic);
  void end_earlier(const std::string& topic, const transport::ConnectionId& connection);
  void send_control(std::string_view topic, const wire::Header& header);
  void ping_all(bool everything = false);
  void send_ping(const std::vector<Topic*>& named);
  void say_goodbye();
  void end_drain();

  // pub_followers.cpp
  void follow(blocks::Peer& peer, bool reliable);
  void on_up(blocks::Peer& peer) override;
  void on_down(blocks::Peer& peer, PeerEvent::What what) override;
  void on_removed(blocks::Peer& peer) override;
  void look_at_followers();
  /// It has not said that it has everything, and a drain waits for it.
  [[nodiscard]] bool is_awaited(const blocks::PubFollower& follower);
  [[nodiscard]] bool awaits_anyone();
  void count_unheard(PortStats& stats);

  // pub_durable.cpp
  void open_log();
  void keep_from_log(Topic& topic);
  void append(Topic& topic, blocks::PubBatch batch, std::uint64_t bytes);
  void publish_durable();
  [[nodiscard]] bool is_full() const;
  std::optional<SendStatus> no_room();
  void tell_room();

  // pub_sync.cpp
  void on_message(blocks::Peer& peer, const wire::Header& header, transport::Message& received,
                  std::size_t at) override;
  void answer(blocks::Peer& peer, const wire::Header& header);
  void give_kept(blocks::Peer& peer, const wire::Header& header);
  bool send_kept(blocks::Peer& peer, const Topic& topic);
  void answer_join(blocks::Peer& peer, const wire::Header& header);
  bool collect_snapshot(blocks::Peer& peer, const std::vector<std::string>& prefixes);
  void answer_fetch(blocks::Peer& peer, const wire::Header& header);
  bool send_on_session(blocks::Peer& peer, const Topic& topic, std::uint64_t seq, std::uint32_t count,
                       std::uint32_t flags, std::vector<transport::Frame> frames);
  void send_positions(blocks::Peer& peer, const wire::Buffer& names, const wire::Buffer& sequences,
                      std::size_t count, std::uint32_t flags);
};

}  // namespace weft
