// Counter: a cell with one writing thread and any number of readers.
#pragma once

#include <atomic>
#include <cstdint>

namespace weft {

/// Costs the writer a plain add. `add` is for the owning thread only; `get` for any.
class Counter {
 public:
  void add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace weft
