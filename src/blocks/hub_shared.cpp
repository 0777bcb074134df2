// What a Hub does with memory that it shares with peers on its host: it lends batches to receivers, and makes
// frames of what a sender lends.
#include <algorithm>
#include <utility>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "blocks/hub.hpp"

namespace weft::blocks {
namespace {

// Bodies and tensors that are built in shared memory, so that lending them costs no copy.
constexpr std::uint64_t kBuildFrom = 4 << 10;

}  // namespace

void Hub::open_lender() {
  if (options_.shared_memory == SharedMemory::off || !identity_.shares_memory || !identity_.sends) return;
  lender_ = transport::Lender::make(loop_, options_.shared_bytes);
  if (lender_) return pool_->draw_from(lender_->memory(), std::max(kBuildFrom, options_.shared_from));
  if (options_.shared_memory == SharedMemory::on) {
    throw Error(Errc::io, format("port {}: this system has no memory to share (memfd with seals, Linux 5.1)",
                                 options_.name));
  }
}

bool Hub::lend(Peer& peer, Bytes body, std::span<const Tensor> tensors) {
  if (!lender_ || !lender_->lends_to(peer.id, peer.epoch)) return false;
  bool any = false;
  lent_.clear();
  const auto offer = [&](Bytes bytes) {
    lent_.emplace_back();
    if (bytes.size() < options_.shared_from) return;
    lent_.back() = lender_->lend(peer.id, peer.epoch, bytes);
    if (!lent_.back()) return;
    any = true;
    counts_.sent_shared_bytes += bytes.size();
  };
  offer(body);
  for (const Tensor& tensor : tensors) offer(tensor.data);
  return any;
}

void Hub::append_lent(std::vector<transport::Frame>& frames) {
  wire::Buffer list = pool_->take(256);
  wire::encode_shared(lent_, list);
  frames.emplace_back(list.view());
}

void Hub::take_back(Peer& peer) {
  for (const auto& ref : lent_) {
    if (!ref) continue;
    counts_.sent_shared_bytes -= ref->length;
    lender_->take_back(peer.id, *ref);
  }
}

bool Hub::send_lent(Peer& peer, wire::Kind kind, std::uint64_t seq, wire::BatchBuilder::Batch& batch,
                    std::uint32_t flags) {
  scratch_.clear();
  const std::uint64_t processed = said_beside(peer, kind);
  peer.header.encode(seq, batch.count, scratch_, 0, flags, processed);
  std::vector<transport::Frame>& frames = frames_;
  frames.clear();
  frames.emplace_back(scratch_.view());
  append_lent(frames);
  if (!lent(0)) frames.emplace_back(batch.body.view());
  for (std::size_t i = 0; i < batch.tensors.size(); ++i) {
    if (!lent(1 + i)) frames.emplace_back(batch.tensors[i]);
  }
  const auto status = send(peer, frames);
  frames.clear();
  if (status == transport::SendStatus::sent) {
    if (processed != 0) peer.ack.told();
    return true;
  }
  take_back(peer);
  if (status == transport::SendStatus::would_block) plan_tick(peer, loop_.now() + kRetrySendAfter);
  return false;
}

TensorRoom Hub::allocate(std::size_t bytes) {
  if (lender_) {
    auto room = lender_->memory()->take(bytes);
    if (room.data) return {{room.data, bytes}, std::move(room.owner), true};
  }
  auto held = std::make_shared<wire::Buffer>(pool_->take(bytes));
  std::byte* data = held->extend(bytes);
  return {{data, bytes}, std::move(held), false};
}

// ---- the receiver's end ----

void Hub::borrow_from(Peer& peer, const wire::Header& h) {
  if (options_.shared_memory == SharedMemory::off || !identity_.shares_memory || !identity_.receives) return;
  if (!h.options.has(wire::Options::shared)) return peer.borrower.reset();
  const Bytes offer = h.options.shared_v;
  if (peer.borrower && !peer.borrower->ended() && std::ranges::equal(peer.borrower->offer(), offer)) return;
  peer.borrower = transport::Borrower::accept(loop_, offer, epoch_, [this, id = peer.id] {
    // While the session stands, what was lent before may still be on its way.
    Peer* ended = find(id);
    if (ended && !ended->up()) ended->borrower.reset();
  });
}

bool Hub::resolve_shared(Peer& peer, transport::Message& message, std::size_t list) {
  if (!peer.borrower || message.size() <= list) return false;
  if (!wire::decode_shared(message[list].view(), given_)) return false;
  transport::Message whole;
  for (std::size_t i = 0; i < list; ++i) whole.push_back(std::move(message[i]));
  std::size_t next = list + 1;
  bool good = true;
  std::uint64_t bytes = 0;
  for (const auto& ref : given_) {
    if (!ref) {
      good = good && next < message.size();
      if (good) whole.push_back(std::move(message[next++]));
      continue;
    }
    // Also behind a bad entry: what is lent by the others comes back by being dropped.
    const auto tensor = ref->length <= options_.max_frame_bytes ? peer.borrower->borrow(*ref) : std::nullopt;
    good = good && tensor.has_value();
    if (!tensor) continue;
    bytes += ref->length;
    whole.push_back(transport::Frame(*tensor));
  }
  good = good && next == message.size();
  if (good) counts_.received_shared_bytes += bytes;
  std::swap(message, whole);
  return good;
}

}  // namespace weft::blocks
