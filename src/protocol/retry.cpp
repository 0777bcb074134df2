#include <weft/protocol/retry.hpp>

#include <algorithm>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

namespace weft::protocol {

void RetryOptions::check() const {
  using namespace std::chrono_literals;
  if (first < 1ms || first > 1h) {
    throw Error(Errc::invalid_argument,
                format("the first retry is after {}: it must be from 1ms to 1h", format_duration(first)));
  }
  if (longest < first || longest > 1h) {
    throw Error(Errc::invalid_argument, format("the longest wait for a retry is {}: it must be from {} to 1h",
                                               format_duration(longest), format_duration(first)));
  }
}

Duration RetryPolicy::wait(std::uint32_t attempts) {
  const unsigned doublings = std::min(attempts == 0 ? 0U : attempts - 1, 32U);
  Duration base = options_.first;
  for (unsigned i = 0; i < doublings && base < options_.longest; ++i) base *= 2;
  // splitmix64: enough for jitter, and the same on every machine.
  std::uint64_t z = (random_ += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  const auto jitter = static_cast<Duration::rep>(z % static_cast<std::uint64_t>(base.count() / 2 + 1));
  return std::min(base + Duration(jitter), options_.longest);
}

}  // namespace weft::protocol
