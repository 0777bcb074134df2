#include <weft/sim/pub_sub.hpp>

#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/sim/random.hpp>

#include "sim/draw.hpp"
#include "sim/pub_sub_world.hpp"

namespace weft::sim {

using namespace std::chrono_literals;

void PubSubOptions::check() const {
  faults.check();
  require(publishers >= 1 && publishers <= 100'000,
          format("sim: publishers {} is not in 1 to 100000", publishers));
  require(subscribers >= 1 && subscribers <= 100'000,
          format("sim: subscribers {} is not in 1 to 100000", subscribers));
  require(
      std::uint64_t{publishers} * subscribers <= 1'000'000,
      format("sim: {} publishers times {} subscribers is more than 1000000 pairs", publishers, subscribers));
  require(batches >= 1 && batches <= 1'000'000'000,
          format("sim: batches {} is not in 1 to 1000000000", batches));
  require(batch_bytes >= 1, "sim: a batch has one byte at least");
  require(topics >= 1 && topics <= 100, format("sim: topics {} is not in 1 to 100", topics));
  require(window.bytes >= batch_bytes && window.batches >= 1,
          format("sim: a window of {} bytes holds no batch of {}", window.bytes, batch_bytes));
  require(page_bytes >= 1, "sim: a page has one byte at least");
}

PubSubOptions pub_sub_options_of_seed(std::uint64_t seed, std::uint64_t batches) {
  Random random(seed ^ 0xB5CEDULL);
  PubSubOptions options{.seed = seed, .batches = batches};
  options.keep_last = random.chance(0.6);
  options.publishers = static_cast<std::uint32_t>(random.between(1, 2));
  options.subscribers = static_cast<std::uint32_t>(random.between(1, 4));
  options.topics = static_cast<std::uint32_t>(random.between(1, 30));
  options.retain_bytes = random.chance(0.5) ? random.between(0, 8) << 10 : random.between(8, 128) << 10;
  options.window = {random.between(1, 16) << 10, random.between(1, 64)};
  options.page_bytes = random.between(1, 8192);
  options.late = random.chance(0.5);
  if (random.chance(0.2)) options.service = random.between(1ms, 4ms);
  options.gap = random.between(1ms, 20ms);
  options.faults_for = random.between(1s, 20s);
  options.faults = draw_faults(random);
  options.faults.crash /= 2;  // a publisher that is new all the time has nothing to replay
  return options;
}

PubSubOptions paused_pub_sub_options_of_seed(std::uint64_t seed, std::uint64_t batches) {
  Random random(seed ^ 0xB5CEDAULL);
  PubSubOptions options = pub_sub_options_of_seed(seed, batches);
  options.subscribers = std::min(options.subscribers, 2U);
  options.topics = std::min(options.topics, 4U);
  options.gap = random.between(1ms, 100ms);
  options.service = random.between(1ms, 50ms);
  options.faults_for = random.between(500ms, 2s);
  options.faults = calm_faults(options.faults, random);
  return options;
}

Value PubSubReport::to_value() const {
  Value out = RunReport::to_value();
  out["published"] = published;
  out["applied"] = applied;
  out["snapshots"] = snapshots;
  out["replayed"] = replayed;
  out["filled"] = filled;
  out["missed"] = missed;
  out["overruns"] = overruns;
  out["questions"] = questions;
  out["dropped"] = dropped;
  out["epochs"] = epochs;
  out["peak_window_bytes"] = peak_window_bytes;
  out["peak_held_bytes"] = peak_held_bytes;
  return out;
}

PubSubReport run_pub_sub(const PubSubOptions& options) {
  options.check();
  return PubSubWorld(options).run();
}

}  // namespace weft::sim
