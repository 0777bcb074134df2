// SequenceWindow: which of the latest sequence numbers have been seen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace weft::ps {

/// Remembers the last kSize numbers below the highest, in constant memory. Gaps are fine. One thread.
class SequenceWindow {
 public:
  static constexpr std::uint64_t kSize = 1024;

  /// True when `seq` was marked, or is too old to tell.
  [[nodiscard]] bool seen(std::uint64_t seq) const {
    if (seq > highest_) return false;
    if (highest_ - seq >= kSize) return true;
    return (words_[word(seq)] >> (seq % 64) & 1) != 0;
  }
  void mark(std::uint64_t seq) {
    if (seq > highest_) {
      const std::uint64_t steps = seq - highest_;
      if (steps >= kSize) {
        words_.fill(0);
      } else {
        for (std::uint64_t i = highest_ + 1; i <= seq; ++i)
          words_[word(i)] &= ~(std::uint64_t{1} << (i % 64));
      }
      highest_ = seq;
    }
    words_[word(seq)] |= std::uint64_t{1} << (seq % 64);
  }

 private:
  static std::size_t word(std::uint64_t seq) { return seq % kSize / 64; }

  // Number 0 counts as seen: sequences start at 1.
  std::uint64_t highest_ = 0;
  std::array<std::uint64_t, kSize / 64> words_{1};
};

}  // namespace weft::ps
