// Router: answers the requests of its Dealer peers, at once or later.
//
//   weft::Router<Query, Answer> router(loop, {.name = "answers", .bind = {"tcp://127.0.0.1:5555"}});
//   router.on_request([](Query& q, weft::Responder<Answer> respond) { respond.reply({.text = "42"}); });
//   loop.run();
//
// Under at_least_once and exactly_once an asker may send a request again. One that is being handled is not
// handed out twice; one that has its reply gets it again, as long as that is in the window
// (PortOptions::reply_window); one that is older is refused with Code::gone.
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
#include <weft/blocks/receipt.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

namespace weft {

class RouterBase : public Block {
 public:
  ~RouterBase() override;
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

  /// Inside a handler: the request at hand counts as handled when settle() says so, and not when the handler
  /// returns: for a handler that passes its requests to somebody who works through them. Until then they
  /// count against the asker's credit, and askers with several routers send them elsewhere. An answer does
  /// not settle.
  [[nodiscard]] Receipt defer();
  /// False: no such request waits.
  bool settle(const Receipt& receipt);
  /// Requests that were handed out and have no answer yet.
  [[nodiscard]] std::size_t open_requests() const;
  [[nodiscard]] bool wait_for_peers(std::size_t count, Deadline deadline);
  /// Memory for a tensor that will be sent here; see PushBase::allocate().
  [[nodiscard]] TensorRoom allocate(std::size_t bytes);

  struct Impl;
  /// The right to answer one request; move-only. Destroyed unused, it answers "failed". Of the loop's thread.
  class Ticket {
   public:
    /// Who asked: shared by the tickets of an asker.
    struct Origin {
      std::shared_ptr<Impl*> router;  // holds null once that is gone
      std::uint64_t peer = 0;
      std::uint64_t generation = 0;
      std::string node;
    };
    Ticket() = default;
    Ticket(std::shared_ptr<const Origin> origin, std::uint64_t number)
        : origin_(std::move(origin)), number_(number) {}
    Ticket(Ticket&& other) noexcept
        : origin_(std::move(other.origin_)), number_(std::exchange(other.number_, 0)) {}
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() {
      if (open()) drop();
    }
    void reply(const std::function<void(wire::BatchBuilder&)>& encode);
    void fail(wire::Code code, std::string_view text);
    [[nodiscard]] bool open() const { return number_ != 0; }
    [[nodiscard]] const std::string& peer() const {
      static const std::string nobody;
      return origin_ ? origin_->node : nobody;
    }

   private:
    friend struct Impl;
    void drop() noexcept;

    std::shared_ptr<const Origin> origin_;
    std::uint64_t number_ = 0;
  };

 protected:
  /// Returns false when the request is not of the block's type.
  using Handler = std::function<bool(const wire::RecordView&, Ticket)>;
  RouterBase(Loop& loop, PortOptions options, RecordType request, RecordType reply);
  void set_handler(Handler handler);
  /// Runs the loop until a request is there.
  bool next_one(Deadline deadline, const Handler& take);

 private:
  std::unique_ptr<Impl> impl_;
};

/// Answers one request, now or later, from the loop's thread. Move-only; destroyed unused, it answers
/// "failed".
template <class R>
class Responder {
 public:
  explicit Responder(RouterBase::Ticket ticket) : ticket_(std::move(ticket)) {}
  /// Who asked: "worker/2".
  [[nodiscard]] const std::string& peer() const { return ticket_.peer(); }
  [[nodiscard]] bool open() const { return ticket_.open(); }

  void reply(const R& record) requires(!std::is_same_v<R, Raw>) {
    ticket_.reply([&](wire::BatchBuilder& b) { wire::encode_record(b, record); });
  }
  void reply(Bytes record) requires std::is_same_v<R, Raw> {
    ticket_.reply([&](wire::BatchBuilder& b) { b.add_bin(record); });
  }
  void reply(Bytes record, std::span<const Tensor> tensors) requires std::is_same_v<R, Raw> {
    ticket_.reply([&](wire::BatchBuilder& b) { add_raw(b, record, tensors); });
  }
  /// Raw only: one msgpack object as it is.
  void reply_packed(Bytes object) requires std::is_same_v<R, Raw> {
    ticket_.reply([&](wire::BatchBuilder& b) { b.add_packed(object); });
  }
  /// Arrives at the asker as Outcome::remote_error with this code and text. Code::full and Code::retry say
  /// that nothing was done: under at_least_once and exactly_once the asker tries again.
  void fail(wire::Code code, std::string_view text) { ticket_.fail(code, text); }

 private:
  RouterBase::Ticket ticket_;
};

template <class Q = Raw, class R = Raw>
class Router : public RouterBase {
 public:
  using Query = std::conditional_t<std::is_same_v<Q, Raw>, RawRecord, Q>;

  Router(Loop& loop, PortOptions options)
      : RouterBase(loop, std::move(options), record_type<Q>(), record_type<R>()) {}

  /// Called on the loop's thread for each request, in the order of its asker. Keep the responder to answer
  /// later.
  template <std::invocable<const Query&, Responder<R>> F>
  void on_request(F handler) {
    set_handler([handler = std::move(handler)](const wire::RecordView& view, Ticket ticket) mutable {
      return with(view, [&](const Query& query) { handler(query, Responder<R>(std::move(ticket))); });
    });
  }
  /// Runs the loop until a request is there. nullopt: none came by the deadline, or none can come: this port
  /// only connects, and each of its dealers has refused it for good. Not together with a handler.
  /// For Raw the query views memory that is valid until the next call.
  std::optional<std::pair<Query, Responder<R>>> next(Deadline deadline) {
    std::optional<std::pair<Query, Responder<R>>> out;
    (void)next_one(deadline, [&](const wire::RecordView& view, Ticket ticket) {
      return with(view, [&](const Query& query) { out.emplace(query, Responder<R>(std::move(ticket))); });
    });
    return out;
  }

 private:
  template <class Use>
  static bool with(const wire::RecordView& view, Use&& use) {
    if constexpr (std::is_same_v<Q, Raw>) {
      use(RawRecord(view));
      return true;
    } else {
      Q query{};
      if (!wire::decode_record(view, query)) return false;
      use(query);
      return true;
    }
  }
};

}  // namespace weft
