// LaneFates: what the two ends of a lane that retains nothing tell each other of its records, beside sequence
// and credit, so that each of them is counted once: as processed, rejected or lost.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace weft::blocks {

class LaneFates {
 public:
  // ---- at the receiver ----

  /// So many records of the stream could not be taken; they are told in every ACK from then on.
  void reject(std::uint64_t records) { rejected_ += records; }
  [[nodiscard]] std::uint64_t rejected() const { return rejected_; }

  // ---- at the sender ----

  /// The receiver has rejected so many since the stream began. One that has forgotten the stream begins anew.
  /// The first word is of what was rejected before this end knew of it: only what is beyond that is counted.
  /// `unsettled`: records that may be among them; a receiver that names more than it was sent says nothing of
  /// those that come later.
  void hear(std::uint64_t rejected, std::uint64_t unsettled) {
    if (std::exchange(heard_, true)) {
      const std::uint64_t fresh = rejected >= told_ ? rejected - told_ : rejected;
      open_ = std::min(open_, unsettled);
      open_ += std::min(fresh, unsettled - open_);
    }
    told_ = rejected;
  }
  /// So many records have ended, acknowledged or lost: how many of them were rejected.
  std::uint64_t take_rejected(std::uint64_t records) {
    const std::uint64_t rejected = std::min(open_, records);
    open_ -= rejected;
    return rejected;
  }
  /// After a new connection the receiver said that records up to `seq` have arrived; it is not done with
  /// them.
  void arrive(std::uint64_t seq, std::uint64_t records) {
    if (records == 0) return;
    if (!arrived_.empty() && arrived_.back().first >= seq) {
      arrived_.back().second += records;
    } else {
      arrived_.emplace_back(seq, records);
    }
  }
  /// Everything up to `seq` is done with: how many records of those that arrived so.
  std::uint64_t settle(std::uint64_t seq) {
    const auto end = std::ranges::find_if(arrived_, [seq](const auto& some) { return some.first > seq; });
    std::uint64_t records = 0;
    for (auto at = arrived_.begin(); at != end; ++at) records += at->second;
    arrived_.erase(arrived_.begin(), end);
    return records;
  }
  [[nodiscard]] std::uint64_t waiting() const {
    std::uint64_t records = 0;
    for (const auto& some : arrived_) records += some.second;
    return records;
  }

 private:
  std::uint64_t rejected_ = 0;
  std::uint64_t told_ = 0, open_ = 0;
  bool heard_ = false;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> arrived_;  // (last sequence, records)
};

}  // namespace weft::blocks
