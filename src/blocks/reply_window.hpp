// ReplyWindow: what a Router remembers of requests, so that one that comes again is not done again, and gets
// its reply again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <weft/blocks/options.hpp>
#include <weft/protocol/reply_book.hpp>

#include "blocks/hub.hpp"
#include "blocks/reply_journal.hpp"

namespace weft::blocks {

class ReplyWindow {
 public:
  using Book = protocol::ReplyBook<KeptReply>;
  using Verdict = Book::Verdict;

  /// With a journal: what an earlier life has replied is known.
  explicit ReplyWindow(const PortOptions& options);

  /// A request of a peer that is up. The peer is known by its node and port from here on, whatever becomes of
  /// its connection.
  Book::Found arrive(const Peer& peer, std::uint64_t number);
  /// The peer waits for nothing below `number`.
  void settled_below(const Peer& peer, std::uint64_t number);
  /// The reply to a request that was fresh; null: nobody asks for it any more, or it waits for the journal,
  /// in one commit with what the handler changed there.
  const KeptReply* answer(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number, KeptReply reply);
  /// It was refused before it was done.
  void withdraw(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number);
  /// Peers that are gone and have nothing open.
  void forget_peers(Hub& hub);

  /// Replies that have become durable and still have an asker, by peer.
  void on_durable(const Book::Deliver& deliver) { book_.on_durable(deliver); }
  /// Null: nothing survives this process.
  [[nodiscard]] Journal* journal() { return journal_ ? &journal_->journal() : nullptr; }
  /// Replies that wait for the journal.
  [[nodiscard]] std::size_t pending() const { return book_.pending(); }

  [[nodiscard]] std::uint64_t bytes() const { return book_.cache().bytes(); }
  [[nodiscard]] std::size_t entries() const { return book_.cache().entries(); }

 private:
  struct Known {
    std::string key;
    std::uint64_t epoch = 0;  // for which `key` was made
    std::size_t open = 0;
  };
  Known& known(const Peer& peer);

  std::unique_ptr<ReplyJournal> journal_;
  Book book_;
  std::unordered_map<std::uint64_t, Known> peers_;
};

}  // namespace weft::blocks
