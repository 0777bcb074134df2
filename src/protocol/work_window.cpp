#include <weft/protocol/work_window.hpp>

#include <algorithm>
#include <utility>

namespace weft::protocol {
namespace {

constexpr std::uint64_t kGrowth = 2;  // at most, in so long and in a round
constexpr Duration kGrowEvery = std::chrono::milliseconds(10);
constexpr std::uint64_t kBlind = 64;  // records at once, at least, to a receiver that reports nothing
constexpr Duration kLeastLoad = std::chrono::milliseconds(1);

std::uint64_t count(Duration span) {
  return span <= Duration::zero() ? 0 : static_cast<std::uint64_t>(span.count());
}

// How often `part` fits into `whole`, rounded up.
std::uint64_t times(Duration whole, Duration part) {
  const std::uint64_t each = std::max<std::uint64_t>(1, count(part));
  return (count(whole) + each - 1) / each;
}

}  // namespace

void WorkWindow::meet(std::optional<std::uint64_t> bound) {
  reports_ = bound.has_value();
  bound_ = bound.value_or(0);
}

void WorkWindow::reset(std::uint64_t outstanding) {
  sent_ = outstanding;
  handled_ = 0;
  reported_ = pinged_ = TimePoint::min();
  way_asked_ = false;
  marks_.clear();
}

std::uint64_t WorkWindow::limit() const {
  const std::uint64_t measured = measures() ? window_ : UINT64_MAX;
  return bound_ == 0 ? measured : std::min(measured, bound_);
}

std::uint64_t WorkWindow::room(std::uint64_t outstanding) const {
  const std::uint64_t most = limit();
  return most - std::min(most, outstanding);
}

std::uint64_t WorkWindow::piece(std::uint64_t outstanding, std::uint64_t waiting,
                                std::uint64_t receivers) const {
  const std::uint64_t most = limit();
  // Halves, so that a report comes while the other half is in work.
  std::uint64_t records =
      std::min(room(outstanding), most == UINT64_MAX ? most : std::max<std::uint64_t>(1, most / 2));
  if (!shared_ || receivers < 2) return records;
  // The last of what waits goes to all of them in pieces that shrink, not to whoever asks first.
  const std::uint64_t fair = (waiting + 2 * receivers - 1) / (2 * receivers);
  const std::uint64_t unknown = reports_ ? 1 : kBlind;
  const std::uint64_t grain = cost_ == Duration::zero() ? unknown : count(kGrain) / count(cost_);
  return std::min(records, std::max<std::uint64_t>({1, fair, grain}));
}

bool WorkWindow::asks(std::uint64_t outstanding, TimePoint now) const {
  if (!active()) return false;
  const std::uint64_t most = limit();
  if (outstanding >= most - most / 2) return true;
  if (!measures() || !marks_.empty()) return false;
  return reported_ == TimePoint::min() || now - reported_ >= kAhead / 2;
}

void WorkWindow::sent(std::uint64_t records, bool asked, TimePoint now) {
  sent_ += records;
  if (asked) marks_.push_back({sent_, handled_, now});
}

void WorkWindow::heard(TimePoint now) {
  if (pinged_ != TimePoint::min()) transit_ = now - std::exchange(pinged_, TimePoint::min());
}

void WorkWindow::handled(std::uint64_t outstanding, TimePoint now, WorkRound* round) {
  const std::uint64_t done = sent_ - std::min(sent_, outstanding);
  if (marks_.empty() || marks_.front().end > done) return;
  const Mark first = marks_.front();
  while (!marks_.empty() && marks_.front().end <= done) marks_.pop_front();
  transit_ = std::min(transit_, now - first.at);
  // It was there when the receiver was done with what the last report told; else the receiver waited for it.
  const TimePoint there = first.at + transit_;
  const bool waited = reported_ != TimePoint::min() && there <= reported_;
  const std::uint64_t records = done - (waited ? handled_ : first.before);
  const Duration took = now - (waited ? reported_ : there);
  handled_ = done;
  reported_ = now;
  if (round) {
    const bool anew = std::exchange(reported_in_, round->number()) != round->number();
    round->heard(anew, now);
  }
  if (records != 0) learn(records, std::max<Duration>(took, Duration(1)), now, round ? round->number() : 0);
}

void WorkWindow::learn(std::uint64_t records, Duration took, TimePoint now, std::uint64_t round) {
  const Duration each = took / static_cast<Duration::rep>(std::min(records, kWide));
  cost_ = cost_ == Duration::zero() ? each : (cost_ + each) / 2;
  const std::uint64_t wanted = std::clamp<std::uint64_t>(times(kAhead + transit_, cost_), 1, kWide);
  if (wanted > window_) {
    // Others may just not have had the processor yet: whoever is first must not get all before they report.
    if (grown_ != TimePoint::min() && now - grown_ < kGrowEvery) return;
    if (round != 0 && round == grown_in_) return;
    grown_ = now;
    grown_in_ = round;
  }
  window_ = std::min(wanted, kGrowth * window_);
}

std::uint64_t WorkWindow::load(std::uint64_t outstanding) const {
  const std::uint64_t each = count(std::max(cost_, kLeastLoad));
  const std::uint64_t records = std::min(outstanding, UINT64_MAX / 4 / each) + 1;
  return records * each;
}

}  // namespace weft::protocol
