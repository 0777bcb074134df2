// LinkPeer: what one end of a simulated link knows of a peer, as a Hub does.
#pragma once

#include <cstdint>

#include <weft/protocol/peer_lanes.hpp>
#include <weft/protocol/session.hpp>

#include "sim/world.hpp"

namespace weft::sim {

inline constexpr Duration kAckDelay = std::chrono::milliseconds(50);

struct LinkPeer {
  std::uint32_t process = 0;
  bool initiator = false;
  protocol::Session session;
  protocol::PeerLanes lanes;
  std::uint64_t epoch = 0;       // of the peer
  std::uint64_t connection = 0;  // by which a binding end knows it; 0 at the connecting end
  std::uint64_t life = 0;        // of the process that said HELLO last
  bool met = false;
  unsigned bad_messages = 0;  // that break the protocol: too many, and it is shut out
  bool gone = false;          // its connection is: to be reported in the next turn
  bool fresh = false;         // nothing was heard yet by its present connection, which replaced another one
  TimePoint ack_at = TimePoint::max();

  LinkPeer(std::uint32_t index, bool connects, std::uint64_t seed, TimePoint now, std::uint64_t lane_epoch,
           protocol::Credit window)
      : process(index),
        initiator(connects),
        session({.initiator = connects,
                 .heartbeat = std::chrono::seconds(1),
                 .dead_after = std::chrono::seconds(10),
                 .reconnect_after = std::chrono::seconds(10),
                 .jitter_seed = seed},
                now),
        lanes(lane_epoch, window) {}
  [[nodiscard]] bool up() const { return session.state() == protocol::PeerState::up; }
  [[nodiscard]] bool living() const {
    return met && (up() || session.state() == protocol::PeerState::suspect);
  }
};

/// A process whose peers meet by sessions, with lanes in both directions: the part of a Hub that decides.
class LinkProcess : public SimProcess {
 public:
  using SimProcess::SimProcess;

 protected:
  /// The peer is up (again), and its lanes are set.
  virtual void on_up(LinkPeer& peer) = 0;
  /// Nothing comes from it for now. `restarted`: it has begun a later epoch.
  virtual void on_down(LinkPeer& peer, bool restarted) = 0;

  /// Sends by the connection of the peer; one that is gone is taken as its death.
  bool send_to(LinkPeer& peer, SimMessage message);
  void act(LinkPeer& peer, const protocol::Session::Action& action);
  /// HELLO of a peer, or its answer. False: it does not count.
  bool meet(LinkPeer& peer, const SimMessage& message);
  /// Anything else. False: it is of a stranger, who has to say HELLO first, or it was an ACK or a PING.
  bool hear(LinkPeer& peer, const SimMessage& message);
  void acknowledge(LinkPeer& peer);
  /// The end is done with everything up to `seq`.
  void settle(LinkPeer& peer, std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes);
  /// Time has come. Returns when it wants to be called again.
  TimePoint tick(LinkPeer& peer);
  /// Not more is on its way than the peer has given credit for, and `slack` bytes.
  void check_credit(const LinkPeer& peer, std::uint64_t slack);

  virtual World& world() = 0;
  [[nodiscard]] virtual protocol::Credit window() const = 0;
  std::uint64_t epoch_ = 0;  // of this end

 private:
  void say_hello(LinkPeer& peer, std::uint32_t attempt, std::uint64_t accepted);
};

}  // namespace weft::sim
