// Peer: one session of a Hub, and what the port says of itself.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <weft/blocks/block.hpp>
#include <weft/protocol/peer_lanes.hpp>
#include <weft/protocol/session.hpp>
#include <weft/transport/loop.hpp>
#include <weft/transport/shared.hpp>
#include <weft/transport/socket.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/record_type.hpp>

#include "blocks/lane_fates.hpp"

namespace weft::blocks {

/// What a port is, as its HELLO says it.
struct PortIdentity {
  std::string_view block;  ///< "push", ...
  std::string_view peer_block;
  RecordType type;
  RecordType reply_type;
  bool sends = false;     ///< has an outgoing lane a peer
  bool receives = false;  ///< has an incoming lane a peer, and gives credit
  bool reports = false;   ///< acknowledges at once what it has handled, where kReport asks for it
  std::string data_endpoint;
  /// Peers whose HELLO names another delivery are refused.
  bool same_delivery = false;
  /// A peer's BYE may overtake its last data, which comes another way: the block says when it has finished.
  bool finish_is_told = false;
  /// Large frames may go through memory that the two ends share, where PortOptions says so.
  bool shares_memory = false;
};

struct Peer : protocol::PeerLanes {
  std::uint64_t id = 0;
  bool inbound = false;
  std::string routing_id;                   // inbound: ROUTER's name for the connection
  transport::ConnectionId connection;       // inbound: of its last HELLO
  std::string endpoint;                     // outbound: as given to connect()
  std::optional<transport::Socket> socket;  // outbound
  Loop::WatchId watch = 0;
  protocol::Session session;
  std::string node;
  std::string port;
  std::uint64_t epoch = 0;
  std::string data_endpoint;
  std::uint64_t name_hash = 0;
  bool met = false;    // at least one HELLO was accepted
  bool gone = false;   // its connection is: to be reported in the next turn
  bool fresh = false;  // outbound: nothing was said yet on its present connection, which replaced another one
  bool finished = false;                      // it said BYE
  bool draining = false;                      // it wants nothing new
  Delivery delivery = Delivery::best_effort;  // as its last HELLO said
  TimePoint tick_at = TimePoint::max();       // when the hub looks at it again
  bool cut = false;                           // outbound: its connection ended; what came on it is being read
  std::string trouble;                        // why it is not up, where that is known
  unsigned bad_messages = 0;
  LaneFates fates;                       // of records on lanes that retain nothing
  bool seals = false;                    // its messages are sealed
  unsigned garbled = 0;                  // messages that were not as sent, since the last one that was
  std::uint64_t max_frame = UINT64_MAX;  // bytes of the largest frame that it takes, as it says
  std::string lane;                      // name of the outgoing stream
  std::uint32_t stream_index = 0;        // for a block that keeps its streams itself
  wire::DataHeader header;
  std::unique_ptr<transport::Borrower> borrower;  // reads what it lends

  Peer(const protocol::SessionOptions& options, TimePoint now, std::uint64_t lane_epoch,
       protocol::Credit window)
      : PeerLanes(lane_epoch, window), session(options, now) {}
  [[nodiscard]] bool up() const { return session.state() == protocol::PeerState::up; }
  /// May get new work.
  [[nodiscard]] bool usable() const { return up() && !draining && !finished; }
  /// Keeps the keys that it owns: a silence alone does not move them.
  [[nodiscard]] bool living() const {
    return met && !draining && !finished && (up() || session.state() == protocol::PeerState::suspect);
  }
  /// On lanes that retain nothing: sent to it, and it has not said yet that it is done with them. What had
  /// arrived before a reconnection is among them; `out` does not know of it any more.
  [[nodiscard]] std::uint64_t unsettled_records() const {
    return out.outstanding_records() + fates.waiting();
  }
  [[nodiscard]] std::string name() const { return node.empty() ? endpoint : node; }
};

}  // namespace weft::blocks
