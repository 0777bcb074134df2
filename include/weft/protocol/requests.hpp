// RequestBook: requests on their way, by number and by deadline.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/core/time.hpp>

namespace weft::protocol {

/// Keeps a T for each open request. Every request leaves exactly once: answered, failed with its peer, or
/// expired.
template <class T>
class RequestBook {
 public:
  void open(std::uint64_t number, std::uint64_t peer, Deadline deadline, T payload) {
    Entry entry{peer, deadline.point(), std::move(payload)};
    if (spare_.empty()) {
      requests_.emplace(number, std::move(entry));
    } else {
      auto node = std::move(spare_.back());
      spare_.pop_back();
      node.key() = number;
      node.mapped() = std::move(entry);
      requests_.insert(std::move(node));
    }
    by_deadline_.emplace_back(deadline.point(), number);
    std::push_heap(by_deadline_.begin(), by_deadline_.end(), std::greater<>());
    if (by_deadline_.size() > 2 * requests_.size() + kSpare) forget_ended();
  }
  /// The request's payload when it is still open and was sent to that peer; it is open no more.
  std::optional<T> answer(std::uint64_t number, std::uint64_t peer) {
    auto found = requests_.find(number);
    if (found == requests_.end() || found->second.peer != peer) return std::nullopt;
    return remove(found);
  }
  /// Takes out what is past its deadline at `now`.
  std::vector<std::pair<std::uint64_t, T>> expire(TimePoint now) {
    std::vector<std::pair<std::uint64_t, T>> out;
    for (auto next = next_deadline(); next && *next <= now; next = next_deadline()) {
      const std::uint64_t number = by_deadline_.front().second;
      out.emplace_back(number, *remove(requests_.find(number)));
    }
    return out;
  }
  /// Takes out what was sent to a peer that is gone, oldest first.
  std::vector<std::pair<std::uint64_t, T>> fail(std::uint64_t peer) {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, entry] : requests_) {
      if (entry.peer == peer) numbers.push_back(number);
    }
    std::sort(numbers.begin(), numbers.end());
    std::vector<std::pair<std::uint64_t, T>> out;
    for (const std::uint64_t number : numbers) out.emplace_back(number, *remove(requests_.find(number)));
    return out;
  }
  [[nodiscard]] bool contains(std::uint64_t number) const { return requests_.contains(number); }
  [[nodiscard]] std::size_t size() const { return requests_.size(); }
  [[nodiscard]] std::size_t size(std::uint64_t peer) const {
    std::size_t n = 0;
    for (const auto& [number, entry] : requests_) n += entry.peer == peer ? 1U : 0U;
    return n;
  }
  /// When the next one expires.
  [[nodiscard]] std::optional<TimePoint> next_deadline() {
    while (!by_deadline_.empty() && !waits(by_deadline_.front())) {
      std::pop_heap(by_deadline_.begin(), by_deadline_.end(), std::greater<>());
      by_deadline_.pop_back();
    }
    if (by_deadline_.empty()) return std::nullopt;
    return by_deadline_.front().first;
  }

 private:
  static constexpr std::size_t kSpare = 1024;
  using When = std::pair<TimePoint, std::uint64_t>;  // deadline, number
  struct Entry {
    std::uint64_t peer;
    TimePoint deadline;
    T payload;
  };
  using Requests = std::unordered_map<std::uint64_t, Entry>;
  std::optional<T> remove(typename Requests::iterator at) {
    std::optional<T> out(std::move(at->second.payload));
    if (spare_.size() < kSpare) {
      spare_.push_back(requests_.extract(at));
    } else {
      requests_.erase(at);
    }
    return out;
  }
  [[nodiscard]] bool waits(const When& when) const {
    const auto found = requests_.find(when.second);
    return found != requests_.end() && found->second.deadline == when.first;
  }
  void forget_ended() {
    std::erase_if(by_deadline_, [this](const When& when) { return !waits(when); });
    std::make_heap(by_deadline_.begin(), by_deadline_.end(), std::greater<>());
  }

  Requests requests_;
  std::vector<typename Requests::node_type> spare_;  // of requests that have ended
  // A heap, the earliest first. One that has ended stays until it comes to the top, or most of them have.
  std::vector<When> by_deadline_;
};

}  // namespace weft::protocol
