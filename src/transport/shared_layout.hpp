// What lies where in the two pieces of memory of a link, and what its socket says (docs/reference/wire.md).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <weft/core/bytes.hpp>
#include <weft/protocol/slot_book.hpp>

namespace weft::transport {

// ---- the sender's segment: a table of the slots in use, then the slots ----

inline constexpr std::uint64_t kTableBytes = protocol::SlotBook::kMostSlots * sizeof(std::uint64_t);
inline constexpr std::uint64_t kLargestSegment = 64ULL << 30;

// ---- the receiver's ring: how many slots it has given back in all, then the last of them ----

inline constexpr std::uint64_t kRingEntries = 8192;
inline constexpr std::uint64_t kRingStart = 64;
inline constexpr std::uint64_t kRingBytes = 68ULL << 10;  // whole pages
static_assert(kRingStart + kRingEntries * sizeof(std::uint64_t) <= kRingBytes);

/// A number that the other process may read or change at any time.
inline std::uint64_t load_shared(const std::byte* at, std::memory_order order) {
  static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);
  auto* number = reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(at));
  return std::atomic_ref<std::uint64_t>(*number).load(order);
}
inline void store_shared(std::byte* at, std::uint64_t value, std::memory_order order) {
  std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at)).store(value, order);
}
inline std::uint64_t table_entry(std::uint64_t slot) {
  return slot % protocol::SlotBook::kMostSlots * sizeof(std::uint64_t);
}
inline std::uint64_t ring_entry(std::uint64_t count) {
  return kRingStart + count % kRingEntries * sizeof(std::uint64_t);
}

// ---- packets ----

/// Names of our sockets, so that no offer sends a receiver to somebody else's.
inline constexpr std::string_view kSocketPrefix = "weft-";
inline constexpr std::size_t kMostOfferBytes = 64;
inline constexpr std::string_view kPacketMagic = "WEFTSHM1";
inline constexpr std::size_t kTokenBytes = 16;
/// Receiver: magic, token, epoch; with its ring. Sender: magic, segment, size; with the segment. Receiver:
/// magic.
inline constexpr std::size_t kAskBytes = 8 + kTokenBytes + 8;
inline constexpr std::size_t kGiveBytes = 8 + 8 + 8;
inline constexpr std::size_t kReadyBytes = 8;

inline void put_number(std::byte* at, std::uint64_t number) {
  for (int i = 0; i < 8; ++i) at[i] = static_cast<std::byte>(number >> (56 - 8 * i));
}
inline std::uint64_t get_number(const std::byte* at) {
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | static_cast<std::uint64_t>(at[i]);
  return number;
}
inline bool has_packet_magic(const std::byte* bytes) {
  return std::memcmp(bytes, kPacketMagic.data(), kPacketMagic.size()) == 0;
}

}  // namespace weft::transport
