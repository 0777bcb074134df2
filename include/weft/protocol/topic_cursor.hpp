// TopicCursor: what has come of one topic and what is missing, without sockets, clocks or threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <weft/protocol/replay_window.hpp>

namespace weft::protocol {

/// One topic at its subscriber: after `last` it wants last + 1. What comes early is held until the hole
/// before it is filled. Until place() says where it begins, everything is early.
template <class Payload>
class TopicCursor {
 public:
  enum class Verdict {
    next,       ///< last + 1, and counted as taken: apply it now
    early,      ///< there is a hole before it, or no place yet: hold() it, or let it be fetched again
    duplicate,  ///< applied or held already
  };

  [[nodiscard]] bool placed() const { return placed_; }
  [[nodiscard]] std::uint64_t last() const { return last_; }
  /// The highest sequence that is known to exist.
  [[nodiscard]] std::uint64_t target() const { return target_; }
  [[nodiscard]] bool complete() const { return placed_ && last_ >= target_; }
  /// The next batch is held: take_held() gives it.
  [[nodiscard]] bool ready() const { return placed_ && !held_.empty() && held_.begin()->first == last_ + 1; }
  /// Something before what is held, or before what is known to exist, has not come.
  [[nodiscard]] bool has_hole() const { return placed_ && last_ < target_ && !ready(); }
  [[nodiscard]] std::uint64_t held_bytes() const { return held_bytes_; }
  [[nodiscard]] std::size_t held() const { return held_.size(); }

  /// It goes on behind `last`; what is held and covered by that is dropped. Also after it had a place.
  void place(std::uint64_t last) {
    placed_ = true;
    last_ = last;
    target_ = std::max(target_, last);
    while (!held_.empty() && held_.begin()->first <= last_) drop_first();
  }
  /// Forgets its place but not what it holds: a snapshot will give it a new one.
  void unplace() { placed_ = false; }
  void announce(std::uint64_t seq) { target_ = std::max(target_, seq); }

  Verdict arrive(std::uint64_t seq) {
    if (placed_ && seq <= last_) return Verdict::duplicate;
    target_ = std::max(target_, seq);
    if (placed_ && seq == last_ + 1) {
      last_ = seq;
      // It may be held as well, when its replay was on its way.
      if (!held_.empty() && held_.begin()->first == seq) drop_first();
      return Verdict::next;
    }
    return held_.contains(seq) ? Verdict::duplicate : Verdict::early;
  }
  void hold(std::uint64_t seq, std::uint64_t bytes, Payload payload) {
    if (held_.emplace(seq, Held{bytes, std::move(payload)}).second) held_bytes_ += bytes;
  }
  /// The next batch in order and its bytes; only when ready().
  std::pair<Payload, std::uint64_t> take_held() {
    auto first = held_.extract(held_.begin());
    last_ = first.key();
    held_bytes_ -= first.mapped().bytes;
    return {std::move(first.mapped().payload), first.mapped().bytes};
  }
  /// Gives up on what is missing before `first_retained`, as far as nothing that is held lies between.
  /// Returns how many batches that were.
  std::uint64_t skip_to(std::uint64_t first_retained) {
    if (!placed_) return 0;
    std::uint64_t next = first_retained;
    if (!held_.empty()) next = std::min(next, held_.begin()->first);
    if (next <= last_ + 1) return 0;
    const std::uint64_t missed = next - 1 - last_;
    last_ = next - 1;
    target_ = std::max(target_, last_);
    return missed;
  }
  /// What is missing, at most `limit` ranges, in order.
  [[nodiscard]] std::vector<Range> holes(std::size_t limit) const {
    std::vector<Range> out;
    std::uint64_t next = last_ + 1;
    for (auto at = held_.begin(); at != held_.end() && out.size() < limit; ++at) {
      if (at->first > next) out.push_back({next, at->first - 1});
      next = at->first + 1;
    }
    if (out.size() < limit && next <= target_) out.push_back({next, target_});
    return out;
  }

 private:
  struct Held {
    std::uint64_t bytes;
    Payload payload;
  };
  void drop_first() {
    held_bytes_ -= held_.begin()->second.bytes;
    held_.erase(held_.begin());
  }

  bool placed_ = false;
  std::uint64_t last_ = 0;
  std::uint64_t target_ = 0;
  std::map<std::uint64_t, Held> held_;
  std::uint64_t held_bytes_ = 0;
};

}  // namespace weft::protocol
