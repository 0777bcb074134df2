// Session: who says HELLO when, and whether the peer lives. Pure: time comes in, decisions go out.
#pragma once

#include <cstdint>
#include <string_view>

#include <weft/core/time.hpp>

namespace weft::protocol {

struct SessionOptions {
  bool initiator = false;  ///< the connecting end says HELLO and repeats it; the binding end answers
  Duration heartbeat =
      std::chrono::seconds(1);  ///< 10 ms to 1 h; PING when nothing else was sent for so long
  Duration dead_after = std::chrono::seconds(10);  ///< at least three heartbeats
  /// The connecting end makes a new connection after so much silence of a peer that is not up, and again
  /// every few seconds (no sooner than a peer is suspected): a connection may be dead without anybody having
  /// been told. Zero: never.
  Duration reconnect_after = Duration::zero();
  std::uint64_t jitter_seed = 1;
  void check() const;  ///< throws Error{invalid_argument}
};

enum class PeerState {
  connecting,  ///< no HELLO yet, or none since it forgot us: then dead after `dead_after` as well
  up,
  suspect,  ///< three silent heartbeats: gets no new work
  dead,     ///< silent for `dead_after`
  closed,   ///< said BYE, or was refused
};
std::string_view to_string(PeerState state);

class Session {
 public:
  Session(const SessionOptions& options, TimePoint now);

  /// What the owner must do after a call; each flag once.
  struct Action {
    bool reconnect = false;  ///< first of all: give the connection up and make a new one
    bool cut = false;        ///< with reconnect: because it has ended, and nothing gets through it any more
    bool say_hello = false;
    bool ping = false;
    bool became_up = false;
    bool became_suspect = false;
    bool became_dead = false;
    bool unreachable = false;  ///< with became_dead: nobody listens there, else it was silent for too long
  };

  /// A valid HELLO came (or its answer).
  Action on_hello(TimePoint now);
  /// Any other valid message came. A connecting session stays connecting.
  Action on_traffic(TimePoint now);
  /// The peer does not know us (any more): say HELLO again.
  Action on_stranger(TimePoint now);
  /// Something was sent: no PING is needed for a while.
  void on_sent(TimePoint now) { last_sent_ = now; }
  void close() { state_ = PeerState::closed; }
  /// Ends being closed: as if it had just begun.
  void reopen(TimePoint now);
  /// The connection is known to be gone (a binding end sees that at once); only a new HELLO brings the peer
  /// back, and nothing that had still arrived on that connection.
  void lose() {
    if (state_ == PeerState::closed || state_ == PeerState::dead) return;
    state_ = PeerState::dead;
    cut_ = true;
  }
  /// The initiator's connection to a peer that was met has ended, and all that came on it has been handled:
  /// the peer is suspect at once, and asked on a new connection.
  Action on_cut(TimePoint now);
  /// A connection to it was refused: nobody listens there. After on_cut() it is dead; else only HELLO waits.
  Action on_refused(TimePoint now);
  /// The peer's own heartbeat: a peer that pings less often than we do is not suspected for it. Up to 1 h.
  void peer_heartbeat(Duration interval);
  /// Time has come; see next_tick().
  Action on_tick(TimePoint now);

  [[nodiscard]] PeerState state() const { return state_; }
  [[nodiscard]] TimePoint last_heard() const { return last_heard_; }
  /// Silence after which a peer that is up is suspected: three heartbeats of the slower end.
  [[nodiscard]] Duration suspected_after() const { return suspect_after_; }
  /// When on_tick wants to be called, at the latest.
  [[nodiscard]] TimePoint next_tick() const;

 private:
  Action heard(TimePoint now);
  void plan_hello(TimePoint now);
  void plan_connection(TimePoint now);
  [[nodiscard]] bool replaces() const {
    return options_.initiator && options_.reconnect_after > Duration::zero();
  }

  SessionOptions options_;
  Duration suspect_after_;
  PeerState state_ = PeerState::connecting;
  TimePoint last_heard_;
  TimePoint last_sent_;
  TimePoint next_hello_;
  TimePoint next_connection_;
  unsigned hello_attempts_ = 0;
  unsigned silent_connections_ = 0;  // made since something was heard
  bool met_ = false;                 // it has been up
  bool cut_ = false;
  bool disconnected_ = false;  // the peer's connection ended, and nothing was heard on another one
  std::uint64_t random_;
};

}  // namespace weft::protocol
