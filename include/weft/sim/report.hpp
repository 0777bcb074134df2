// RunReport: what every simulated run tells, whatever it simulates.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>

namespace weft::sim {

enum class LinkKind { push_pull, requests, pub_sub };
inline constexpr unsigned kLinkKinds = 3;
std::string_view to_string(LinkKind kind);
/// What a seed of the self-test simulates.
constexpr LinkKind kind_of_seed(std::uint64_t seed) {
  return static_cast<LinkKind>(seed % kLinkKinds);
}

struct RunReport {
  std::uint64_t seed = 0;
  std::vector<std::string> problems = {};  ///< invariants that did not hold, one sentence each, at most ten
  std::map<std::string, std::uint64_t> faults = {};  ///< kind -> times
  std::uint64_t messages = 0;
  std::uint64_t messages_lost = 0;
  std::uint64_t events = 0;
  std::uint64_t trace_hash = 0;             ///< same options, same hash
  Duration virtual_time{};                  ///< until all was at rest
  std::vector<std::uint64_t> moments = {};  ///< of each process, as Pause counts them
  Duration back_after{};                    ///< from the end of the last planned pause until all was at rest

  [[nodiscard]] bool ok() const { return problems.empty(); }
  /// {ok, seed, messages, messages_lost, events, trace_hash, virtual_seconds, faults: {kind: times},
  /// problems: [sentence]}
  [[nodiscard]] Value to_value() const;
};

}  // namespace weft::sim
