// PubLog: the batches of a Pub in its journal, so that a restarted one goes on where it was.
//
// Space "log/<port>": key = topic frame, then the sequence in 8 bytes, big-endian; value = msgpack integers
// (number over all topics, records, frames, the size of each frame), then the frames. Space
// "log-state/<port>": "epoch"; "accepted", the records of all batches that were ever appended; and "#" and a
// topic frame, for a topic of which nothing is retained: its last sequence and number.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/journal/journal.hpp>
#include <weft/transport/frame.hpp>

namespace weft::blocks {

class PubLog {
 public:
  PubLog(std::shared_ptr<Journal> journal, const std::string& port);
  ~PubLog() { stop(); }
  PubLog(const PubLog&) = delete;
  PubLog& operator=(const PubLog&) = delete;

  /// `wake` runs on the journal's thread when more is durable, until stop().
  void on_wake(std::function<void()> wake) { wake_ = journal_->subscribe(std::move(wake)); }
  void stop() {
    if (wake_) journal_->unsubscribe(*std::exchange(wake_, std::nullopt));
  }

  /// The epoch that this log has; takes `fresh` when it is new.
  std::uint64_t epoch(std::uint64_t fresh);
  struct Entry {
    std::string topic;
    std::uint64_t seq = 0;
    std::uint64_t number = 0;
    std::uint32_t count = 0;
    std::uint64_t bytes = 0;
    bool retained = true;  // false: only the last sequence of its topic is known
  };
  /// All that is known, in the order in which it was published.
  [[nodiscard]] std::vector<Entry> entries() const;
  /// The frames of a batch; empty when they cannot be read.
  [[nodiscard]] std::vector<transport::Frame> read(std::string_view topic, std::uint64_t seq) const;

  /// Adds a batch to the journal's open changes; returns the commit that will make it durable.
  std::uint64_t append(std::string_view topic, std::uint64_t seq, std::uint64_t number, std::uint32_t count,
                       const std::vector<transport::Frame>& frames);
  /// Records that were ever appended; nullopt: some have gone that nobody counted (an earlier release).
  [[nodiscard]] std::optional<std::uint64_t> accepted() const;
  void accept(std::uint64_t records);
  void erase(std::string_view topic, std::uint64_t seq);
  void remember(std::string_view topic, std::uint64_t last, std::uint64_t number);
  Journal& journal() { return *journal_; }

 private:
  std::shared_ptr<Journal> journal_;
  std::string space_;
  std::string state_space_;
  std::optional<std::size_t> wake_;
};

}  // namespace weft::blocks
