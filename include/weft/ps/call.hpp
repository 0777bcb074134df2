// Call: one operation of a client, split into requests for each shard and put together again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/ps/messages.hpp>
#include <weft/ps/shard_map.hpp>

namespace weft::ps {

/// Rows where they arrived: values[i * width + k] belongs to keys[i].
struct RowsView {
  std::span<const std::uint64_t> keys;
  std::span<const float> values;
};
/// Must not run the loop, which may bring the next rows to the same place.
using OnRows = std::function<void(const RowsView&)>;

/// A value that may be reused, so that its buffers are allocated once. The keys, values and output given to
/// the client are borrowed until done(). One thread. Made ready by ClientCore; then the binding sends each
/// part to its shard and hands each reply in, in any order.
class Call {
 public:
  /// The request for a shard, or for some of the rows that are asked of it: a large operation is sent in
  /// pieces, so that the shard works on one while the next one travels.
  struct Part {
    std::uint32_t shard = 0;
    std::size_t first = 0;  ///< of the keys for this shard
    Request request = {};   ///< spans into this Call or into the caller's memory
    std::size_t reply_bytes = 0;
    [[nodiscard]] std::size_t bytes() const {
      return request.keys.size_bytes() + request.values.size_bytes() + reply_bytes;
    }
  };
  /// Keys and values of a piece, about; at least one row. Large enough that what a request costs does not
  /// show, small enough to stay in a processor's cache on its way.
  static constexpr std::size_t kPieceBytes = 1 << 20;

  /// What to send, in order; empty when no shard is concerned (no keys).
  [[nodiscard]] std::span<const Part> parts() const { return parts_; }
  /// For who has ended the call, which may lie about for long: what the OnRows owns goes with it.
  [[nodiscard]] OnRows take_on_rows() { return std::exchange(on_rows_, nullptr); }
  /// Shares the values of the parts; null: they are copied when they are sent.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }
  /// From now on keys and values are not the caller's any more: what is borrowed is copied.
  void keep();
  /// True when every part has an answer.
  [[nodiscard]] bool done() const { return waiting_ == 0; }
  [[nodiscard]] bool waits_for(std::size_t part) const;

  /// The reply to a part. Values are written to the caller's output at the places of their keys. A reply with
  /// the wrong number of values counts as a failure of that part. Replies that are not waited for are
  /// ignored. True when the call is done now.
  /// `values` are float32 that may lie unaligned.
  /// What an OnRows throws comes out of here; it has failed its part then, and is not called again.
  bool on_reply(std::size_t part, const Reply& reply, Bytes values);
  bool on_reply(std::size_t part, const Reply& reply) { return on_reply(part, reply, reply.numbers()); }
  /// The shard gave no answer (peer lost, deadline): the part is over, with status unreachable and this
  /// sentence.
  bool on_failure(std::size_t part, const std::string& sentence);

  /// Of the first part that failed; ok when none did.
  [[nodiscard]] Status status() const { return status_; }
  /// The sentence of the first part that failed, with its shard.
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool ok() const { return status_ == Status::ok; }
  /// The lowest minimum clock and the highest own clock that the replies told.
  [[nodiscard]] std::uint64_t min_clock() const { return min_clock_; }
  [[nodiscard]] std::uint64_t clock() const { return clock_; }
  /// By shard: info of the replies (join, stats; else none).
  [[nodiscard]] const std::vector<Value>& infos() const { return infos_; }

 private:
  friend class ClientCore;

  void begin(std::size_t width, std::span<float> out, OnRows on_rows);
  void show(const Part& part, Bytes values);
  void refuse_rows(std::size_t part, std::string_view why);
  void add(const Part& part);
  bool settle(std::size_t part);

  KeySplit split_;
  std::vector<float> grouped_;  ///< values by shard
  std::vector<std::uint64_t> kept_keys_;
  std::vector<float> kept_values_;
  std::shared_ptr<const void> owner_;
  std::vector<Part> parts_;
  std::vector<bool> open_;  ///< by part: asked and not answered
  std::size_t waiting_ = 0;
  std::size_t width_ = 1;
  std::span<float> out_;
  OnRows on_rows_;  ///< instead of `out_`
  std::vector<float> row_copy_;
  Status status_ = Status::ok;
  std::string text_;
  std::uint64_t min_clock_ = UINT64_MAX;
  std::uint64_t clock_ = 0;
  std::vector<Value> infos_;
};

}  // namespace weft::ps
