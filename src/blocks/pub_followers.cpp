// The subscribers of a Pub that have not said BYE: whom a drain waits for, and what the silent ones may lack.
#include <algorithm>

#include "blocks/pub_impl.hpp"

namespace weft {

using blocks::Peer;
using blocks::PubFollower;

void PubBase::Impl::follow(Peer& peer, bool reliable) {
  const auto [at, fresh] = followers.try_emplace(blocks::name_key(peer.node, peer.port));
  PubFollower& follower = at->second;
  follower.node = peer.node;
  follower.peer = peer.id;
  follower.reliable = follower.reliable || reliable;
  follower.lost = 0;
  if (fresh) follower.heard = hub.counts().sent_records;
}

// From HELLO on: it may fall silent before it asks for anything.
void PubBase::Impl::on_up(Peer& peer) {
  follow(peer, peer.delivery != Delivery::best_effort);
}

void PubBase::Impl::on_down(Peer& peer, PeerEvent::What what) {
  snapshots.erase(peer.id);
  const auto found = followers.find(blocks::name_key(peer.node, peer.port));
  if (found == followers.end()) return;
  // Dead is not gone: under at-least-once it is waited for, and may lack all since it was last heard of. One
  // that was started again joins anew.
  if (what != PeerEvent::What::dead) {
    followers.erase(found);
  } else if (!found->second.reliable) {
    found->second.lost = hub.counts().sent_records - found->second.heard;
  }
}

// Long dead. That it has not got everything stays known, of as many as may be there at once.
void PubBase::Impl::on_removed(Peer& peer) {
  const auto found = followers.find(blocks::name_key(peer.node, peer.port));
  if (found == followers.end() || found->second.peer != peer.id) return;
  if (!found->second.reliable || followers.size() > options.max_peers) {
    hub.counts().lost_records += found->second.lost;
    followers.erase(found);
  }
}

/// Who was heard of since the last look had been so when as much was published as there was then.
void PubBase::Impl::look_at_followers() {
  for (auto& [name, follower] : followers) {
    const Peer* peer = hub.find(follower.peer);
    if (peer && peer->up() && peer->session.last_heard() >= sampled_at)
      follower.heard = std::max(follower.heard, sampled_records);
  }
  sampled_at = hub.loop().now();
  sampled_records = hub.counts().sent_records;
}

bool PubBase::Impl::is_awaited(const PubFollower& follower) {
  if (!follower.reliable) return false;
  if (reliable()) return true;
  // This end has promised nothing: who is dead can fetch nothing from it any more.
  const Peer* peer = hub.find(follower.peer);
  return peer && peer->living();
}

bool PubBase::Impl::awaits_anyone() {
  return std::ranges::any_of(followers, [this](const auto& one) { return is_awaited(one.second); });
}

/// What the silent may lack is lost to the dead, and without a fate where it may still be fetched.
void PubBase::Impl::count_unheard(PortStats& stats) {
  for (const auto& [name, follower] : followers) {
    stats.lost_records += follower.lost;
    const Peer* peer = hub.find(follower.peer);
    if (said_goodbye && is_awaited(follower) && !(peer && peer->up()))
      stats.outstanding_records += hub.counts().sent_records - follower.heard;
  }
}

}  // namespace weft
