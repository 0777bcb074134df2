// InboundStream: one acknowledged stream at its receiver. Pure: no sockets, clocks or threads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/protocol/sequence_set.hpp>

namespace weft::protocol {

/// Puts batches in order, tells copies from news, and knows what to acknowledge. A batch is
///   arrived    -> it is here, or was
///   processed  -> every record of it has an outcome; settle() says so
///   visible    -> the outcome may be told to the sender; publish() says so (with a journal: once it is
///   durable)
/// The owner keeps the batches themselves: those that wait for an earlier one, by sequence.
class InboundStream {
 public:
  struct Limits {
    std::uint64_t held_bytes = 2ULL << 20;  ///< of batches that wait for an earlier one
    std::uint64_t held_batches = 1024;
  };
  explicit InboundStream(Limits limits) : limits_(limits) {}

  enum class Verdict {
    deliver,    ///< it is the next one: hand it out, then ask due() for those that it freed
    hold,       ///< an earlier one is missing: keep it by its sequence until due() names it
    duplicate,  ///< it has arrived before: acknowledge again
    fenced,     ///< of an epoch before the present one: its sender is a zombie
    no_room,    ///< too much is held already: dropped, it will come again
  };
  struct Arrival {
    Verdict verdict = Verdict::deliver;
    bool gap = false;        ///< it opened a gap, or a gap is open: tell the sender now
    bool restarted = false;  ///< a higher epoch began: what was held before is void
  };
  Arrival arrive(std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes);
  /// The sequence of a held batch whose turn has come; it counts as handed out.
  std::optional<std::uint64_t> due();

  /// A HELLO of that epoch, whose sender retains batches from `first_retained` on (0: it does not say).
  /// False: fenced. `restarted` tells whether a new space began; held batches below `first_retained` are
  /// void.
  bool begin(std::uint64_t epoch, std::uint64_t first_retained, bool& restarted);

  /// The batch has been processed. False: of another epoch, or known already. One that is held is void with
  /// it: its sender has said that it ended elsewhere.
  bool settle(std::uint64_t epoch, std::uint64_t seq);
  /// The sender may know it now.
  void publish(std::uint64_t epoch, std::uint64_t seq);
  /// What an ACK says: nothing but what is visible and what has arrived.
  [[nodiscard]] AckView ack() const;

  /// What a journal keeps of a stream: (epoch, processed), and gives back after a restart.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] const SequenceSet& processed() const { return processed_; }
  void restore(std::uint64_t epoch, const SequenceSet& processed);

  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] const SequenceSet& arrived() const { return arrived_; }
  [[nodiscard]] const SequenceSet& visible() const { return visible_; }
  [[nodiscard]] std::uint64_t held_bytes() const { return held_bytes_; }
  [[nodiscard]] std::size_t held() const { return held_.size(); }

 private:
  void reset(std::uint64_t epoch);
  void pass_processed();

  Limits limits_;
  std::uint64_t epoch_ = 0;
  bool started_ = false;
  std::uint64_t delivered_ = 0;  // handed out in order, up to here
  SequenceSet arrived_;
  SequenceSet processed_;
  SequenceSet visible_;
  std::map<std::uint64_t, std::uint64_t> held_;  // sequence -> bytes
  std::uint64_t held_bytes_ = 0;
};

/// The processed set as a journal stores it: (epoch, upto, first, last, ...), little-endian 64-bit numbers.
std::vector<std::byte> encode_marks(std::uint64_t epoch, const SequenceSet& processed);
/// False: not such a value.
bool decode_marks(Bytes value, std::uint64_t& epoch, SequenceSet& processed);

}  // namespace weft::protocol
