// Outbox: batches of an acknowledging sender, from acceptance to their one fate. Pure: no sockets, clocks,
// threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>
#include <weft/protocol/choose.hpp>
#include <weft/protocol/outbox_entry.hpp>
#include <weft/protocol/outbox_lane.hpp>

namespace weft::protocol {

class Outbox {
 public:
  explicit Outbox(const OutboxOptions& options) : options_(options) {}

  // ---- batches ----

  /// Takes a batch over: `entry.id` 0 gets the next number. Returns the id.
  std::uint64_t accept(OutboxEntry entry);
  /// A batch that had a place in a lane when the sender ended (journal): it keeps it.
  void restore(const OutboxEntry& entry, std::uint32_t lane, std::uint64_t seq);
  /// The lane goes on behind `next` - 1 although nothing before is left (journal).
  void restore_next(std::uint32_t lane, std::uint64_t next);
  /// Receivers that a batch was offered to, the present one included; 0: no such batch.
  [[nodiscard]] std::uint32_t attempts(std::uint64_t id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() ? 0 : found->second.attempts;
  }
  /// What is known of a batch without a fate; null: no such batch.
  [[nodiscard]] const OutboxEntry* entry(std::uint64_t id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : &found->second;
  }
  /// Records of the batch that may leave together in its next attempt.
  [[nodiscard]] std::uint32_t piece(const OutboxEntry& entry) const;
  /// Ends the oldest batch that waits (not one on its way) as dropped. False: none waits.
  bool drop_oldest();
  /// Ends all that waits. Returns how many records.
  std::uint64_t purge();
  struct Held {
    OutboxEntry entry;
    std::string_view receiver;  ///< has a place in its lane; empty: waits
  };
  /// The oldest batches without a fate, at most `limit`, in the order of acceptance. The views hold until the
  /// next change.
  [[nodiscard]] std::vector<Held> oldest(std::size_t limit) const;

  // ---- lanes ----

  enum class Ack { ok, beyond };
  /// The lane of that receiver, made when it is new.
  std::uint32_t lane(std::string_view receiver);
  [[nodiscard]] std::optional<std::uint32_t> find(std::string_view receiver) const;
  [[nodiscard]] OutboxLane& at(std::uint32_t lane) { return *lanes_[lane - 1]; }
  [[nodiscard]] const OutboxLane& at(std::uint32_t lane) const { return *lanes_[lane - 1]; }
  [[nodiscard]] std::size_t lane_count() const { return lanes_.size(); }
  [[nodiscard]] std::size_t lanes_known() const { return by_name_.size(); }
  /// Forgets a receiver that is gone and owes nothing: its number is given to a later one. Where it comes
  /// back after all it says itself how far its lane had come. False: something is bound to it, or on its way
  /// to it.
  bool forget(std::uint32_t lane);

  /// The receiver said HELLO: what it has and has not decides what is sent again. A new epoch of it, under
  /// at-least-once, frees what it had not acknowledged for any receiver.
  /// `beyond`: it claims what was never sent, which breaks the protocol and changes nothing. `max_frame`:
  /// bytes of the largest frame that it takes.
  Ack meet(std::uint32_t lane, std::uint64_t receiver_epoch, const AckView& view, Credit credit,
           TimePoint now, std::uint64_t max_frame = UINT64_MAX);
  /// Takes new work (or not: suspect, draining). One that is not connected takes none.
  void set_usable(std::uint32_t lane, bool usable) { at(lane).usable_ = usable && at(lane).up_; }
  /// The connection is gone, the receiver may come back: nothing moves, all is sent again after meet(). Also
  /// whenever a HELLO is said: what left between that and its answer might arrive behind the answer, which
  /// would then say of it that the receiver has not got it.
  void cut(std::uint32_t lane);
  /// The receiver is dead or gone for good. At-least-once: its batches go to others (round-robin, balance),
  /// are orphaned (hash), or wait for its return (explicit). Exactly-once: all wait for its return.
  void give_up(std::uint32_t lane);

  Ack acknowledge(std::uint32_t lane, const AckView& view, std::optional<Credit> credit,
                  std::optional<std::uint32_t> probe, TimePoint now);
  /// The receiver refuses (part of) a batch: it is the owner's again, who ends it or accepts what is to be
  /// tried anew. The next departure() tells the receiver that nothing more comes in its place, and does so
  /// again when the receiver asks again. nullopt: that has happened before.
  std::optional<OutboxEntry> reject(std::uint32_t lane, std::uint64_t seq, TimePoint now);

  // ---- what to do ----

  struct Assignment {
    std::uint64_t id = 0;
    std::uint32_t lane = 0;
    std::uint64_t seq = 0;
    std::uint32_t attempts = 0;
    /// Not 0: the batch has no place yet. The owner splits it behind so many of its records, or before, and
    /// asks again.
    std::uint32_t split = 0;
    /// None of its parts may have more records than that: receivers died of it, or nobody takes its frames.
    /// Else its receiver just has no room for more.
    bool each = false;
  };
  /// Gives the next waiting batch a place in a lane, when some lane admits it.
  std::optional<Assignment> assign(TimePoint now);
  struct Part {
    std::uint64_t bytes = 0;
    std::uint32_t records = 0;
    std::uint64_t largest = 0;  ///< bytes of its largest frame; 0: as that of the batch, or all its bytes
  };
  /// One that waits; nullopt: there is none with that id.
  [[nodiscard]] std::optional<OutboxEntry> waiting(std::uint64_t id) const;
  /// A batch that waits becomes several, which leave in its place and in this order. The last one keeps its
  /// id; the ids of the others are returned. At least two parts; their records are together those of the
  /// batch.
  std::vector<std::uint64_t> split(std::uint64_t id, const std::vector<Part>& parts);
  /// With a journal: all that changes from here on becomes durable with that commit. A place is not used
  /// before its assignment is durable, and no receiver hears that nothing comes in a place before the batch's
  /// end (or its loss of the place) is durable: it would count the place as settled, and say so to a
  /// restarted sender that still has the batch there. Without a journal this is never called.
  void committing(std::uint64_t number) { commit_ = number; }
  void durable(std::uint64_t number);
  /// Batches that have lost their place since the last call and wait again: a journal has to forget where
  /// they were, before it learns (by assign()) where they are.
  std::vector<std::uint64_t> take_released() { return std::exchange(released_, {}); }

  struct Departure {
    std::uint64_t id = 0;  ///< 0: an empty place
    std::uint64_t seq = 0;
    bool again = false;
    bool report = false;  ///< ask the receiver to say at once when it has been processed
  };
  /// What is to be sent next on the lane.
  std::optional<Departure> departure(std::uint32_t lane);
  void departed(std::uint32_t lane, std::uint64_t seq, TimePoint now);

  struct Tick {
    std::vector<std::uint32_t>
        probe;  ///< lanes whose receiver is to be asked (PING with OutboxLane::probe())
  };
  Tick on_tick(TimePoint now);
  [[nodiscard]] TimePoint next_tick() const;

  struct Done {
    OutboxEntry entry;
    Fate fate = Fate::processed;
    std::string receiver;  ///< where it was last, if anywhere
  };
  /// What has ended since the last call.
  std::vector<Done> take_done() { return std::exchange(done_, {}); }

  // ---- counts ----

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }      ///< accepted and without a fate
  [[nodiscard]] std::uint64_t records() const { return records_; }  ///< the same
  [[nodiscard]] std::uint64_t waiting_records() const { return waiting_records_; }
  [[nodiscard]] std::uint64_t retransmitted() const { return retransmitted_; }
  [[nodiscard]] std::uint64_t redelivered_records() const { return redelivered_; }
  [[nodiscard]] bool empty() const { return records_ == 0; }
  [[nodiscard]] bool any_done() const { return !done_.empty(); }

 private:
  using Flight = OutboxLane::Flight;
  void wait(const OutboxEntry& entry);
  void line_up(const OutboxEntry& entry);
  void unwait(const OutboxEntry& entry);
  void end(std::uint64_t id, Fate fate, const std::string& receiver);
  void settle(OutboxLane& lane, Flight& flight) const;
  void trim(OutboxLane& lane);
  void advance(OutboxLane& lane, std::uint64_t base);
  bool refresh(OutboxLane& lane) const;
  void skip(OutboxLane& lane);
  void wake(TimePoint now);
  static void send_again(OutboxLane& lane, std::uint64_t seq, Flight& flight);
  static void see(OutboxLane& lane, const AckView& view);
  void mention_skipped(OutboxLane& lane, const AckView& view);
  void mention_freed(OutboxLane& lane, const AckView& view);
  // outbox_burst.cpp
  [[nodiscard]] static std::uint64_t unseen(const OutboxLane& lane, const AckView& view);
  static void break_off(OutboxLane& lane, const AckView& view);
  static void see_burst(OutboxLane& lane, const AckView& view);
  [[nodiscard]] static bool holds_back(const OutboxLane& lane, const Flight& flight);
  [[nodiscard]] static bool wants_word(const OutboxLane& lane, const Flight& flight);
  [[nodiscard]] static bool claims_unsent(const OutboxLane& lane, const AckView& view);
  bool remember(std::uint32_t lane, const AckView& view);
  void free_flights(OutboxLane& lane, bool gone);
  void release(OutboxLane& lane, const Flight& flight, bool gone);
  void lose(OutboxLane& lane, std::uint64_t seq, Flight& flight);
  bool give_back(OutboxEntry& entry, const std::string& receiver);
  [[nodiscard]] bool isolates() const { return options_.max_attempts >= 2; }
  [[nodiscard]] bool alone(const OutboxEntry& entry) const;
  [[nodiscard]] bool fits_nobody(const OutboxEntry& entry) const;
  [[nodiscard]] bool held_by_size(const OutboxEntry& entry) const;
  [[nodiscard]] std::uint32_t together(const OutboxEntry& entry) const;
  std::optional<Assignment> divide(const OutboxEntry& entry, std::uint32_t records);
  bool finish_processed(OutboxLane& lane, const AckView& view);
  void resend_all_unseen(OutboxLane& lane, const AckView& view, bool restarted, TimePoint now);
  [[nodiscard]] bool hole_is_loss(const OutboxLane& lane, const Flight& flight, TimePoint now) const;
  bool resend_lost(OutboxLane& lane, const AckView& view, std::optional<std::uint32_t> probe, TimePoint now);
  std::optional<std::uint32_t> choose(const OutboxEntry& entry);
  [[nodiscard]] static std::uint64_t part_of(const OutboxLane& lane, const OutboxEntry& entry);
  Assignment place_or_split(OutboxEntry& entry, std::uint32_t lane, TimePoint now);
  Assignment place(OutboxEntry& entry, std::uint32_t lane, TimePoint now);
  [[nodiscard]] Duration probe_after(const OutboxLane& lane) const;

  OutboxOptions options_;
  std::vector<std::unique_ptr<OutboxLane>> lanes_;
  std::unordered_map<std::string, std::uint32_t> by_name_;
  std::vector<std::uint32_t> unused_;  // numbers of lanes that were forgotten
  bool forgot_ = false;                // a receiver may know more of its lane than this end
  std::unordered_map<std::uint64_t, OutboxEntry> entries_;
  std::set<OutboxRank> shared_;                             // waiting for any lane
  std::set<std::uint32_t> binding_;                         // lanes that something waits for
  std::set<std::pair<TimePoint, std::uint64_t>> delayed_;   // not to leave yet
  std::set<std::pair<TimePoint, std::uint64_t>> expiring_;  // of those that wait
  std::set<std::uint64_t> waiting_;                         // all that wait, by age
  std::vector<Candidate> candidates_;
  std::size_t last_choice_ = SIZE_MAX;
  std::size_t receivers_ = 0;  // that could take something when one was chosen last
  WorkRound round_;            // of these
  bool sharing_ = false;       // several receivers are there, or were
  std::uint64_t next_id_ = 1;
  std::uint64_t durable_ = UINT64_MAX;
  std::uint64_t commit_ = 0;
  std::set<OutboxLane*> unretained_;  // lanes whose first_retained() waits for a commit
  std::vector<std::uint64_t> released_;
  std::uint64_t bytes_ = 0, records_ = 0, waiting_records_ = 0;
  std::uint64_t retransmitted_ = 0, redelivered_ = 0;
  std::vector<Done> done_;
};

}  // namespace weft::protocol
