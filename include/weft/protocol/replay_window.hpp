// ReplayWindow: the past batches that a publisher can still give, without sockets, clocks or threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <utility>

namespace weft::protocol {

/// Sequences from `first` to `last`, both included.
struct Range {
  std::uint64_t first = 1;
  std::uint64_t last = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

/// The last batches of all topics of one publisher, bounded in bytes together: the oldest leaves first,
/// whichever topic it is of. A topic is a small number that its owner gives out, from 0 on without holes.
///
/// Besides its sequence in its topic each batch has a number that counts the batches of all topics. A
/// subscriber that joined when so many had been published can so be told, topic by topic, where it came in.
template <class Payload>
class ReplayWindow {
 public:
  struct Batch {
    std::uint64_t seq = 0;
    std::uint64_t number = 0;
    std::uint64_t bytes = 0;
    Payload payload;
  };

  /// What one batch costs beside its bytes; counted, so that empty batches are bounded as well.
  static constexpr std::uint64_t kOverhead = 128;

  explicit ReplayWindow(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Called for each batch that leaves.
  std::function<void(std::uint32_t topic, const Batch& batch)> on_evict;

  /// The next batch of its topic: `seq` is the topic's last + 1 (any, for the first one that is known). One
  /// that is larger than the window is forgotten at once.
  void add(std::uint32_t topic, std::uint64_t seq, std::uint64_t bytes, Payload payload) {
    add_numbered(topic, seq, number_ + 1, bytes, std::move(payload));
  }
  /// The same with the number that it had in an earlier life of the publisher; numbers rise.
  void add_numbered(std::uint32_t topic, std::uint64_t seq, std::uint64_t number, std::uint64_t bytes,
                    Payload payload) {
    number_ = std::max(number, number_);
    Topic& at = grow(topic);
    at.last = seq;
    at.last_number = number_;
    if (at.batches.empty()) at.first = seq;
    at.batches.push_back({seq, number_, bytes, std::move(payload)});
    order_.push_back(topic);
    bytes_ += bytes + kOverhead;
    while (bytes_ > max_bytes_ && !order_.empty()) evict();
  }
  /// What is known of a topic of which nothing is retained: its last sequence, and that sequence's number.
  void resume(std::uint32_t topic, std::uint64_t last, std::uint64_t number) {
    Topic& at = grow(topic);
    at.last = last;
    at.first = last + 1;
    at.last_number = at.evicted_number = number;
    number_ = std::max(number, number_);
  }

  /// Batches that were ever added, of all topics.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] std::uint64_t last(std::uint32_t topic) const {
    return topic < topics_.size() ? topics_[topic].last : 0;
  }
  /// The first sequence that can still be given; the next one of the topic when nothing is retained.
  [[nodiscard]] std::uint64_t first_retained(std::uint32_t topic) const {
    return topic < topics_.size() ? topics_[topic].first : 1;
  }
  /// nullptr: no longer, or not yet.
  [[nodiscard]] const Batch* find(std::uint32_t topic, std::uint64_t seq) const {
    if (topic >= topics_.size()) return nullptr;
    const Topic& at = topics_[topic];
    if (at.batches.empty() || seq < at.first || seq > at.last) return nullptr;
    return &at.batches[seq - at.first];
  }
  /// The last sequence of the topic when `number` batches had been published. When it can no longer be told,
  /// because batches after it have left, the lowest that it may have been, which is below what is retained:
  /// who goes on behind it sees that something is gone.
  [[nodiscard]] std::uint64_t position_at(std::uint32_t topic, std::uint64_t number) const {
    if (topic >= topics_.size()) return 0;
    const Topic& at = topics_[topic];
    if (at.last_number <= number) return at.last;
    if (at.evicted_number > number) {
      // Of the batches since then at most all were of this topic.
      const std::uint64_t since =
          at.batches.empty() ? at.last_number - number : at.batches.front().number - number;
      const std::uint64_t seq = at.batches.empty() ? at.last : at.first;
      return std::min(seq > since ? seq - since : 0, at.first >= 2 ? at.first - 2 : 0);
    }
    const auto after = std::partition_point(at.batches.begin(), at.batches.end(),
                                            [&](const Batch& batch) { return batch.number <= number; });
    return after == at.batches.end() ? at.last : after->seq - 1;
  }
  /// How a subscriber that joined when `number` batches had been published begins a topic.
  struct Place {
    std::uint64_t position = 0;  ///< where the topic stood then; 0: it began later, as far as can be told
    bool snapshot = false;       ///< ... which its kept value takes the place of
    bool more = false;           ///< the topic has sent something since
  };
  /// `kept`: there is a value that covers what was sent, and the subscriber wants it.
  [[nodiscard]] Place place_at(std::uint32_t topic, std::uint64_t number, bool kept) const {
    const std::uint64_t position = position_at(topic, number);
    // A topic that began later is whole without its value, unless some of it has left.
    const bool whole = position == 0 && first_retained(topic) == 1;
    return {.position = position, .snapshot = kept && !whole, .more = last(topic) > position};
  }

  /// What a page of an answer spends beside the bytes of a batch.
  static constexpr std::uint64_t kMessageCost = 128;

  struct Replayed {
    std::uint64_t first_retained = 1;
    bool gone = false;  ///< what is asked for begins before that; nothing was given
  };
  /// Gives what is asked for to `give(batch)`, in order, until `room` bytes are spent or there is no more.
  /// False from `give`: nothing more of this range.
  template <class Give>
  Replayed replay(std::uint32_t topic, std::span<const Range> ranges, std::uint64_t room,
                  const Give& give) const {
    Replayed out{.first_retained = first_retained(topic)};
    out.gone =
        !ranges.empty() && ranges.front().first < out.first_retained && ranges.front().first <= last(topic);
    if (out.gone) return out;
    for (const Range range : ranges) {
      for (std::uint64_t seq = range.first; seq <= range.last && room != 0; ++seq) {
        const Batch* batch = find(topic, seq);
        if (!batch) break;
        room -= std::min(room, batch->bytes + kMessageCost);
        if (!give(*batch)) break;
      }
    }
    return out;
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t batches() const { return order_.size(); }

 private:
  struct Topic {
    std::uint64_t first = 1;
    std::uint64_t last = 0;
    std::uint64_t last_number = 0;
    std::uint64_t evicted_number = 0;  // of the last batch that left
    std::deque<Batch> batches;         // of first, first + 1, ...
  };

  Topic& grow(std::uint32_t topic) {
    if (topic >= topics_.size()) topics_.resize(topic + 1);
    return topics_[topic];
  }
  void evict() {
    const std::uint32_t topic = order_.front();
    Topic& at = topics_[topic];
    const Batch gone = std::move(at.batches.front());
    order_.pop_front();
    at.batches.pop_front();
    at.first = gone.seq + 1;
    at.evicted_number = gone.number;
    bytes_ -= gone.bytes + kOverhead;
    if (on_evict) on_evict(topic, gone);
  }

  std::uint64_t max_bytes_;
  std::deque<Topic> topics_;         // not a vector: payloads may only move
  std::deque<std::uint32_t> order_;  // the topic of each batch, oldest first
  std::uint64_t bytes_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace weft::protocol
