// SendLane and ReceiveLane: the two ends of one stream, without sockets, clocks or threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace weft::protocol {

/// How much a receiver lets a sender have on its way: absolute, counted from an acknowledged sequence.
struct Credit {
  std::uint64_t bytes = 0;
  std::uint64_t batches = 0;
};

/// Sequence numbers and credit of one stream at its sender. Batches are numbered from 1.
class SendLane {
 public:
  explicit SendLane(std::uint64_t epoch) : epoch_(epoch) {}

  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t last_sent() const { return next_ - 1; }
  [[nodiscard]] std::uint64_t last_acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::size_t outstanding() const { return flight_.size(); }
  [[nodiscard]] std::uint64_t outstanding_bytes() const { return flight_bytes_; }
  [[nodiscard]] std::uint64_t outstanding_records() const { return flight_records_; }
  [[nodiscard]] Credit credit() const { return credit_; }

  /// True when credit admits a batch of that size. With nothing outstanding one batch is always admitted,
  /// once the receiver has given any credit at all.
  [[nodiscard]] bool admits(std::uint64_t bytes) const;
  /// The same beside a batch of `open` bytes that is being filled (0: there is none) and that may have to
  /// leave on its own first.
  [[nodiscard]] bool admits_beside(std::uint64_t open, std::uint64_t bytes) const;
  /// Bytes that may still be sent: what `balance` compares.
  [[nodiscard]] std::uint64_t room() const;

  /// Takes the next sequence number for a batch that is now on its way. Requests take one number a record:
  /// `numbers` is how many numbers this batch covers, and the first is returned.
  std::uint64_t send(std::uint64_t bytes, std::uint64_t records, std::uint64_t numbers = 1);

  enum class Ack { ok, old, beyond };
  /// The receiver has settled everything up to `seq` and gives that much credit from there. `beyond`: it
  /// names what was never sent, which is a protocol error and changes nothing. `old`: overtaken by a later
  /// one, harmless.
  Ack acknowledge(std::uint64_t seq, Credit credit);

  /// What is forgotten when a connection was lost and nothing is retained.
  struct Lost {
    std::uint64_t batches = 0;
    std::uint64_t records = 0;
    /// Sequences that never got there, or that the receiver has forgotten: after `accepted`, up to `said`.
    std::uint64_t accepted = 0;
    std::uint64_t said = 0;
    [[nodiscard]] bool any() const { return said > accepted; }
  };
  /// After a new HELLO: the receiver has accepted up to `last_accepted`; what lies beyond, up to `said` (what
  /// had been sent when that HELLO left), was lost with the connection. Later batches came behind the HELLO
  /// and are still on their way. Numbers go on, so that the receiver sees the gap too, and a number that the
  /// receiver has accepted already (from this stream's time with another connection) is not given again.
  Lost resume(std::uint64_t last_accepted, std::uint64_t said = UINT64_MAX);

 private:
  struct Batch {
    std::uint64_t last;  // sequence
    std::uint64_t bytes;
    std::uint64_t records;
  };
  void settle_first();

  std::uint64_t epoch_;
  std::uint64_t next_ = 1;
  std::uint64_t acknowledged_ = 0;
  std::deque<Batch> flight_;
  std::uint64_t flight_bytes_ = 0;
  std::uint64_t flight_records_ = 0;
  Credit credit_;
};

/// What has arrived on one stream at its receiver: gaps, duplicates and old epochs are seen under every
/// delivery.
class ReceiveLane {
 public:
  enum class Verdict {
    accept,     ///< take it; `missed` tells how many batches before it never came
    duplicate,  ///< at or below the last one
    fenced,     ///< of an epoch before the present one: its sender is a zombie
  };
  struct Outcome {
    Verdict verdict = Verdict::accept;
    std::uint64_t missed = 0;
    bool restarted = false;  ///< a higher epoch began with this batch
  };
  Outcome arrive(std::uint64_t epoch, std::uint64_t seq);
  /// A HELLO (or PING) of a later epoch begins a new space; the verdict is accept or fenced.
  Verdict begin(std::uint64_t epoch);
  /// The sender says that it has sent up to `seq`: returns how many batches are missing at the end.
  std::uint64_t missing_until(std::uint64_t seq) const { return seq > last_ ? seq - last_ : 0; }
  /// Gives up on everything up to `seq`.
  void skip_to(std::uint64_t seq) {
    if (seq > last_) last_ = seq;
  }
  /// Everything up to `seq` has come.
  void take_to(std::uint64_t seq) {
    if (seq > last_) last_ = accepted_ = seq;
  }

  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t last() const { return last_; }
  /// What its sender may be told that it has come: not what was given up since the last thing that came.
  /// Whoever sends goes on behind a gap only once it has heard of it, and the answer that tells may be lost
  /// as well.
  [[nodiscard]] std::uint64_t accepted() const { return accepted_; }
  [[nodiscard]] bool started() const { return started_; }

 private:
  std::uint64_t epoch_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t accepted_ = 0;
  bool started_ = false;
};

/// Credit for a sender whose last batch had `batch` bytes. One that is larger than the window gets room for
/// two, as far as 64 MiB reach, so that one travels while the other is handled. `lent`: they lie in the
/// sender's memory, and the two ends would spend their time with waking each other: room for eight, as far as
/// 8 MiB reach (more would leave the caches).
[[nodiscard]] std::uint64_t window_for(std::uint64_t window, std::uint64_t batch, bool lent);

/// When a receiver acknowledges: after a quarter of the window, or when asked (PING), or after a while. What
/// it has said beside something else, which an older peer passes over, is not said again after a while.
class AckPolicy {
 public:
  explicit AckPolicy(Credit window) : window_(window) {}
  /// A batch was settled. True: acknowledge now.
  bool settled(std::uint64_t bytes) {
    bytes_ += bytes;
    ++batches_;
    told_ = false;
    return bytes_ * 4 >= window_.bytes || batches_ * 4 >= window_.batches;
  }
  [[nodiscard]] bool pending() const { return batches_ != 0; }
  /// Something was settled of which the sender has heard in no way.
  [[nodiscard]] bool untold() const { return batches_ != 0 && !told_; }
  void told() { told_ = true; }
  void sent() { bytes_ = batches_ = 0; }
  [[nodiscard]] Credit window() const { return window_; }

 private:
  Credit window_;
  std::uint64_t bytes_ = 0;
  std::uint64_t batches_ = 0;
  bool told_ = false;
};

}  // namespace weft::protocol
