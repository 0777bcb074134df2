// What becomes of records on lanes that retain nothing: each is processed, rejected or lost, once.
#include <weft/core/format.hpp>

#include "blocks/hub.hpp"

namespace weft::blocks {

void Hub::reject_records(wire::Rejection why, Peer* peer, std::uint64_t records) {
  counts_.rejected_records += records;
  if (peer && !client_.keeps_streams()) peer->fates.reject(records);
  reject(why, peer);
}

void Hub::tell_unfit(std::string_view from, wire::Rejection why) const {
  if (counts_.rejections[static_cast<std::size_t>(why)] != 0) return;
  const std::string what = why == wire::Rejection::too_deep ? "nested deeper than 32 levels"
                                                            : format("not a {}", identity_.type.name);
  options_.log.warn(
      format("{}: a record from {} is {}: it is rejected, and so is each one like it", stream_, from, what));
}

void Hub::say_rejected(const Peer& peer, wire::Header& header) const {
  if (peer.fates.rejected() == 0) return;
  header.options.rejected_v = peer.fates.rejected();
  header.options.mark(wire::Options::rejected);
}

void Hub::hear_rejected(Peer& peer, const wire::Options& options) {
  const std::uint64_t rejected = options.has(wire::Options::rejected) ? options.rejected_v : 0;
  peer.fates.hear(rejected, peer.unsettled_records());
}

bool Hub::acknowledged(Peer& peer, std::uint64_t seq, protocol::Credit credit) {
  const std::uint64_t before = peer.out.outstanding_records();
  if (peer.out.acknowledge(seq, credit) == protocol::SendLane::Ack::beyond) return false;
  count_taken(peer, before - peer.out.outstanding_records() + peer.fates.settle(seq));
  if (peer.work.active()) peer.work.heard(Clock::now());
  client_.on_room(peer);
  return true;
}

// Requests end with their replies, not with the acknowledgement that they have arrived.
void Hub::count_taken(Peer& peer, std::uint64_t records) {
  if (records == 0 || !identity_.sends || identity_.receives) return;
  const std::uint64_t rejected = peer.fates.take_rejected(records);
  counts_.rejected_records += rejected;
  counts_.processed_records += records - rejected;
}

void Hub::count_lost(Peer& peer, std::uint64_t records) {
  const std::uint64_t rejected = identity_.receives ? 0 : peer.fates.take_rejected(records);
  counts_.rejected_records += rejected;
  counts_.lost_records += records - rejected;
}

// Nothing that is on its way there, or waits there, will ever be acknowledged.
void Hub::lose_flight(Peer& peer) {
  count_lost(peer, peer.out.resume(peer.out.last_acknowledged()).records + peer.fates.settle(UINT64_MAX));
}

}  // namespace weft::blocks
