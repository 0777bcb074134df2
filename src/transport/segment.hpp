// Segment: the memory that a Lender lends, with the book of who holds what. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <weft/protocol/slot_book.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/shared.hpp>

#include "shared_memory.hpp"

namespace weft::transport {

/// Lives as long as its Lender or anything that was built in it.
class Segment final : public wire::BlockSource, public std::enable_shared_from_this<Segment> {
 public:
  /// nullptr: the system cannot.
  static std::shared_ptr<Segment> make(std::uint64_t bytes);

  /// Room for its owner; none while no receiver could read it.
  Room take(std::size_t capacity) override;

  /// A receiver that is given the segment, and where it will write down what it gives back.
  void add_link(std::uint64_t link, SharedMemory ring);
  /// It has mapped the segment, and may borrow.
  void begin_link(std::uint64_t link);
  /// It lends nothing more by this link.
  void end_link(std::uint64_t link);
  /// Nobody is left who could read by this link.
  void forget_link(std::uint64_t link);

  std::optional<wire::SharedRef> lend(std::uint64_t link, Bytes bytes);
  void take_back(std::uint64_t link, std::uint64_t slot);

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] std::uint64_t size() const { return memory_.size(); }
  [[nodiscard]] int fd() const { return memory_.fd(); }
  /// Bytes that are held, after all that was given back by now.
  [[nodiscard]] std::uint64_t used();
  /// Links whose receiver gave back what it does not hold.
  [[nodiscard]] std::uint64_t broken() const { return broken_.load(std::memory_order_relaxed); }

 private:
  struct Link {
    SharedMemory ring;
    std::uint64_t read = 0;  // entries of the ring
    bool lends = false;
  };
  Segment(SharedMemory memory, std::uint64_t id);
  void release(std::uint64_t slot);
  void collect(std::uint64_t id, Link& link);
  void collect_all();
  std::optional<protocol::SlotBook::Slot> take_slot(std::uint64_t bytes);
  [[nodiscard]] wire::SharedRef place(std::uint64_t slot, std::uint64_t offset, std::uint64_t length) const;

  SharedMemory memory_;
  const std::uint64_t id_;
  std::atomic<std::uint64_t> lending_{0};  // links that lend
  std::atomic<std::uint64_t> broken_{0};
  std::mutex mutex_;
  protocol::SlotBook book_;  // offsets from the end of the table
  std::map<std::uint64_t, Link> links_;
};

}  // namespace weft::transport
