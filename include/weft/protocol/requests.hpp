// RequestBook: requests on their way, by ticket and by deadline.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <weft/core/time.hpp>

namespace weft::protocol {

/// Keeps a T for each open request. Every request leaves exactly once: answered, or expired.
template <class T>
class RequestBook {
 public:
  /// Names a request; never 0, and a later one is greater. One that has ended is not taken for another one.
  using Ticket = std::uint64_t;

  /// Open requests at once.
  static constexpr std::size_t kMost = std::size_t{1} << 24;
  [[nodiscard]] bool full() const { return size() == kMost; }

  /// Not when it is full().
  Ticket open(Deadline deadline, T payload) {
    if (free_.empty()) {
      free_.push_back(entries_.size());
      entries_.emplace_back();
    }
    const std::size_t at = free_.back();
    free_.pop_back();
    const Ticket ticket = ++opened_ * kMost + at;
    Entry& entry = entries_[at];
    entry.ticket = ticket;
    entry.payload = std::move(payload);
    by_deadline_.emplace_back(deadline.point(), ticket);
    std::push_heap(by_deadline_.begin(), by_deadline_.end(), std::greater<>());
    if (by_deadline_.size() > 2 * size() + kSpare) forget_ended();
    return ticket;
  }
  /// The request's payload when it is still open; it is open no more.
  std::optional<T> answer(Ticket ticket) {
    if (!contains(ticket)) return std::nullopt;
    Entry& entry = entries_[ticket % kMost];
    entry.ticket = 0;
    free_.push_back(ticket % kMost);
    return std::exchange(entry.payload, T());
  }
  /// Takes out what is past its deadline at `now`, the earliest first, and of one deadline the oldest first.
  std::vector<std::pair<Ticket, T>> expire(TimePoint now) {
    std::vector<std::pair<Ticket, T>> out;
    for (auto next = next_deadline(); next && *next <= now; next = next_deadline()) {
      const Ticket ticket = by_deadline_.front().second;
      out.emplace_back(ticket, *answer(ticket));
    }
    return out;
  }
  [[nodiscard]] bool contains(Ticket ticket) const {
    const std::size_t at = ticket % kMost;
    return ticket != 0 && at < entries_.size() && entries_[at].ticket == ticket;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size() - free_.size(); }
  /// When the next one expires.
  [[nodiscard]] std::optional<TimePoint> next_deadline() {
    while (!by_deadline_.empty() && !contains(by_deadline_.front().second)) {
      std::pop_heap(by_deadline_.begin(), by_deadline_.end(), std::greater<>());
      by_deadline_.pop_back();
    }
    if (by_deadline_.empty()) return std::nullopt;
    return by_deadline_.front().first;
  }

 private:
  static constexpr std::size_t kSpare = 1024;
  using When = std::pair<TimePoint, Ticket>;
  struct Entry {
    Ticket ticket = 0;  // 0: free
    T payload{};
  };
  void forget_ended() {
    std::erase_if(by_deadline_, [this](const When& when) { return !contains(when.second); });
    std::make_heap(by_deadline_.begin(), by_deadline_.end(), std::greater<>());
  }

  std::uint64_t opened_ = 0;
  std::vector<Entry> entries_;  // by the lower part of the ticket
  std::vector<std::size_t> free_;
  // A heap, the earliest first. One that has ended stays until it comes to the top, or most of them have.
  std::vector<When> by_deadline_;
};

}  // namespace weft::protocol
