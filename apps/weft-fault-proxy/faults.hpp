// Faults: what the proxy does to the bytes that pass it, as options and as commands name it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>

namespace weft::fault_proxy {

/// A chunk is what one read gave, at most `chunk` bytes. Rates are the part of the chunks that are hit, 0
/// - 1.
struct Faults {
  Duration latency = Duration::zero();  ///< a chunk waits so long, in each direction
  Duration jitter = Duration::zero();   ///< and up to so much longer; the order of bytes stays
  double reset = 0;                     ///< the connection is reset (RST to both ends) in place of the chunk
  /// The chunk and all bytes behind it in its direction are swallowed, while the connection seems well; after
  /// `drop_for` it is reset. A stream cannot lose a piece in its midst and go on.
  double drop = 0;
  Duration drop_for = std::chrono::seconds(1);
  double flip = 0;              ///< one bit of the chunk is inverted
  double half_close = 0;        ///< the direction ends behind the chunk (FIN), the other one goes on
  std::uint64_t slice = 0;      ///< bytes written at a time, each a segment of its own; 0: as they come
  std::uint64_t bandwidth = 0;  ///< bytes a second, of each connection and direction; 0: no bound
  Duration blackhole_every =
      Duration::zero();  ///< so often nothing passes and nobody is accepted; zero: never
  Duration blackhole_for = std::chrono::seconds(1);  ///< for a random time from zero to this
  std::uint64_t chunk = 16384;                       ///< bytes, 1 - 1 MiB

  /// Sets one of them by its name in options and commands ("half-close", "drop-for"). A number, or a text
  /// with a unit ("20ms", "2%", "1MiB"). Throws Error{invalid_argument} that names it and says what was
  /// expected.
  void set(std::string_view name, const Value& value);
};

/// A name and what it does, in the order of `--help`.
struct FaultHelp {
  std::string_view name;
  std::string_view value;
  std::string_view help;
};
const std::vector<FaultHelp>& fault_help();

Value to_value(const Faults& faults);

enum class Direction { up, down, both };  ///< up: from who connects to the target
/// Throws Error{invalid_argument}.
Direction parse_direction(const Value& value);

}  // namespace weft::fault_proxy
