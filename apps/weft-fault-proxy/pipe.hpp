// Pipe: one direction of one connection: which bytes come out of it, and when. No sockets and no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <weft/core/time.hpp>

#include "faults.hpp"

namespace weft::fault_proxy {

/// What was done, over all pipes of a proxy.
struct Counts {
  std::uint64_t connections = 0;
  std::uint64_t refused = 0;  ///< connections that the target did not take
  std::uint64_t chunks = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t writes = 0;
  std::uint64_t resets = 0;
  std::uint64_t drops = 0;  ///< directions that fell silent
  std::uint64_t dropped_bytes = 0;
  std::uint64_t flips = 0;
  std::uint64_t half_closes = 0;
  std::uint64_t blackholes = 0;
};
Value to_value(const Counts& counts);

/// The same seed and the same chunks meet the same faults.
class Pipe {
 public:
  /// Refers to both as long as it lives.
  Pipe(const Faults& faults, Counts& counts, std::uint64_t seed)
      : faults_(faults), counts_(counts), engine_(seed) {}

  /// A chunk has come. False: the connection is to be reset instead.
  [[nodiscard]] bool take(std::string chunk, TimePoint now);
  /// Nothing comes any more.
  void end(TimePoint now);
  /// From now on everything is swallowed, and the connection is to be reset at reset_at().
  void fall_silent(TimePoint now);
  /// The direction ends behind what has come; the rest is swallowed.
  void close_behind(TimePoint now);

  /// Bytes that may be written now; empty: none.
  [[nodiscard]] std::string_view ready(TimePoint now) const;
  void written(std::size_t bytes, TimePoint now);
  /// The FIN is due.
  [[nodiscard]] bool ends_now(TimePoint now) const;
  void ended() { ended_ = true; }
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// When ready() or ends_now() next changes by itself, or a silent pipe is to be reset.
  [[nodiscard]] std::optional<TimePoint> next_time(TimePoint now) const;
  [[nodiscard]] std::optional<TimePoint> reset_at() const { return reset_at_; }
  /// No more is to be read until something was written.
  [[nodiscard]] bool full() const { return held_ >= kMostHeld; }

 private:
  static constexpr std::size_t kMostHeld = 4U << 20;
  struct Item {
    TimePoint due;
    std::string bytes;
    bool fin = false;
  };

  bool hits(double part);
  void flip_one_bit(std::string& chunk, std::uint64_t random);
  [[nodiscard]] TimePoint due(TimePoint now, std::uint64_t random);
  [[nodiscard]] std::size_t most_at_once() const;

  const Faults& faults_;
  Counts& counts_;
  std::mt19937_64 engine_;
  std::deque<Item> items_;
  std::size_t offset_ = 0;  // in the first item
  std::size_t held_ = 0;
  TimePoint last_due_{};
  TimePoint next_write_{};
  std::optional<TimePoint> reset_at_;
  bool silent_ = false;
  bool closed_ = false;  // a FIN is in the queue, or was sent
  bool ended_ = false;
};

}  // namespace weft::fault_proxy
