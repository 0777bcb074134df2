// PeerLanes: the two lanes between this end and one peer, and what HELLO says of them.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <weft/protocol/lane.hpp>
#include <weft/protocol/work_window.hpp>

namespace weft::protocol {

/// For deliveries whose lanes retain nothing themselves. A Hub and a simulator drive it alike. Source:
/// docs/reference/wire.md, "A session".
struct PeerLanes {
  SendLane out;
  ReceiveLane in;
  AckPolicy ack;
  WorkWindow work = {};              ///< what of `out` the peer may have at once, in records
  std::uint64_t held_bytes = 0;      ///< received, and the block is not done with them
  std::uint64_t settled = 0;         ///< last sequence that the block is done with
  std::uint32_t hello_attempt = 0;   ///< of the HELLO that was said last
  std::uint32_t hello_answered = 0;  ///< answers up to this one are late
  std::uint32_t heard_attempt = 0;   ///< of the latest HELLO of a connecting peer, in its epoch
  /// Attempt, and what had been sent on `out` when it was said; one entry for each change.
  std::vector<std::pair<std::uint32_t, std::uint64_t>> hello_marks = {};

  PeerLanes(std::uint64_t epoch, Credit window) : out(epoch), in(), ack(window) {}

  /// The number of the HELLO that is said now.
  std::uint32_t say_hello();
  /// An answer to that HELLO counts: it is one of ours, and later than the one that counted last. What was
  /// said again before an answer came may be answered by another connection, or by another life of the peer.
  [[nodiscard]] bool expects(std::uint32_t attempt) const {
    return attempt > hello_answered && attempt <= hello_attempt;
  }
  /// A HELLO that came by another connection than the peer's present one was said before the one that brought
  /// that: what is left of a connection that the peer has given up.
  [[nodiscard]] bool outdated(std::uint32_t attempt) const { return attempt != 0 && attempt < heard_attempt; }
  /// The answer to our HELLO says that it comes behind fewer messages of that epoch than have arrived. A
  /// connection keeps order, so its sender has lost count: it was restarted, with the epoch of its journal,
  /// and has heard of what had arrived when our HELLO was said.
  [[nodiscard]] bool lost_count(std::uint64_t epoch, std::uint64_t first_retained) const {
    return epoch == in.epoch() && first_retained != 0 && first_retained - 1 < in.last();
  }
  /// The answer to that HELLO has been taken.
  void answered(std::uint32_t attempt);

  /// We send to it: what was on its way is lost with its connection, and credit begins anew. `accepted`: what
  /// it says it has got. `attempt`: of the HELLO that this one answers. `gone`: the connection is another
  /// one.
  SendLane::Lost meet_receiver(std::uint64_t accepted, std::optional<std::uint32_t> attempt, bool gone,
                               Credit credit);

  /// What a HELLO gives: the sender forgets what it had on its way, but what of that is here still takes room
  /// until it is settled, and with it all that has arrived.
  [[nodiscard]] Credit hello_credit() const {
    const Credit window = ack.window();
    if (held_bytes >= window.bytes && held_bytes != 0) return {};
    return {window.bytes - held_bytes, window.batches};
  }

  /// More is held than an honest sender's credit allows, HELLOs that crossed it included: take nothing more.
  [[nodiscard]] bool overfull() const { return held_bytes != 0 && held_bytes > 2 * ack.window().bytes; }

  struct Met {
    std::uint64_t accepted = 0;  ///< what had arrived before this HELLO: ReceiveLane::accepted()
    std::uint64_t missed = 0;
  };
  /// It sends to us, from `first_retained` on (0: it does not say). `accepted` does not count what is skipped
  /// here, or was at a HELLO before it that was not answered in the end: the sender must not take that for
  /// accepted. `answer`: to our HELLO; then a sender that has lost count is followed.
  Met meet_sender(std::uint64_t epoch, std::uint64_t first_retained, bool answer);

  /// So many replies of that epoch have come, and count as arrived. False: the epoch is over.
  bool count(std::uint64_t epoch, std::uint64_t replies) {
    if (epoch > in.epoch()) settled = 0;  // its peer may begin anew without a word of what it retains
    if (in.begin(epoch) == ReceiveLane::Verdict::fenced) return false;
    in.take_to(in.last() + replies);
    return true;
  }
  /// The block is done with everything up to (epoch, seq). True: acknowledge now.
  bool settle(std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes) {
    if (epoch != in.epoch()) return false;                         // of a sender that has been replaced since
    if (held_bytes == 0) seq = in.last() < seq ? seq : in.last();  // what was skipped is done as well
    settled = settled < seq ? seq : settled;
    return ack.settled(bytes);
  }
};

}  // namespace weft::protocol
