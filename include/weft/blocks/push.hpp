// Push: sends each record to one of its Pull peers.
//
//   weft::Loop loop;
//   weft::Push<Update> push(loop, {.name = "updates", .connect = {"tcp://127.0.0.1:5555"}});
//   const auto deadline = weft::Deadline::after(10s);  // once: to read the clock costs as much as to send
//   for (const Update& u : updates) (void)push.send(u, deadline);
//   push.settle(deadline);  // what is still here when it is closed is dropped, counted, and said
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/batch.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

/// A record that an acknowledging Push holds, as peek() shows it; the views are good during the call.
struct HeldRecord {
  Bytes packed;                ///< one msgpack object
  std::string_view receiver;   ///< it is on its way there; empty: it waits
  std::uint8_t priority = 4;   ///< 0-9
  std::uint32_t attempts = 0;  ///< receivers that it was offered to
  Duration age{};              ///< since it was sent, by the wall clock
};

/// What Push does without knowing the type of its records. Records collect in a batch; it leaves when it is
/// full, when the loop has nothing else to do, after `linger`, or by flush(). Nothing is sent before a peer
/// has said HELLO.
class PushBase : public Block {
 public:
  ~PushBase() override;
  [[nodiscard]] std::vector<std::string> endpoints() const override;
  void connect(const std::string& endpoint) override;
  void disconnect(const std::string& endpoint) override;
  [[nodiscard]] std::size_t peers_up() const override;
  /// Receivers of which something is remembered, be they gone: `max_peers` beyond those that are here.
  [[nodiscard]] std::size_t receivers_known() const;
  [[nodiscard]] PortStats stats() const override;
  void on_peer(std::function<void(const PeerEvent&)> handler) override;
  void begin_drain() override;
  [[nodiscard]] bool drained() const override;
  void close() override;
  void tap(Tap tap) override;

  /// Where the next record goes. Key: for Distribute::hash. Peer: for Distribute::explicit_, "server/1". The
  /// rest is for acknowledged deliveries.
  struct To {
    std::optional<Bytes> key = std::nullopt;
    std::string_view peer = {};
    std::optional<std::uint8_t> priority = std::nullopt;  ///< 0-9; else the port's
    std::optional<Duration> ttl = std::nullopt;           ///< else the port's
    std::optional<Duration> delay = std::nullopt;         ///< else the port's
    std::uint64_t correlation = 0;                        ///< given back by on_outcome(); 0: not told
    static To with_key(Bytes k) { return {.key = k}; }
    static To with_key(std::string_view k) { return {.key = as_bytes(k)}; }
    static To with_peer(std::string_view p) { return {.peer = p}; }
  };

  /// True when send() would take a record (for hash and explicit: to whatever peer is worst off).
  [[nodiscard]] bool has_room() const;
  /// Called when there is room again after a send() that would have blocked: the place to go on from a
  /// handler.
  void on_room(std::function<void()> handler);
  /// Memory for a tensor that will be sent here: where receivers on this host can read it without a copy,
  /// when the port shares memory, has such a receiver, and there is room; else from the heap. Write it, make
  /// it a tensor and send it; then it must not be written any more.
  [[nodiscard]] TensorRoom allocate(std::size_t bytes);
  /// Runs the loop until everything has been handed to the network. False: the deadline came first.
  [[nodiscard]] bool flush(Deadline deadline);
  // ---- acknowledged deliveries (PortOptions::delivery) ----

  /// Called on the loop's thread when a record that was sent with a correlation has its fate.
  void on_outcome(std::function<void(std::uint64_t correlation, RecordFate fate)> handler);
  /// Takes records that could not be delivered. would_block, no_space and refused: it is asked again later.
  void on_dead_letter(std::function<SendStatus(const DeadLetter&)> handler);
  /// Runs the loop until all that was sent is in the journal, synced. False: the deadline came first, or the
  /// journal has failed. True at once without a journal.
  [[nodiscard]] bool sync(Deadline deadline);
  /// Drops what waits for a receiver (not what is on its way), counted as dropped. Returns how many records.
  std::uint64_t purge();
  /// Shows the oldest records that have no fate yet, at most `limit`, in the order of their sending; none is
  /// taken away. Nothing for best-effort, which keeps no record that it has sent.
  void peek(std::size_t limit, const std::function<void(const HeldRecord&)>& show) const;
  [[nodiscard]] bool journaled() const;
  /// Records that the port's journal has, or had, durably, over all lives of the port (without one: since it
  /// was opened). Records are accepted in the order of their sending.
  [[nodiscard]] std::uint64_t accepted_total() const;

  /// Runs the loop until every peer has acknowledged everything that it was sent. False: the deadline came
  /// first, the only peers have refused this port for good, or (best-effort) a peer was lost with some of it.
  [[nodiscard]] bool settle(Deadline deadline);
  /// Runs the loop until `count` peers are up. False: the deadline came first.
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);

  struct Impl;

 protected:
  PushBase(Loop& loop, PortOptions options, RecordType type);
  /// The batch that the record goes into, or nullptr with the reason in `why`.
  wire::BatchBuilder* begin(const To& to, SendStatus& why);
  /// The open batch of a Push that does not look at keys or peers; null whenever begin() must decide.
  wire::BatchBuilder* open_ = nullptr;
  std::size_t batch_bytes_ = 0;
  std::uint32_t batch_records_ = 0;
  /// The batch has reached a bound with its last record, which began at `mark`.
  SendStatus full(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark);
  /// ok: try again; else why there is no room.
  SendStatus wait_for_room(Deadline deadline);

  /// `Sound`: what is written is a record that receivers take, whatever its value.
  template <bool Sound = false, class Write>
  SendStatus put(const To* to, Write&& write) {
    wire::BatchBuilder* batch = to ? nullptr : open_;
    if (!batch) {
      SendStatus why = SendStatus::ok;
      batch = begin(to ? *to : To{}, why);
      if (!batch) return why;
    }
    const wire::BatchBuilder::Mark mark = batch->mark();
    write(*batch);
    if constexpr (!Sound) {
      const SendStatus why = sendable(batch->body().view().subspan(mark.body));
      if (why != SendStatus::ok) {
        batch->roll_back(mark);
        return why;
      }
    }
    if (batch->bytes() >= batch_bytes_ || batch->count() >= batch_records_ ||
        batch->tensors().size() > wire::kMaxTensors / 2) {
      return full(*batch, mark);
    }
    return SendStatus::ok;
  }
  template <bool Sound = false, class Write>
  SendStatus put_by(const To* to, Deadline deadline, Write&& write) {
    for (;;) {
      const SendStatus status = put<Sound>(to, write);
      if (status != SendStatus::would_block) return status;
      const SendStatus waited = wait_for_room(deadline);
      if (waited != SendStatus::ok) return waited;
    }
  }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Records of type T (see WEFT_RECORD).
template <class T = Raw>
class Push : public PushBase {
 public:
  Push(Loop& loop, PortOptions options) : PushBase(loop, std::move(options), record_type<T>()) {}

  /// Never waits.
  SendStatus send(const T& record) {
    return put<kSound>(nullptr, [&](wire::BatchBuilder& b) { wire::encode_record(b, record); });
  }
  SendStatus send(const T& record, const To& to) {
    return put<kSound>(&to, [&](wire::BatchBuilder& b) { wire::encode_record(b, record); });
  }
  /// Runs the loop while there is no room, as long as a peer may make some; not for use inside handlers.
  SendStatus send(const T& record, Deadline deadline) {
    return put_by<kSound>(nullptr, deadline, [&](wire::BatchBuilder& b) { wire::encode_record(b, record); });
  }
  SendStatus send(const T& record, const To& to, Deadline deadline) {
    return put_by<kSound>(&to, deadline, [&](wire::BatchBuilder& b) { wire::encode_record(b, record); });
  }

 private:
  static constexpr bool kSound = wire::always_sound<T>();
};

/// Raw records: bytes, bytes with tensors, or any msgpack object.
template <>
class Push<Raw> : public PushBase {
 public:
  Push(Loop& loop, PortOptions options) : PushBase(loop, std::move(options), RecordType{}) {}

  SendStatus send(Bytes record) {
    return put<true>(nullptr, [&](wire::BatchBuilder& b) { b.add_bin(record); });
  }
  SendStatus send(Bytes record, const To& to) {
    return put<true>(&to, [&](wire::BatchBuilder& b) { b.add_bin(record); });
  }
  SendStatus send(Bytes record, Deadline deadline) {
    return put_by<true>(nullptr, deadline, [&](wire::BatchBuilder& b) { b.add_bin(record); });
  }
  SendStatus send(Bytes record, const To& to, Deadline deadline) {
    return put_by<true>(&to, deadline, [&](wire::BatchBuilder& b) { b.add_bin(record); });
  }
  /// Bytes and tensors as one record; tensors with an owner are sent without a copy.
  SendStatus send(Bytes record, std::span<const Tensor> tensors) {
    return put<true>(nullptr, [&](wire::BatchBuilder& b) { add_raw(b, record, tensors); });
  }
  SendStatus send(Bytes record, std::span<const Tensor> tensors, Deadline deadline) {
    return put_by<true>(nullptr, deadline, [&](wire::BatchBuilder& b) { add_raw(b, record, tensors); });
  }
  /// One msgpack object as it is (the caller vouches that it is exactly one).
  SendStatus send_packed(Bytes object) {
    return put(nullptr, [&](wire::BatchBuilder& b) { b.add_packed(object); });
  }
  SendStatus send_packed(Bytes object, const To& to) {
    return put(&to, [&](wire::BatchBuilder& b) { b.add_packed(object); });
  }
  SendStatus send_packed(Bytes object, Deadline deadline) {
    return put_by(nullptr, deadline, [&](wire::BatchBuilder& b) { b.add_packed(object); });
  }
  /// A record of another port, with its tensors, as a relay sends it on.
  SendStatus forward(const RawRecord& record) {
    return put(nullptr, [&](wire::BatchBuilder& b) { add_forwarded(b, record.view()); });
  }
  SendStatus forward(const RawRecord& record, const To& to) {
    return put(&to, [&](wire::BatchBuilder& b) { add_forwarded(b, record.view()); });
  }
};

}  // namespace weft
