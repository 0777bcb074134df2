// ConnectionCount: how many connections to a bound socket broke off before their handshake was done, or were
// ended from this side.
#pragma once

#include <cstdint>
#include <unordered_set>

#include <weft/core/metrics.hpp>

namespace weft::transport {

/// Fed with monitor events by one thread; the counters may be read by any. libzmq names the descriptor when
/// it accepts and when it disconnects, but not when a handshake succeeds, so a success is booked to the group
/// of connections whose handshake is open. The sums are exact once these are settled; `rejected` never
/// exceeds accepted - succeeded. Memory: one entry for each open handshake, of which HANDSHAKE_IVL and the
/// descriptor limit allow no more.
class ConnectionCount {
 public:
  void on_accepted(int fd);
  void on_handshake();
  /// `ended`: from this side, which counts as rejected whatever it was.
  void on_disconnected(int fd, bool ended = false);

  [[nodiscard]] std::uint64_t accepted() const { return accepted_.get(); }
  [[nodiscard]] std::uint64_t rejected() const { return rejected_.get(); }

 private:
  void settle();

  Counter accepted_;
  Counter rejected_;
  std::unordered_set<int> unsettled_;  // accepted, and not known to be good
  std::size_t successes_ = 0;          // how many of `unsettled_` are good; always fewer than all
};

}  // namespace weft::transport
