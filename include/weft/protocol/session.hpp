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
  std::uint64_t jitter_seed = 1;
  void check() const;  ///< throws Error{invalid_argument}
};

enum class PeerState {
  connecting,  ///< no HELLO yet
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
    bool say_hello = false;
    bool ping = false;
    bool became_up = false;
    bool became_suspect = false;
    bool became_dead = false;
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
  /// The connection is known to be gone (a binding end sees that at once); a new HELLO brings the peer back.
  void lose() {
    if (state_ != PeerState::closed) state_ = PeerState::dead;
  }
  /// The peer's own heartbeat: a peer that pings less often than we do is not suspected for it. Up to 1 h.
  void peer_heartbeat(Duration interval);
  /// Time has come; see next_tick().
  Action on_tick(TimePoint now);

  [[nodiscard]] PeerState state() const { return state_; }
  [[nodiscard]] TimePoint last_heard() const { return last_heard_; }
  /// When on_tick wants to be called, at the latest.
  [[nodiscard]] TimePoint next_tick() const;

 private:
  Action heard(TimePoint now);
  void plan_hello(TimePoint now);

  SessionOptions options_;
  Duration suspect_after_;
  PeerState state_ = PeerState::connecting;
  TimePoint last_heard_;
  TimePoint last_sent_;
  TimePoint next_hello_;
  unsigned hello_attempts_ = 0;
  std::uint64_t random_;
};

}  // namespace weft::protocol
