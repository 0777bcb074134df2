#include <weft/protocol/sequence_set.hpp>

#include <algorithm>
#include <iterator>

namespace weft::protocol {

bool SequenceSet::contains(std::uint64_t seq) const {
  if (seq <= upto_) return seq != 0;
  auto after = beyond_.upper_bound(seq);
  if (after == beyond_.begin()) return false;
  return std::prev(after)->second >= seq;
}

bool SequenceSet::add(std::uint64_t seq) {
  if (seq == 0 || contains(seq)) return false;
  add_range(seq, seq);
  return true;
}

void SequenceSet::add_range(std::uint64_t first, std::uint64_t last) {
  if (last <= upto_) return;
  first = std::max(first, upto_ + 1);
  if (last < first) return;
  // Swallow what touches or overlaps.
  auto at = beyond_.upper_bound(first);
  if (at != beyond_.begin() && std::prev(at)->second >= first - 1) --at;
  while (at != beyond_.end() && at->first - 1 <= last) {
    first = std::min(first, at->first);
    last = std::max(last, at->second);
    at = beyond_.erase(at);
  }
  if (first == upto_ + 1) {
    upto_ = last;
  } else {
    beyond_.emplace(first, last);
  }
}

}  // namespace weft::protocol
