// A parameter server in one process: ClientCores and Shards joined by queues, delivered in order or by a
// seed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <weft/ps/client_core.hpp>
#include <weft/ps/shard.hpp>

#include "ps/random.hpp"

namespace weft::ps::test {

/// Parts of one worker reach one shard in order; parts of different workers or shards arrive in the order of
/// posting or, with a seed, in an order drawn from it.
class Cluster {
 public:
  Cluster(std::vector<TableSpec> tables, std::uint32_t workers, std::uint32_t shards,
          std::optional<std::uint64_t> seed = std::nullopt)
      : tables_(std::move(tables)), random_(seed.value_or(0)), shuffled_(seed.has_value()) {
    for (std::uint32_t s = 0; s < shards; ++s) {
      ShardOptions options;
      options.index = s;
      options.count = shards;
      options.workers = workers;
      shards_.push_back(std::make_unique<Shard>(options, tables_));
    }
  }

  Shard& shard(std::uint32_t index) { return *shards_[index]; }
  std::uint32_t shards() const { return static_cast<std::uint32_t>(shards_.size()); }

  /// A client that has joined.
  ClientCore client(std::uint32_t worker, std::uint64_t epoch = 1) {
    ClientCore core({shards(), worker, epoch});
    Call call;
    core.join(call);
    post(worker, call);
    pump();
    core.accept_join(call);
    return core;
  }

  /// The call must stay where it is until it is done.
  void post(std::uint32_t worker, Call& call) {
    for (std::size_t i = 0; i < call.parts().size(); ++i) {
      const Call::Part& part = call.parts()[i];
      queues_[{worker, part.shard}].push_back({order_++, &call, i, part.shard, part.request});
    }
  }

  /// Delivers everything that is under way; parked replies stay away.
  void pump() {
    while (!queues_.empty()) {
      auto at = queues_.begin();
      if (shuffled_) {
        std::advance(at, static_cast<std::ptrdiff_t>(random_.below(queues_.size())));
      } else {
        for (auto it = queues_.begin(); it != queues_.end(); ++it) {
          if (it->second.front().order < at->second.front().order) at = it;
        }
      }
      const Item item = at->second.front();
      at->second.pop_front();
      if (at->second.empty()) queues_.erase(at);
      const std::uint64_t ticket = ++tickets_;
      asked_[ticket] = {item.call, item.part};
      std::vector<Reply> replies;
      shards_[item.shard]->on_request(ticket, item.request, replies);
      hand_out(replies);
    }
  }

  void kill(std::uint32_t worker) {
    for (auto& shard : shards_) {
      std::vector<Reply> replies;
      shard->on_worker_dead(worker, replies);
      hand_out(replies);
    }
  }

  /// Posts, delivers, and says whether the answer is complete.
  bool run(std::uint32_t worker, Call& call) {
    post(worker, call);
    pump();
    return call.done();
  }

  std::uint64_t max_gap() const {
    std::uint64_t gap = 0;
    for (const auto& shard : shards_) gap = std::max(gap, shard->stats().max_gap);
    return gap;
  }

 private:
  struct Item {
    std::uint64_t order;
    Call* call;
    std::size_t part;
    std::uint32_t shard;
    Request request;
  };

  void hand_out(const std::vector<Reply>& replies) {
    for (const Reply& reply : replies) {
      const auto found = asked_.find(reply.ticket);
      if (found == asked_.end()) throw std::logic_error("a reply to no request");
      const auto [call, part] = found->second;
      asked_.erase(found);
      call->on_reply(part, reply);
    }
  }

  std::vector<TableSpec> tables_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::deque<Item>> queues_;
  std::map<std::uint64_t, std::pair<Call*, std::size_t>> asked_;
  std::uint64_t order_ = 0;
  std::uint64_t tickets_ = 0;
  Random random_;
  bool shuffled_;
};

}  // namespace weft::ps::test
