#include <weft/protocol/lane.hpp>

#include <algorithm>

namespace weft::protocol {

std::uint64_t window_for(std::uint64_t window, std::uint64_t batch, bool lent) {
  constexpr std::uint64_t kLent = 8, kMostLent = 8ULL << 20;
  constexpr std::uint64_t kMost = 64ULL << 20;  // one batch of a stranger shall not open the memory for more
  if (lent) return batch <= window / 4 ? window : std::max(window, std::min(kLent * batch, kMostLent));
  return batch <= window ? window : std::max(window, std::min(2 * batch, kMost));
}

bool SendLane::admits(std::uint64_t bytes) const {
  if (credit_.batches == 0) return false;
  if (flight_.empty()) return true;
  return flight_.size() < credit_.batches && flight_bytes_ + bytes <= credit_.bytes;
}

bool SendLane::admits_beside(std::uint64_t open, std::uint64_t bytes) const {
  if (open == 0) return admits(bytes);
  return flight_.size() + 1 < credit_.batches && flight_bytes_ + open + bytes <= credit_.bytes;
}

std::uint64_t SendLane::room() const {
  if (flight_.size() >= credit_.batches) return 0;
  return flight_bytes_ >= credit_.bytes ? 0 : credit_.bytes - flight_bytes_;
}

std::uint64_t SendLane::send(std::uint64_t bytes, std::uint64_t records, std::uint64_t numbers) {
  const std::uint64_t first = next_;
  next_ += numbers;
  flight_.push_back({next_ - 1, bytes, records});
  flight_bytes_ += bytes;
  flight_records_ += records;
  return first;
}

void SendLane::settle_first() {
  acknowledged_ = flight_.front().last;
  flight_bytes_ -= flight_.front().bytes;
  flight_records_ -= flight_.front().records;
  flight_.pop_front();
}

SendLane::Ack SendLane::acknowledge(std::uint64_t seq, Credit credit) {
  if (seq > last_sent()) return Ack::beyond;
  if (seq < acknowledged_) return Ack::old;
  while (!flight_.empty() && flight_.front().last <= seq) settle_first();
  credit_ = credit;
  return Ack::ok;
}

SendLane::Lost SendLane::resume(std::uint64_t last_accepted, std::uint64_t said) {
  Lost lost;
  lost.accepted = last_accepted;
  lost.said = std::min(said, last_sent());
  while (!flight_.empty() && flight_.front().last <= said) {
    if (flight_.front().last > last_accepted) {
      ++lost.batches;
      lost.records += flight_.front().records;
    }
    settle_first();
  }
  // The top half is out of reach of an honest stream: no peer can make the numbers wrap.
  if (last_accepted > last_sent() && last_accepted < UINT64_MAX / 2) {
    next_ = last_accepted + 1;
    acknowledged_ = last_accepted;
  }
  return lost;
}

ReceiveLane::Outcome ReceiveLane::arrive(std::uint64_t epoch, std::uint64_t seq) {
  Outcome outcome;
  const bool restarted = started_ && epoch > epoch_;
  if (begin(epoch) == Verdict::fenced) {
    outcome.verdict = Verdict::fenced;
    return outcome;
  }
  outcome.restarted = restarted;
  if (seq <= last_) {
    outcome.verdict = Verdict::duplicate;
    return outcome;
  }
  outcome.missed = seq - last_ - 1;
  last_ = accepted_ = seq;
  return outcome;
}

ReceiveLane::Verdict ReceiveLane::begin(std::uint64_t epoch) {
  if (started_ && epoch < epoch_) return Verdict::fenced;
  if (!started_ || epoch > epoch_) {
    started_ = true;
    epoch_ = epoch;
    last_ = accepted_ = 0;
  }
  return Verdict::accept;
}

}  // namespace weft::protocol
