// Pauses: a process of a simulated run stands still from a named moment on, and goes on. play_pauses() does
// that at every moment of a run, in turn.
//
//   const auto played = sim::play_pauses(17, [](const auto& pauses) {
//     auto options = sim::paused_request_options_of_seed(17);
//     options.pauses = pauses;
//     return sim::run_requests(options);
//   });
//   if (!played.ok()) std::puts(played.pauses.c_str());   // "3:17:12.5s"
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>
#include <weft/sim/report.hpp>

namespace weft::sim {

/// A paused process handles nothing. Its clock goes on, its connections stay, what comes waits in its
/// sockets, and its peers may take it for dead.
struct Pause {
  std::uint32_t process = 0;  ///< of the link; those of its left end (senders, askers, publishers) come first
  /// So many moments of it were over: each start, message, handler and sync, and each look at its timers that
  /// made it say something. From 1 on; those of all its lives are counted.
  std::uint64_t moment = 1;
  Duration span{};  ///< of virtual time
};

/// "3:17:12.5s,0:4:200ms": process, moment and span of each. Throws Error{invalid_argument}.
std::vector<Pause> parse_pauses(std::string_view text);
/// In the form that parse_pauses() reads.
std::string to_text(const std::vector<Pause>& pauses);

/// What became of the runs of one seed: one without a pause and two for each moment of it, in which that
/// process is stopped for shorter and for longer than its peers wait before they give it up. In half of the
/// seeds some process has been stopped before, so that they are amid its way back.
struct PausesReport {
  std::uint64_t seed = 0;
  std::uint64_t runs = 0;
  std::uint64_t moments = 0;  ///< at which a process was stopped
  std::uint64_t events = 0;
  Duration longest{};                      ///< from the end of the last pause until all was at rest
  std::vector<std::string> problems = {};  ///< of the first run that was broken
  std::string pauses = {};                 ///< that one's, as parse_pauses() reads them

  [[nodiscard]] bool ok() const { return problems.empty(); }
  /// {ok, seed, runs, moments, events, longest_seconds, problems: [sentence], pauses}
  [[nodiscard]] Value to_value() const;
};

/// One run with these pauses, of the link whose runs are played.
using PlayOnce = std::function<RunReport(const std::vector<Pause>& pauses)>;
/// Ends with the first run that is broken.
PausesReport play_pauses(std::uint64_t seed, const PlayOnce& play);

}  // namespace weft::sim
