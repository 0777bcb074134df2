// Block: what all six pattern blocks have in common.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/header.hpp>

namespace weft {

/// Counts of one port since it was opened. Nothing is lost without one of these going up. Of what a Push or a
/// Dealer was given, each record has exactly one of these fates, so that at any moment
///   accepted + resumed = processed + rejected + failed + timed out + expired + dead-lettered + dropped
///                        + lost + queued + outstanding
/// (`wire: native` apart: plain sockets tell nothing of what they were given). Of a Pub, which does not know
/// its receivers: accepted = sent + dropped + queued.
struct PortStats {
  std::uint64_t accepted_records = 0;  ///< at the sender: taken from its user, or dropped in their place
  std::uint64_t resumed_records = 0;   ///< at the sender: found in its journal when it was opened
  std::uint64_t sent_records = 0, sent_batches = 0, sent_bytes = 0;
  std::uint64_t received_records = 0, received_batches = 0, received_bytes = 0;
  std::uint64_t dropped_records = 0;  ///< at the sender: by overflow, or without a peer at the end; Dealer:
                                      ///< cancelled, or open when it was closed
  /// At the sender: on their way when a connection or peer was lost; some of them may have arrived. What a
  /// dead peer has counts as lost from `dead_after` of silence on, until it comes back and says how much of
  /// that it got.
  std::uint64_t lost_records = 0;
  /// Records that a receiver could not take (of another type, a body that cannot be read), as the receiver
  /// counts them; and, best-effort, the sender by its receivers' word.
  std::uint64_t rejected_records = 0;
  std::uint64_t missed_batches = 0;  ///< at the receiver: gaps in the sequence
  std::uint64_t duplicate_batches = 0;
  std::uint64_t replayed_batches = 0;  ///< Pub: sent again to who missed them; Sub: got so
  std::uint64_t gaps_filled = 0;       ///< Sub: by replay
  std::uint64_t snapshots = 0;       ///< Pub: asked for; Sub: topics that began with or were replaced by one
  std::uint64_t fenced_batches = 0;  ///< of an old epoch
  std::uint64_t rejected_messages = 0;  ///< sum of `rejections`
  /// Broke off before their handshake (random bytes, port scans), had not said HELLO in time (Pub: or
  /// subscribed), or found no descriptor left.
  std::uint64_t rejected_connections = 0;
  std::uint64_t rejected_peers = 0;  ///< HELLO refused: record type, block, version, scope
  std::uint64_t late_replies = 0;    ///< Dealer: after the deadline; Router: to an asker that is gone
  std::uint64_t timed_out_requests = 0;
  std::uint64_t failed_requests = 0;    ///< Dealer: answered with an error
  std::uint64_t processed_records = 0;  ///< at the sender: its receiver is done with them; Dealer: replied
  std::uint64_t unkept_records = 0;     ///< Pub: sent, and too large a sum to be kept for late joiners
  // Acknowledged deliveries. At the sender: what became of records; at the receiver: redelivered.
  std::uint64_t redelivered_records = 0;    ///< offered again after a receiver was lost or refused them
  std::uint64_t retransmitted_batches = 0;  ///< sent again to the same receiver
  std::uint64_t expired_records = 0;        ///< waited longer than their time to live
  std::uint64_t dead_lettered_records = 0;  ///< tried too often, or refused
  std::uint64_t untaken_records = 0;        ///< of them: nobody took the dead letter
  std::uint64_t reconnects = 0;
  std::uint64_t peers_up = 0;
  std::uint64_t queued_records = 0, queued_bytes = 0;  ///< waiting here
  std::uint64_t outstanding_records = 0;               ///< sent and not yet acknowledged
  std::uint64_t retried_requests = 0;                  ///< Dealer: sent again
  std::uint64_t repeated_requests = 0;                 ///< Router: came again, and were not done again
  std::uint64_t sent_shared_bytes = 0;  ///< of sent_bytes: through memory that is shared with the receiver
  std::uint64_t received_shared_bytes = 0;
  std::uint64_t shared_memory_used = 0;  ///< at the sender: bytes of it that it or a receiver holds now
  std::uint64_t shared_memory_full = 0;  ///< frames that went through the socket for want of room there
  std::uint64_t circuits_opened = 0;     ///< Dealer: a router failed too often and got nothing for a while
  std::array<std::uint64_t, static_cast<std::size_t>(wire::Rejection::count_)> rejections{};
};

/// Something that happened to a peer.
struct PeerEvent {
  enum class What {
    up,           ///< HELLO exchanged, types agree
    suspect,      ///< three silent heartbeats; gets no new work
    dead,         ///< silent for `dead_after`, or its connection is gone
    finished,     ///< said BYE: everything it had to send has been sent
    draining,     ///< a receiver that wants nothing new
    restarted,    ///< came back with a higher epoch (followed by `up`)
    refused,      ///< cannot be a peer: text says why
    unreachable,  ///< not met so far, and text says why not: once for each reason; it is tried again
  };
  What what = What::up;
  std::string node;  ///< "worker/2"; for a peer that never said HELLO, its endpoint
  std::string port;
  std::string endpoint;  ///< where this block connects to it; empty: it connects to this block
  std::uint64_t epoch = 0;
  wire::Code code = wire::Code::none;
  std::string text;
  /// With `refused`: this end has given the peer up, and only a new process, or the owner's word, helps.
  bool for_good = false;
  /// With `dead`, best-effort: records that were on their way to it.
  std::uint64_t lost_records = 0;
};
std::string_view to_string(PeerEvent::What what);

/// What became of a record that was sent with a correlation (acknowledged deliveries).
enum class RecordFate { processed, expired, dead_lettered, dropped };
std::string_view to_string(RecordFate fate);

/// A record that could not be delivered. Views, valid while the handler runs.
struct DeadLetter {
  wire::RecordView record;
  /// "expired", "too_large", "max-attempts" (its receivers died), "max-attempts: " and what the last one said
  /// that asked for it again, or what the receiver said that refused it.
  std::string_view reason;
  std::uint32_t attempts = 0;         ///< receivers that it was offered to
  std::string_view receiver;          ///< the last one, "worker/2"; empty when there was none
  std::uint64_t accepted_micros = 0;  ///< wall clock: when it was sent; 0: it never left
  std::uint64_t died_micros = 0;      ///< wall clock: when it was given up
  std::uint64_t correlation = 0;
};

/// Base of the blocks. Owned and used by the loop's thread; the loop must outlive it.
class Block {
 public:
  virtual ~Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Where the block is bound: real addresses, in the order of PortOptions::bind.
  [[nodiscard]] virtual std::vector<std::string> endpoints() const = 0;
  /// Adds or removes a peer that this block connects to. Throws Error{bad_endpoint}.
  virtual void connect(const std::string& endpoint) = 0;
  virtual void disconnect(const std::string& endpoint) = 0;
  /// Peers with whom HELLO was exchanged and who live. For Pub: subscribers whose subscriptions are active.
  [[nodiscard]] virtual std::size_t peers_up() const = 0;
  [[nodiscard]] virtual PortStats stats() const = 0;
  /// Called on the loop's thread for each event of a peer.
  virtual void on_peer(std::function<void(const PeerEvent&)> handler) = 0;

  /// Begins an orderly end. Senders: what is queued goes out, is acknowledged, then BYE. Receivers: peers are
  /// told to send nothing new, what is on its way is still handled. Go on running the loop until drained().
  virtual void begin_drain() = 0;
  [[nodiscard]] virtual bool drained() const = 0;
  /// Ends at once, without waiting; idempotent. What was left is counted as dropped. A block's own handlers
  /// may close it, and destroy it: none of them is called any more then but those of a Dealer's requests,
  /// each of which is told of its end before this returns; where a tap has called this, behind that tap.
  virtual void close() = 0;

  /// A copy of each batch that passes, for looking at traffic; nullptr: off. `outgoing` tells the direction.
  using Tap = std::function<void(bool outgoing, std::string_view peer, Bytes body, std::uint64_t count)>;
  virtual void tap(Tap tap) = 0;

 protected:
  Block() = default;
};

/// Outcome of handing a record to a block. Back-pressure is a value.
enum class [[nodiscard]] SendStatus{
    ok,
    would_block,  ///< no room now: run the loop, or use the call with a deadline
    dropped,      ///< refused by `overflow: drop_newest`, counted
    full,         ///< refused by `overflow: fail`
    timed_out,    ///< there was still no room at the deadline
    no_peer,      ///< explicit: no such peer is up
    too_large,    ///< one record is larger than a frame may be
    no_space,     ///< the journal has no room, on its disk or within its bound; goes on when there is some
    failed,       ///< the journal cannot be written any more: Journal::failure() says why
    closed,
    too_deep,   ///< nested deeper than wire::kMaxRecordDepth: no receiver takes it
    malformed,  ///< not exactly one msgpack object
    bad_topic,  ///< Pub: over 190 bytes, not UTF-8, or it begins with a zero byte
    refused,    ///< there was no room, and nobody makes any: its only peers have refused this port for good
};
/// What went wrong, as the end of a sentence.
std::string_view to_string(SendStatus status);
/// Whether receivers could take a record: ok, too_deep or malformed.
SendStatus sendable(Bytes record);

/// Where a record came from. Views, valid while the handler runs.
struct Meta {
  std::string_view peer;   ///< "worker/2"
  std::string_view topic;  ///< Sub only
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;      ///< of the batch
  std::uint32_t index = 0;    ///< in the batch
  bool snapshot = false;      ///< Sub: a kept last value or part of a snapshot, not live
  std::uint32_t attempt = 1;  ///< acknowledged deliveries: 1, or more when it was offered before
  /// Sub, at_least_once: does not continue what came of its topic before, because batches between were lost,
  /// or the publisher is a new one. With `snapshot`, this and the records of the snapshot behind it replace
  /// it.
  bool reset = false;
};

}  // namespace weft
