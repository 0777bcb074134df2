// Borrower: maps the segment of a sender, hands out views of what it lends, and gives it back.
#include <array>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include <weft/transport/shared.hpp>

#include "shared_layout.hpp"
#include "shared_memory.hpp"

namespace weft::transport {
namespace {

/// What views hold: the segment, the ring that says what was given back, and the connection, whose end tells
/// the sender that nobody reads any more. So the connection goes last.
struct Mapped {
  Fd connection;
  SharedMemory ring;
  std::uint64_t id = 0;
  SharedMemory segment;
  std::mutex mutex;
  std::uint64_t returned = 0;

  Mapped(Fd fd, SharedMemory own_ring, std::uint64_t segment_id, SharedMemory memory)
      : connection(std::move(fd)), ring(std::move(own_ring)), id(segment_id), segment(std::move(memory)) {}

  void give_back(std::uint64_t slot) {
    const std::lock_guard lock(mutex);
    store_shared(ring.writable() + ring_entry(returned), slot, std::memory_order_relaxed);
    store_shared(ring.writable(), ++returned, std::memory_order_release);
  }
};

}  // namespace

struct Borrower::Impl {
  Loop& loop;
  std::string offer;
  std::function<void()> on_end;
  Fd connection;  // until the segment is mapped
  std::optional<SharedMemory> ring;
  std::shared_ptr<Mapped> mapped;
  Loop::WatchId watch = 0;
  bool ended = false;

  Impl(Loop& l, Bytes text, std::function<void()> end)
      : loop(l), offer(as_text(text)), on_end(std::move(end)) {}
  ~Impl() { unwatch(); }

  void unwatch() {
    if (watch != 0) loop.unwatch(watch);
    watch = 0;
  }

  bool ask(std::uint64_t epoch) {
    connection = connect_locally(offer.substr(kTokenBytes));
    if (!connection || !same_user(connection.get())) return false;
    ring = SharedMemory::make(kRingBytes);
    if (!ring) return false;
    std::array<std::byte, kAskBytes> question{};
    std::memcpy(question.data(), kPacketMagic.data(), kPacketMagic.size());
    std::memcpy(question.data() + 8, offer.data(), kTokenBytes);
    put_number(question.data() + 8 + kTokenBytes, epoch);
    if (!send_packet(connection.get(), question, ring->fd())) return false;
    ring->close_fd();
    watch = loop.watch_fd(connection.get(), [this] { read(); });
    return true;
  }

  void read() {
    Packet packet = receive_packet(mapped ? mapped->connection.get() : connection.get());
    if (packet.what == Packet::What::none) return;
    if (packet.what == Packet::What::data && !mapped && take(packet)) return;
    end();
  }

  bool take(Packet& packet) {
    if (packet.size != kGiveBytes || !has_packet_magic(packet.bytes)) return false;
    const std::uint64_t id = get_number(packet.bytes + 8), size = get_number(packet.bytes + 16);
    if (size <= kTableBytes) return false;
    auto segment = SharedMemory::map(std::move(packet.passed), size, std::min(size, kLargestSegment));
    if (!segment) return false;
    segment->close_fd();
    if (!send_packet(connection.get(), as_bytes(kPacketMagic))) return false;
    mapped = std::make_shared<Mapped>(std::move(connection), std::move(*ring), id, std::move(*segment));
    ring.reset();
    return true;
  }

  // Nothing new is lent. What was lent before may still be on its way to us, so the mapping stays.
  void end() {
    unwatch();
    ended = true;
    if (!mapped) connection = Fd();
    const auto told = on_end;  // it may destroy this
    if (told) told();
  }
};

std::unique_ptr<Borrower> Borrower::accept(Loop& loop, Bytes offer, std::uint64_t epoch,
                                           std::function<void()> on_end) {
  if (offer.size() <= kTokenBytes || offer.size() > kMostOfferBytes) return nullptr;
  if (!as_text(offer.subspan(kTokenBytes)).starts_with(kSocketPrefix)) return nullptr;
  auto impl = std::make_unique<Impl>(loop, offer, std::move(on_end));
  if (!impl->ask(epoch)) return nullptr;
  return std::unique_ptr<Borrower>(new Borrower(std::move(impl)));
}

Borrower::Borrower(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Borrower::~Borrower() = default;

Bytes Borrower::offer() const {
  return as_bytes(impl_->offer);
}
bool Borrower::ready() const {
  return impl_->mapped != nullptr;
}
bool Borrower::ended() const {
  return impl_->ended;
}

std::optional<Tensor> Borrower::borrow(const wire::SharedRef& ref) {
  const std::shared_ptr<Mapped>& mapped = impl_->mapped;
  if (!mapped || ref.segment != mapped->id || ref.slot == 0) return std::nullopt;
  const SharedMemory& segment = mapped->segment;
  if (ref.offset < kTableBytes || ref.offset > segment.size() || ref.length > segment.size() - ref.offset) {
    return std::nullopt;
  }
  if (load_shared(segment.data() + table_entry(ref.slot), std::memory_order_acquire) != ref.slot) {
    return std::nullopt;
  }
  const Bytes bytes(segment.data() + ref.offset, ref.length);
  std::shared_ptr<const void> owner(bytes.data(),
                                    [mapped, slot = ref.slot](const void*) { mapped->give_back(slot); });
  return Tensor{DType::u8, {static_cast<std::int64_t>(ref.length)}, bytes, std::move(owner)};
}

}  // namespace weft::transport
