#include <weft/protocol/inbound.hpp>

#include <algorithm>

namespace weft::protocol {
namespace {

// Places in which nothing comes any more may be missing beside the batches of a window.
constexpr std::size_t kSpareRanges = 64;

}  // namespace

void InboundStream::reset(std::uint64_t epoch) {
  started_ = true;
  epoch_ = epoch;
  delivered_ = 0;
  arrived_ = processed_ = visible_ = SequenceSet();
  held_.clear();
  held_bytes_ = 0;
}

InboundStream::Arrival InboundStream::arrive(std::uint64_t epoch, std::uint64_t seq, std::uint64_t bytes) {
  Arrival out;
  if (started_ && epoch < epoch_) {
    out.verdict = Verdict::fenced;
    return out;
  }
  if (!started_ || epoch > epoch_) {
    out.restarted = started_;
    reset(epoch);
  }
  if (seq == 0 || arrived_.contains(seq)) {
    out.verdict = Verdict::duplicate;
    return out;
  }
  pass_processed();
  if (seq == delivered_ + 1) {
    arrived_.add(seq);
    delivered_ = seq;
    out.gap = arrived_.highest() > arrived_.upto();
    return out;
  }
  out.gap = true;
  // What waits for an earlier batch is bounded: the sender's credit says the same, unless it ignores it.
  // Holes cost memory as well, and whoever makes them need not have a batch behind each.
  if (held_.size() >= limits_.held_batches || held_bytes_ + bytes > limits_.held_bytes ||
      arrived_.beyond().size() > 2 * limits_.held_batches + kSpareRanges) {
    out.verdict = Verdict::no_room;
    return out;
  }
  arrived_.add(seq);
  held_.emplace(seq, bytes);
  held_bytes_ += bytes;
  out.verdict = Verdict::hold;
  return out;
}

// What was processed before a restart is not handed out again.
void InboundStream::pass_processed() {
  delivered_ = std::max(delivered_, processed_.upto());
  while (processed_.contains(delivered_ + 1)) ++delivered_;
}

std::optional<std::uint64_t> InboundStream::due() {
  pass_processed();
  const auto next = held_.find(delivered_ + 1);
  if (next == held_.end()) return std::nullopt;
  held_bytes_ -= next->second;
  held_.erase(next);
  return ++delivered_;
}

bool InboundStream::begin(std::uint64_t epoch, std::uint64_t first_retained, bool& restarted) {
  restarted = false;
  if (started_ && epoch < epoch_) return false;
  if (!started_ || epoch > epoch_) {
    restarted = started_;
    reset(epoch);
  }
  if (first_retained <= 1) return true;
  const std::uint64_t before = first_retained - 1;
  while (!held_.empty() && held_.begin()->first <= before) {
    held_bytes_ -= held_.begin()->second;
    held_.erase(held_.begin());
  }
  // The sender has an outcome for everything before, by this receiver or by another one.
  arrived_.add_upto(before);
  processed_.add_upto(before);
  visible_.add_upto(before);
  delivered_ = std::max(delivered_, before);
  return true;
}

bool InboundStream::settle(std::uint64_t epoch, std::uint64_t seq) {
  if (!started_ || epoch != epoch_ || !arrived_.contains(seq) || !processed_.add(seq)) return false;
  if (const auto waits = held_.find(seq); waits != held_.end()) {
    held_bytes_ -= waits->second;
    held_.erase(waits);
  }
  return true;
}

void InboundStream::publish(std::uint64_t epoch, std::uint64_t seq) {
  if (started_ && epoch == epoch_ && processed_.contains(seq)) visible_.add(seq);
}

AckView InboundStream::ack() const {
  AckView out;
  out.seq = visible_.upto();
  for (const auto& [first, last] : visible_.beyond()) {
    if (out.processed_count == AckView::kMostRanges) break;
    out.processed[out.processed_count++] = {first, last};
  }
  out.seen = arrived_.highest();
  std::uint64_t hole = arrived_.upto() + 1;
  for (const auto& [first, last] : arrived_.beyond()) {
    if (out.missing_count == AckView::kMostRanges) {
      out.seen = hole - 1;  // nothing is said of what lies behind the holes that fit
      break;
    }
    out.missing[out.missing_count++] = {hole, first - 1};
    hole = last + 1;
  }
  return out;
}

void InboundStream::restore(std::uint64_t epoch, const SequenceSet& processed) {
  reset(epoch);
  arrived_ = processed_ = visible_ = processed;
  delivered_ = processed.upto();
}

std::vector<std::byte> encode_marks(std::uint64_t epoch, const SequenceSet& processed) {
  std::vector<std::byte> out;
  const auto add = [&out](std::uint64_t v) {
    for (int i = 0; i < 8; ++i) out.push_back(static_cast<std::byte>(v >> (8 * i)));
  };
  add(epoch);
  add(processed.upto());
  for (const auto& range : processed.beyond()) {
    add(range.first);
    add(range.second);
  }
  return out;
}

bool decode_marks(Bytes value, std::uint64_t& epoch, SequenceSet& processed) {
  if (value.size() < 16 || value.size() % 16 != 0) return false;
  const auto number = [&value](std::size_t at) {
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < 8; ++i) v |= std::to_integer<std::uint64_t>(value[8 * at + i]) << (8 * i);
    return v;
  };
  epoch = number(0);
  processed = SequenceSet();
  processed.add_upto(number(1));
  for (std::size_t i = 2; i + 1 < value.size() / 8; i += 2) {
    if (number(i) > number(i + 1) || number(i) <= processed.highest()) return false;
    processed.add_range(number(i), number(i + 1));
  }
  return true;
}

}  // namespace weft::protocol
