// SimPublisher: the publishing end of a simulated pub-sub link without gaps, with its source.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <weft/protocol/replay_window.hpp>

#include "sim/link_peer.hpp"
#include "sim/pub_sub_world.hpp"

namespace weft::sim {

class SimPublisher final : public LinkProcess {
 public:
  SimPublisher(PubSubWorld& world, std::uint32_t index, std::uint64_t batches);

  [[nodiscard]] bool at_rest() const override { return made_ == batches_; }

 protected:
  void on_start() override;
  void on_message(const SimMessage& message) override;
  TimePoint on_tick() override;
  void on_crash(bool power) override;
  void check_bounds() override;
  void on_up(LinkPeer&) override {}
  void on_down(LinkPeer&, bool) override {}
  World& world() override { return world_; }
  [[nodiscard]] protocol::Credit window() const override { return {1, 1}; }

 private:
  struct Topic {
    std::uint64_t seq = 0;
    SimValue kept = 0;  // the last value
  };

  void publish();
  void send_data(std::uint32_t subscriber, SimMessage message);
  void ping_all();
  void on_subscribe(const SimMessage& message);
  void answer(LinkPeer& peer, std::unique_ptr<AnswerBody> body, std::uint64_t bytes, bool& sent);
  void answer_join(LinkPeer& peer, const SyncBody& sync);
  void answer_fetch(LinkPeer& peer, const SyncBody& sync);

  PubSubWorld& world_;
  std::uint64_t batches_;
  std::uint64_t made_ = 0;  // the source goes on where it was
  std::optional<protocol::ReplayWindow<SimValue>> retained_;
  std::vector<Topic> topics_;
  std::vector<std::uint32_t> in_order_;  // topics that have sent something, as they came
  std::vector<LinkPeer> peers_;
  std::map<std::uint32_t, std::uint64_t>
      active_;  // subscribers whose subscriptions are active, with their life
  TimePoint next_batch_ = TimePoint::min();
  TimePoint next_ping_ = TimePoint::min();
};

}  // namespace weft::sim
