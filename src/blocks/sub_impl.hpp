// What a Sub is made of. sub.cpp: the block's life; sub_join.cpp: its publishers, as they come and go;
// sub_live.cpp: data as it comes, gaps counted; sub_replay.cpp: the same without gaps.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <weft/blocks/sub.hpp>
#include <weft/protocol/confirmation.hpp>
#include <weft/protocol/replay_reader.hpp>
#include <weft/protocol/side_channel.hpp>

#include "blocks/hub.hpp"
#include "blocks/inbox.hpp"

namespace weft::blocks {

/// The stream of one topic, best effort.
struct SubLane : protocol::ReceiveLane {
  unsigned live = 0;  // the join in which its last live batch came
};

/// The data of one publisher.
struct Source {
  std::string name;  // of the publisher
  std::optional<transport::Socket> socket;
  Loop::WatchId watch = 0;
  std::string endpoint;
  std::string own_topic;  // the subscription that is ours alone
  /// Those before it on the same connection: a late answer to one says as much, for who was busy meanwhile.
  std::vector<std::string> earlier_topics;
  std::uint64_t epoch = 0;
  unsigned joins = 0;                   // confirmations on this socket
  protocol::Confirmation confirmation;  // that our subscriptions are active there
  bool finished = false;                // its BYE came behind its last data
  TimePoint last_data{};
  protocol::SideChannel channel;                   // the connection of the data, beside the session
  bool pinged = false;                             // the publisher says PING there
  bool doubted = false;                            // one was replaced by which no PING had come
  Loop::TimerId look_timer = 0;                    // at the channel
  std::unordered_map<std::string, SubLane> lanes;  // best effort

  using Reader = protocol::ReplayReader<InboxItem>;
  std::unique_ptr<Reader> reader;  // without gaps
  protocol::ReplayCounts tallied;  // of the reader, as far as they are in the port's counts
  bool leaving = false;            // it has said BYE: done when nothing is missing
  bool stalled = false;            // nothing is asked until the handler has caught up
  bool winding_up = false;         // drains: what has come already is still read
  Loop::TimerId timer = 0;
  TimePoint timer_at = TimePoint::max();
};

/// How far a publisher was followed that may come back at another address.
struct Departed {
  std::uint64_t peer = 0;
  std::uint64_t epoch = 0;
  std::unique_ptr<Source::Reader> reader;
  protocol::ReplayCounts tallied;
};

}  // namespace weft::blocks

namespace weft {

struct SubBase::Impl final : blocks::HubClient {
  PortOptions options;
  std::vector<std::string> prefixes;
  blocks::Hub hub;
  blocks::Inbox inbox;
  std::map<std::uint64_t, blocks::Source> sources;   // by peer
  std::map<std::string, blocks::Departed> departed;  // by the name of the publisher
  std::set<std::uint64_t> restarted;                 // peers of which an earlier incarnation was followed
  transport::Message message;
  std::uint64_t held_bytes = 0;
  std::uint64_t joins = 0;
  Tap tap;
  bool draining = false;

  Impl(Loop& loop, PortOptions given, RecordType type);
  [[nodiscard]] bool reliable() const { return options.delivery != Delivery::best_effort; }
  [[nodiscard]] bool wants(std::string_view topic) const;

  // sub_join.cpp
  void on_up(blocks::Peer& peer) override;
  void on_down(blocks::Peer& peer, PeerEvent::What what) override;
  std::string new_own_topic();
  bool open_data(blocks::Peer& peer, blocks::Source& source);
  void subscribe_anew(blocks::Source& source);
  void plan_look(std::uint64_t id, blocks::Source& source);
  void look(std::uint64_t id);
  void replace(blocks::Peer& peer, blocks::Source& source);
  void await_last_data(std::uint64_t id);
  void begin_wind_up(std::uint64_t id);
  void wind_up(std::uint64_t id, TimePoint limit);
  void leave_publisher(std::uint64_t id);
  void finish(std::uint64_t id, blocks::Source& source);
  void drop_socket(blocks::Source& source);
  void forget(std::map<std::uint64_t, blocks::Source>::iterator at);
  void forget_removed();
  void let_depart(std::map<std::uint64_t, blocks::Source>::iterator at);
  [[nodiscard]] bool meet_again(blocks::Peer& peer, blocks::Source& source);
  [[nodiscard]] bool give_up_departed();
  [[nodiscard]] bool give_up_departed(std::map<std::string, blocks::Departed>::iterator at);

  // sub_live.cpp
  [[nodiscard]] bool full() const {
    return inbox.paused() || (!inbox.handler && held_bytes >= options.window_bytes);
  }
  void watch(std::uint64_t id, blocks::Source& source);
  void watch_all();
  void read(std::uint64_t id);
  void handle(std::uint64_t id, blocks::Source& source);
  blocks::SubLane* lane_of(blocks::Source& source, std::string_view stream);
  bool checked(const wire::Header& header, std::size_t at, blocks::InboxItem& item);
  bool accepted(const protocol::ReceiveLane::Outcome& outcome);
  void fill(blocks::InboxItem& item, std::uint64_t id, std::string_view topic, const wire::Header& header);
  void take(blocks::InboxItem item);
  void control(std::uint64_t id, blocks::Source& source, std::string_view topic, const wire::Header& header);
  void compare(std::uint64_t id, blocks::Source& source, const wire::Header& header);
  void ask_for_kept(std::uint64_t id);
  void pack_prefixes(wire::Buffer& names) const;
  void on_message(blocks::Peer& peer, const wire::Header& header, transport::Message& received,
                  std::size_t at) override;

  // sub_replay.cpp
  void follow(std::uint64_t id, blocks::Source& source);
  void resume(std::uint64_t id, blocks::Source& source);
  void confirmed(std::uint64_t id, blocks::Source& source, const wire::Header& ping);
  void live(std::uint64_t id, blocks::Source& source, std::string_view topic, const wire::Header& header);
  void leave(std::uint64_t id, blocks::Source& source, const wire::Header& bye);
  void on_answer(blocks::Peer& peer, const wire::Header& header, std::uint32_t flags);
  void on_batch(std::uint64_t id, blocks::Source& source, std::string_view topic, const wire::Header& header,
                std::size_t at, bool replayed);
  void on_snapshot(std::uint64_t id, blocks::Source& source, const wire::Header& header);
  void on_list(blocks::Source& source, const wire::Header& header, std::uint32_t flags);
  /// Hands over what is in order, asks what is to be asked, and sets the timer. The source may be gone after
  /// it.
  void pump(std::uint64_t id);
  bool hand_over(std::uint64_t id);
  enum class Lacking : std::uint8_t { missed, unwanted };
  bool hand_over_rest(std::uint64_t id, Lacking lacking = Lacking::missed);
  void ask(blocks::Peer& peer, const protocol::ReplayStep& step);
  void plan(std::uint64_t id, blocks::Source& source);
  void tally(blocks::Source& source);
};

}  // namespace weft
