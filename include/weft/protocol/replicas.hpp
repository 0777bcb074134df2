// ReplicaSet: servers that can stand in for each other: who has how much to do, and who fails too often.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include <weft/core/time.hpp>
#include <weft/protocol/retry.hpp>

namespace weft::protocol {

struct CircuitOptions {
  std::uint32_t failures = 5;  ///< consecutive failures that open the circuit of a replica. 0: never
  /// How long it stays open before one request may probe the replica; longer after each probe that fails.
  RetryOptions probe = {.first = std::chrono::seconds(1), .longest = std::chrono::seconds(30)};
};

/// The circuit of a replica. Source: Nygard, "Release It!", circuit breaker.
enum class Circuit {
  closed,     ///< gets requests
  open,       ///< failed too often: gets none for a while
  half_open,  ///< one request finds out whether it works again
};
std::string_view to_string(Circuit circuit);

class ReplicaSet {
 public:
  using Id = std::uint64_t;
  explicit ReplicaSet(const CircuitOptions& options) : options_(options), probes_(options.probe) {}

  void add(Id id) { replicas_[id]; }
  void remove(Id id) { replicas_.erase(id); }
  [[nodiscard]] bool contains(Id id) const { return replicas_.contains(id); }
  [[nodiscard]] std::size_t size() const { return replicas_.size(); }

  /// A request is on its way there. A half-open replica has its probe with that.
  void offered(Id id, TimePoint now);
  /// One that was on its way has ended: well; with a failure of the replica; or with neither (cancelled, or
  /// refused for what it asks). The circuit opens, and closes, by these.
  void succeeded(Id id);
  void failed(Id id, TimePoint now);
  void withdrawn(Id id);
  /// An answer to an attempt that had been given up: late, but the replica works.
  void recovered(Id id);

  /// False: its circuit is open, or its probe is on its way.
  [[nodiscard]] bool admits(Id id, TimePoint now) const;
  [[nodiscard]] Circuit circuit(Id id, TimePoint now) const;
  [[nodiscard]] std::size_t outstanding(Id id) const;
  /// How often a circuit opened, all replicas together.
  [[nodiscard]] std::uint64_t opened() const { return opened_; }
  /// When the next open circuit becomes half-open.
  [[nodiscard]] std::optional<TimePoint> next_probe(TimePoint now) const;

 private:
  void stumbled(Id id, TimePoint now);
  struct Replica {
    std::size_t outstanding = 0;
    std::uint32_t failures = 0;      // in a row
    std::uint32_t opened = 0;        // times in a row
    std::optional<TimePoint> opens;  // not closed: half-open from here on
    bool probing = false;
  };
  CircuitOptions options_;
  RetryPolicy probes_;
  std::map<Id, Replica> replicas_;
  std::uint64_t opened_ = 0;
};

}  // namespace weft::protocol
