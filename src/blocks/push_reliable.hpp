// ReliablePush: the acknowledged side of a Push. Binds the outbox to sessions, payloads and a journal.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <weft/blocks/push.hpp>
#include <weft/protocol/outbox.hpp>

#include "blocks/durable.hpp"
#include "blocks/guarded.hpp"
#include "blocks/hub.hpp"
#include "blocks/parcel.hpp"

namespace weft::blocks {

/// False: the receiver speaks of another life of the stream.
bool speaks_of(const wire::Header& header, std::uint64_t epoch);
/// Reads AckView from a HELLO or an ACK; one of another life has nothing to say of this one.
protocol::AckView read_ack(const wire::Header& header, std::uint64_t epoch);
/// The other way.
void write_ack(const protocol::AckView& view, wire::Header& header);
/// The epoch of a port's streams: the journal's when it has one, else `fresh`, which it keeps from then on.
std::uint64_t journaled_epoch(Journal& journal, const std::string& port, std::uint64_t fresh);

class ReliablePush {
 public:
  /// `on_room` is called when records may be accepted again.
  ReliablePush(Hub& hub, std::function<void()> on_room);
  ~ReliablePush();

  // ---- records ----

  void accept(wire::BatchBuilder::Batch batch, const BatchClass& kind, std::uint32_t lane,
              std::vector<std::uint64_t> keys, std::vector<std::uint64_t> correlations);
  /// Accepts what was handed over while a transaction was open.
  void unstage();
  /// ... or forgets it: the transaction was abandoned.
  void drop_staged();
  /// Why no record can be taken now; ok: one can. `open` is what the block holds in open batches.
  [[nodiscard]] SendStatus room(std::uint64_t open_bytes, std::uint64_t open_records) const;
  bool drop_oldest();
  std::uint64_t purge();
  void peek(std::size_t limit, const std::function<void(const HeldRecord&)>& show) const;
  void pump();
  /// Nothing is left, and what has ended has been told.
  [[nodiscard]] bool settled() const {
    return outbox_.empty() && letters_.empty() && ended_.empty() && staged_.empty();
  }
  /// Everything that was accepted is in the journal, synced.
  [[nodiscard]] bool durable() const;
  [[nodiscard]] bool handed_over() const;
  [[nodiscard]] std::uint64_t left() const { return outbox_.records() + letter_records_ + staged_records_; }
  void fill(PortStats& stats) const;
  /// Records accepted: those that are durable, with a journal.
  [[nodiscard]] std::uint64_t accepted_total() const {
    return journal_.on() ? durable_total_ : accepted_total_;
  }

  // ---- who gets a key ----

  /// The receiver that owns a key, among those that are not given up. 0: there is none.
  [[nodiscard]] std::uint32_t owner_of(std::uint64_t key_hash);
  [[nodiscard]] std::uint32_t named(std::string_view node);

  // ---- what the hub tells ----

  void describe(Peer& peer, wire::Header& header);
  void on_met(Peer& peer, const wire::Header& header);
  void on_ack(Peer& peer, const wire::Header& header);
  void on_message(Peer& peer, const wire::Header& header, transport::Message& message, std::size_t at);
  void on_up(Peer& peer);
  void on_down(Peer& peer, PeerEvent::What what);
  void on_removed(Peer& peer);
  void on_room(Peer& peer);
  void probe_all();
  /// What was not settled is dropped, where no journal has it. Returns how many records these were.
  std::uint64_t close();

  /// Receivers of which something is remembered.
  [[nodiscard]] std::size_t receivers_known() const { return outbox_.lanes_known(); }

  /// True: the block has an open batch for that lane.
  std::function<bool(std::uint32_t lane)> collects;
  std::function<void(std::uint64_t correlation, RecordFate fate)> outcome;
  std::function<SendStatus(const DeadLetter&)> dead_letter;
  Block::Tap tap;

 private:
  struct LaneState {
    std::uint64_t peer = 0;  // id; 0: none now
    std::string node;        // once it was met
    bool given_up = true;    // owns no keys
    TimePoint give_up_at = TimePoint::max();
    bool removed = false;  // the hub has forgotten it: so does this, when nothing is left for it
  };
  struct Letter {
    Parcel parcel;
    std::uint32_t attempts = 0;
    std::string reason, receiver;
    std::uint32_t next = 0;  // record to hand over next
    std::uint64_t id = 0;    // in the journal
  };

  struct Ended {
    std::uint64_t commit = 0;  // told when this is durable; 0: at the end of the call that ended it
    std::uint64_t correlation = 0;
    RecordFate fate = RecordFate::processed;
  };

  std::uint32_t lane_of(Peer& peer);
  LaneState& state(std::uint32_t lane);
  void give_up(std::uint32_t lane);
  void forget(std::uint32_t lane);
  void ask_way();
  void load();
  /// `past`: attempts, lane, order and suspicion of the batch that the parcel comes from.
  void admit(Parcel parcel, const protocol::OutboxEntry& past, Duration delay);
  void keep_past(std::uint64_t id, Parcel& parcel, Duration delay);
  [[nodiscard]] std::string node_of(const std::string& receiver) const;
  void journal_put(std::uint64_t id, const Parcel& parcel);
  void journal_erase(std::uint64_t id, const Parcel& parcel);
  void submit();
  void place_waiting();
  void send_placed();
  bool send(Peer& peer, std::uint32_t lane, const protocol::Outbox::Departure& departure);
  bool send_void(Peer& peer, std::uint32_t lane, std::uint64_t seq);
  void settle_done();
  void settle_and_send(Peer& peer);
  void finish(const protocol::Outbox::Done& done);
  void tell(const Parcel& parcel, std::uint32_t first, std::uint32_t count, RecordFate fate);
  /// Those whose end is known for good, each of them, although a handler may throw.
  void tell_ended();
  void forget_places();
  protocol::Outbox& box();
  void split_by_owner(const Parcel& parcel, const protocol::OutboxEntry& entry);
  void split(const protocol::Outbox::Assignment& wanted);
  Parcel next_part(const Parcel& whole, wire::BatchReader& reader, std::uint32_t first, std::uint32_t count);
  static Parcel parcel_of(wire::BatchBuilder::Batch batch, const Parcel& from);
  /// What is on its way fills the port: it waits for reports.
  [[nodiscard]] bool crowded() const;
  Parcel take_records(const Parcel& parcel, const std::vector<std::uint32_t>& indexes);
  void bury(Parcel parcel, std::uint32_t attempts, std::string reason, const std::string& receiver);
  void journal_letter(const Letter& letter);
  void keep_rest(Letter& letter);
  void load_letters();
  bool hand_over(Letter& letter);
  SendStatus offer(const Letter& letter, std::uint32_t index, Bytes record);
  void put_back(Letter letter);
  void forget_letter(const Letter& letter);
  bool too_late(const Parcel& parcel);
  void hand_over_letters();
  void plan(TimePoint when);
  void tick();
  void on_news();

  Hub& hub_;
  const PortOptions& options_;
  std::function<void()> room_came_;
  protocol::Outbox outbox_;
  Durable journal_;
  std::string entries_space_, places_space_, past_space_, next_space_, letters_space_, info_space_;
  std::unordered_map<std::uint64_t, Parcel> parcels_;
  std::vector<LaneState> lanes_;
  std::vector<protocol::Candidate> candidates_;
  struct Staged {
    Parcel parcel;
    std::uint32_t lane = 0;
  };
  std::vector<Staged> staged_;  // of the open transaction
  std::uint64_t staged_bytes_ = 0, staged_records_ = 0;
  std::deque<Letter> letters_;  // without a taker so far
  std::uint64_t letter_bytes_ = 0, letter_records_ = 0, next_letter_ = 1;
  std::deque<Ended> ended_;
  static constexpr int kMostTelling = 16;  // a handler may wait in the loop, which goes 8 turns deep
  Calls telling_;
  std::uint64_t accepted_total_ = 0;
  std::uint64_t durable_total_ = 0;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> totals_;  // (commit, accepted_total_ with it)
  std::uint64_t last_commit_ = 0;  // number of the journal's commit that has the newest parcel
  bool refused_ = false;           // the journal took the last changes not yet
  bool pumping_ = false;
  CallAll taps_;              // what one of them threw is thrown when all has left
  bool dropped_all_ = false;  // at the end: nothing is held any more
  Loop::TimerId timer_ = 0;
  TimePoint timer_at_ = TimePoint::max();
  wire::Buffer head_;
};

}  // namespace weft::blocks
