// Confirmation: a subscriber's wait for the PING that says that its subscriptions are active.
#pragma once

#include <algorithm>

#include <weft/core/time.hpp>

namespace weft::protocol {

/// A publisher that is at its bound for a subscriber drops the PING as well: then only a new subscription
/// brings another one. Asked again after 1 s, later each time, up to 16 s.
class Confirmation {
 public:
  [[nodiscard]] bool confirmed() const { return confirmed_; }
  /// The publisher answers; what is not confirmed is waited for from now on.
  void await(TimePoint now) {
    if (!confirmed_) by_ = now + wait_;
  }
  void confirm() {
    confirmed_ = true;
    by_ = TimePoint::max();
    wait_ = kFirst;
  }
  /// The publisher is away, or another one has come: nothing is active there as far as is known.
  void lapse() { confirmed_ = false; }
  /// True: subscribe anew.
  bool overdue(TimePoint now) {
    if (confirmed_ || now < by_) return false;
    wait_ = std::min(2 * wait_, kLongest);
    by_ = now + wait_;
    return true;
  }
  [[nodiscard]] TimePoint next_tick() const { return confirmed_ ? TimePoint::max() : by_; }

 private:
  static constexpr Duration kFirst = std::chrono::seconds(1);
  static constexpr Duration kLongest = std::chrono::seconds(16);
  bool confirmed_ = false;
  TimePoint by_ = TimePoint::max();
  Duration wait_ = kFirst;
};

}  // namespace weft::protocol
