// RequestBook: requests on their way, by number and by deadline.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
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
    auto when = by_deadline_.emplace(deadline.point(), number);
    requests_.emplace(number, Entry{peer, when, std::move(payload)});
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
    while (!by_deadline_.empty() && by_deadline_.begin()->first <= now) {
      const std::uint64_t number = by_deadline_.begin()->second;
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
  [[nodiscard]] std::optional<TimePoint> next_deadline() const {
    if (by_deadline_.empty()) return std::nullopt;
    return by_deadline_.begin()->first;
  }

 private:
  using ByDeadline = std::multimap<TimePoint, std::uint64_t>;
  struct Entry {
    std::uint64_t peer;
    ByDeadline::iterator when;
    T payload;
  };
  using Requests = std::unordered_map<std::uint64_t, Entry>;
  std::optional<T> remove(typename Requests::iterator at) {
    std::optional<T> out(std::move(at->second.payload));
    by_deadline_.erase(at->second.when);
    requests_.erase(at);
    return out;
  }

  Requests requests_;
  ByDeadline by_deadline_;
};

}  // namespace weft::protocol
