// SequenceCheck: which of the numbers 0, 1, 2, ... came, and which came twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::sink {

/// The upper 24 bits of a number name the source that counts in the lower 40.
class SequenceCheck {
 public:
  /// One bit a number; larger ones, and those of further sources, are counted as `unchecked`.
  static constexpr std::uint64_t kLargest = 1ULL << 32;
  static constexpr std::size_t kMostSources = 1024;

  void see(std::uint64_t number) {
    Seen* seen = find(number >> kSourceShift);
    number &= (std::uint64_t{1} << kSourceShift) - 1;
    if (!seen || number > kLargest) {
      ++unchecked_;
      return;
    }
    if (number >= seen->bits.size()) seen->bits.resize(number + 1 + number / 2);
    if (number >= seen->end) seen->end = number + 1;
    if (seen->bits[number]) {
      ++twice_;
    } else {
      seen->bits[number] = true;
      ++distinct_;
    }
  }
  void see_none() { ++unchecked_; }
  [[nodiscard]] std::uint64_t distinct() const { return distinct_; }

  /// {distinct, twice, missing, unchecked}: missing are those below the largest one of their source that
  /// came.
  [[nodiscard]] Value result() const {
    std::uint64_t expected = 0;
    for (const auto& [source, seen] : sources_) expected += seen.end;
    Value out = Value::map();
    out["distinct"] = distinct_;
    out["twice"] = twice_;
    out["missing"] = expected - distinct_;
    if (unchecked_ != 0) out["unchecked"] = unchecked_;
    return out;
  }

 private:
  static constexpr unsigned kSourceShift = 40;
  struct Seen {
    std::vector<bool> bits;
    std::uint64_t end = 0;
  };

  Seen* find(std::uint64_t source) {
    if (last_ && source == last_source_) return last_;
    if (sources_.size() >= kMostSources && !sources_.contains(source)) return nullptr;
    last_source_ = source;
    last_ = &sources_[source];
    return last_;
  }

  std::map<std::uint64_t, Seen> sources_;
  std::uint64_t last_source_ = 0;
  Seen* last_ = nullptr;
  std::uint64_t distinct_ = 0;
  std::uint64_t twice_ = 0;
  std::uint64_t unchecked_ = 0;
};

}  // namespace weft::sink
