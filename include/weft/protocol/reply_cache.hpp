// ReplyCache: which requests are being answered and which have been, so that one that comes again is not done
// again. Pure: no time, no sockets; the same code serves a Router and a simulator.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace weft::protocol {

struct ReplyCacheOptions {
  std::uint64_t max_bytes = 64ULL << 20;  ///< of all kept replies
  std::size_t max_entries = 65536;  ///< kept replies, and as many requests again that have none to give yet
  std::size_t max_clients = 65536;  ///< remembered, one epoch each
};

/// A request is (client, epoch, number). Numbers of a client rise; a client says from time to time below
/// which number it waits for nothing more, and what is below is forgotten. Beyond the bounds the oldest reply
/// goes, and a request that old is refused from then on: what may have been done is never done again.
template <class Reply>
class ReplyCache {
 public:
  enum class Verdict {
    fresh,     ///< never seen: do it, then answer(). It counts as being done from now on
    handling,  ///< is being done, or its reply is held: that will come
    replied,   ///< has been done: `reply` is its reply
    gone,      ///< below what is remembered: refuse it
    fenced,    ///< of an epoch before the client's present one
    full,      ///< too many without a reply, or too many clients: refuse it, it may come again
  };
  struct Found {
    Verdict verdict = Verdict::fresh;
    const Reply* reply = nullptr;  ///< valid until the next call
  };
  using Forget = std::function<void(std::string_view client, std::uint64_t epoch, std::uint64_t number)>;

  explicit ReplyCache(const ReplyCacheOptions& options) : options_(options) {}
  /// Called for each kept reply that is forgotten, for whatever reason.
  void on_forget(Forget forget) { forget_ = std::move(forget); }

  Found arrive(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    Client* c = meet(client, epoch);
    if (!c) return {Verdict::full, nullptr};
    if (epoch < c->epoch) return {Verdict::fenced, nullptr};
    if (const auto found = c->entries.find(number); found != c->entries.end()) {
      if (found->second.state != State::kept) return {Verdict::handling, nullptr};
      return {Verdict::replied, &found->second.reply};
    }
    if (number < c->floor) return {Verdict::gone, nullptr};
    if (handling_ >= options_.max_entries || held_bytes_ > options_.max_bytes)
      return {Verdict::full, nullptr};
    c->entries.emplace(number, Entry{});
    ++c->handling;
    ++handling_;
    return {Verdict::fresh, nullptr};
  }
  /// The request has been done. False: nobody asks for it any more (a later epoch of its client has begun).
  bool answer(std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply reply,
              std::uint64_t bytes) {
    Client* c = find(client, epoch);
    const auto found = c ? c->entries.find(number) : typename Entries::iterator{};
    if (!c || found == c->entries.end() || found->second.state != State::handling) return false;
    done(*c);
    keep(*c, found, std::move(reply), bytes);
    return true;
  }
  /// As answer(), but the reply may not be given yet, and is not forgotten either: it stays beside the
  /// bounds, and its request counts among those without one, until release().
  bool hold(std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply reply,
            std::uint64_t bytes) {
    Client* c = find(client, epoch);
    const auto found = c ? c->entries.find(number) : typename Entries::iterator{};
    if (!c || found == c->entries.end() || found->second.state != State::handling) return false;
    found->second = {State::held, bytes, std::move(reply)};
    held_bytes_ += bytes;
    return true;
  }
  /// Hands a held reply to `give`, unless the client waits for it no more, and keeps it like any other from
  /// here on.
  template <class Give>
  void release(std::string_view client, std::uint64_t epoch, std::uint64_t number, Give&& give) {
    Client* c = find(client, epoch);
    const auto found = c ? c->entries.find(number) : typename Entries::iterator{};
    if (!c || found == c->entries.end() || found->second.state != State::held) return;
    if (number >= c->floor) give(found->second.reply);
    held_bytes_ -= found->second.bytes;
    done(*c);
    keep(*c, found, std::move(found->second.reply), found->second.bytes);
  }
  /// The request was refused before anything was done: it is fresh when it comes again.
  void withdraw(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    Client* c = find(client, epoch);
    const auto found = c ? c->entries.find(number) : typename Entries::iterator{};
    if (!c || found == c->entries.end() || found->second.state != State::handling) return;
    done(*c);
    c->entries.erase(found);
  }
  /// The client waits for nothing below `number`.
  void settled_below(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    Client* c = find(client, epoch);
    if (!c || number <= c->floor) return;
    c->floor = number;
    while (!c->kept.empty() && c->kept.begin()->first < number) forget(*c, c->kept.begin()->first);
  }
  /// What a journal remembers, at the start: a reply, and below which number a client's requests are gone.
  void restore(std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply reply,
               std::uint64_t bytes) {
    Client* c = meet(client, epoch);
    if (!c || epoch != c->epoch) return;
    const auto [at, fresh] = c->entries.emplace(number, Entry{});
    if (fresh) keep(*c, at, std::move(reply), bytes);
  }
  void restore_floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) {
    Client* c = meet(client, epoch);
    if (c && epoch == c->epoch && floor > c->floor) c->floor = floor;
  }

  /// True while the request has no reply.
  [[nodiscard]] bool handles(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    const Client* c = find(client, epoch);
    const auto found = c ? c->entries.find(number) : typename Entries::const_iterator{};
    return c && found != c->entries.end() && found->second.state == State::handling;
  }
  /// The kept reply; null: there is none. Valid until the next call that changes something.
  [[nodiscard]] const Reply* find(std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    const Client* c = find(client, epoch);
    const auto found = c ? c->entries.find(number) : typename Entries::const_iterator{};
    return c && found != c->entries.end() && found->second.state == State::kept ? &found->second.reply
                                                                                : nullptr;
  }
  /// Below this number the requests of the client are gone, unless their reply is still here.
  [[nodiscard]] std::uint64_t floor(std::string_view client, std::uint64_t epoch) {
    const Client* c = find(client, epoch);
    return c ? c->floor : 0;
  }
  /// Requests without a reply that may be given.
  [[nodiscard]] std::size_t handling() const { return handling_; }
  [[nodiscard]] std::size_t entries() const { return order_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t clients() const { return clients_.size(); }

 private:
  struct Client;
  using Order = std::list<std::pair<Client*, std::uint64_t>>;  // kept replies, oldest first
  enum class State { handling, held, kept };
  struct Entry {
    State state = State::handling;
    std::uint64_t bytes = 0;
    Reply reply{};
  };
  using Entries = std::unordered_map<std::uint64_t, Entry>;
  struct Client {
    std::string name;
    std::uint64_t epoch = 0;
    std::uint64_t floor = 0;
    std::size_t handling = 0;  // held ones included
    Entries entries;
    std::map<std::uint64_t, typename Order::iterator> kept;
    typename std::list<Client*>::iterator recent;
  };

  void done(Client& client) {
    --client.handling;
    --handling_;
  }
  Client* find(std::string_view name, std::uint64_t epoch) {
    const auto found = clients_.find(name);
    return found == clients_.end() || found->second.epoch != epoch ? nullptr : &found->second;
  }
  /// The client, with a later epoch begun where this is one. Null: no room for another one.
  Client* meet(std::string_view name, std::uint64_t epoch) {
    auto found = clients_.find(name);
    if (found == clients_.end()) {
      if (clients_.size() >= options_.max_clients && !forget_client()) return nullptr;
      found = clients_.emplace(std::string(name), Client{}).first;
      Client& fresh = found->second;
      fresh.name = name;
      fresh.epoch = epoch;
      fresh.recent = recent_.insert(recent_.end(), &fresh);
      return &fresh;
    }
    Client& client = found->second;
    recent_.splice(recent_.end(), recent_, client.recent);
    if (epoch > client.epoch) {
      clear(client);
      client.epoch = epoch;
      client.floor = 0;
    }
    return &client;
  }
  void clear(Client& client) {
    while (!client.kept.empty()) forget(client, client.kept.begin()->first);
    handling_ -= client.handling;
    client.handling = 0;
    for (const auto& [number, entry] : client.entries) {
      if (entry.state != State::held) continue;
      held_bytes_ -= entry.bytes;
      if (forget_) forget_(client.name, client.epoch, number);
    }
    client.entries.clear();
  }
  /// The one that was silent for longest and for whom nothing is being done.
  bool forget_client() {
    for (Client* client : recent_) {
      if (client->handling != 0) continue;
      clear(*client);
      recent_.erase(client->recent);
      clients_.erase(clients_.find(client->name));
      return true;
    }
    return false;
  }
  void keep(Client& client, typename Entries::iterator at, Reply reply, std::uint64_t bytes) {
    const std::uint64_t number = at->first;
    at->second = {State::kept, bytes, std::move(reply)};
    bytes_ += bytes;
    client.kept[number] = order_.insert(order_.end(), {&client, number});
    // What the client has settled meanwhile is not kept at all; the newest one is kept, however large.
    if (number < client.floor) return forget(client, number);
    while (order_.size() > options_.max_entries || (bytes_ > options_.max_bytes && order_.size() > 1)) {
      const auto oldest = order_.front();
      oldest.first->floor = std::max(oldest.first->floor, oldest.second + 1);
      forget(*oldest.first, oldest.second);
    }
  }
  void forget(Client& client, std::uint64_t number) {
    const auto found = client.entries.find(number);
    bytes_ -= found->second.bytes;
    const auto kept = client.kept.find(number);
    order_.erase(kept->second);
    client.kept.erase(kept);
    client.entries.erase(found);
    if (forget_) forget_(client.name, client.epoch, number);
  }

  ReplyCacheOptions options_;
  Forget forget_;
  std::map<std::string, Client, std::less<>> clients_;
  std::list<Client*> recent_;
  Order order_;
  std::uint64_t bytes_ = 0;
  std::uint64_t held_bytes_ = 0;  // not in bytes_
  std::size_t handling_ = 0;
};

}  // namespace weft::protocol
