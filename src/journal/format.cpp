#include "journal/format.hpp"

#include <array>
#include <charconv>

#include <weft/core/format.hpp>
#include <weft/wire/checksum.hpp>

namespace weft::journal {
namespace {

// Where the parts of an entry's header are.
constexpr std::size_t kTagAt = 4;
constexpr std::size_t kChecksumAt = 8;
constexpr std::size_t kNumberAt = 16;
constexpr std::size_t kDurableAt = 24;
constexpr std::size_t kLengthAt = 32;
constexpr std::size_t kCountAt = 36;
constexpr std::string_view kSuffix = ".segment";

// Each op is hashed once, when it is written; the entry hashes their hashes.
std::uint64_t chain(std::uint64_t so_far, std::uint64_t checksum) {
  std::array<std::byte, 16> both;
  store(both.data(), so_far);
  store(both.data() + 8, checksum);
  return wire::xxh3(both);
}

std::uint64_t entry_checksum(const std::byte* header, std::uint64_t salt, std::uint64_t ops) {
  std::array<std::byte, 40> all;
  std::memcpy(all.data(), header + kNumberAt, 24);
  store(all.data() + 24, salt);
  store(all.data() + 32, ops);
  return wire::xxh3(all);
}

// While an entry is being built, its chain is kept where its checksum will be.
void extend_chain(wire::Buffer& entry, std::uint64_t checksum) {
  std::byte* at = entry.data() + kChecksumAt;
  store(at, chain(load<std::uint64_t>(at), checksum));
}

}  // namespace

void encode_header(const SegmentHeader& header, std::byte* to) {
  store(to, kSegmentMagic);
  store(to + 8, header.version);
  store(to + 12, std::uint32_t{0});
  store(to + 16, header.number);
  store(to + 24, header.first_entry);
  store(to + 32, header.salt);
  store(to + 40, wire::xxh3({to, 40}));
  std::memcpy(to + kSegmentHeader, to, kSegmentHeader);
}

std::optional<SegmentHeader> decode_header(Bytes file) {
  for (std::size_t copy = 0; copy < 2; ++copy) {
    const std::size_t at = copy * kSegmentHeader;
    if (file.size() < at + kSegmentHeader) break;
    const std::byte* from = file.data() + at;
    if (load<std::uint64_t>(from) != kSegmentMagic) continue;
    if (load<std::uint64_t>(from + 40) != wire::xxh3({from, 40})) continue;
    return SegmentHeader{load<std::uint32_t>(from + 8), load<std::uint64_t>(from + 16),
                         load<std::uint64_t>(from + 24), load<std::uint64_t>(from + 32)};
  }
  return std::nullopt;
}

void begin_entry(wire::Buffer& entry) {
  if (entry.empty()) std::memset(entry.extend(kEntryHeader), 0, kEntryHeader);
}

void append_op(wire::Buffer& entry, OpKind kind, std::string_view space, Bytes key,
               std::span<const Bytes> parts) {
  std::size_t value = 0;
  for (const Bytes& part : parts) value += part.size();
  const std::size_t size = kOpHeader + space.size() + key.size() + value;
  begin_entry(entry);
  std::byte* const op = entry.extend(size);
  store(op + 8, kind);
  store(op + 9, static_cast<std::uint8_t>(space.size()));
  store(op + 10, static_cast<std::uint16_t>(key.size()));
  store(op + 12, static_cast<std::uint32_t>(value));
  std::byte* at = op + kOpHeader;
  const auto copy = [&at](Bytes bytes) {
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    at += bytes.size();
  };
  copy(as_bytes(space));
  copy(key);
  for (const Bytes& part : parts) copy(part);
  const std::uint64_t checksum = wire::xxh3({op + 8, size - 8});
  store(op, checksum);
  extend_chain(entry, checksum);
}

void append_record(wire::Buffer& entry, Bytes record) {
  begin_entry(entry);
  entry.append(record);
  extend_chain(entry, load<std::uint64_t>(record.data()));
}

std::uint64_t chain_of(const wire::Buffer& entry) {
  return load<std::uint64_t>(entry.data() + kChecksumAt);
}

void seal_entry(wire::Buffer& entry, std::uint64_t ops, const EntryNumbers& numbers, std::uint64_t salt) {
  std::byte* header = entry.data();
  store(header, kEntryMagic);
  store(header + kTagAt, static_cast<std::uint32_t>(salt));
  store(header + kNumberAt, numbers.number);
  store(header + kDurableAt, numbers.durable_below);
  store(header + kLengthAt, static_cast<std::uint32_t>(entry.size() - kEntryHeader));
  store(header + kCountAt, numbers.count);
  store(header + kChecksumAt, entry_checksum(header, salt, ops));
}

std::optional<Op> next_op(Bytes& rest, bool check) {
  if (rest.size() < kOpHeader) return std::nullopt;
  const std::byte* op = rest.data();
  const auto kind = load<std::uint8_t>(op + 8);
  const std::size_t space = load<std::uint8_t>(op + 9);
  const std::size_t key = load<std::uint16_t>(op + 10);
  const std::size_t value = load<std::uint32_t>(op + 12);
  const std::size_t size = kOpHeader + space + key + value;
  if (size > rest.size() || key > kMaxKey || kind < 1 || kind > 3) return std::nullopt;
  if ((kind == static_cast<std::uint8_t>(OpKind::trim)) != (space == 0)) return std::nullopt;
  if (space == 0 && value != 8) return std::nullopt;
  if (check && load<std::uint64_t>(op) != wire::xxh3({op + 8, size - 8})) return std::nullopt;
  Op out;
  out.kind = static_cast<OpKind>(kind);
  out.record = rest.first(size);
  out.space = as_text(out.record.subspan(kOpHeader, space));
  out.key = out.record.subspan(kOpHeader + space, key);
  out.value = out.record.subspan(kOpHeader + space + key);
  rest = rest.subspan(size);
  return out;
}

Parsed parse_entry(Bytes bytes, std::uint64_t salt, Entry& out) {
  if (bytes.size() < 8) return Parsed::bad;
  const std::byte* header = bytes.data();
  if (load<std::uint32_t>(header) != kEntryMagic) return Parsed::bad;
  if (load<std::uint32_t>(header + kTagAt) != static_cast<std::uint32_t>(salt)) return Parsed::bad;
  if (bytes.size() < kEntryHeader) return Parsed::cut;
  const std::size_t length = load<std::uint32_t>(header + kLengthAt);
  if (length > bytes.size() - kEntryHeader) return Parsed::cut;
  out.numbers = {load<std::uint64_t>(header + kNumberAt), load<std::uint64_t>(header + kDurableAt),
                 load<std::uint32_t>(header + kCountAt)};
  out.size = kEntryHeader + length;
  out.ops = bytes.subspan(kEntryHeader, length);
  Bytes rest = out.ops;
  std::uint64_t ops = 0;
  std::uint32_t count = 0;
  for (; !rest.empty(); ++count) {
    const auto op = next_op(rest, true);
    if (!op) return Parsed::bad;
    ops = chain(ops, load<std::uint64_t>(op->record.data()));
  }
  if (count != out.numbers.count ||
      load<std::uint64_t>(header + kChecksumAt) != entry_checksum(header, salt, ops))
    return Parsed::bad;
  return Parsed::whole;
}

std::size_t entry_size(const std::byte* header) {
  return kEntryHeader + load<std::uint32_t>(header + kLengthAt);
}

std::string segment_name(std::uint64_t number) {
  return format("{:016x}{}", number, kSuffix);
}

std::optional<std::uint64_t> segment_number(std::string_view name) {
  if (name.size() != 16 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 16, number, 16);
  // The very name that segment_name gives: one number has one file.
  if (error != std::errc() || end != name.data() + 16 || segment_name(number) != name) return std::nullopt;
  return number;
}

}  // namespace weft::journal
