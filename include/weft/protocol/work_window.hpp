// WorkWindow: how many records one receiver may have at once, so that those that are fast get more than those
// that are slow. Pure: no sockets, clocks or threads; time comes in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include <weft/core/time.hpp>

namespace weft::protocol {

/// Kept by a sender, of all who share its work: a round is over when each of them has reported, or has had
/// `kLongest` for it.
class WorkRound {
 public:
  static constexpr Duration kLongest = std::chrono::milliseconds(30);
  /// So many may be given work.
  void among(std::size_t receivers) { receivers_ = receivers; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  /// One of them has reported; `first`: in this round.
  void heard(bool first, TimePoint now) {
    if (began_ == TimePoint::min()) began_ = now;
    if (first) ++reported_;
    if (reported_ < receivers_ && now - began_ < kLongest) return;
    ++number_;
    reported_ = 0;
    began_ = now;
  }

 private:
  std::size_t receivers_ = 0;
  std::size_t reported_ = 0;
  std::uint64_t number_ = 1;
  TimePoint began_ = TimePoint::min();
};

/// Kept by a sender for each receiver, beside the credit in bytes. Where several receivers share the work, it
/// holds about `kAhead` of work, measured by how soon the receiver reports what it has handled: it begins
/// with two records, grows twofold at most in 10 ms and in a round as long as reports come in time, and
/// shrinks to one record for a receiver that needs longer than `kAhead` for it. A receiver's own bound holds
/// always.
class WorkWindow {
 public:
  /// What may wait at a receiver, by its own speed.
  static constexpr Duration kAhead = std::chrono::milliseconds(30);
  /// Where work is shared, what is handed out at once is worth so much time at least, if there is enough.
  static constexpr Duration kGrain = std::chrono::milliseconds(1);
  /// A window of so many records does not hold anything back that credit in bytes lets go.
  static constexpr std::uint64_t kWide = 1ULL << 20;

  /// HELLO. `bound`: the most records that the receiver takes at once, 0: no bound. nullopt: it does not
  /// report when it is asked to, so that nothing can be learnt of its speed.
  void meet(std::optional<std::uint64_t> bound);
  /// The receiver was asked for a word that it gives at once, before it gets work: how long the way is.
  void pinged(TimePoint now) { pinged_ = now, way_asked_ = true; }
  [[nodiscard]] bool wants_ping() const { return measures() && !way_asked_; }
  /// An acknowledgement came.
  void heard(TimePoint now);
  /// There are others that could take the work as well.
  void share(bool shared) { shared_ = shared; }
  /// A connection was lost, or begins: so many records are on their way.
  void reset(std::uint64_t outstanding);

  /// False: room() and piece() say nothing but "as many as there are", and no report is asked for.
  [[nodiscard]] bool active() const { return bound_ != 0 || measures(); }
  /// Records that may be sent now.
  [[nodiscard]] std::uint64_t room(std::uint64_t outstanding) const;
  /// The most records that the receiver takes at once, by its own word; UINT64_MAX: it has set no bound.
  [[nodiscard]] std::uint64_t bound() const { return bound_ == 0 ? UINT64_MAX : bound_; }
  /// Records that this bound lets go now, whatever has been measured: for those that no other receiver could
  /// take instead.
  [[nodiscard]] std::uint64_t bound_room(std::uint64_t outstanding) const {
    return bound() - std::min(bound(), outstanding);
  }
  /// ... and of what room() says, how many to send together, when `waiting` wait for `receivers` that may
  /// take them (0: for this one alone).
  [[nodiscard]] std::uint64_t piece(std::uint64_t outstanding, std::uint64_t waiting,
                                    std::uint64_t receivers) const;
  /// The receiver is to report when it has handled a batch that makes `outstanding` records on their way.
  [[nodiscard]] bool asks(std::uint64_t outstanding, TimePoint now) const;
  /// Such a batch left.
  void sent(std::uint64_t records, bool asked, TimePoint now);
  /// The receiver has told: so many are still on their way. `round`: of all that share the work; null: others
  /// are not waited for.
  void handled(std::uint64_t outstanding, TimePoint now, WorkRound* round = nullptr);

  /// Time that the receiver would need for one more record beside those: what `balance` compares. Receivers
  /// that need less than a millisecond a record differ by what they have alone.
  [[nodiscard]] std::uint64_t load(std::uint64_t outstanding) const;
  /// The window that has been measured, in records.
  [[nodiscard]] std::uint64_t window() const { return window_; }
  /// Time for one record, as measured; zero: not known.
  [[nodiscard]] Duration cost() const { return cost_; }
  /// Reports that were asked for and are still to come.
  [[nodiscard]] std::size_t reports_due() const { return marks_.size(); }

 private:
  struct Mark {
    std::uint64_t end = 0;     // records sent, up to this batch
    std::uint64_t before = 0;  // of them, known as handled when it left
    TimePoint at;
  };
  [[nodiscard]] bool measures() const { return shared_ && reports_; }
  [[nodiscard]] std::uint64_t limit() const;
  void learn(std::uint64_t records, Duration took, TimePoint now, std::uint64_t round);

  bool shared_ = false;
  bool reports_ = false;
  bool way_asked_ = false;  // since the connection began
  std::uint64_t bound_ = 0;
  std::uint64_t window_ = 2;
  Duration cost_ = Duration::zero();
  Duration transit_ = Duration::zero();  // way there and back, as far as is known
  TimePoint pinged_ = TimePoint::min();
  TimePoint grown_ = TimePoint::min();  // when the window grew last
  std::uint64_t grown_in_ = 1;          // in which round
  std::uint64_t reported_in_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t handled_ = 0;              // when the last report came
  TimePoint reported_ = TimePoint::min();  // then
  std::deque<Mark> marks_;
};

}  // namespace weft::protocol
