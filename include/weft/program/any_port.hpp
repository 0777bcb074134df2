// InPort and OutPort: a port of a generic node, whatever pattern the topology gives it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/blocks/block.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/router.hpp>
#include <weft/core/value.hpp>
#include <weft/node/node.hpp>
#include <weft/wire/batch.hpp>

namespace weft::program {

/// Answers one request of a dealer-router link; for other patterns empty, and then every call does nothing.
class Answer {
 public:
  Answer() = default;
  explicit Answer(RouterBase::Ticket ticket) : ticket_(std::move(ticket)) {}
  [[nodiscard]] bool wanted() const { return ticket_.open(); }
  void reply(const wire::RecordView& record);
  void reply_value(const Value& value);
  void fail(wire::Code code, std::string_view text);

 private:
  RouterBase::Ticket ticket_;
};

/// The receiving end: Pull, Sub or Router. Of the loop's thread.
class InPort {
 public:
  struct Settings {
    std::vector<std::string> topics = {""};  ///< Sub: prefixes
  };
  using Handler = std::function<void(const wire::RecordView&, const Meta&, Answer)>;
  /// Opens the port. Throws Error{invalid_argument} when the topology makes it a sending end, or links it by
  /// two patterns.
  InPort(Node& node, const std::string& port, Settings settings, Handler handler);
  ~InPort();

  [[nodiscard]] topology::Pattern pattern() const { return pattern_; }
  /// Push-pull: senders wait. Pub-sub: what does not fit meanwhile is lost and counted. Requests: not held up
  /// (their askers' limits do that).
  void pause(bool paused);
  /// Inside a handler of push-pull: the record at hand is not taken; it comes again after pause(false).
  void postpone();
  [[nodiscard]] Delivery delivery() const { return delivery_; }
  /// Push-pull with a promise: the outcome of the record at hand. Else without an effect.
  void judge(Verdict verdict);
  /// Inside a handler of push-pull or requests: the record at hand is done when settle() says so, see
  /// PullBase::defer() and RouterBase::defer(). The verdict is for push-pull with a promise. Pub-sub: nothing
  /// of this has an effect.
  [[nodiscard]] Receipt defer();
  bool settle(const Receipt& receipt, Verdict verdict = {});
  /// Push-pull with a promise: `prepare` runs behind the last record of each batch, before its
  /// acknowledgement; if it throws there is none. What it changes in the journal becomes durable with the
  /// acknowledgement, or not at all. Null: there is no journal.
  Journal* on_commit(std::function<void()> prepare);
  [[nodiscard]] Block& block() { return *block_; }

 private:
  topology::Pattern pattern_;
  Block* block_ = nullptr;
  std::function<void(bool)> pause_;
  PullBase* pull_ = nullptr;
  RouterBase* router_ = nullptr;
  Delivery delivery_ = Delivery::best_effort;
  std::shared_ptr<Journal> journal_;
};

/// The sending end: Push, Pub or Dealer.
class OutPort {
 public:
  struct Settings {
    /// Pub: where a record goes; "" publishes under the topic that send() names.
    std::string topic;
    /// Member of a record whose value chooses the receiver (`distribute: hash`); "": the whole record.
    std::string key_field;
    /// Member that names the receiver (`distribute: explicit`), "server/1".
    std::string to_field;
    /// Dealer: how long a request may take.
    Duration timeout = std::chrono::seconds(10);
    /// Dealer: requests on their way at once; a further one would block.
    std::size_t max_requests = 1024;
  };
  /// How a request ended; `record` is null unless it was answered.
  struct Result {
    bool ok = false;
    wire::Code code = wire::Code::none;
    std::string text;
    std::string peer;
    const wire::RecordView* record = nullptr;
  };
  using Done = std::function<void(const Result&)>;

  OutPort(Node& node, const std::string& port, Settings settings);
  ~OutPort();

  [[nodiscard]] topology::Pattern pattern() const { return pattern_; }
  /// Never waits. Dealer: `done` is called exactly once, unless the call says would_block; other patterns
  /// never call it. `topic` is for Pub when the settings name none. A record without the field that a setting
  /// names is `dropped`, and counted in unaddressed().
  SendStatus send(const wire::RecordView& record, std::string_view topic = {}, Done done = {});
  SendStatus send_packed(Bytes object, std::string_view topic = {}, Done done = {}) {
    return send({object, {}}, topic, std::move(done));
  }
  /// Called when there is room again after a send that would have blocked.
  void on_room(std::function<void()> handler);
  /// Everything that was sent has been acknowledged or answered, as far as the pattern knows.
  [[nodiscard]] bool settled() const;
  [[nodiscard]] std::uint64_t unaddressed() const;
  /// Push or Pub with a journal: records that it has taken durably, over all lives of the node. Else nullopt.
  [[nodiscard]] std::optional<std::uint64_t> accepted_total() const;
  [[nodiscard]] Block& block();

  struct Impl;

 private:
  topology::Pattern pattern_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::program
