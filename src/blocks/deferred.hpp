// Deferred: batches that were handed out and count as handled when the last of their records is settled.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

namespace weft::blocks {

/// A batch as its sender's credit sees it.
struct HandledBatch {
  std::uint64_t peer = 0;
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;  ///< the last of it
  std::uint64_t bytes = 0;
  bool lent = false;    ///< lies in its sender's memory
  bool report = false;  ///< its sender waits for the word that it was handled
};

/// For deliveries that have no outcome of each record. What is told of a batch holds for those before it of
/// the same peer, so a batch ends when these have ended too. Batches are handed out one after the other.
class Deferred {
 public:
  using Done = std::function<void(const HandledBatch&)>;
  /// `done` is called once for each batch, in the order of its peer.
  explicit Deferred(Done done) : done_(std::move(done)) {}

  /// Inside a handler: one more record of the batch at hand is settled later. A number for settle().
  std::uint64_t defer();
  /// The last record of the batch at hand was handed out.
  void handed_out(const HandledBatch& batch);
  /// False: nothing waits under that number.
  bool settle(std::uint64_t number);
  /// Every batch that was handed out has ended.
  [[nodiscard]] bool empty() const { return open_.empty(); }
  void clear() {
    first_ += open_.size();
    open_.clear();
  }

 private:
  struct Open {
    HandledBatch batch;
    std::uint64_t waiting = 0;  // records that are not settled
    bool handed_out = false;
    bool ended = false;
    [[nodiscard]] bool complete() const { return handed_out && waiting == 0; }
  };
  void end_from(std::size_t at);

  Done done_;
  std::deque<Open> open_;
  std::uint64_t first_ = 1;  // number of the first of them
};

}  // namespace weft::blocks
