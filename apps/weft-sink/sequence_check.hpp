// SequenceCheck: which of the numbers 0, 1, 2, ... came, and which came twice.
#pragma once

#include <cstdint>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::sink {

class SequenceCheck {
 public:
  /// One bit a number; larger ones are counted as `unchecked`.
  static constexpr std::uint64_t kLargest = 1ULL << 32;

  void see(std::uint64_t number) {
    if (number > kLargest) {
      ++unchecked_;
      return;
    }
    if (number >= seen_.size()) seen_.resize(number + 1 + number / 2);
    if (number >= end_) end_ = number + 1;
    if (seen_[number]) {
      ++twice_;
    } else {
      seen_[number] = true;
      ++distinct_;
    }
  }
  void see_none() { ++unchecked_; }

  /// {distinct, twice, missing, unchecked}: missing are those below the largest one that came.
  [[nodiscard]] Value result() const {
    Value out = Value::map();
    out["distinct"] = distinct_;
    out["twice"] = twice_;
    out["missing"] = end_ - distinct_;
    if (unchecked_ != 0) out["unchecked"] = unchecked_;
    return out;
  }

 private:
  std::vector<bool> seen_;
  std::uint64_t end_ = 0;
  std::uint64_t distinct_ = 0;
  std::uint64_t twice_ = 0;
  std::uint64_t unchecked_ = 0;
};

}  // namespace weft::sink
