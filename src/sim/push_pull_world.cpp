#include "sim/push_pull_world.hpp"

#include <algorithm>

#include "sim/receiver.hpp"
#include "sim/sender.hpp"

namespace weft::sim {
namespace {

std::uint64_t records_each(const PushPullOptions& options) {
  return (options.records + options.senders - 1) / options.senders;
}

}  // namespace

PushPullWorld::PushPullWorld(const PushPullOptions& options)
    : World({.seed = options.seed,
             .faults = options.faults,
             .faults_for = options.faults_for,
             .left = options.senders,
             .right = options.receivers,
             .pauses = options.pauses}),
      options_(options),
      oracle_(problems(), options.delivery, options.senders, records_each(options)) {
  const bool by_key = options.distribute == Distribute::hash || options.distribute == Distribute::explicit_;
  if (!by_key || options.priorities || options.delay != Duration::zero() || options.reject > 0)
    oracle_.forget_order();
  std::uint64_t left = options.records;
  for (std::uint32_t i = 0; i < options.senders; ++i) {
    const std::uint64_t records = std::min(left, records_each(options));
    left -= records;
    processes_.push_back(std::make_unique<SimSender>(*this, i, records));
  }
  for (std::uint32_t i = 0; i < options.receivers; ++i)
    processes_.push_back(std::make_unique<SimReceiver>(*this, receiver(i), i));
}

SimReport PushPullWorld::run() {
  const bool rests = run_to_rest(report_);
  for (const auto& [kind, times] : report_.faults) oracle_.ledger().fault(kind, times);
  report_.counts = oracle_.ledger().counts();
  if (rests) {
    for (std::string& sentence : oracle_.ledger().problems()) report_.problems.push_back(std::move(sentence));
  }
  return std::move(report_);
}

}  // namespace weft::sim
