// Faults: what a simulated run does to its processes, network, disks and clocks.
#pragma once

#include <string>
#include <string_view>

#include <weft/core/time.hpp>

namespace weft::sim {

/// Each is a probability from 0 to 1 of the thing it is said of. All 0: nothing goes wrong.
struct Faults {
  double loss = 0;       ///< a message: it never arrives
  double duplicate = 0;  ///< a message: it arrives twice
  double reorder = 0;    ///< a message: it arrives late, behind later ones
  double partition = 0;  ///< a message: it is the last one between these two for 0.05 to 12 s
  double slow = 0;       ///< a pair of processes: its link carries 1 MB/s
  double crash = 0;      ///< an event of a process: it dies before, in or after it, and starts again
  double power = 0.5;    ///< a crash: the machine fails, so that what was not synced is lost or torn
  double pause = 0;      ///< an event of a process: it stands still for up to 4 s
  double full = 0;       ///< a sync: its disk is full for up to 1 s
  double skew = 0;       ///< most that a process's clock runs fast or slow, as a fraction
  double jump = 0;       ///< a start of a process: its wall clock has been set by up to an hour
  Duration delay = std::chrono::microseconds(200);  ///< of a message, at least; twice that at most

  void check() const;  ///< throws Error{invalid_argument} that names the field and its bound
};

/// "loss=0.01,duplicate=0.01,crash=0.001,delay=0.002": names as above, `delay` in seconds. Throws
/// Error{invalid_argument}.
Faults parse_faults(std::string_view text);
/// What differs from no faults, in the form that parse_faults() reads.
std::string to_text(const Faults& faults);

}  // namespace weft::sim
