#include <weft/sim/requests.hpp>

#include <algorithm>
#include <array>
#include <string>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/sim/random.hpp>

#include "sim/draw.hpp"
#include "sim/request_world.hpp"

namespace weft::sim {

using namespace std::chrono_literals;

void RequestOptions::check() const {
  faults.check();
  require(delivery != Delivery::best_effort, "sim: requests at best-effort promise nothing to simulate");
  require(askers >= 1 && askers <= 100'000, format("sim: askers {} is not in 1 to 100000", askers));
  require(answerers >= 1 && answerers <= 100'000,
          format("sim: answerers {} is not in 1 to 100000", answerers));
  require(std::uint64_t{askers} * answerers <= 1'000'000,
          format("sim: {} askers times {} answerers is more than 1000000 pairs", askers, answerers));
  require(requests >= 1 && requests <= 1'000'000'000,
          format("sim: requests {} is not in 1 to 1000000000", requests));
  require(batch_requests >= 1 && request_bytes >= 1 && reply_bytes >= 1,
          "sim: a message has at least one request or reply of one byte");
  require(keys >= 1, "sim: keys 0 is not at least 1");
  require(capacity >= request_bytes,
          format("sim: capacity {} holds no request of {} bytes", capacity, request_bytes));
  require(window.batches >= 1, "sim: a window of no batches lets nothing through");
  require(reply_window >= 1, "sim: reply_window 0 is not at least 1");
  require(deadline >= 1ms, "sim: a deadline is 1 ms at least");
}

RequestOptions request_options_of_seed(std::uint64_t seed, std::uint64_t requests) {
  Random random(seed ^ 0xA5CEDULL);
  RequestOptions options{.seed = seed, .requests = requests};
  options.delivery = random.chance(0.6) ? Delivery::exactly_once : Delivery::at_least_once;
  constexpr std::array kWays{Distribute::balance, Distribute::round_robin, Distribute::hash,
                             Distribute::explicit_};
  options.distribute = kWays[random.below(kWays.size())];
  options.journal = random.chance(0.6);
  options.askers = static_cast<std::uint32_t>(random.between(1, 3));
  options.answerers = static_cast<std::uint32_t>(random.between(1, 4));
  options.batch_requests = static_cast<std::uint32_t>(random.between(1, 10));
  options.window = {random.between(1, 16) << 10, random.between(1, 64)};
  options.capacity = random.between(1, 64) << 10;
  if (random.chance(0.3)) options.reply_window = random.between(1, 64);
  if (random.chance(0.2)) options.reply_window_bytes = random.between(1, 8) << 10;
  options.deadline = random.chance(0.3) ? random.between(200ms, 3s) : random.between(3s, 30s);
  options.attempt_timeout = random.between(50ms, 3s);
  if (random.chance(0.2)) options.max_attempts = static_cast<std::uint32_t>(random.between(1, 5));
  if (random.chance(0.2)) options.cancel = 0.05;
  if (random.chance(0.2)) options.refuse = 0.1;
  if (random.chance(0.2)) options.fail = 0.1;
  options.faults_for = random.between(1s, 20s);
  options.faults = draw_faults(random);
  return options;
}

RequestOptions paused_request_options_of_seed(std::uint64_t seed, std::uint64_t requests) {
  Random random(seed ^ 0xA5CEDAULL);
  RequestOptions options = request_options_of_seed(seed, requests);
  options.askers = std::min(options.askers, 2U);
  options.answerers = std::min(options.answerers, 2U);
  options.batch_requests = std::min(options.batch_requests, 4U);
  options.gap = random.between(1ms, 100ms);
  options.service = random.between(1ms, 50ms);
  options.faults_for = random.between(500ms, 2s);
  options.faults = calm_faults(options.faults, random);
  return options;
}

Value RequestReport::to_value() const {
  Value out = RunReport::to_value();
  out["asked"] = asked;
  out["replied"] = replied;
  out["remote_errors"] = remote_errors;
  out["timed_out"] = timed_out;
  out["exhausted"] = exhausted;
  out["unknown"] = unknown;
  out["cancelled"] = cancelled;
  out["abandoned"] = abandoned;
  out["handled"] = handled;
  out["handled_again"] = handled_again;
  out["requests_sent"] = requests_sent;
  out["retries"] = retries;
  out["late_replies"] = late_replies;
  out["repeated"] = repeated;
  out["peak_asker_bytes"] = peak_asker_bytes;
  out["peak_window_bytes"] = peak_window_bytes;
  return out;
}

RequestReport run_requests(const RequestOptions& options) {
  options.check();
  return RequestWorld(options).run();
}

}  // namespace weft::sim
