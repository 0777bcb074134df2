#include "blocks/deferred.hpp"

#include <algorithm>

namespace weft::blocks {

std::uint64_t Deferred::defer() {
  if (open_.empty() || open_.back().handed_out) open_.emplace_back();
  ++open_.back().waiting;
  return first_ + open_.size() - 1;
}

void Deferred::handed_out(const HandledBatch& batch) {
  if (open_.empty()) return done_(batch);
  if (open_.back().handed_out) open_.emplace_back();
  open_.back().batch = batch;
  open_.back().handed_out = true;
  end_from(open_.size() - 1);
}

bool Deferred::settle(std::uint64_t number) {
  if (number < first_ || number - first_ >= open_.size()) return false;
  const std::size_t at = number - first_;
  if (open_[at].waiting == 0) return false;
  --open_[at].waiting;
  end_from(at);
  return true;
}

// This one, if nothing of its peer before it is open; then those behind it that have waited for it.
void Deferred::end_from(std::size_t at) {
  if (!open_[at].complete()) return;
  const std::uint64_t peer = open_[at].batch.peer;
  const auto blocks = [peer](const Open& one) {
    return !one.ended && one.handed_out && one.batch.peer == peer;
  };
  if (std::any_of(open_.begin(), open_.begin() + static_cast<std::ptrdiff_t>(at), blocks)) return;
  for (; at < open_.size(); ++at) {
    if (!blocks(open_[at])) continue;
    if (!open_[at].complete()) break;
    open_[at].ended = true;
    done_(HandledBatch(open_[at].batch));
  }
  for (; !open_.empty() && open_.front().ended; ++first_) open_.pop_front();
}

}  // namespace weft::blocks
