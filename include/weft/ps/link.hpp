// ParamsDealer and ParamsRouter: the two ends of the link between clients and servers of parameters.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>
#include <weft/ps/messages.hpp>

namespace weft::ps {

/// What the link carries, as its ends compare it when they meet.
RecordType request_type();
RecordType reply_type();

/// A request out of a record that anybody may have sent. Reusable; `request` views the record and its frames
/// (or the copies below, where numbers lie unaligned in memory) until the next decode.
///
/// Values are not copied out of memory that a peer lends (shared memory: a process of the same user), so such
/// a peer is trusted not to write them after it has sent them: it could make them NaN when they have been
/// found finite already. Keys, which become places in memory, are copied first.
struct DecodedRequest {
  Request request;
  Tensor keys, values;  ///< keep the frames
  std::vector<std::uint64_t> key_copy;
  std::vector<float> value_copy;

  /// False: the record is no request, and *why says what was found and expected.
  [[nodiscard]] bool decode(const wire::RecordView& record, std::string* why);
};

/// A reply out of a record. `values` views the record or `frame`.
struct DecodedReply {
  Reply reply;   ///< its own `values` stay empty
  Bytes values;  ///< float32, anywhere in memory
  Tensor frame;

  [[nodiscard]] bool decode(const wire::RecordView& record, std::string* why);
};

/// Appends a request as a record: an array of seven numbers, then keys and values. They are copied, but for
/// values that are a frame of their own and have an owner.
void encode(wire::BatchBuilder& batch, const Request& request,
            const std::shared_ptr<const void>& owner = nullptr);
/// Appends a reply as a record. Values that are a frame of their own travel without a copy.
void encode(wire::BatchBuilder& batch, Reply&& reply);

/// The asking end. Owned and used by the loop's thread, as every block.
class ParamsDealer : public DealerBase {
 public:
  ParamsDealer(Loop& loop, const PortOptions& options);

  /// How a request ended. `reply` is set, and views memory until the handler returns, when `outcome` is ok.
  struct End {
    Outcome outcome = Outcome::closed;
    wire::Code code = wire::Code::none;
    std::string text;
    const DecodedReply* reply = nullptr;
  };
  /// Sends to the node `server` ("server/1") and no other. What `request` views is read before this returns.
  /// `done` is called exactly once, before this returns only when the request could not be taken at all.
  /// With an `owner`, values that are many are not copied: it is held until they are out.
  template <std::invocable<const End&> F>
  void send(const Request& request, const std::shared_ptr<const void>& owner, std::string_view server,
            Deadline deadline, F done) {
    send_raw(request, owner, server, deadline, [done = std::move(done)](RawReply& raw) mutable {
      DecodedReply decoded;
      done(end_of(raw, decoded));
    });
  }
  /// False: too many bytes wait here for their servers; a further request would fail.
  [[nodiscard]] bool has_room() const { return stats().queued_bytes < capacity_; }
  [[nodiscard]] Loop& loop() { return loop_; }
  /// Runs the loop until `done()`; false: not by the deadline. Not for use inside handlers.
  bool wait(const std::function<bool()>& done, Deadline deadline);

 private:
  void send_raw(const Request& request, const std::shared_ptr<const void>& owner, std::string_view server,
                Deadline deadline, Done done);
  static End end_of(RawReply& raw, DecodedReply& decoded);

  Loop& loop_;
  std::uint64_t capacity_;
};

/// The answering end. Owned and used by the loop's thread, as every block.
class ParamsRouter : public RouterBase {
 public:
  ParamsRouter(Loop& loop, PortOptions options);

  /// Called for each request, in the order of its asker. The request views memory until the handler returns;
  /// keep the ticket to answer later.
  void on_request(std::function<void(const Request&, Ticket)> handler);
  /// Answers a ticket.
  static void answer(Ticket& ticket, Reply&& reply);
  /// Requests whose bytes were no request. Each got an error reply with a sentence.
  [[nodiscard]] std::uint64_t malformed() const { return malformed_; }

 private:
  DecodedRequest decoded_;
  std::uint64_t malformed_ = 0;
};

}  // namespace weft::ps
