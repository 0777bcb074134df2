// OutboxLane: one acknowledged stream at its sender, as Outbox keeps it.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <utility>

#include <weft/core/time.hpp>
#include <weft/protocol/lane.hpp>
#include <weft/protocol/outbox_entry.hpp>
#include <weft/protocol/sequence_set.hpp>
#include <weft/protocol/work_window.hpp>

namespace weft::protocol {

/// One acknowledged stream to one receiver, which is known by name over all its connections and lives.
class OutboxLane {
 public:
  [[nodiscard]] const std::string& receiver() const { return receiver_; }
  [[nodiscard]] std::uint64_t next() const { return base_ + flights_.size(); }
  [[nodiscard]] std::uint64_t last_sent() const { return last_sent_; }
  /// The lowest sequence that still matters: what HELLO and an empty DATA say as first retained. With a
  /// journal, everything before it has durably ended.
  [[nodiscard]] std::uint64_t first_retained() const { return retained_; }
  [[nodiscard]] std::uint64_t outstanding_bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t outstanding_records() const { return records_; }
  [[nodiscard]] std::uint64_t outstanding() const { return count_; }
  [[nodiscard]] std::uint32_t probe() const { return probe_; }
  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] bool admits(std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t room() const;
  /// How many records the receiver may have at once; the owner tells it what HELLO says of that.
  [[nodiscard]] WorkWindow& work() { return work_; }

 private:
  friend class Outbox;
  /// `bytes`: what it needs of the credit, for as many of its records as may go.
  [[nodiscard]] bool takes(const OutboxEntry& entry, bool alone, std::uint64_t bytes) const;
  struct Flight {
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;
    std::uint64_t gate = 0;  // leaves (done: may be called empty) when this is durable
    TimePoint sent_at = TimePoint::min();
    std::uint32_t records = 0;
    std::uint32_t probe = 0;  // the lane's probe number when it was sent
    std::uint32_t sends = 0;
    std::uint64_t order = 0;  // the lane's count of departures when it was sent last
    bool sent = false;        // in this connection and life of the receiver
    bool ever_sent = false;
    bool done = false;
    bool report = false;  // the receiver is asked to say when it has been processed
  };
  Flight* flight(std::uint64_t seq) {
    return seq < base_ || seq >= next() ? nullptr : &flights_[seq - base_];
  }

  std::string receiver_;
  std::uint64_t hash_ = 0;
  std::uint64_t receiver_epoch_ = 0;
  bool met_ = false;       // has said HELLO in this life of the sender
  bool usable_ = false;    // up, and takes new work
  bool up_ = false;        // connected: what is bound to it may be sent again
  bool given_up_ = false;  // not waited for since it was here last
  bool alone_ = false;     // what is on its way there travels alone
  std::uint64_t max_frame_ = UINT64_MAX;
  Credit credit_;
  WorkWindow work_;
  std::uint64_t base_ = 1;  // sequence of flights_.front()
  std::uint64_t retained_ = 1;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> retaining_;  // (commit, base_ that it makes retained_)
  std::deque<Flight> flights_;
  std::uint64_t count_ = 0, bytes_ = 0, records_ = 0;  // not done
  std::uint64_t last_sent_ = 0;
  std::uint64_t departures_ = 0;
  std::uint64_t seen_order_ = 0;   // of what was sent once, the latest departure that has arrived
  std::uint64_t cursor_ = 1;       // nothing before it waits to be sent, but for `again_`
  std::set<std::uint64_t> again_;  // before the cursor, to be sent again
  std::uint32_t probe_ = 1;
  TimePoint progress_ = TimePoint::min();  // when something was sent or acknowledged last
  unsigned silent_probes_ = 0;
  bool skip_ = false;  // the receiver misses what lies before skip_to_: tell it that nothing comes
  std::uint64_t skip_to_ = 0;
  std::set<OutboxRank> bound_;  // waiting for this lane only
  // Bytes that may be on their way and have not been seen there: few behind a connection that broke.
  std::uint64_t burst_ = UINT64_MAX;
  std::uint64_t burst_end_ = UINT64_MAX;  // up to here it doubles, beyond it grows by steps
  std::uint64_t unseen_ = 0;              // of them; counted where there is a bound
};

}  // namespace weft::protocol
