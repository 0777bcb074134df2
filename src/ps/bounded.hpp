// bounded(): a number that has grown beyond what a float holds, as the largest that it does.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "ps/vectorised.hpp"

namespace weft::ps {

inline constexpr float kMostFloat = std::numeric_limits<float>::max();
/// The largest float whose square is one as well.
inline constexpr float kMostSquared = 1.8446743e19F;

// By their bits, which are in the order of the magnitudes: compilers make compares and blends of a minimum of
// floats, since those may be NaN, and one instruction of a minimum of integers.
inline constexpr std::int32_t kMostBits = std::bit_cast<std::int32_t>(kMostFloat);
inline constexpr std::int32_t kMagnitude = 0x7FFFFFFF;

/// `x` may be an infinity.
WEFT_INLINED float bounded(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t magnitude = bits & kMagnitude;
  const std::int32_t least = magnitude < kMostBits ? magnitude : kMostBits;
  return std::bit_cast<float>(least | (bits & ~kMagnitude));
}

/// The same where `x` cannot be negative infinity.
WEFT_INLINED float bounded_above(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return std::bit_cast<float>(bits < kMostBits ? bits : kMostBits);
}

}  // namespace weft::ps
