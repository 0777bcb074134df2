// A pub-sub link without gaps in the simulator: the publisher's ReplayWindow and the subscriber's
// ReplayReader; between them sessions, and data that is lost, doubled and late.
//
//   const auto report = sim::run_pub_sub({.seed = 17, .keep_last = true});
//   if (!report.ok()) std::puts(report.problems.front().c_str());
#pragma once

#include <cstdint>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>
#include <weft/protocol/lane.hpp>
#include <weft/sim/faults.hpp>
#include <weft/sim/pauses.hpp>
#include <weft/sim/report.hpp>

namespace weft::sim {

/// A bug that a simulated node has on purpose: see PlantedBug.
enum class PubSubBug {
  none,
  apply_before_filled,  ///< the subscriber applies live batches whose hole has not been filled
  ignore_epoch,         ///< the subscriber goes on as before when its publisher has begun a new epoch
  answer_as_of_now,     ///< the publisher tells who joins where topics stand, and not where they stood at the
                        ///< mark
  snapshot_too_new,     ///< the publisher's snapshot says that it covers a batch more than it does
  stay_paused,          ///< the subscriber does not go on when its publisher is back
};

struct PubSubOptions {
  std::uint64_t seed = 1;
  bool keep_last = false;  ///< subscribers ask for snapshots
  std::uint32_t publishers = 1;
  std::uint32_t subscribers = 3;
  std::uint64_t batches = 1000;              ///< that all publishers make, together
  std::uint32_t batch_bytes = 100;           ///< of each
  std::uint32_t topics = 8;                  ///< of each publisher. 1 - 100
  std::uint64_t retain_bytes = 64ULL << 10;  ///< of past batches at a publisher
  protocol::Credit window = {16ULL << 10,
                             64};         ///< of a subscriber: what waits for holes, and for its handler
  std::uint64_t page_bytes = 4ULL << 10;  ///< that a subscriber takes in one answer
  bool late = false;  ///< subscribers come at any time while things break, and not at the start
  Duration gap = std::chrono::milliseconds(2);        ///< between batches of a publisher, on average
  Duration service = std::chrono::microseconds(500);  ///< of a batch at its subscriber, on average
  Faults faults = {};
  Duration faults_for = std::chrono::seconds(20);  ///< virtual; then all heals and has to come to rest
  std::vector<Pause> pauses = {};  ///< in which a process stands still, besides those of `faults`
  PubSubBug bug = PubSubBug::none;

  void check() const;  ///< throws Error{invalid_argument}
};

/// What a seed of the self-test means, as for push-pull.
PubSubOptions pub_sub_options_of_seed(std::uint64_t seed, std::uint64_t batches = 1000);
/// The same for play_pauses(): a small link, slower, on which little else breaks.
PubSubOptions paused_pub_sub_options_of_seed(std::uint64_t seed, std::uint64_t batches = 12);

struct PubSubReport : RunReport {
  std::uint64_t published = 0;          ///< batches
  std::uint64_t applied = 0;            ///< live or replayed, all subscribers together
  std::uint64_t snapshots = 0;          ///< that were applied
  std::uint64_t replayed = 0;           ///< batches that came by replay and were wanted
  std::uint64_t filled = 0;             ///< holes that replay has closed
  std::uint64_t missed = 0;             ///< batches that no window held any more, without a snapshot
  std::uint64_t overruns = 0;           ///< ranges that were asked for and gone
  std::uint64_t questions = 0;          ///< that subscribers asked
  std::uint64_t dropped = 0;            ///< live batches for which a subscriber had no room
  std::uint64_t epochs = 0;             ///< that publishers began
  std::uint64_t peak_window_bytes = 0;  ///< of past batches at one publisher
  std::uint64_t peak_held_bytes = 0;  ///< of batches that wait for a hole, at one subscriber of one publisher

  /// {published, applied, snapshots, replayed, filled, missed, overruns, questions, dropped, epochs,
  /// peak_window_bytes, peak_held_bytes}, and what RunReport has.
  [[nodiscard]] Value to_value() const;
};

PubSubReport run_pub_sub(const PubSubOptions& options);

}  // namespace weft::sim
