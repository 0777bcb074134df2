// Dealer: asks its Router peers and gets each request's reply, or an outcome that says why there is none.
//
//   weft::Dealer<Query, Answer> ask(loop, {.name = "ask", .connect = {"tcp://127.0.0.1:5555"}});
//   auto reply = ask.ask({.text = "6*7"}, weft::Deadline::after(1s));
//   if (reply.ok()) use(*reply.record);
//
// Under best_effort a request has one attempt. Under at_least_once it is made again when no answer came in
// `attempt_timeout`, when its router is lost, or when its connection was cut, at any router that may have it,
// until its deadline or `max_attempts`: it may be done more than once. Under exactly_once it stays with the
// router that was offered it first, which tells a repetition by its number; past the deadline it ends as
// `unknown`.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/blocks/raw.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

/// How a request ended. Every request ends in exactly one of these.
enum class Outcome {
  ok,
  remote_error,  ///< the router's handler refused or failed: code and text are its own
  timed_out,     ///< no reply by the deadline; text names peer and state
  peer_lost,  ///< its router died, restarted or left before it replied (at_least_once: in the last attempt)
  malformed,  ///< the reply is not of the expected type
  no_room,    ///< never sent: the queue is full (ask() waits for room instead)
  no_peer,    ///< never sent: explicit_ and no such peer is up, or all there are have refused for good
  closed,     ///< the Dealer was closed
  cancelled,  ///< by cancel()
  unknown,    ///< exactly_once: it was offered to a router, and whether it has been done cannot be told
};
std::string_view to_string(Outcome outcome);

/// Names a request of one Dealer; 0: none.
using RequestId = std::uint64_t;

/// The end of a request. For Raw, `record` views memory that lives as long as this object.
template <class R>
struct Reply {
  Outcome outcome = Outcome::closed;
  wire::Code code = wire::Code::none;
  std::string text;
  std::string peer;
  std::optional<R> record;
  std::shared_ptr<const void> hold;
  [[nodiscard]] bool ok() const { return outcome == Outcome::ok; }
};

/// Where a request goes, when the port's distribution asks for it.
struct RequestTo {
  std::optional<Bytes> key;  ///< Distribute::hash
  std::string_view peer;     ///< any distribution: this router and no other, "server/1"
};

class DealerBase : public Block {
 public:
  ~DealerBase() override;
  [[nodiscard]] std::vector<std::string> endpoints() const override;
  void connect(const std::string& endpoint) override;
  void disconnect(const std::string& endpoint) override;
  [[nodiscard]] std::size_t peers_up() const override;
  [[nodiscard]] PortStats stats() const override;
  void on_peer(std::function<void(const PeerEvent&)> handler) override;
  void begin_drain() override;
  [[nodiscard]] bool drained() const override;
  void close() override;
  void tap(Tap tap) override;

  /// Ends a request as `cancelled`, before this returns, and tells its router, which may have done it
  /// already. False: it has ended before.
  bool cancel(RequestId id);
  /// Requests that have not ended yet.
  [[nodiscard]] std::size_t open_requests() const;
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);
  /// Memory for a tensor that will be sent here; see PushBase::allocate().
  [[nodiscard]] TensorRoom allocate(std::size_t bytes);
  /// Names of the routers that are up: "server/0", ...
  [[nodiscard]] std::vector<std::string> peer_names() const;

  struct Impl;

 protected:
  struct RawReply {
    Outcome outcome = Outcome::closed;
    wire::Code code = wire::Code::none;
    std::string text;
    std::string_view peer;             // valid while `done` runs
    wire::RecordView record;           // outcome ok
    std::shared_ptr<const void> hold;  // owns what `record` views
  };
  using Done = std::function<void(RawReply&)>;
  DealerBase(Loop& loop, PortOptions options, RecordType request, RecordType reply);
  /// Encodes into the open batch of the chosen router. `done` is called exactly once, never from inside
  /// submit() unless the request could not be taken at all.
  /// Returns its name, or 0 for one that has ended in here.
  RequestId submit(const RequestTo& to, Deadline deadline,
                   const std::function<void(wire::BatchBuilder&)>& encode, Done done);
  /// Runs the loop until `finished`; waits for room first.
  void wait(const bool& finished, Deadline deadline);
  /// nullopt: submit() takes the request, or says at once why it will not. Else how it ends: there was no
  /// room by the deadline (and in which state the routers are), or this was closed meanwhile, and may be
  /// gone.
  [[nodiscard]] std::optional<RawReply> wait_for_room(const RequestTo& to, Deadline deadline);

 private:
  std::unique_ptr<Impl> impl_;
};

template <class Q = Raw, class R = Raw>
class Dealer : public DealerBase {
 public:
  /// What a request is given as: Q, or bytes for Raw.
  using Query = std::conditional_t<std::is_same_v<Q, Raw>, Bytes, Q>;
  using Record = std::conditional_t<std::is_same_v<R, Raw>, RawRecord, R>;

  Dealer(Loop& loop, PortOptions options)
      : DealerBase(loop, std::move(options), record_type<Q>(), record_type<R>()) {}

  /// Sends and returns; `done` is called on the loop's thread, exactly once, by the deadline at the latest.
  /// Many requests may be on their way.
  template <std::invocable<Reply<Record>&> F>
  RequestId request(const Query& query, Deadline deadline, F done, const RequestTo& to = {}) {
    return submit(to, deadline, encoder(query), [done = std::move(done)](RawReply& raw) mutable {
      Reply<Record> reply = decode(raw);
      done(reply);
    });
  }
  /// Sends, and runs the loop until the request has ended: by the deadline, or at once as `no_peer` when this
  /// port only connects and each of its routers has refused it for good. Not for use inside handlers.
  Reply<Record> ask(const Query& query, Deadline deadline, const RequestTo& to = {}) {
    if (auto ended = wait_for_room(to, deadline)) return decode(*ended);
    auto out = std::make_shared<std::pair<bool, Reply<Record>>>();
    request(
        query, deadline,
        [out](Reply<Record>& r) {
          out->second = std::move(r);
          out->first = true;
        },
        to);
    wait(out->first, deadline);
    return std::move(out->second);
  }
  /// Raw only: one msgpack object as it is, as the request.
  RequestId request_packed(Bytes object, Deadline deadline, std::function<void(Reply<Record>&)> done,
                           const RequestTo& to = {}) requires std::is_same_v<Q, Raw> {
    return submit(
        to, deadline, [object](wire::BatchBuilder& b) { b.add_packed(object); },
        [done = std::move(done)](RawReply& raw) {
          Reply<Record> reply = decode(raw);
          done(reply);
        });
  }

 private:
  static std::function<void(wire::BatchBuilder&)> encoder(const Query& query) {
    if constexpr (std::is_same_v<Q, Raw>) {
      return [query](wire::BatchBuilder& b) { b.add_bin(query); };
    } else {
      return [&query](wire::BatchBuilder& b) { wire::encode_record(b, query); };
    }
  }
  static Reply<Record> decode(RawReply& raw) {
    Reply<Record> reply{raw.outcome,           raw.code,     std::move(raw.text),
                        std::string(raw.peer), std::nullopt, std::move(raw.hold)};
    if (raw.outcome != Outcome::ok) return reply;
    if constexpr (std::is_same_v<R, Raw>) {
      reply.record.emplace(raw.record);
    } else {
      R record{};
      if (wire::decode_record(raw.record, record)) {
        reply.record.emplace(std::move(record));
      } else {
        reply.outcome = Outcome::malformed;
        reply.text = "the reply is not of the expected type";
      }
    }
    return reply;
  }
};

}  // namespace weft
