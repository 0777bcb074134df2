// RetryPolicy: how long to wait before something is tried again.
#pragma once

#include <cstdint>

#include <weft/core/time.hpp>

namespace weft::protocol {

struct RetryOptions {
  Duration first = std::chrono::milliseconds(100);  ///< before the second attempt. 1 ms - 1 h
  Duration longest = std::chrono::seconds(5);       ///< the wait doubles up to this. `first` - 1 h
  std::uint64_t seed = 1;                           ///< of the jitter: one seed, one sequence of waits
  void check() const;                               ///< throws Error{invalid_argument}
};

/// Exponential back-off with jitter: full base plus up to half of it at random, never more than `longest`, so
/// that many who failed together do not come back together.
class RetryPolicy {
 public:
  explicit RetryPolicy(const RetryOptions& options) : options_(options), random_(options.seed) {}
  /// The wait after so many attempts (1: after the first).
  Duration wait(std::uint32_t attempts);

 private:
  RetryOptions options_;
  std::uint64_t random_;
};

}  // namespace weft::protocol
