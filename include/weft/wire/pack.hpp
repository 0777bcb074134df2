// Pack and Unpack: the few msgpack primitives that headers and protocol bodies need, without objects or
// allocation. Records of user types go through codec.hpp instead. Source: the MessagePack specification
// (github.com/msgpack).
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

#include <weft/core/bytes.hpp>
#include <weft/core/value.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/limits.hpp>

namespace weft::wire {

namespace detail {

template <std::unsigned_integral T>
constexpr T big_endian(T v) {
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) return v;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(v);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(v);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(v);
}
template <std::unsigned_integral T>
T load(const std::byte* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return big_endian(v);
}
/// A big-endian number of 1, 2, 4 or 8 bytes.
inline std::uint64_t load_sized(const std::byte* at, std::size_t bytes) {
  switch (bytes) {
    case 1:
      return static_cast<std::uint64_t>(*at);
    case 2:
      return load<std::uint16_t>(at);
    case 4:
      return load<std::uint32_t>(at);
    default:
      return load<std::uint64_t>(at);
  }
}
/// The lead byte and a big-endian number.
template <std::unsigned_integral T>
void store(void* at, unsigned lead, T v) {
  *static_cast<std::byte*>(at) = static_cast<std::byte>(lead);
  v = big_endian(v);
  std::memcpy(static_cast<std::byte*>(at) + 1, &v, sizeof v);
}
template <std::unsigned_integral T>
void put(Buffer& out, unsigned lead, T v) {
  store(out.extend(1 + sizeof v), lead, v);
}

enum class Skip : std::uint8_t { ok, cut, deep };
/// Moves `at` behind the next object, without recursion; `at` is undefined unless ok. `cut` also stands for
/// the byte that msgpack never uses.
Skip skip(const std::byte*& at, const std::byte* end, std::size_t depth);

}  // namespace detail

/// Appends msgpack objects to a buffer, each in its shortest form.
class Pack {
 public:
  explicit Pack(Buffer& out) : out_(out) {}
  void nil() { lead(0xC0); }
  void boolean(bool v) { lead(v ? 0xC3 : 0xC2); }
  void uint(std::uint64_t v) {
    if (v < 0x80) return lead(static_cast<unsigned>(v));
    if (v <= 0xFF) return detail::put(out_, 0xCC, static_cast<std::uint8_t>(v));
    if (v <= 0xFFFF) return detail::put(out_, 0xCD, static_cast<std::uint16_t>(v));
    if (v <= 0xFFFFFFFF) return detail::put(out_, 0xCE, static_cast<std::uint32_t>(v));
    detail::put(out_, 0xCF, v);
  }
  void sint(std::int64_t v);
  void real(double v) { detail::put(out_, 0xCB, std::bit_cast<std::uint64_t>(v)); }
  void str(std::string_view v) {
    if (v.size() < 32) {
      lead(0xA0 | static_cast<unsigned>(v.size()));
    } else {
      sized(v.size(), 0xD9);
    }
    out_.append(v.data(), v.size());
  }
  void bin(Bytes v) {
    bin_head(v.size());
    out_.append(v);
  }
  /// Only the head of a bin of `size` bytes; the caller appends the bytes.
  void bin_head(std::size_t size) { sized(size, 0xC4); }
  void array(std::size_t count) { container(count, 0x90, 0xDC); }
  void map(std::size_t count) { container(count, 0x80, 0xDE); }
  void ext(std::int8_t type, Bytes payload);
  void raw(Bytes packed) { out_.append(packed); }
  void value(const Value& v);

 private:
  void lead(unsigned byte) { *out_.extend(1) = static_cast<std::byte>(byte); }
  // The lead byte for a one-byte length, then the ones for two and four bytes. msgpack ends at 2^32 - 1
  // bytes.
  void sized(std::size_t size, unsigned first) {
    if (size <= 0xFF) return detail::put(out_, first, static_cast<std::uint8_t>(size));
    if (size <= 0xFFFF) return detail::put(out_, first + 1, static_cast<std::uint16_t>(size));
    detail::put(out_, first + 2, static_cast<std::uint32_t>(size));
  }
  void container(std::size_t count, unsigned fixed, unsigned first) {
    if (count < 16) return lead(fixed | static_cast<unsigned>(count));
    if (count <= 0xFFFF) return detail::put(out_, first, static_cast<std::uint16_t>(count));
    detail::put(out_, first + 1, static_cast<std::uint32_t>(count));
  }

  Buffer& out_;
};

/// Reads msgpack objects one after another from hostile bytes. Every reader returns nullopt (and moves
/// nothing) when the next object is of another kind, is cut short or is out of bounds. Views point into the
/// bytes.
class Unpack {
 public:
  explicit Unpack(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  [[nodiscard]] bool done() const { return at_ == end_; }
  [[nodiscard]] Bytes rest() const { return {at_, end_}; }

  /// Non-negative integers in any form.
  std::optional<std::uint64_t> uint() {
    std::uint64_t v = 0;
    if (read_uint(v)) return v;
    return std::nullopt;
  }
  /// Integers that fit into 64 signed bits.
  std::optional<std::int64_t> sint();
  std::optional<double> real();  ///< float 32, float 64 or any integer
  std::optional<bool> boolean();
  bool nil();
  std::optional<std::string_view> str() {
    if (const auto found = blob(0xD9, true)) return as_text(*found);
    return std::nullopt;
  }
  std::optional<Bytes> bin() { return blob(0xC4, false); }
  /// The payload of a bin or str.
  std::optional<Bytes> bytes() {
    const auto found = bin();
    return found ? found : blob(0xD9, true);
  }
  /// Number of items that follow; never more than the bytes that are left.
  std::optional<std::uint32_t> array();
  /// Number of pairs that follow; never more than half the bytes that are left.
  std::optional<std::uint32_t> map();
  struct Ext {
    std::int8_t type;
    Bytes payload;
  };
  std::optional<Ext> ext();
  /// The whole next object, structurally checked: nothing in it is cut short or nested deeper than `depth` (a
  /// number has depth 0, an array of numbers 1; `depth` counts at most kMaxRecordDepth).
  std::optional<Bytes> object(std::size_t depth = kMaxRecordDepth) {
    const std::byte* const start = at_;
    if (const auto found = blob(0xC4, false)) return Bytes{start, at_};
    const std::byte* at = at_;
    if (detail::skip(at, end_, depth) != detail::Skip::ok) return std::nullopt;
    at_ = at;
    return Bytes{start, at};
  }
  /// The next object as a tree; ext becomes a map {"ext": type, "data": binary}; map keys that are not text
  /// are written as text (numbers as in JSON, binary as it is, other objects as "0x" and their bytes); of
  /// equal keys the last one holds. Bounded by `depth`.
  std::optional<Value> value(std::size_t depth = kMaxRecordDepth);

 private:
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  // Inline, with the number by reference: an optional that comes back from a call costs more than reading it
  // does.
  bool read_uint(std::uint64_t& v) {
    if (at_ == end_) return false;
    const auto lead = static_cast<unsigned>(*at_);
    if (lead < 0x80) {
      v = lead;
      ++at_;
      return true;
    }
    // Other packers also write numbers that are not negative in a signed form.
    if (lead < 0xCC || lead > 0xCF) return signed_uint(v);
    const std::size_t size = std::size_t{1} << (lead - 0xCC);
    if (left() < 1 + size) return false;
    v = detail::load_sized(at_ + 1, size);
    at_ += 1 + size;
    return true;
  }
  bool signed_uint(std::uint64_t& v);
  std::optional<std::uint32_t> container(unsigned fixed, unsigned first, std::size_t item_bytes);

  // A bin or str whose lead bytes for one, two and four length bytes start at `first`.
  std::optional<Bytes> blob(unsigned first, bool fixed_form) {
    if (at_ == end_) return std::nullopt;
    const auto lead = static_cast<unsigned>(*at_);
    if (fixed_form && (lead & 0xE0) == 0xA0) return take(1, lead & 0x1F);
    if (lead == first && left() >= 2) return take(2, static_cast<std::size_t>(at_[1]));
    if (lead == first + 1 && left() >= 3) return take(3, detail::load<std::uint16_t>(at_ + 1));
    if (lead == first + 2 && left() >= 5) return take(5, detail::load<std::uint32_t>(at_ + 1));
    return std::nullopt;
  }
  std::optional<Bytes> take(std::size_t head, std::size_t size) {
    if (left() - head < size) return std::nullopt;
    const Bytes found{at_ + head, size};
    at_ += head + size;
    return found;
  }

  const std::byte* at_;
  const std::byte* end_;
};

}  // namespace weft::wire
