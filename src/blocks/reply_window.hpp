// ReplyWindow: what a Router remembers of requests, so that one that comes again is not done again, and gets
// its reply again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include <weft/blocks/options.hpp>
#include <weft/protocol/reply_cache.hpp>

#include "blocks/hub.hpp"
#include "blocks/stored.hpp"

namespace weft::blocks {

/// A reply that is kept: a record, or an error.
struct KeptReply {
  Stored record;
  wire::Code code = wire::Code::none;
  std::string text;
  [[nodiscard]] std::uint64_t bytes() const { return kOverhead + record.bytes + text.size(); }
  static constexpr std::uint64_t kOverhead = 128;  // what it costs to remember it at all
};

class ReplyWindow {
 public:
  using Cache = protocol::ReplyCache<KeptReply>;
  using Verdict = Cache::Verdict;

  explicit ReplyWindow(const PortOptions& options)
      : cache_({.max_bytes = options.reply_window_bytes,
                .max_entries = options.reply_window,
                .max_clients = 2 * std::size_t{options.max_peers}}) {}

  /// A request of a peer that is up. The peer is known by its node and port from here on, whatever becomes of
  /// its connection.
  Cache::Found arrive(const Peer& peer, std::uint64_t number);
  /// The peer waits for nothing below `number`.
  void settled_below(const Peer& peer, std::uint64_t number);
  /// The reply to a request that was fresh; null: nobody asks for it any more.
  const KeptReply* answer(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number, KeptReply reply);
  /// It was refused before it was done.
  void withdraw(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number);
  /// Peers that are gone and have nothing open.
  void forget_peers(Hub& hub);

  [[nodiscard]] std::uint64_t bytes() const { return cache_.bytes(); }
  [[nodiscard]] std::size_t entries() const { return cache_.entries(); }

 private:
  struct Known {
    std::string key;
    std::uint64_t epoch = 0;  // for which `key` was made
    std::size_t open = 0;
  };
  Known& known(const Peer& peer);

  Cache cache_;
  std::unordered_map<std::uint64_t, Known> peers_;
};

}  // namespace weft::blocks
