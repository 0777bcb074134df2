// ClockBuffer: the pushes of unfinished clocks of one bsp table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include <weft/ps/row_index.hpp>

namespace weft::ps {

/// Holds pushes by clock and sums those of one clock in a fixed order: by worker index, then by sequence.
/// Float addition is not associative, so this order is what makes bsp bit-exact however messages arrive. One
/// thread.
class ClockBuffer {
 public:
  /// values[i * width + k] belongs to keys[i], keys.size() rows.
  explicit ClockBuffer(std::size_t width) : width_(width) {}

  void add(std::uint64_t clock, std::uint32_t worker, std::uint64_t seq, std::span<const std::uint64_t> keys,
           std::span<const float> values);
  /// Forgets the worker's pushes of `from` and later clocks; the number of pushes forgotten.
  std::size_t drop(std::uint32_t worker, std::uint64_t from);

  /// The lowest clock with a push, or nullopt.
  [[nodiscard]] std::optional<std::uint64_t> first_clock() const;
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// The workers with a push in `clock`, ascending, each once.
  [[nodiscard]] std::vector<std::uint32_t> workers(std::uint64_t clock) const;

  /// The sum of a clock: gradients[j * width + k] belongs to keys[j], each key once. Valid until the next
  /// call.
  struct Sum {
    std::span<const std::uint64_t> keys;
    std::span<const float> gradients;
  };
  /// Sums the pushes of `clock` and forgets them.
  Sum take(std::uint64_t clock);

 private:
  struct Push {
    std::uint32_t worker;
    std::uint64_t seq;
    std::vector<std::uint64_t> keys;
    std::vector<float> values;
    [[nodiscard]] std::size_t bytes() const {
      return keys.size() * sizeof(std::uint64_t) + values.size() * sizeof(float) + sizeof(Push);
    }
  };

  std::size_t width_;
  std::map<std::uint64_t, std::vector<Push>> clocks_;
  std::size_t bytes_ = 0;
  RowIndex index_;           ///< of the sum
  std::vector<float> sums_;  ///< of the sum
};

}  // namespace weft::ps
