// SequenceSet: which numbers of a stream are in, in memory that grows with the holes and not with the
// numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace weft::protocol {

/// A set of numbers from 1 on, kept as "everything up to n" and ranges beyond.
class SequenceSet {
 public:
  /// Everything from 1 to here is in.
  [[nodiscard]] std::uint64_t upto() const { return upto_; }
  /// The largest number that is in; 0 when there is none.
  [[nodiscard]] std::uint64_t highest() const { return beyond_.empty() ? upto_ : beyond_.rbegin()->second; }
  /// Ranges beyond upto() + 1, first -> last, that neither touch nor overlap.
  [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& beyond() const { return beyond_; }
  [[nodiscard]] bool contains(std::uint64_t seq) const;
  /// False: it was in already (or is 0).
  bool add(std::uint64_t seq);
  void add_range(std::uint64_t first, std::uint64_t last);
  /// Adds everything up to `seq`.
  void add_upto(std::uint64_t seq) {
    if (seq > upto_) add_range(upto_ + 1, seq);
  }
  bool operator==(const SequenceSet&) const = default;

 private:
  std::uint64_t upto_ = 0;
  std::map<std::uint64_t, std::uint64_t> beyond_;
};

/// What an ACK (or a HELLO) says of a stream: docs/reference/wire.md, "Acknowledgements".
struct AckView {
  static constexpr std::size_t kMostRanges = 32;
  struct Range {
    std::uint64_t first = 0, last = 0;
  };
  std::uint64_t seq = 0;            ///< everything up to here has been processed
  std::size_t processed_count = 0;  ///< ranges beyond `seq` that have been processed as well
  Range processed[kMostRanges];
  std::uint64_t seen = 0;         ///< highest that has arrived, as far as `missing` tells
  std::size_t missing_count = 0;  ///< ranges up to `seen` that have not arrived
  Range missing[kMostRanges];
};

}  // namespace weft::protocol
