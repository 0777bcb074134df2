// Seals: how the messages of acknowledged ports say that they are as they were sent, and what becomes of
// those that are not.
#include <weft/core/format.hpp>
#include <weft/wire/checksum.hpp>

#include "blocks/hub.hpp"

namespace weft::blocks {

void Hub::seal(std::span<transport::Frame> frames) {
  const Bytes header = frames.front().view();
  if (!wire::ends_sealed(header)) return;
  std::uint64_t number = wire::seal_of_header(header);
  for (const transport::Frame& frame : frames.subspan(1)) number = wire::xxh3(frame.view(), number);
  std::byte bytes[wire::kSealBytes];
  wire::store_seal(number, bytes);
  frames.front().overwrite_end(bytes);
}

bool Hub::as_sent(const wire::Header& header, const transport::Message& message, std::size_t at) {
  const wire::Options& o = header.options;
  if (o.has(wire::Options::checksum) && message.size() > at + 1 &&
      wire::xxh3(message[at + 1].view()) != o.checksum_v) {
    return false;
  }
  if (!o.has(wire::Options::seal)) return true;
  const Bytes head = message[at].view();
  if (!wire::ends_sealed(head)) return false;
  std::uint64_t number = wire::seal_of_header(head);
  for (std::size_t i = at + 1; i < message.size(); ++i) number = wire::xxh3(message[i].view(), number);
  return number == o.seal_v;
}

// Nobody is to blame for what happens on the way, unless nothing else comes.
void Hub::garbled(Peer* peer) {
  if (!peer) return reject(wire::Rejection::bad_checksum, nullptr);
  if (peer->seals && ++peer->garbled < kBadMessages) {
    reject(wire::Rejection::bad_checksum, nullptr);
    // Streams know what is missing, and ask for it. The others go on where a new HELLO says.
    if (!client_.keeps_streams() && peer->met) lost_message(*peer);
    return;
  }
  peer->bad_messages = kBadMessages - 1;
  reject(wire::Rejection::bad_checksum, peer);
}

void Hub::lost_message(Peer& peer) {
  if (peer.inbound) return nack_to(peer.routing_id, wire::Code::retry, "a message was damaged on its way");
  apply(peer, peer.session.on_stranger(loop_.now()));
  plan_tick(peer, peer.session.next_tick());
}

}  // namespace weft::blocks
