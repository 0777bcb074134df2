// Lender and Borrower: the two ends of memory that a sending port shares with receivers on its host
// (docs/decisions/0012-shared-memory.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <weft/core/bytes.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/shared.hpp>
#include <weft/wire/tensor.hpp>

namespace weft::transport {

/// What a Lender has done so far.
struct LenderCounts {
  std::uint64_t links = 0;        ///< receivers that may read the segment now
  std::uint64_t lent_bytes = 0;   ///< in all
  std::uint64_t lent_frames = 0;  ///< in all
  std::uint64_t full = 0;         ///< frames that went the ordinary way because the segment had no room
  std::uint64_t refused = 0;  ///< connections that were not a receiver's, and receivers that broke the rules
  std::uint64_t used_bytes = 0;  ///< of the segment, now: its owner's and what receivers hold
};

/// Owns one segment, and lends places in it to receivers that have mapped it. What a receiver holds stays as
/// it is until that receiver gives it back, or the kernel says that its process has let go of the segment or
/// has ended; nothing else frees it, neither silence nor a new connection. Loop's thread, but for `memory()`.
class Lender {
 public:
  /// nullptr: this system cannot (no memfd, or no seal against writing).
  static std::unique_ptr<Lender> make(Loop& loop, std::uint64_t bytes);
  ~Lender();
  Lender(const Lender&) = delete;
  Lender& operator=(const Lender&) = delete;

  /// What HELLO tells a receiver, who connects with it: a token of its own and the name of our socket.
  /// At most 64 bytes.
  [[nodiscard]] std::string offer(std::uint64_t peer);
  /// The receiver's connection is new, and with the old one messages may have been lost that lent something:
  /// the old link lends nothing more, and the next offer is a new one.
  void renew(std::uint64_t peer);
  void forget(std::uint64_t peer);

  /// The receiver, in this epoch of it, can read the segment.
  [[nodiscard]] bool lends_to(std::uint64_t peer, std::uint64_t epoch) const;
  /// Lends bytes: in place when they lie in the segment, else as a copy. nullopt: no link, or no room.
  std::optional<wire::SharedRef> lend(std::uint64_t peer, std::uint64_t epoch, Bytes bytes);
  /// The message that was to tell of it was not sent.
  void take_back(std::uint64_t peer, const wire::SharedRef& lent);

  /// Room in the segment, while anybody can read it. Lives as long as it is held. Any thread.
  [[nodiscard]] const std::shared_ptr<wire::BlockSource>& memory() const { return memory_; }
  [[nodiscard]] LenderCounts counts() const;

  struct Impl;

 private:
  explicit Lender(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::shared_ptr<wire::BlockSource> memory_;
};

/// A receiver's link to the segment of one sender. Loop's thread; what it has lent out may outlive it, and
/// may be dropped on any thread.
class Borrower {
 public:
  /// Takes an offer up: connects, and maps the segment when it comes. nullptr: nobody is there (another host
  /// or network namespace), or it is another user's. `on_end` is called when the sender has ended or lends
  /// nothing more by this link.
  static std::unique_ptr<Borrower> accept(Loop& loop, Bytes offer, std::uint64_t epoch,
                                          std::function<void()> on_end);
  ~Borrower();
  Borrower(const Borrower&) = delete;
  Borrower& operator=(const Borrower&) = delete;

  [[nodiscard]] Bytes offer() const;
  /// The segment is mapped.
  [[nodiscard]] bool ready() const;
  [[nodiscard]] bool ended() const;
  /// A view of what was lent; its owner gives it back. nullopt: nothing is lent there, or the segment is
  /// another.
  std::optional<Tensor> borrow(const wire::SharedRef& ref);

  struct Impl;

 private:
  explicit Borrower(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::transport
