// PubSubWorld: a simulated pub-sub link, and what its publishers have said.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <weft/protocol/replay_window.hpp>
#include <weft/sim/pub_sub.hpp>

#include "sim/world.hpp"

namespace weft::sim {

/// What a batch says; the same number is never said twice.
using SimValue = std::uint64_t;

/// A batch of a topic: live, replayed or as a snapshot.
struct TopicBatch {
  std::uint32_t topic = 0;
  std::uint64_t seq = 0;
  SimValue value = 0;
};

/// On the second channel: DATA.
struct LiveBody final : SimBody {
  TopicBatch batch;
};
/// PING on the second channel: the last sequences of topics.
struct PositionsBody final : SimBody {
  std::vector<std::uint64_t> last;  // by topic
};
/// SYNC: with ranges it is for past batches of one topic, else it joins.
struct SyncBody final : SimBody {
  std::uint32_t number = 0;
  std::uint64_t mark = 0, token = 0, credit = 0;
  bool snapshots = false;
  std::vector<std::uint32_t> topics;  // none: all
  std::vector<protocol::Range> ranges;
};
/// Part of an answer to SYNC.
struct AnswerBody final : SimBody {
  enum class What { snapshot, began, last, join_end, batch, fetch_end };
  What what = What::batch;
  std::uint32_t number = 0;
  TopicBatch batch;  // snapshot, batch; fetch_end: topic and its last
  std::vector<std::pair<std::uint32_t, std::uint64_t>> where;  // began, last: topics and sequences
  std::uint64_t token = 0;                                     // join_end
  std::uint64_t first_retained = 0;                            // fetch_end
  bool gone = false;                                           // fetch_end
};

std::string topic_name(std::uint32_t topic);
std::uint32_t topic_number(std::string_view name);

/// Publishers are its left end, subscribers its right one. Its second channel carries data.
class PubSubWorld final : public World {
 public:
  explicit PubSubWorld(const PubSubOptions& options);
  PubSubReport run();

  const PubSubOptions& options() const { return options_; }
  PubSubReport& report() { return report_; }

  /// What a publisher's topic has said in its present epoch, from sequence 1 on.
  struct Said {
    std::uint64_t epoch = 0;
    std::vector<std::vector<SimValue>> topics;
    std::vector<std::uint32_t> order;  // the topic of each batch
    /// Where each topic stood when so many batches had been said.
    [[nodiscard]] std::vector<std::uint64_t> positions_at(std::uint64_t number) const;
  };
  void begin_epoch(std::uint32_t publisher, std::uint64_t epoch);
  /// Returns the value that is said.
  SimValue say(std::uint32_t publisher, std::uint32_t topic);
  [[nodiscard]] const Said& said(std::uint32_t publisher) const { return said_[publisher]; }

 protected:
  [[nodiscard]] std::uint64_t work_sent() const override { return report_.questions; }

 private:
  PubSubOptions options_;
  PubSubReport report_;
  std::vector<Said> said_;
  SimValue next_value_ = 1;
};

}  // namespace weft::sim
