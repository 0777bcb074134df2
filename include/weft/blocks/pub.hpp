// Pub: sends each record to every subscriber of its topic.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

/// A Pub binds two sockets: `bind` is where subscribers say HELLO; its answer tells them where the data comes
/// from. Records of one topic stay in order. A subscriber that cannot keep up loses batches. Under
/// `best_effort` it sees and counts the gap. Under `at_least_once` the Pub retains the last `retain_bytes` of
/// batches, and the subscriber fetches what it missed; what is no longer retained is replaced by a snapshot,
/// or counted as missed. A slow or dead subscriber never holds up a Pub. begin_drain() then waits until each
/// subscriber that was met has said BYE, also one that is silent or dead just now: it may come back, and only
/// it knows what it has. A deadline of the caller ends that wait; awaited() then says who is missed.
class PubBase : public Block {
 public:
  ~PubBase() override;
  /// Where subscribers say HELLO.
  [[nodiscard]] std::vector<std::string> endpoints() const override;
  /// Where the data comes from, for plain SUB sockets.
  [[nodiscard]] std::string data_endpoint() const;
  /// A Pub only binds: throws Error{unsupported}.
  void connect(const std::string& endpoint) override;
  void disconnect(const std::string& endpoint) override;
  /// Subscribers whose subscriptions are active.
  [[nodiscard]] std::size_t peers_up() const override;
  [[nodiscard]] PortStats stats() const override;
  void on_peer(std::function<void(const PeerEvent&)> handler) override;
  void begin_drain() override;
  [[nodiscard]] bool drained() const override;
  void close() override;
  void tap(Tap tap) override;

  /// A subscriber without gaps that has not said that it has everything.
  struct Awaited {
    std::string node;
    std::string state;          ///< "up", "suspect", "dead", ...
    std::uint64_t records = 0;  ///< not up: as many were published since it was last heard of, or a few less
  };
  /// Whom a drain waits for.
  [[nodiscard]] std::vector<Awaited> awaited() const;
  /// Subscribers of that node are not waited for unless they are there: nobody has promised them anything.
  void let_go(std::string_view node);

  /// Called when there is room in the journal again after a record that would have blocked, or none will
  /// come: the journal has failed. Without a journal a Pub never blocks.
  void on_room(std::function<void()> handler);
  /// Sends what has collected, now.
  void flush();
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);

  /// The last sequence of a topic; 0: nothing was published there. What is not flushed does not count yet.
  [[nodiscard]] std::uint64_t sequence(std::string_view topic) const;
  [[nodiscard]] bool journaled() const;
  /// Records that the port's journal has, or had, durably, over all lives of the port (without one: since it
  /// was opened). Records are accepted in the order of their publication, whatever topic they are of.
  /// nullopt: an earlier release has begun the log, and did not count them.
  [[nodiscard]] std::optional<std::uint64_t> accepted_total() const;

  struct Impl;

 protected:
  using Encode = std::function<void(wire::BatchBuilder&)>;
  /// Adds a record to a snapshot. `covers`: the sequence of its topic that the record's state includes;
  /// nullopt: all that is published. False: not a topic, too large, or beyond `capacity_bytes`.
  using SnapshotPut =
      std::function<bool(std::string_view topic, const Encode& encode, std::optional<std::uint64_t> covers)>;
  using SnapshotHandler = std::function<void(std::string_view prefix, const SnapshotPut& put)>;
  void set_snapshot(SnapshotHandler handler);
  PubBase(Loop& loop, PortOptions options, RecordType type);
  /// bad_topic: not at most 190 bytes of UTF-8, or it begins with a zero byte. dropped: too many topics.
  /// too_large: for a frame that every subscriber takes.
  SendStatus put(std::string_view topic, const Encode& encode);

 private:
  std::unique_ptr<Impl> impl_;
};

template <class T = Raw>
class Pub : public PubBase {
 public:
  Pub(Loop& loop, PortOptions options) : PubBase(loop, std::move(options), record_type<T>()) {}
  /// Never waits. The topic's segments end in "/": "orders/eu" becomes "orders/eu/".
  SendStatus publish(std::string_view topic, const T& record) {
    return put(topic, [&](wire::BatchBuilder& b) { wire::encode_record(b, record); });
  }

  /// Where the records of a snapshot go. Valid while the handler runs.
  class Snapshot {
   public:
    explicit Snapshot(const SnapshotPut& put) : put_(put) {}
    bool put(std::string_view topic, const T& record,
             std::optional<std::uint64_t> covers = std::nullopt) const {
      return put_(
          topic, [&](wire::BatchBuilder& b) { wire::encode_record(b, record); }, covers);
    }

   private:
    const SnapshotPut& put_;
  };
  /// at_least_once: called for each prefix of a subscriber that needs a snapshot (it joins, or what it missed
  /// is no longer retained) and asks for one with `keep_last`. Gives the records that make up the state of
  /// the topics with that prefix, as many for each as it takes; they take the place of the kept last value.
  /// The subscriber gets them first (Meta::snapshot), then the live stream behind what they cover.
  void on_snapshot(std::function<void(std::string_view prefix, const Snapshot& into)> handler) {
    set_snapshot([handler = std::move(handler)](std::string_view prefix, const SnapshotPut& put) {
      handler(prefix, Snapshot(put));
    });
  }
};

template <>
class Pub<Raw> : public PubBase {
 public:
  Pub(Loop& loop, PortOptions options) : PubBase(loop, std::move(options), RecordType{}) {}
  SendStatus publish(std::string_view topic, Bytes record) {
    return put(topic, [&](wire::BatchBuilder& b) { b.add_bin(record); });
  }
  SendStatus publish(std::string_view topic, Bytes record, std::span<const Tensor> tensors) {
    return put(topic, [&](wire::BatchBuilder& b) { add_raw(b, record, tensors); });
  }
  SendStatus publish_packed(std::string_view topic, Bytes object) {
    return put(topic, [&](wire::BatchBuilder& b) { b.add_packed(object); });
  }
  SendStatus forward(std::string_view topic, const RawRecord& record) {
    return put(topic, [&](wire::BatchBuilder& b) { add_forwarded(b, record.view()); });
  }

  /// See Pub<T>::on_snapshot.
  class Snapshot {
   public:
    explicit Snapshot(const SnapshotPut& put) : put_(put) {}
    bool put(std::string_view topic, Bytes record, std::optional<std::uint64_t> covers = std::nullopt) const {
      return put_(
          topic, [&](wire::BatchBuilder& b) { b.add_bin(record); }, covers);
    }

   private:
    const SnapshotPut& put_;
  };
  void on_snapshot(std::function<void(std::string_view prefix, const Snapshot& into)> handler) {
    set_snapshot([handler = std::move(handler)](std::string_view prefix, const SnapshotPut& put) {
      handler(prefix, Snapshot(put));
    });
  }
};

}  // namespace weft
