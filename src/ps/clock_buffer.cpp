#include <weft/ps/clock_buffer.hpp>

#include <algorithm>
#include <cassert>
#include <tuple>

#include "ps/bounded.hpp"
#include "ps/flush_denormals.hpp"

namespace weft::ps {

void ClockBuffer::add(std::uint64_t clock, std::uint32_t worker, std::uint64_t seq,
                      std::span<const std::uint64_t> keys, std::span<const float> values) {
  assert(values.size() == keys.size() * width_);
  Push push{worker, seq, {keys.begin(), keys.end()}, {values.begin(), values.end()}};
  bytes_ += push.bytes();
  clocks_[clock].push_back(std::move(push));
}

std::size_t ClockBuffer::drop(std::uint32_t worker, std::uint64_t from) {
  std::size_t dropped = 0;
  for (auto it = clocks_.lower_bound(from); it != clocks_.end();) {
    dropped += std::erase_if(it->second, [&](const Push& push) {
      if (push.worker != worker) return false;
      bytes_ -= push.bytes();
      return true;
    });
    it = it->second.empty() ? clocks_.erase(it) : std::next(it);
  }
  return dropped;
}

std::optional<std::uint64_t> ClockBuffer::first_clock() const {
  if (clocks_.empty()) return std::nullopt;
  return clocks_.begin()->first;
}

std::vector<std::uint32_t> ClockBuffer::workers(std::uint64_t clock) const {
  std::vector<std::uint32_t> workers;
  const auto found = clocks_.find(clock);
  if (found == clocks_.end()) return workers;
  for (const Push& push : found->second) workers.push_back(push.worker);
  std::sort(workers.begin(), workers.end());
  workers.erase(std::unique(workers.begin(), workers.end()), workers.end());
  return workers;
}

ClockBuffer::Sum ClockBuffer::take(std::uint64_t clock) {
  index_.clear();
  sums_.clear();
  const auto found = clocks_.find(clock);
  if (found == clocks_.end()) return {};
  std::vector<Push>& pushes = found->second;
  std::stable_sort(pushes.begin(), pushes.end(), [](const Push& a, const Push& b) {
    return std::tie(a.worker, a.seq) < std::tie(b.worker, b.seq);
  });
  const FlushDenormals flushed;
  for (const Push& push : pushes) {
    const float* from = push.values.data();
    for (const std::uint64_t key : push.keys) {
      const std::size_t row = index_.find_or_add(key);
      if (sums_.size() < index_.size() * width_) sums_.resize(index_.size() * width_);
      float* to = sums_.data() + row * width_;
      for (std::size_t k = 0; k < width_; ++k) to[k] = bounded(to[k] + from[k]);
      from += width_;
    }
    bytes_ -= push.bytes();
  }
  clocks_.erase(found);
  return {index_.keys(), sums_};
}

}  // namespace weft::ps
