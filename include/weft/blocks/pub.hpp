// Pub: sends each record to every subscriber of its topic.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

/// A Pub binds two sockets: `bind` is where subscribers say HELLO; its answer tells them where the data comes
/// from. Records of one topic stay in order. A subscriber that cannot keep up loses batches; it sees and
/// counts the gap.
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

  /// Sends what has collected, now.
  void flush();
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);

  struct Impl;

 protected:
  PubBase(Loop& loop, PortOptions options, RecordType type);
  /// dropped: too many topics, or a topic that is not 1-190 bytes of UTF-8 (empty is allowed) or begins with
  /// a zero byte.
  SendStatus put(std::string_view topic, const std::function<void(wire::BatchBuilder&)>& encode);

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
};

}  // namespace weft
