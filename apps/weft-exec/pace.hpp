// Pace: how many lines a command gets at once, so that it is not held up and holds little that it has not
// done. Pure: time comes in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>

#include <weft/core/time.hpp>

namespace weft::exec {

/// A command that gets its lines in portions has done one when it has read the next. A portion is what it
/// needs about `kGrain` for, as measured; it begins with one line, and grows fourfold at most. Where it is
/// more than one line, a second one waits behind it, so that the command need not.
class Pace {
 public:
  static constexpr Duration kGrain = std::chrono::milliseconds(1);
  static constexpr std::size_t kMost = 4096;

  /// Lines of the next portion.
  [[nodiscard]] std::size_t portion() const { return portion_; }
  /// Portions that may lie there unread.
  [[nodiscard]] std::size_t ahead() const { return portion_ == 1 ? 1 : 2; }
  [[nodiscard]] std::size_t unread() const { return unread_.size(); }
  /// Lines that it may have in its hands: those that it has not read, and the portion that it read last.
  [[nodiscard]] std::size_t not_done() const {
    std::size_t lines = read_;
    for (const std::size_t portion : unread_) lines += portion;
    return lines;
  }

  void given(std::size_t lines, TimePoint now) {
    if (unread_.empty()) since_ = now;
    unread_.push_back(lines);
  }
  /// So many portions are not read to their ends.
  void taken(std::size_t left, TimePoint now) {
    std::size_t done = 0;
    bool all = worked_;
    for (; unread_.size() > left; unread_.pop_front()) {
      if (all) done += read_;
      read_ = unread_.front();
      all = true;
    }
    if (done != 0) learn(done, now - since_);
    since_ = now;
    worked_ = true;
  }
  /// Nothing was there to be given when it came: how soon it reads what comes then says nothing of its work.
  void starved() { worked_ = false; }
  /// Nothing of what was given counts any more.
  void reset() {
    unread_.clear();
    read_ = 0;
    worked_ = false;
  }

 private:
  void learn(std::size_t lines, Duration took) {
    const auto each = std::max<Duration::rep>(1, took.count() / static_cast<Duration::rep>(lines));
    const auto wanted = static_cast<std::size_t>(Duration(kGrain).count() / each);
    portion_ = std::clamp<std::size_t>(std::min(wanted, 4 * portion_), 1, kMost);
  }

  std::size_t portion_ = 1;
  std::deque<std::size_t> unread_;  // lines of each portion, in their order
  std::size_t read_ = 0;            // of the portion that was read last
  bool worked_ = false;             // it went from that portion to the next one without a pause
  TimePoint since_ = TimePoint::min();
};

}  // namespace weft::exec
