#include "blocks/reply_window.hpp"

#include <utility>

namespace weft::blocks {

ReplyWindow::Known& ReplyWindow::known(const Peer& peer) {
  Known& known = peers_[peer.id];
  if (known.epoch != peer.epoch) {
    known.epoch = peer.epoch;
    known.key = name_key(peer.node, peer.port);
  }
  return known;
}

ReplyWindow::Cache::Found ReplyWindow::arrive(const Peer& peer, std::uint64_t number) {
  Known& client = known(peer);
  const auto found = cache_.arrive(client.key, peer.epoch, number);
  if (found.verdict == Verdict::fresh) ++client.open;
  return found;
}

void ReplyWindow::settled_below(const Peer& peer, std::uint64_t number) {
  cache_.settled_below(known(peer).key, peer.epoch, number);
}

const KeptReply* ReplyWindow::answer(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number,
                                     KeptReply reply) {
  const auto client = peers_.find(peer);
  if (client == peers_.end()) return nullptr;
  if (client->second.open != 0) --client->second.open;
  const std::uint64_t bytes = reply.bytes();
  if (!cache_.answer(client->second.key, epoch, number, std::move(reply), bytes)) return nullptr;
  const auto found = cache_.arrive(client->second.key, epoch, number);
  return found.verdict == Verdict::replied ? found.reply : nullptr;
}

void ReplyWindow::withdraw(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number) {
  const auto client = peers_.find(peer);
  if (client == peers_.end()) return;
  if (client->second.open != 0) --client->second.open;
  cache_.withdraw(client->second.key, epoch, number);
}

void ReplyWindow::forget_peers(Hub& hub) {
  if (peers_.size() <= 2 * hub.peers().size() + 16) return;
  std::erase_if(peers_, [&hub](const auto& entry) {
    return entry.second.open == 0 && hub.find(entry.first) == nullptr;
  });
}

}  // namespace weft::blocks
