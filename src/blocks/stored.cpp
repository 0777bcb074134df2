#include "blocks/stored.hpp"

#include <utility>

#include <weft/blocks/raw.hpp>
#include <weft/transport/frame.hpp>

namespace weft::blocks {

Stored::Stored(wire::BatchBuilder::Batch batch)
    : packed(batch.body.view().begin(), batch.body.view().end()),
      tensors(std::move(batch.tensors)),
      bytes(batch.bytes) {}

void Stored::add_to(wire::BatchBuilder& batch) const {
  add_forwarded(batch, {packed, tensors});
}

bool send_batch_with(Hub& hub, Peer& peer, const wire::Header& header, wire::BatchBuilder::Batch batch) {
  const bool lent = hub.lend(peer, batch.body.view(), batch.tensors);
  wire::Header marked = header;
  if (lent) {
    const bool flags = header.options.has(wire::Options::flags);
    marked.options.flags_v = (flags ? header.options.flags_v : 0U) | wire::kShared;
    marked.options.mark(wire::Options::flags);
  }
  wire::Buffer head = hub.pool()->take(512);
  hub.encode(marked, head);
  std::vector<transport::Frame> frames;
  frames.reserve(3 + batch.tensors.size());
  frames.emplace_back(head.view());
  if (lent) {
    hub.append_lent(frames);
    if (!hub.lent(0)) frames.emplace_back(batch.body.view());
    for (std::size_t i = 0; i < batch.tensors.size(); ++i) {
      if (!hub.lent(1 + i)) frames.emplace_back(batch.tensors[i]);
    }
    if (hub.send(peer, frames) == transport::SendStatus::sent) return true;
    hub.take_back(peer);
    return false;
  }
  // A small body would pin a large pooled block for as long as it is on its way: copy it instead.
  const bool copy = batch.body.size() * 4 < batch.body.capacity();
  copy ? frames.emplace_back(batch.body.view()) : frames.emplace_back(std::move(batch.body));
  for (const Tensor& tensor : batch.tensors) frames.emplace_back(tensor);
  return hub.send(peer, frames) == transport::SendStatus::sent;
}

}  // namespace weft::blocks
