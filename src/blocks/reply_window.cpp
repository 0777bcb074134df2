#include "blocks/reply_window.hpp"

#include <utility>

namespace weft::blocks {

ReplyWindow::ReplyWindow(const PortOptions& options)
    : journal_(options.journal ? std::make_unique<ReplyJournal>(options.journal, options.name) : nullptr),
      book_({.max_bytes = options.reply_window_bytes,
             .max_entries = options.reply_window,
             .max_clients = 2 * std::size_t{options.max_peers}},
            journal_.get()) {}

ReplyWindow::Known& ReplyWindow::known(const Peer& peer) {
  Known& known = peers_[peer.id];
  if (known.epoch != peer.epoch) {
    known.epoch = peer.epoch;
    known.key = name_key(peer.node, peer.port);
  }
  return known;
}

ReplyWindow::Book::Found ReplyWindow::arrive(const Peer& peer, std::uint64_t number) {
  Known& client = known(peer);
  const auto found = book_.arrive(client.key, peer.epoch, number);
  if (found.verdict == Verdict::fresh) ++client.open;
  return found;
}

void ReplyWindow::settled_below(const Peer& peer, std::uint64_t number) {
  book_.settled_below(known(peer).key, peer.epoch, number);
}

const KeptReply* ReplyWindow::answer(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number,
                                     KeptReply reply) {
  const auto client = peers_.find(peer);
  if (client == peers_.end()) return nullptr;
  if (client->second.open != 0) --client->second.open;
  return book_.answer(peer, client->second.key, epoch, number, std::move(reply));
}

void ReplyWindow::withdraw(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number) {
  const auto client = peers_.find(peer);
  if (client == peers_.end()) return;
  if (client->second.open != 0) --client->second.open;
  book_.withdraw(client->second.key, epoch, number);
}

void ReplyWindow::forget_peers(Hub& hub) {
  if (peers_.size() <= 2 * hub.peers().size() + 16) return;
  std::erase_if(peers_, [&hub](const auto& entry) {
    return entry.second.open == 0 && hub.find(entry.first) == nullptr;
  });
}

}  // namespace weft::blocks
