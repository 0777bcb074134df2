// ReplyBook: what an answerer remembers of requests, and which replies may leave. Pure: no time, no sockets;
// a Router and a simulator drive it alike.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <weft/protocol/reply_cache.hpp>

namespace weft::protocol {

/// Where replies survive their process. What it is told joins one open change, together with what handlers
/// have changed there; commit() hands that over as a whole.
template <class Reply>
class ReplyStore {
 public:
  using Floor = std::function<void(std::string_view client, std::uint64_t epoch, std::uint64_t floor)>;
  using Kept =
      std::function<void(std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply reply)>;

  virtual ~ReplyStore() = default;
  /// What was there at the start.
  virtual void restore(const Floor& floor, const Kept& reply) const = 0;
  /// Sets reply.commit, by which durable() knows it.
  virtual void put(std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply& reply) = 0;
  virtual void erase(std::string_view client, std::uint64_t epoch, std::uint64_t number) = 0;
  /// Requests of that client below `floor` are gone.
  virtual void floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) = 0;
  /// What is refused (no room) stays open: commit again later.
  virtual void commit() = 0;
  [[nodiscard]] virtual bool durable(std::uint64_t commit) const = 0;
};

/// A ReplyCache whose replies leave when they are durable. `Reply` has `bytes()` and a member `commit`.
template <class Reply>
class ReplyBook {
 public:
  using Cache = ReplyCache<Reply>;
  using Verdict = typename Cache::Verdict;
  using Found = typename Cache::Found;

  /// `store` outlives the book; null: nothing survives this process.
  ReplyBook(const ReplyCacheOptions& options, ReplyStore<Reply>* store) : store_(store), cache_(options) {
    if (!store_) return;
    cache_.on_forget([this](std::string_view client, std::uint64_t epoch, std::uint64_t number) {
      store_->erase(client, epoch, number);
      if (forgot_ != client || forgot_epoch_ != epoch) write_floor();
      forgot_ = client;
      forgot_epoch_ = epoch;
    });
    store_->restore([this](std::string_view client, std::uint64_t epoch,
                           std::uint64_t floor) { cache_.restore_floor(client, epoch, floor); },
                    [this](std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply reply) {
                      const std::uint64_t bytes = reply.bytes();
                      cache_.restore(client, epoch, number, std::move(reply), bytes);
                    });
  }
  ReplyBook(const ReplyBook&) = delete;
  ReplyBook& operator=(const ReplyBook&) = delete;

  /// As ReplyCache; one whose reply is not durable yet counts as being handled.
  Found arrive(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    return cache_.arrive(client, epoch, number);
  }
  void settled_below(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    cache_.settled_below(client, epoch, number);
    write_floor();
  }
  /// The reply to a request that was fresh. Null: nobody asks for it any more, or it waits for the store, in
  /// one commit with what the handler changed there; on_durable() gives it then, with this `owner`.
  const Reply* answer(std::uint64_t owner, std::string_view client, std::uint64_t epoch, std::uint64_t number,
                      Reply reply) {
    if (store_ && cache_.handles(client, epoch, number)) store_->put(client, epoch, number, reply);
    const std::uint64_t bytes = reply.bytes();
    const std::uint64_t commit = reply.commit;
    if (!store_) {
      if (!cache_.answer(client, epoch, number, std::move(reply), bytes)) return nullptr;
      return cache_.find(client, epoch, number);
    }
    // What is not durable may yet never have been: it neither leaves nor is forgotten before the store says
    // so.
    if (!cache_.hold(client, epoch, number, std::move(reply), bytes)) return nullptr;
    write_floor();
    store_->commit();
    pending_.push_back({commit, owner, std::string(client), epoch, number});
    return nullptr;
  }
  /// It was refused before it was done.
  void withdraw(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    cache_.withdraw(client, epoch, number);
  }

  /// Replies that have become durable and still have an asker.
  using Deliver =
      std::function<void(std::uint64_t owner, std::uint64_t epoch, std::uint64_t number, const Reply& reply)>;
  void on_durable(const Deliver& deliver) {
    if (!store_) return;
    store_->commit();  // what was refused for want of room is tried again
    while (!pending_.empty() && store_->durable(pending_.front().commit)) {
      const Pending next = std::move(pending_.front());
      pending_.pop_front();
      cache_.release(next.client, next.epoch, next.number,
                     [&](const Reply& reply) { deliver(next.owner, next.epoch, next.number, reply); });
    }
    write_floor();  // in one change with what was erased
  }
  /// Replies that wait for the store.
  [[nodiscard]] std::size_t pending() const { return pending_.size(); }
  [[nodiscard]] const Cache& cache() const { return cache_; }

 private:
  struct Pending {
    std::uint64_t commit = 0;
    std::uint64_t owner = 0;
    std::string client;
    std::uint64_t epoch = 0, number = 0;
  };

  /// Once for all that was forgotten of one client; it leaves with the next reply.
  void write_floor() {
    if (forgot_.empty()) return;
    const std::string client = std::exchange(forgot_, {});
    const std::uint64_t floor = cache_.floor(client, forgot_epoch_);
    if (floor != 0) store_->floor(client, forgot_epoch_, floor);
  }

  ReplyStore<Reply>* store_;
  std::deque<Pending> pending_;
  std::string forgot_;  // client whose floor has risen and is not in the store yet
  std::uint64_t forgot_epoch_ = 0;
  Cache cache_;
};

}  // namespace weft::protocol
