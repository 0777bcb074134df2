// A push-pull link in the simulator: the sender's Outbox and Session, the receiver's InboundStream and, where
// there is a journal, the real Store on a simulated disk; between them a network that loses, doubles and
// delays.
//
//   const auto report = sim::run_push_pull({.seed = 17, .senders = 1, .receivers = 3});
//   if (!report.ok()) std::puts(report.problems.front().c_str());
#pragma once

#include <cstdint>
#include <vector>

#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>
#include <weft/core/value.hpp>
#include <weft/protocol/lane.hpp>
#include <weft/sim/faults.hpp>
#include <weft/sim/ledger.hpp>
#include <weft/sim/pauses.hpp>
#include <weft/sim/report.hpp>

namespace weft::sim {

/// A bug that a simulated node has on purpose, to show that the simulator finds such ones. The classes under
/// test know nothing of it: the node tampers with what it tells them, or with what they say.
enum class PlantedBug {
  none,
  acknowledge_before_processing,  ///< the receiver settles a batch when it arrives
  forget_epoch,                   ///< a restarted volatile sender goes on with the epoch that it had
  drop_ranges,                    ///< the receiver's acknowledgements come without their ranges
  give_up_for_good,               ///< the sender takes no HELLO of a receiver that it has once given up
};

struct PushPullOptions {
  std::uint64_t seed = 1;
  Delivery delivery = Delivery::at_least_once;  ///< or exactly_once, whose receivers have a journal
  Distribute distribute = Distribute::balance;
  Overflow overflow = Overflow::block;
  bool sender_journal = false;
  std::uint32_t senders = 1;
  std::uint32_t receivers = 3;
  std::uint64_t records = 1000;          ///< that all senders make, together
  std::uint32_t record_bytes = 100;      ///< of each
  std::uint32_t batch_records = 8;       ///< most in one batch; 1 at least
  std::uint64_t keys = 8;                ///< under `hash`: different keys of a sender
  std::uint64_t capacity = 64ULL << 10;  ///< of a sender, bytes; one batch at least
  protocol::Credit window = {16ULL << 10, 64};
  std::uint64_t prefetch_records = 0;  ///< that a receiver takes at once; 0: no bound of its own
  std::uint32_t max_attempts = 0;      ///< 0: no bound
  Duration ttl = Duration::zero();     ///< of a batch; 0: lives for ever
  Duration delay = Duration::zero();   ///< most that a batch is delayed by its sender
  bool priorities = false;             ///< batches have random ones
  double reject = 0;                   ///< a batch at its first handling: the handler refuses it
  bool poison = false;  ///< a receiver that handles the tenth record of the first sender dies of it
  Duration gap = std::chrono::milliseconds(2);      ///< between batches of a source, on average
  Duration service = std::chrono::milliseconds(1);  ///< of a batch at its receiver, on average
  Faults faults = {};
  Duration faults_for = std::chrono::seconds(20);  ///< virtual; then all heals and has to come to rest
  std::vector<Pause> pauses = {};  ///< in which a process stands still, besides those of `faults`
  PlantedBug bug = PlantedBug::none;

  void check() const;  ///< throws Error{invalid_argument}
};

/// What a seed of the self-test means: kinds of link and faults of every mixture, drawn from it.
PushPullOptions options_of_seed(std::uint64_t seed, std::uint64_t records = 1000);
/// The same for play_pauses(): a small link, slower, on which little else breaks.
PushPullOptions paused_options_of_seed(std::uint64_t seed, std::uint64_t records = 12);

struct SimReport : RunReport {
  LedgerCounts counts = {};
  std::uint64_t sender_lost = 0;  ///< records in a volatile sender when it died: the documented limit
  std::uint64_t batches_sent = 0;
  std::uint64_t batches_retransmitted = 0;
  std::uint64_t batches_lost = 0;         ///< of the messages that were lost
  std::uint64_t peak_sender_bytes = 0;    ///< of batches in one sender
  std::uint64_t peak_receiver_bytes = 0;  ///< of batches in one receiver, held or waiting for its handler

  /// {attempted, accepted, processed, expired, dead_lettered, purged, lost, sender_lost, duplicated,
  /// batches_sent, batches_retransmitted, batches_lost, peak_sender_bytes, peak_receiver_bytes}, and what
  /// RunReport has.
  [[nodiscard]] Value to_value() const;
};

SimReport run_push_pull(const PushPullOptions& options);

}  // namespace weft::sim
