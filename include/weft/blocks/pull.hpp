// Pull: receives the records of its Push peers, with a handler or by asking.
//
//   weft::Loop loop;
//   weft::Pull<Update> pull(loop, {.name = "updates", .bind = {"tcp://127.0.0.1:5555"}});
//   pull.on_record([](Update& u, const weft::Meta& from) { ... });
//   loop.run();
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/blocks/receipt.hpp>
#include <weft/blocks/records.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

/// A record that was asked for. For Raw, `record` is a RawRecord that views memory of the block: valid until
/// the next receive().
template <class T>
struct Received {
  T record;
  std::string peer;
  std::string topic;  ///< Sub only
  std::uint64_t seq = 0;
};

/// What a receiver says of a record (acknowledged deliveries). A handler that returns has processed its
/// record, unless it said otherwise.
struct Verdict {
  enum class What { processed, requeue, reject };
  What what = What::processed;
  Duration delay = Duration::zero();  ///< requeue: not before
  std::string text = {};              ///< why; a dead letter has it as its reason
  /// Offered again, to this or another receiver, as a further attempt.
  static Verdict requeue(Duration delay = Duration::zero(), std::string why = {}) {
    return {What::requeue, delay, std::move(why)};
  }
  /// Never offered again: a dead letter.
  static Verdict reject(std::string why) { return {What::reject, Duration::zero(), std::move(why)}; }
};

/// What Pull does without knowing the type of its records. A sender's credit comes back when its records have
/// been handled, so a slow receiver slows its senders instead of growing.
class PullBase : public Block {
 public:
  ~PullBase() override;
  [[nodiscard]] std::vector<std::string> endpoints() const override;
  void connect(const std::string& endpoint) override;
  void disconnect(const std::string& endpoint) override;
  [[nodiscard]] std::size_t peers_up() const override;
  /// Senders of which something is remembered, be they gone: `max_peers` beyond those that are here.
  [[nodiscard]] std::size_t senders_known() const;
  [[nodiscard]] PortStats stats() const override;
  void on_peer(std::function<void(const PeerEvent&)> handler) override;
  void begin_drain() override;
  [[nodiscard]] bool drained() const override;
  void close() override;
  void tap(Tap tap) override;

  /// Called after the last record of each batch: a good place to flush what the handler collected. With
  /// acknowledged deliveries it runs before the batch is acknowledged; one that throws, as a handler that
  /// does, leaves the batch unacknowledged, and with a journal uncommitted; nothing more is handed out then.
  void on_batch_end(std::function<void()> handler);
  /// Stops and resumes taking records: what a handler does whose own output is full. Senders run out of
  /// credit.
  void pause(bool paused);
  [[nodiscard]] bool paused() const;
  /// Inside a handler: the record at hand is not taken. Pauses; after pause(false) it is handed out again.
  /// With acknowledged deliveries this is how a handler waits for room: its batch stays unacknowledged, and
  /// what it has sent so far uncommitted.
  void postpone();
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);

  /// Inside a handler: the record at hand is done when settle() says so, and not when the handler returns.
  /// The batch that it came in counts against its sender's credit until then, and as work that this receiver
  /// still has to do. With acknowledged deliveries its sender keeps it as well.
  [[nodiscard]] Receipt defer();
  /// `verdict` has a meaning with acknowledged deliveries. False: no such record waits (its sender was
  /// replaced since, or it has an outcome).
  bool settle(const Receipt& receipt, Verdict verdict = {});
  /// Inside a handler: the outcome of the record at hand, in place of processed. Acknowledged deliveries
  /// (PortOptions::delivery); else without an effect.
  void judge(Verdict verdict);

  struct Impl;

 protected:
  /// Takes the records of a batch: see blocks::hand_out().
  using Handler = std::function<void(blocks::Records&)>;
  PullBase(Loop& loop, PortOptions options, RecordType type);
  void set_handler(Handler handler);
  /// Runs the loop until `take` has taken one record, and stopped the others.
  bool receive_one(Deadline deadline, const Handler& take);

 private:
  std::unique_ptr<Impl> impl_;
};

template <class T = Raw>
class Pull : public PullBase {
 public:
  Pull(Loop& loop, PortOptions options) : PullBase(loop, std::move(options), record_type<T>()) {}

  /// Called on the loop's thread for each record, in the order of its sender. The record may be moved from.
  template <std::invocable<T&, const Meta&> F>
  void on_record(F handler) {
    set_handler([handler = std::move(handler)](blocks::Records& records) mutable {
      blocks::hand_out_typed<T>(records, [&](T& record, const Meta& meta) { handler(record, meta); });
    });
  }
  /// Runs the loop until a record is there. nullopt: none came by the deadline. Not together with a handler.
  std::optional<Received<T>> receive(Deadline deadline) {
    std::optional<Received<T>> out;
    (void)receive_one(deadline, [&](blocks::Records& records) {
      blocks::hand_out_typed<T>(records, [&](T& record, const Meta& meta) {
        out.emplace(Received<T>{std::move(record), std::string(meta.peer), {}, meta.seq});
        records.stop = true;
      });
    });
    return out;
  }
};

template <>
class Pull<Raw> : public PullBase {
 public:
  Pull(Loop& loop, PortOptions options) : PullBase(loop, std::move(options), RecordType{}) {}

  template <std::invocable<const RawRecord&, const Meta&> F>
  void on_record(F handler) {
    set_handler([handler = std::move(handler)](blocks::Records& records) mutable {
      blocks::hand_out_raw(records,
                           [&](const RawRecord& record, const Meta& meta) { handler(record, meta); });
    });
  }
  std::optional<Received<RawRecord>> receive(Deadline deadline) {
    std::optional<Received<RawRecord>> out;
    (void)receive_one(deadline, [&](blocks::Records& records) {
      blocks::hand_out_raw(records, [&](const RawRecord& record, const Meta& meta) {
        out.emplace(Received<RawRecord>{record, std::string(meta.peer), {}, meta.seq});
        records.stop = true;
      });
    });
    return out;
  }
};

}  // namespace weft
