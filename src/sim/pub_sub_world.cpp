#include "sim/pub_sub_world.hpp"

#include <algorithm>
#include <charconv>

#include <weft/core/format.hpp>

#include "sim/publisher.hpp"
#include "sim/subscriber.hpp"

namespace weft::sim {

std::string topic_name(std::uint32_t topic) {
  return format("topic/{}", topic);
}

std::uint32_t topic_number(std::string_view name) {
  std::uint32_t number = 0;
  name.remove_prefix(name.find('/') + 1);
  (void)std::from_chars(name.data(), name.data() + name.size(), number);
  return number;
}

PubSubWorld::PubSubWorld(const PubSubOptions& options)
    : World({.seed = options.seed,
             .faults = options.faults,
             .faults_for = options.faults_for,
             .left = options.publishers,
             .right = options.subscribers,
             .connections = true,
             .right_connects = true,
             .channels = 2,
             .quiet_messages = 24,
             .pauses = options.pauses}),
      options_(options),
      said_(options.publishers) {
  const std::uint64_t each = (options.batches + options.publishers - 1) / options.publishers;
  std::uint64_t left = options.batches;
  for (std::uint32_t i = 0; i < options.publishers; ++i) {
    const std::uint64_t batches = std::min(left, each);
    left -= batches;
    processes_.push_back(std::make_unique<SimPublisher>(*this, i, batches));
  }
  for (std::uint32_t i = 0; i < options.subscribers; ++i)
    processes_.push_back(std::make_unique<SimSubscriber>(*this, right(i), i));
}

std::vector<std::uint64_t> PubSubWorld::Said::positions_at(std::uint64_t number) const {
  std::vector<std::uint64_t> out(topics.size());
  for (std::size_t i = 0; i < std::min<std::size_t>(number, order.size()); ++i) ++out[order[i]];
  return out;
}

void PubSubWorld::begin_epoch(std::uint32_t publisher, std::uint64_t epoch) {
  said_[publisher] = {epoch, std::vector<std::vector<SimValue>>(options_.topics), {}};
  ++report_.epochs;
}

SimValue PubSubWorld::say(std::uint32_t publisher, std::uint32_t topic) {
  ++report_.published;
  progress();
  said_[publisher].topics[topic].push_back(next_value_);
  said_[publisher].order.push_back(topic);
  return next_value_++;
}

PubSubReport PubSubWorld::run() {
  (void)run_to_rest(report_);
  return std::move(report_);
}

}  // namespace weft::sim
