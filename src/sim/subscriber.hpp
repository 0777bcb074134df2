// SimSubscriber: the subscribing end of a simulated pub-sub link without gaps, with its handler.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include <weft/protocol/confirmation.hpp>
#include <weft/protocol/replay_reader.hpp>

#include "sim/link_peer.hpp"
#include "sim/pub_sub_world.hpp"

namespace weft::sim {

class SimSubscriber final : public LinkProcess {
 public:
  SimSubscriber(PubSubWorld& world, std::uint32_t index, std::uint32_t number);

  [[nodiscard]] bool at_rest() const override;

 protected:
  void on_start() override;
  void on_message(const SimMessage& message) override;
  TimePoint on_tick() override;
  void on_crash(bool power) override;
  void check_bounds() override;
  void on_handled() override;
  void on_up(LinkPeer& peer) override;
  void on_down(LinkPeer& peer, bool restarted) override;
  World& world() override { return world_; }
  [[nodiscard]] protocol::Credit window() const override { return {1, 1}; }

 private:
  using Reader = protocol::ReplayReader<SimValue>;
  /// One topic as the application sees it.
  struct Seen {
    bool started = false;
    std::uint64_t seq = 0;
    SimValue value = 0;
  };
  /// What the application has of one publisher, in one epoch.
  struct View {
    std::uint64_t epoch = 0;
    bool later = false;               // an earlier epoch was followed: this one has to be whole
    std::vector<std::uint64_t> mark;  // where topics stood when this subscriber joined
    std::vector<Seen> topics;
    std::uint64_t jumped = 0;  // batches, without a snapshot
  };
  struct Source {
    bool open = false;  // it has subscribed
    std::uint64_t epoch = 0;
    std::uint32_t own = 0;  // the subscription that is its alone
    bool followed = false;  // an earlier epoch
    protocol::Confirmation confirmation;
    std::optional<Reader> reader;
    protocol::ReplayCounts tallied;
    View view;
  };
  struct Item {
    std::uint32_t publisher = 0;
    std::uint64_t epoch = 0;
    TopicBatch batch;
    bool snapshot = false, reset = false;
    std::uint64_t missed = 0;  // that its reader had counted when it was handed on
  };

  void connect();
  void subscribe(LinkPeer& peer, Source& source);
  void follow(Source& source);
  void on_data(LinkPeer& peer, const SimMessage& message);
  void on_confirmed(Source& source, std::uint32_t publisher, std::uint64_t mark);
  void on_batch(std::uint32_t publisher, const TopicBatch& batch, bool replayed);
  void on_answer(std::uint32_t publisher, const AnswerBody& answer);
  void on_snapshot(std::uint32_t publisher, const TopicBatch& batch);
  void hand_over(std::uint32_t publisher);
  void take(Item item);
  void pump(LinkPeer& peer, Source& source);
  void ask(LinkPeer& peer, const protocol::ReplayStep& step);
  void tally(Source& source);
  void apply(const Item& item);
  void check_order(const Item& item, View& view, Seen& seen);
  [[nodiscard]] bool full() const {
    return inbox_.size() * world_.options().batch_bytes >= world_.options().window.bytes;
  }
  [[nodiscard]] bool caught_up(std::uint32_t publisher) const;

  PubSubWorld& world_;
  TimePoint joins_at_ = TimePoint::min();
  std::vector<LinkPeer> peers_;
  std::vector<Source> sources_;
  std::deque<Item> inbox_;
  bool busy_ = false;
  std::uint32_t joins_ = 0;
};

}  // namespace weft::sim
