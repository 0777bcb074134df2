// How much a lane of an Outbox risks on a connection. A connection that breaks takes all with it that is on
// its way: where that happens again and again, a whole window at once never gets there. So behind a break
// little is sent until it has been seen, and then more, as TCP does after a loss (RFC 5681).
#include <algorithm>

#include <weft/protocol/outbox.hpp>

namespace weft::protocol {
namespace {

constexpr std::uint64_t kFirstBurst = 64ULL << 10;

}  // namespace

std::uint64_t Outbox::unseen(const OutboxLane& lane, const AckView& view) {
  std::uint64_t bytes = 0;
  for (std::uint64_t seq = lane.base_; seq < lane.next(); ++seq) {
    const Flight& flight = lane.flights_[seq - lane.base_];
    bool seen = seq <= view.seen;
    for (std::size_t i = 0; seen && i < view.missing_count; ++i)
      seen = seq < view.missing[i].first || seq > view.missing[i].last;
    if (flight.sent && !flight.done && !seen) bytes += flight.bytes;
  }
  return bytes;
}

/// A HELLO of the same life: what it has not seen of what was sent has gone with the connection.
void Outbox::break_off(OutboxLane& lane, const AckView& view) {
  const std::uint64_t lost = unseen(lane, view);
  if (lost == 0) return;
  lane.burst_end_ = std::max(kFirstBurst, std::min(lost, lane.burst_) / 2);
  lane.burst_ = kFirstBurst;
}

void Outbox::see_burst(OutboxLane& lane, const AckView& view) {
  if (lane.burst_ == UINT64_MAX) {
    lane.unseen_ = 0;  // nobody asks
    return;
  }
  const std::uint64_t before = std::exchange(lane.unseen_, unseen(lane, view));
  const std::uint64_t seen = before - std::min(before, lane.unseen_);
  lane.burst_ +=
      lane.burst_ < lane.burst_end_ ? seen : kFirstBurst * std::min(seen, lane.burst_) / lane.burst_;
  if (lane.burst_ >= lane.credit_.bytes) lane.burst_ = UINT64_MAX;
}

bool Outbox::holds_back(const OutboxLane& lane, const Flight& flight) {
  return !flight.done && lane.unseen_ != 0 &&
         lane.burst_ - std::min(lane.burst_, lane.unseen_) < flight.bytes;
}

/// The next one would be held back: the sooner the receiver speaks, the better.
bool Outbox::wants_word(const OutboxLane& lane, const Flight& flight) {
  return flight.report || (lane.burst_ != UINT64_MAX && lane.unseen_ + 2 * flight.bytes > lane.burst_);
}

}  // namespace weft::protocol
