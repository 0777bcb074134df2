#include "blocks/reply_window.hpp"

#include <utility>

namespace weft::blocks {

ReplyWindow::ReplyWindow(const PortOptions& options)
    : cache_({.max_bytes = options.reply_window_bytes,
              .max_entries = options.reply_window,
              .max_clients = 2 * std::size_t{options.max_peers}}) {
  if (!options.journal) return;
  journal_ = std::make_unique<ReplyJournal>(options.journal, options.name);
  cache_.on_forget([this](std::string_view client, std::uint64_t epoch, std::uint64_t number) {
    journal_->erase(client, epoch, number);
    if (forgot_ != client || forgot_epoch_ != epoch) write_floor();
    forgot_ = client;
    forgot_epoch_ = epoch;
  });
  journal_->restore(
      [this](std::string_view client, std::uint64_t epoch, std::uint64_t floor) {
        cache_.restore_floor(client, epoch, floor);
      },
      [this](std::string_view client, std::uint64_t epoch, std::uint64_t number, KeptReply reply) {
        const std::uint64_t bytes = reply.bytes();
        cache_.restore(client, epoch, number, std::move(reply), bytes);
      });
}

/// Once for all that was forgotten of one client; it leaves with the next reply.
void ReplyWindow::write_floor() {
  if (forgot_.empty()) return;
  const std::string client = std::exchange(forgot_, {});
  const std::uint64_t floor = cache_.floor(client, forgot_epoch_);
  if (floor != 0) journal_->floor(client, forgot_epoch_, floor);
}

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
  // What is not durable may yet never have been: it leaves when the journal says so.
  if (found.verdict == Verdict::replied && journal_ && !journal_->durable(found.reply->commit)) {
    return {Verdict::handling, nullptr};
  }
  return found;
}

void ReplyWindow::settled_below(const Peer& peer, std::uint64_t number) {
  cache_.settled_below(known(peer).key, peer.epoch, number);
  write_floor();
}

const KeptReply* ReplyWindow::answer(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number,
                                     KeptReply reply) {
  const auto client = peers_.find(peer);
  if (client == peers_.end()) return nullptr;
  if (client->second.open != 0) --client->second.open;
  if (journal_ && cache_.handles(client->second.key, epoch, number)) {
    journal_->put(client->second.key, epoch, number, reply);
  }
  const std::uint64_t bytes = reply.bytes();
  const std::uint64_t commit = reply.commit;
  if (!cache_.answer(client->second.key, epoch, number, std::move(reply), bytes)) return nullptr;
  if (journal_) {
    write_floor();
    journal_->commit();
    pending_.push_back({commit, peer, epoch, number});
    return nullptr;
  }
  const auto found = cache_.arrive(client->second.key, epoch, number);
  return found.verdict == Verdict::replied ? found.reply : nullptr;
}

void ReplyWindow::withdraw(std::uint64_t peer, std::uint64_t epoch, std::uint64_t number) {
  const auto client = peers_.find(peer);
  if (client == peers_.end()) return;
  if (client->second.open != 0) --client->second.open;
  cache_.withdraw(client->second.key, epoch, number);
}

void ReplyWindow::on_durable(const Deliver& deliver) {
  if (!journal_) return;
  journal_->commit();  // what was refused for want of room is tried again
  while (!pending_.empty() && journal_->durable(pending_.front().commit)) {
    const Pending next = pending_.front();
    pending_.pop_front();
    const auto client = peers_.find(next.peer);
    if (client == peers_.end()) continue;
    const auto found = cache_.find(client->second.key, next.epoch, next.number);
    if (found) deliver(next.peer, next.epoch, next.number, *found);
  }
}

void ReplyWindow::forget_peers(Hub& hub) {
  if (peers_.size() <= 2 * hub.peers().size() + 16) return;
  std::erase_if(peers_, [&hub](const auto& entry) {
    return entry.second.open == 0 && hub.find(entry.first) == nullptr;
  });
}

}  // namespace weft::blocks
