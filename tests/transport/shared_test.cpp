#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <weft/transport/shared.hpp>

#include "transport/shared_layout.hpp"
#include "transport/shared_memory.hpp"
#include "transport/support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

constexpr std::uint64_t kPeer = 7;
constexpr std::uint64_t kEpoch = 1000;
constexpr std::uint64_t kBytes = 256 * 1024;

std::string text(std::size_t size, char c = 'x') {
  return std::string(size, c);
}

/// A sender with one receiver that has mapped its segment.
struct Pair {
  Loop loop;
  std::unique_ptr<Lender> lender = Lender::make(loop, kBytes);
  std::unique_ptr<Borrower> borrower;
  bool told = false;

  Pair() {
    REQUIRE(lender != nullptr);
    join();
  }
  void join() {
    borrower = Borrower::accept(loop, as_bytes(lender->offer(kPeer)), kEpoch, [this] { told = true; });
    REQUIRE(borrower != nullptr);
    REQUIRE(eventually(loop, [&] { return lender->lends_to(kPeer, kEpoch); }));
  }
  std::optional<wire::SharedRef> lend(const std::string& bytes) {
    return lender->lend(kPeer, kEpoch, as_bytes(bytes));
  }
  [[nodiscard]] std::uint64_t used() const { return lender->counts().used_bytes; }
};

/// The receiver's side of the socket, by hand, for one that breaks the rules.
struct RawReceiver {
  Fd connection;
  SharedMemory ring = *SharedMemory::make(kRingBytes);
  Packet answer;

  explicit RawReceiver(const std::string& offer) : connection(connect_locally(offer.substr(kTokenBytes))) {}
  bool ask(std::string token, int passed) {
    std::string question(kPacketMagic);
    question += token + std::string(8, '\0');
    put_number(reinterpret_cast<std::byte*>(question.data()) + question.size() - 8, kEpoch);
    return send_packet(connection.get(), as_bytes(question), passed);
  }
  bool heard(Loop& loop) {
    return eventually(loop, [&] {
      answer = receive_packet(connection.get());
      return answer.what != Packet::What::none;
    });
  }
  /// As an honest one would.
  void join(Loop& loop, Lender& lender) {
    REQUIRE(ask(lender.offer(kPeer).substr(0, kTokenBytes), ring.fd()));
    REQUIRE(heard(loop));
    REQUIRE(answer.what == Packet::What::data);
    REQUIRE(send_packet(connection.get(), as_bytes(kPacketMagic)));
    REQUIRE(eventually(loop, [&] { return lender.lends_to(kPeer, kEpoch); }));
  }
  void write(std::uint64_t entry, std::uint64_t slot) {
    store_shared(ring.writable() + ring_entry(entry), slot, std::memory_order_relaxed);
  }
  void count(std::uint64_t entries) { store_shared(ring.writable(), entries, std::memory_order_release); }
};

/// The sender's side, by hand.
struct RawSender {
  std::string name = "weft-test-" + std::to_string(getpid()) + "-" + std::to_string(counter()++);
  Fd listener = listen_locally(name);
  Fd connection;
  std::string offer() const { return std::string(kTokenBytes, 't') + name; }
  static int& counter() {
    static int count = 0;
    return count;
  }
  /// Answers the question of a borrower.
  void give(Loop& loop, std::uint64_t size, int fd) {
    REQUIRE(eventually(loop, [&] {
      bool exhausted = false;
      if (!connection) connection = accept_locally(listener.get(), exhausted);
      return connection && receive_packet(connection.get()).what == Packet::What::data;
    }));
    std::array<std::byte, kGiveBytes> answer{};
    std::memcpy(answer.data(), kPacketMagic.data(), kPacketMagic.size());
    put_number(answer.data() + 8, 1);
    put_number(answer.data() + 16, size);
    REQUIRE(send_packet(connection.get(), answer, fd));
  }
};

Fd plain_memfd(std::uint64_t size, int seals) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  if (seals != 0) REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  return fd;
}

}  // namespace

TEST_CASE("what is lent is read where it is, and comes back when the last view of it goes") {
  Pair link;
  const auto ref = link.lend(text(50'000, 'a'));
  REQUIRE(ref.has_value());

  auto view = link.borrower->borrow(*ref);
  REQUIRE(view.has_value());
  CHECK(as_text(view->data) == text(50'000, 'a'));
  CHECK(link.used() != 0);
  auto second = view;
  view.reset();
  CHECK(link.used() >= 50'000);
  second.reset();

  CHECK(link.used() == 0);
}

TEST_CASE("bytes that were built in the segment are lent without a copy, whole or in part") {
  Pair link;
  auto room = link.lender->memory()->take(10'000);
  REQUIRE(room.data != nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(room.data) % 16 == 0);
  std::memset(room.data, 'b', 10'000);
  const std::uint64_t before = link.used();

  const auto whole = link.lender->lend(kPeer, kEpoch, {room.data, 10'000});
  const auto part = link.lender->lend(kPeer, kEpoch, {room.data + 100, 50});
  REQUIRE(whole.has_value());
  REQUIRE(part.has_value());

  CHECK(link.used() == before);
  CHECK(part->offset == whole->offset + 100);
  CHECK(part->slot == whole->slot);
  room.owner.reset();
  CHECK(as_text(link.borrower->borrow(*part)->data) == text(50, 'b'));
  CHECK(link.used() == before);  // the whole is still lent
  CHECK(as_text(link.borrower->borrow(*whole)->data) == text(10'000, 'b'));
  (void)link.lend(text(10));
  CHECK(link.used() < before);
}

TEST_CASE("a view may be dropped by any thread, also after its link and its sender are gone") {
  std::optional<Tensor> view;
  {
    Pair link;
    view = link.borrower->borrow(*link.lend(text(20'000, 'c')));
    REQUIRE(view.has_value());
  }

  CHECK(as_text(view->data) == text(20'000, 'c'));
  std::thread([gone = std::move(*view)] {}).join();
}

TEST_CASE("a full segment lends nothing more until something comes back") {
  Pair link;
  std::vector<Tensor> views;
  while (const auto ref = link.lend(text(32 * 1024))) views.push_back(*link.borrower->borrow(*ref));

  CHECK(views.size() == kBytes / (32 * 1024));
  CHECK(link.lender->counts().full == 1);
  CHECK(link.lender->memory()->take(1000).data == nullptr);
  views.pop_back();
  CHECK(link.lend(text(32 * 1024)).has_value());
  CHECK_FALSE(link.lend(text(kBytes + 1)).has_value());
}

TEST_CASE("nobody gets room in a segment that nobody can read") {
  Loop loop;
  const auto lender = Lender::make(loop, kBytes);

  CHECK(lender->memory()->take(1000).data == nullptr);
  CHECK_FALSE(lender->lend(kPeer, kEpoch, as_bytes("x")).has_value());
}

TEST_CASE("a receiver of another epoch is another process, and is lent nothing") {
  Pair link;

  CHECK_FALSE(link.lender->lends_to(kPeer, kEpoch + 1));
  CHECK_FALSE(link.lender->lend(kPeer, kEpoch + 1, as_bytes("x")).has_value());
  CHECK_FALSE(link.lender->lends_to(kPeer + 1, kEpoch));
}

TEST_CASE("what a receiver holds stays its own after its link, until it has let go of the segment") {
  Pair link;
  auto view = link.borrower->borrow(*link.lend(text(30'000, 'd')));
  REQUIRE(view.has_value());

  link.borrower.reset();
  link.lender->renew(kPeer);
  CHECK_FALSE(link.lender->lends_to(kPeer, kEpoch));
  link.join();  // the loop runs, and the new link works
  CHECK(link.used() >= 30'000);
  CHECK(as_text(view->data) == text(30'000, 'd'));
  view.reset();

  CHECK(eventually(link.loop, [&] { return link.used() == 0; }));
}

TEST_CASE("what was lent in a message that never came is free when the link is renewed") {
  Pair link;
  REQUIRE(link.lend(text(30'000)).has_value());
  CHECK(link.used() >= 30'000);

  link.lender->renew(kPeer);
  REQUIRE(eventually(link.loop, [&] { return link.told; }));
  CHECK(link.borrower->ended());
  CHECK(link.used() >= 30'000);  // it might still be on its way
  link.borrower.reset();

  CHECK(eventually(link.loop, [&] { return link.used() == 0; }));
}

TEST_CASE("a message that was not sent gives back what it would have lent") {
  Pair link;
  const auto ref = link.lend(text(30'000));
  REQUIRE(ref.has_value());

  link.lender->take_back(kPeer, *ref);

  CHECK(link.used() == 0);
}

TEST_CASE("a receiver hears that its sender is gone and keeps what it has") {
  Pair link;
  auto view = link.borrower->borrow(*link.lend(text(30'000, 'e')));

  link.lender.reset();

  CHECK(eventually(link.loop, [&] { return link.told; }));
  CHECK(as_text(view->data) == text(30'000, 'e'));
}

TEST_CASE("a place that is not lent is refused, wherever it points") {
  Pair link;
  const auto good = link.lend(text(20'000));
  REQUIRE(good.has_value());
  const std::uint64_t most = ~std::uint64_t{0};
  const auto refused = [&](auto change) {
    wire::SharedRef ref = *good;
    change(ref);
    return !link.borrower->borrow(ref).has_value();
  };

  CHECK(refused([](auto& r) { ++r.segment; }));
  CHECK(refused([](auto& r) { r.slot = 0; }));
  CHECK(refused([](auto& r) { ++r.slot; }));
  CHECK(refused([](auto& r) { r.slot += protocol::SlotBook::kMostSlots; }));
  CHECK(refused([&](auto& r) { r.slot = most; }));
  CHECK(refused([](auto& r) { r.offset = 0; }));
  CHECK(refused([](auto& r) { r.offset = kTableBytes - 1; }));
  CHECK(refused([&](auto& r) { r.offset = most; }));
  CHECK(refused([](auto& r) { r.offset = kTableBytes + kBytes + 1; }));
  CHECK(refused([](auto& r) { r.length = kBytes + 1; }));
  CHECK(refused([&](auto& r) { r.length = most; }));
  CHECK(refused([&](auto& r) { r.length = most - r.offset + 1; }));  // their sum is 0
  CHECK_FALSE(refused([](auto&) {}));
}

TEST_CASE("a place that was given back is refused once the slot is used again") {
  Pair link;
  const auto old = link.lend(text(20'000));
  (void)link.borrower->borrow(*old);
  REQUIRE(link.lend(text(20'000)).has_value());

  CHECK_FALSE(link.borrower->borrow(*old).has_value());
}

TEST_CASE("a receiver that gives back what it does not hold is lent nothing more, and frees nothing") {
  Loop loop;
  const auto lender = Lender::make(loop, kBytes);
  RawReceiver raw(lender->offer(kPeer));
  raw.join(loop, *lender);
  const auto ref = lender->lend(kPeer, kEpoch, as_bytes(text(20'000)));
  REQUIRE(ref.has_value());
  const std::uint64_t used = lender->counts().used_bytes;

  SUBCASE("a slot that never was") {
    raw.write(0, 12345);
    raw.count(1);
  }
  SUBCASE("a slot twice") {
    const auto kept = lender->lend(kPeer, kEpoch, as_bytes(text(20'000)));
    raw.write(0, kept->slot);
    raw.write(1, kept->slot);
    raw.count(2);
  }
  SUBCASE("more than a ring holds") {
    raw.count(kRingEntries + 1);
  }
  SUBCASE("a count that goes back") {
    raw.count(~std::uint64_t{0});
  }

  CHECK_FALSE(lender->lend(kPeer, kEpoch, as_bytes(text(10))).has_value());
  CHECK_FALSE(lender->lend(kPeer, kEpoch, as_bytes(text(10))).has_value());
  CHECK(lender->counts().refused == 1);
  CHECK(lender->counts().used_bytes == used);
  raw.connection = Fd();  // the kernel says that it is gone
  CHECK(eventually(loop, [&] { return lender->counts().used_bytes == 0; }));
}

TEST_CASE("strangers at the sender's socket get nothing") {
  Loop loop;
  const auto lender = Lender::make(loop, kBytes);
  const std::string offer = lender->offer(kPeer);
  const std::string token = offer.substr(0, kTokenBytes);
  RawReceiver raw(offer);
  REQUIRE(raw.connection);

  SUBCASE("a token that was never given") {
    REQUIRE(raw.ask(std::string(kTokenBytes, 'z'), raw.ring.fd()));
  }
  SUBCASE("a token that was replaced") {
    lender->renew(kPeer);
    REQUIRE(raw.ask(token, raw.ring.fd()));
  }
  SUBCASE("no ring") {
    REQUIRE(raw.ask(token, -1));
  }
  SUBCASE("a ring that could shrink") {
    const Fd ring = plain_memfd(kRingBytes, F_SEAL_GROW | F_SEAL_SEAL);
    REQUIRE(raw.ask(token, ring.get()));
  }
  SUBCASE("a ring that is too small") {
    const Fd ring = plain_memfd(4096, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    REQUIRE(raw.ask(token, ring.get()));
  }
  SUBCASE("a ring that is no memory") {
    REQUIRE(raw.ask(token, raw.connection.get()));
  }
  SUBCASE("something else") {
    REQUIRE(send_packet(raw.connection.get(), as_bytes("GET / HTTP/1.1")));
  }

  REQUIRE(raw.heard(loop));
  CHECK(raw.answer.what == Packet::What::end);
  CHECK_FALSE(lender->lends_to(kPeer, kEpoch));
  CHECK(lender->counts().refused == 1);
}

TEST_CASE("connections that say nothing are bounded, and honest receivers come behind them") {
  Loop loop;
  const auto lender = Lender::make(loop, kBytes);
  const std::string offer = lender->offer(kPeer);
  std::vector<RawReceiver> silent;
  for (int i = 0; i < 64; ++i) {
    silent.emplace_back(offer);
    (void)loop.run_once(Deadline::after(20ms));
  }

  RawReceiver late(offer);
  REQUIRE(late.heard(loop));
  CHECK(late.answer.what == Packet::What::end);
  silent.clear();
  const auto borrower = Borrower::accept(loop, as_bytes(offer), kEpoch, {});
  REQUIRE(borrower != nullptr);
  (void)eventually(loop, [&] { return lender->lends_to(kPeer, kEpoch) || borrower->ended(); });
}

TEST_CASE("a receiver refuses a segment that could be cut off under it") {
  Loop loop;
  RawSender raw;
  bool ended = false;
  const auto borrower = Borrower::accept(loop, as_bytes(raw.offer()), kEpoch, [&] { ended = true; });
  REQUIRE(borrower != nullptr);
  constexpr std::uint64_t size = 1 << 20;

  SUBCASE("not sealed") {
    raw.give(loop, size, plain_memfd(size, 0).get());
  }
  SUBCASE("seals that could be taken further") {
    raw.give(loop, size, plain_memfd(size, F_SEAL_GROW | F_SEAL_SHRINK).get());
  }
  SUBCASE("smaller than it says") {
    raw.give(loop, 2 * size, plain_memfd(size, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL).get());
  }
  SUBCASE("larger than it says") {
    raw.give(loop, size / 2, plain_memfd(size, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL).get());
  }
  SUBCASE("no room for its table") {
    raw.give(loop, 4096, plain_memfd(4096, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL).get());
  }
  SUBCASE("of huge pages") {
    const Fd huge(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
    if (!huge || ::ftruncate(huge.get(), 2 << 20) != 0) return;  // this system has none
    REQUIRE(::fcntl(huge.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0);
    raw.give(loop, 2 << 20, huge.get());
  }
  SUBCASE("none at all") {
    raw.give(loop, size, -1);
  }

  CHECK(eventually(loop, [&] { return ended; }));
  CHECK_FALSE(borrower->ready());
  CHECK_FALSE(borrower->borrow({.segment = 1, .slot = 1, .offset = kTableBytes, .length = 1}).has_value());
}

TEST_CASE("an offer that leads nowhere is not taken up") {
  Loop loop;

  CHECK(Borrower::accept(loop, as_bytes(std::string(kTokenBytes, 't') + "weft-nobody"), kEpoch, {}) ==
        nullptr);
  const Fd other = listen_locally("other-" + std::to_string(getpid()));
  REQUIRE(other);
  CHECK(Borrower::accept(loop, as_bytes(std::string(kTokenBytes, 't') + "other-" + std::to_string(getpid())),
                         kEpoch, {}) == nullptr);
  CHECK(Borrower::accept(loop, as_bytes("short"), kEpoch, {}) == nullptr);
  CHECK(Borrower::accept(loop, as_bytes(std::string(400, 'n')), kEpoch, {}) == nullptr);
}

TEST_CASE("whoever has the descriptor of a segment can read it and nothing else") {
  auto memory = SharedMemory::make(4096);
  REQUIRE(memory.has_value());

  CHECK(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd(), 0) == MAP_FAILED);
  CHECK(::ftruncate(memory->fd(), 0) != 0);
  CHECK(::pwrite(memory->fd(), "x", 1, 0) != 1);
  memory->writable()[0] = std::byte{7};
  const auto reader = SharedMemory::map(Fd(::dup(memory->fd())), 4096, 4096);
  REQUIRE(reader.has_value());
  CHECK(reader->data()[0] == std::byte{7});
}
