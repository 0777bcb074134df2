// Random: numbers from a seed, the same on every machine.
#pragma once

#include <cstdint>

#include <weft/core/time.hpp>

namespace weft::sim {

/// splitmix64 (Steele, Lea and Flood 2014): small, fast, and good enough to break protocols. Value type.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  /// 0 to n - 1; 0 when n is 0.
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : next() % n; }
  /// `low` to `high`, both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  /// 0 to 1, 1 not included.
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  /// True with that probability. Draws nothing for 0, so that a fault that is off changes no other.
  bool chance(double probability) { return probability > 0 && unit() < probability; }
  Duration between(Duration low, Duration high) {
    return low + Duration(below(static_cast<std::uint64_t>((high - low).count()) + 1));
  }

 private:
  std::uint64_t state_;
};

}  // namespace weft::sim
