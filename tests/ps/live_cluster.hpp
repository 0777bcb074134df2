// Servers and clients over real blocks in one process, and workers that train in callbacks.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weft/ps/batch.hpp>
#include <weft/ps/client.hpp>
#include <weft/ps/models.hpp>
#include <weft/ps/server.hpp>

namespace weft::ps::test {

using namespace std::chrono_literals;

inline Deadline soon() {
  return Deadline::after(20s);
}

class LiveCluster {
 public:
  /// `transport` is "tcp" or "inproc". All of it runs on one thread: who is busy for `dead_after` is taken
  /// for dead.
  LiveCluster(const std::string& transport, std::vector<TableSpec> tables, std::uint32_t workers,
              std::uint32_t servers, Duration dead_after = 2s)
      : tables_(std::move(tables)), dead_after_(dead_after) {
    static int clusters = 0;
    ++clusters;
    for (std::uint32_t i = 0; i < servers; ++i) {
      PortOptions port = fast("params", "server/" + std::to_string(i));
      port.bind = {transport == "tcp"
                       ? "tcp://127.0.0.1:*"
                       : "inproc://live-" + std::to_string(clusters) + "-" + std::to_string(i)};
      ShardOptions shard;
      shard.index = i;
      shard.count = servers;
      shard.workers = workers;
      servers_.push_back(std::make_unique<Server>(loop, port, shard, tables_));
      endpoints_.push_back(servers_.back()->router().endpoints().at(0));
    }
  }

  /// A client that has not joined.
  std::unique_ptr<Client> stranger(std::uint32_t worker, ClientSettings settings = {},
                                   std::string node = {}) {
    settings.worker = worker;
    settings.shards = static_cast<std::uint32_t>(servers_.size());
    if (node.empty()) node = worker == kObserver ? "reader/0" : "worker/" + std::to_string(worker);
    PortOptions port = fast("params", node);
    port.connect = endpoints_;
    return std::make_unique<Client>(loop, port, settings);
  }
  std::unique_ptr<Client> client(std::uint32_t worker, ClientSettings settings = {}, std::string node = {}) {
    auto made = stranger(worker, settings, std::move(node));
    made->join(soon());
    return made;
  }
  Server& server(std::size_t index) { return *servers_[index]; }
  [[nodiscard]] std::size_t servers() const { return servers_.size(); }
  [[nodiscard]] const std::vector<std::string>& endpoints() const { return endpoints_; }
  [[nodiscard]] const std::vector<TableSpec>& tables() const { return tables_; }
  void drop_server(std::size_t index) { servers_[index].reset(); }
  bool run_until(const std::function<bool()>& done) { return loop.run_until(done, soon()); }

  Loop loop;

 private:
  [[nodiscard]] PortOptions fast(const std::string& name, const std::string& node) const {
    PortOptions port;
    port.name = name;
    port.node = node;
    port.heartbeat = 50ms;
    port.dead_after = dead_after_;
    return port;
  }
  std::vector<TableSpec> tables_;
  Duration dead_after_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::string> endpoints_;
};

/// A worker that trains logistic regression in callbacks. After its last step it has clocked and finished.
class LiveTrainer {
 public:
  LiveTrainer(LiveCluster& cluster, std::uint32_t worker, const Dataset& data, std::uint64_t steps,
              std::size_t batch, bool mean)
      : client_(cluster.stranger(worker)),
        data_(data),
        order_(data.rows(), batch),
        steps_(steps),
        mean_(mean) {
    client_->join([this](const Result& result) {
      check(result);
      next();
    });
  }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const std::vector<double>& losses() const { return losses_; }
  [[nodiscard]] std::uint64_t max_gap() const { return max_gap_; }
  Client& client() { return *client_; }
  /// As if its process were killed: no goodbye.
  void kill() { client_.reset(); }

 private:
  static void check(const Result& result) {
    if (!result.ok()) throw std::runtime_error(result.text);
  }
  void next() {
    batch_.build(data_, order_.next(), client_->tables()[0], false);
    weights_.resize(batch_.keys().size());
    client_->pull(0, batch_.keys(), weights_, [this](const Result& result) {
      check(result);
      step(result);
    });
  }
  void step(const Result& pulled) {
    max_gap_ = std::max(max_gap_, client_->clocks() - std::min(client_->clocks(), pulled.min_clock));
    gradient_.resize(weights_.size());
    const float scale = mean_ ? 1.0F / static_cast<float>(batch_.rows()) : 1.0F;
    losses_.push_back(logistic_gradient(batch_, weights_, gradient_, scale));
    client_->push(0, batch_.keys(), gradient_, check);
    client_->clock(check);
    if (losses_.size() < steps_) return next();
    client_->finish([this](const Result& result) {
      check(result);
      done_ = true;
    });
  }

  std::unique_ptr<Client> client_;
  const Dataset& data_;
  BatchOrder order_;
  std::uint64_t steps_;
  bool mean_;
  Batch batch_;
  std::vector<float> weights_, gradient_;
  std::vector<double> losses_;
  std::uint64_t max_gap_ = 0;
  bool done_ = false;
};

}  // namespace weft::ps::test
