#include <weft/sim/push_pull.hpp>

#include <algorithm>
#include <array>

#include <weft/core/format.hpp>

#include "sim/draw.hpp"
#include "sim/push_pull_world.hpp"

namespace weft::sim {
using namespace std::chrono_literals;

void PushPullOptions::check() const {
  faults.check();
  require(delivery != Delivery::best_effort,
          "sim: delivery best-effort has no acknowledged stream to simulate");
  require(senders >= 1 && senders <= 100'000, format("sim: senders {} is not in 1 to 100000", senders));
  require(receivers >= 1 && receivers <= 100'000,
          format("sim: receivers {} is not in 1 to 100000", receivers));
  require(std::uint64_t{senders} * receivers <= 1'000'000,
          format("sim: {} senders times {} receivers is more than 1000000 pairs", senders, receivers));
  require(records >= 1 && records <= 1'000'000'000,
          format("sim: records {} is not in 1 to 1000000000", records));
  require(batch_records >= 1 && record_bytes >= 1, "sim: a batch has at least one record of one byte");
  require(keys >= 1, "sim: keys 0 is not at least 1");
  require(capacity >= std::uint64_t{batch_records} * record_bytes,
          format("sim: capacity {} holds no batch of {} bytes", capacity,
                 std::uint64_t{batch_records} * record_bytes));
  require(window.batches >= 1, "sim: a window of no batches lets nothing through");
}

PushPullOptions options_of_seed(std::uint64_t seed, std::uint64_t records) {
  Random random(seed ^ 0x5EEDULL);
  PushPullOptions options{.seed = seed, .records = records};
  options.delivery = random.chance(0.5) ? Delivery::exactly_once : Delivery::at_least_once;
  constexpr std::array kWays{Distribute::balance, Distribute::round_robin, Distribute::hash,
                             Distribute::explicit_};
  options.distribute = kWays[random.below(kWays.size())];
  options.sender_journal = random.chance(0.5);
  options.senders = static_cast<std::uint32_t>(random.between(1, 3));
  options.receivers = static_cast<std::uint32_t>(random.between(1, 4));
  options.batch_records = static_cast<std::uint32_t>(random.between(2, 10));
  options.window = {random.between(1, 16) << 10, random.between(1, 64)};
  options.capacity = random.between(2, 64) << 10;
  if (random.chance(0.1)) options.overflow = Overflow::drop_oldest;
  if (random.chance(0.1)) options.overflow = Overflow::drop_newest;
  if (random.chance(0.2)) options.max_attempts = static_cast<std::uint32_t>(random.between(1, 4));
  if (random.chance(0.1)) options.ttl = random.between(10ms, 3s);
  if (random.chance(0.1)) options.delay = random.between(1ms, 500ms);
  options.priorities = random.chance(0.2);
  if (random.chance(0.25)) options.reject = 0.05;
  options.faults_for = random.between(1s, 20s);
  options.faults = draw_faults(random);
  return options;
}

PushPullOptions paused_options_of_seed(std::uint64_t seed, std::uint64_t records) {
  Random random(seed ^ 0x5EEDAULL);
  PushPullOptions options = options_of_seed(seed, records);
  options.senders = std::min(options.senders, 2U);
  options.receivers = std::min(options.receivers, 2U);
  options.batch_records = std::min(options.batch_records, 4U);
  options.gap = random.between(1ms, 100ms);
  options.service = random.between(1ms, 50ms);
  options.faults_for = random.between(500ms, 2s);
  options.faults = calm_faults(options.faults, random);
  return options;
}

Value SimReport::to_value() const {
  Value out = RunReport::to_value();
  out["attempted"] = counts.attempted;
  out["accepted"] = counts.accepted;
  out["processed"] = counts.processed;
  out["expired"] = counts.expired;
  out["dead_lettered"] = counts.dead_lettered;
  out["purged"] = counts.purged;
  out["lost"] = counts.lost;
  out["sender_lost"] = sender_lost;
  out["duplicated"] = counts.duplicated;
  out["batches_sent"] = batches_sent;
  out["batches_retransmitted"] = batches_retransmitted;
  out["batches_lost"] = batches_lost;
  out["peak_sender_bytes"] = peak_sender_bytes;
  out["peak_receiver_bytes"] = peak_receiver_bytes;
  return out;
}

SimReport run_push_pull(const PushPullOptions& options) {
  options.check();
  return PushPullWorld(options).run();
}

}  // namespace weft::sim
