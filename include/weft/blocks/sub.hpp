// Sub: receives the records of the topics that it asks for.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/blocks/records.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

/// A Sub connects to each of its publishers: one session for HELLO, type check and kept last values, one
/// socket for data. A late joiner's first record of a topic is simply where it begins; after that every gap
/// is counted in `missed_batches`.
class SubBase : public Block {
 public:
  ~SubBase() override;
  [[nodiscard]] std::vector<std::string> endpoints() const override;
  void connect(const std::string& endpoint) override;
  void disconnect(const std::string& endpoint) override;
  /// Publishers that have confirmed our subscriptions.
  [[nodiscard]] std::size_t peers_up() const override;
  [[nodiscard]] PortStats stats() const override;
  void on_peer(std::function<void(const PeerEvent&)> handler) override;
  void begin_drain() override;
  [[nodiscard]] bool drained() const override;
  void close() override;
  void tap(Tap tap) override;

  /// Stops and resumes taking records. Publishers do not wait: what does not fit meanwhile is lost, and
  /// counted.
  void pause(bool paused);
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);

  struct Impl;

 protected:
  /// Takes the records of a batch: see blocks::hand_out().
  using Handler = std::function<void(blocks::Records&)>;
  SubBase(Loop& loop, PortOptions options, RecordType type);
  void set_handler(Handler handler);
  bool receive_one(Deadline deadline, const Handler& take);

 private:
  std::unique_ptr<Impl> impl_;
};

template <class T = Raw>
class Sub : public SubBase {
 public:
  Sub(Loop& loop, PortOptions options) : SubBase(loop, std::move(options), record_type<T>()) {}
  /// Called on the loop's thread for each record, in the order of its publisher and topic; `meta.topic` says
  /// which.
  template <std::invocable<T&, const Meta&> F>
  void on_record(F handler) {
    set_handler([handler = std::move(handler)](blocks::Records& records) mutable {
      blocks::hand_out_typed<T>(records, [&](T& record, const Meta& meta) { handler(record, meta); });
    });
  }
  /// Runs the loop until a record is there. nullopt: none came by the deadline, or none can come: each
  /// publisher has refused this port for good. Not together with a handler.
  std::optional<Received<T>> receive(Deadline deadline) {
    std::optional<Received<T>> out;
    (void)receive_one(deadline, [&](blocks::Records& records) {
      blocks::hand_out_typed<T>(records, [&](T& record, const Meta& meta) {
        out.emplace(
            Received<T>{std::move(record), std::string(meta.peer), std::string(meta.topic), meta.seq});
        records.stop = true;
      });
    });
    return out;
  }
};

template <>
class Sub<Raw> : public SubBase {
 public:
  Sub(Loop& loop, PortOptions options) : SubBase(loop, std::move(options), RecordType{}) {}
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
        out.emplace(Received<RawRecord>{record, std::string(meta.peer), std::string(meta.topic), meta.seq});
        records.stop = true;
      });
    });
    return out;
  }
};

}  // namespace weft
