// Lender: who may read the segment. Listens, hands the segment to receivers that know a token, and hears when
// they have let go of it.
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <weft/transport/shared.hpp>

#include "segment.hpp"
#include "shared_layout.hpp"
#include "shared_memory.hpp"

namespace weft::transport {
namespace {

constexpr int kAcceptsPerTurn = 16;
constexpr std::size_t kMostStrangers = 64;  // connections that have not said anything yet

std::string random_text(std::size_t count) {
  std::string text(count, '\0');
  return random_bytes(std::as_writable_bytes(std::span(text))) ? text : std::string();
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace

struct Lender::Impl {
  struct Receiver {
    std::string token;
    std::uint64_t link = 0;  // the one that lends; 0: none
    std::uint64_t epoch = 0;
  };
  struct Link {
    Fd fd;
    Loop::WatchId watch = 0;
    std::uint64_t peer = 0;  // 0: it has not said who it is
    std::uint64_t epoch = 0;
    bool ready = false;
    bool retired = false;
  };

  Loop& loop;
  std::shared_ptr<Segment> segment;
  std::string name;
  Fd listener;
  Loop::WatchId watch = 0;
  std::map<std::uint64_t, Receiver> receivers;
  std::map<std::string, std::uint64_t> by_token;
  std::map<std::uint64_t, Link> links;
  std::uint64_t next_link = 1;
  LenderCounts counts;

  Impl(Loop& l, std::shared_ptr<Segment> s, std::string n, Fd fd)
      : loop(l), segment(std::move(s)), name(std::move(n)), listener(std::move(fd)) {
    listen();
  }
  ~Impl() {
    if (watch != 0) loop.unwatch(watch);
    for (auto& [id, link] : links) {
      if (link.watch != 0) loop.unwatch(link.watch);
      segment->end_link(id);
    }
  }

  void listen() {
    if (watch == 0) watch = loop.watch_fd(listener.get(), [this] { accept_all(); });
  }

  void accept_all() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      bool exhausted = false;
      Fd fd = accept_locally(listener.get(), exhausted);
      // Who waits is told again in every turn. Better to leave it until the next HELLO.
      if (exhausted) loop.unwatch(std::exchange(watch, 0));
      if (!fd) return;
      if (!same_user(fd.get()) || strangers() >= kMostStrangers) {
        ++counts.refused;
        continue;
      }
      const std::uint64_t id = next_link++;
      const int number = fd.get();
      Link& link = links[id];
      link.fd = std::move(fd);
      link.watch = loop.watch_fd(number, [this, id] { read(id); });
    }
  }

  [[nodiscard]] std::size_t strangers() const {
    std::size_t count = 0;
    for (const auto& [id, link] : links) count += link.peer == 0 ? 1U : 0U;
    return count;
  }

  void read(std::uint64_t id) {
    Link& link = links.at(id);
    Packet packet = receive_packet(link.fd.get());
    if (packet.what == Packet::What::none) return;
    if (packet.what == Packet::What::end) return drop(id);
    if (link.peer == 0) {
      if (!give(id, link, packet)) {
        ++counts.refused;
        drop(id);
      }
      return;
    }
    // Once it has mapped the segment it has nothing more to say here.
    const bool ready = packet.size == kReadyBytes && has_packet_magic(packet.bytes) && !link.ready;
    if (!ready) {
      ++counts.refused;
      return retire(id);
    }
    link.ready = true;
    if (link.retired) return;
    Receiver& receiver = receivers.at(link.peer);
    if (receiver.link != 0) retire(receiver.link);
    receiver.link = id;
    receiver.epoch = link.epoch;
    segment->begin_link(id);
  }

  // The receiver's question, with its ring: answered with the segment.
  bool give(std::uint64_t id, Link& link, Packet& packet) {
    if (packet.size != kAskBytes || !has_packet_magic(packet.bytes)) return false;
    const std::string token(reinterpret_cast<const char*>(packet.bytes) + 8, kTokenBytes);
    const auto known = by_token.find(token);
    if (known == by_token.end()) return false;
    auto ring = SharedMemory::map(std::move(packet.passed), kRingBytes, kRingBytes);
    if (!ring) return false;
    ring->close_fd();
    std::array<std::byte, kGiveBytes> answer{};
    std::memcpy(answer.data(), kPacketMagic.data(), kPacketMagic.size());
    put_number(answer.data() + 8, segment->id());
    put_number(answer.data() + 16, segment->size());
    if (!send_packet(link.fd.get(), answer, segment->fd())) return false;
    link.peer = known->second;
    link.epoch = get_number(packet.bytes + 8 + kTokenBytes);
    segment->add_link(id, std::move(*ring));
    return true;
  }

  // Nobody is at the other end any more who could read: a receiver unmaps before it closes, and the kernel
  // does both for one that was killed.
  void drop(std::uint64_t id) {
    Link& link = links.at(id);
    if (const auto receiver = receivers.find(link.peer); receiver != receivers.end()) {
      if (receiver->second.link == id) receiver->second.link = 0;
    }
    loop.unwatch(link.watch);
    segment->forget_link(id);
    links.erase(id);
  }

  // It lends nothing more. The receiver hears it and lets go once nothing is in use there.
  void retire(std::uint64_t id) {
    const auto found = links.find(id);
    if (found == links.end() || std::exchange(found->second.retired, true)) return;
    if (const auto receiver = receivers.find(found->second.peer); receiver != receivers.end()) {
      if (receiver->second.link == id) receiver->second.link = 0;
    }
    segment->end_link(id);
    shut_down(found->second.fd.get());
  }

  void retire_all(std::uint64_t peer) {
    for (auto& [id, link] : links) {
      if (link.peer == peer) retire(id);
    }
  }
};

std::unique_ptr<Lender> Lender::make(Loop& loop, std::uint64_t bytes) {
  auto segment = Segment::make(bytes);
  if (!segment) return nullptr;
  const std::string random = random_text(16);
  if (random.empty()) return nullptr;
  const std::string name = std::string(kSocketPrefix) + hex(random);
  Fd listener = listen_locally(name);
  if (!listener) return nullptr;
  return std::unique_ptr<Lender>(
      new Lender(std::make_unique<Impl>(loop, std::move(segment), name, std::move(listener))));
}

Lender::Lender(std::unique_ptr<Impl> impl) : impl_(std::move(impl)), memory_(impl_->segment) {}
Lender::~Lender() = default;

std::string Lender::offer(std::uint64_t peer) {
  impl_->listen();
  Impl::Receiver& receiver = impl_->receivers[peer];
  if (receiver.token.empty()) {
    receiver.token = random_text(kTokenBytes);
    if (receiver.token.empty()) return {};
    impl_->by_token[receiver.token] = peer;
  }
  return receiver.token + impl_->name;
}

void Lender::renew(std::uint64_t peer) {
  const auto found = impl_->receivers.find(peer);
  if (found == impl_->receivers.end()) return;
  impl_->retire_all(peer);
  impl_->by_token.erase(found->second.token);
  found->second.token.clear();
}

void Lender::forget(std::uint64_t peer) {
  renew(peer);
  impl_->receivers.erase(peer);
}

bool Lender::lends_to(std::uint64_t peer, std::uint64_t epoch) const {
  const auto found = impl_->receivers.find(peer);
  return found != impl_->receivers.end() && found->second.link != 0 && found->second.epoch == epoch;
}

std::optional<wire::SharedRef> Lender::lend(std::uint64_t peer, std::uint64_t epoch, Bytes bytes) {
  if (!lends_to(peer, epoch)) return std::nullopt;
  const auto lent = impl_->segment->lend(impl_->receivers.at(peer).link, bytes);
  if (!lent) {
    ++impl_->counts.full;
    return std::nullopt;
  }
  ++impl_->counts.lent_frames;
  impl_->counts.lent_bytes += bytes.size();
  return lent;
}

void Lender::take_back(std::uint64_t peer, const wire::SharedRef& lent) {
  const auto found = impl_->receivers.find(peer);
  if (found != impl_->receivers.end()) impl_->segment->take_back(found->second.link, lent.slot);
}

LenderCounts Lender::counts() const {
  LenderCounts counts = impl_->counts;
  counts.refused += impl_->segment->broken();
  counts.used_bytes = impl_->segment->used();
  for (const auto& [id, receiver] : impl_->receivers) counts.links += receiver.link != 0 ? 1U : 0U;
  return counts;
}

}  // namespace weft::transport
