// The bytes of a journal: docs/reference/journal.md. No files here, only views.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include <weft/core/bytes.hpp>
#include <weft/wire/buffer.hpp>

namespace weft::journal {

static_assert(std::endian::native == std::endian::little,
              "the numbers of the format are written as they are");

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint64_t kSegmentMagic = 0x4C4E524A54464557;  // "WEFTJRNL"
inline constexpr std::uint32_t kEntryMagic = 0x9D4AE757;
inline constexpr std::size_t kSegmentHeader = 48;  // one copy; there are two
inline constexpr std::size_t kSegmentStart = 2 * kSegmentHeader;
inline constexpr std::size_t kEntryHeader = 40;
inline constexpr std::size_t kOpHeader = 16;
inline constexpr std::size_t kMaxSpace = 255;
inline constexpr std::size_t kMaxKey = 1024;
/// Of one entry: more than this is a mistake, and 32 bits hold it.
inline constexpr std::uint64_t kMaxEntry = 1ULL << 31;

template <class T>
T load(const std::byte* at) {
  T out;
  std::memcpy(&out, at, sizeof out);
  return out;
}
template <class T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

struct SegmentHeader {
  std::uint32_t version = kVersion;
  std::uint64_t number = 0;
  std::uint64_t first_entry = 0;  ///< the number of its first entry
  /// Unpredictable: bytes that merely look like an entry, in a value or from another segment, are none.
  std::uint64_t salt = 0;
};
/// Both copies: kSegmentStart bytes.
void encode_header(const SegmentHeader& header, std::byte* to);
/// From the first copy that is whole.
std::optional<SegmentHeader> decode_header(Bytes file);

enum class OpKind : std::uint8_t { put = 1, erase = 2, trim = 3 };

struct Op {
  OpKind kind = OpKind::put;
  std::string_view space;
  Bytes key;
  Bytes value;
  Bytes record;  ///< all its bytes
};

/// Makes room for the header when `entry` is empty.
void begin_entry(wire::Buffer& entry);
/// Appends one op. The parts of the value are copied once, here.
void append_op(wire::Buffer& entry, OpKind kind, std::string_view space, Bytes key,
               std::span<const Bytes> parts);
/// Appends an op that has been encoded and checked already.
void append_record(wire::Buffer& entry, Bytes record);
/// The open entry as it is sealed later: its header holds the chain until then.
std::uint64_t chain_of(const wire::Buffer& entry);
struct EntryNumbers {
  std::uint64_t number = 0;
  /// All entries below it were durable when this one was written.
  std::uint64_t durable_below = 0;
  std::uint32_t count = 0;
};
/// Fills in the header and nothing else. `chain` is what chain_of said.
void seal_entry(wire::Buffer& entry, std::uint64_t chain, const EntryNumbers& numbers, std::uint64_t salt);

/// The next op of `rest`, with its checksum verified when `check`; nullopt when it is none.
std::optional<Op> next_op(Bytes& rest, bool check);

enum class Parsed {
  whole,
  cut,  ///< it says that it is longer than what is there
  bad,
};
struct Entry {
  EntryNumbers numbers;
  std::size_t size = 0;  ///< with its header
  Bytes ops;
};
/// The entry at the beginning of `bytes`: magic, bounds, every checksum.
Parsed parse_entry(Bytes bytes, std::uint64_t salt, Entry& out);

/// What the kEntryHeader bytes at `header` say, believed or not.
std::size_t entry_size(const std::byte* header);

/// "0000000000000001.segment"
std::string segment_name(std::uint64_t number);
/// The file that only takes room.
inline constexpr const char* kReserveName = "reserve";
/// nullopt: not the name of a segment.
std::optional<std::uint64_t> segment_number(std::string_view name);

}  // namespace weft::journal
