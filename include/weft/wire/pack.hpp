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
/// The lead byte and a big-endian number. Returns the size of both.
template <std::unsigned_integral T>
std::size_t store(void* at, unsigned lead, T v) {
  *static_cast<std::byte*>(at) = static_cast<std::byte>(lead);
  v = big_endian(v);
  std::memcpy(static_cast<std::byte*>(at) + 1, &v, sizeof v);
  return 1 + sizeof v;
}
template <std::unsigned_integral T>
void put(Buffer& out, unsigned lead, T v) {
  store(out.extend(1 + sizeof v), lead, v);
}

/// A number in its shortest form, into at least nine bytes of room. Returns its size.
inline std::size_t store_uint(std::byte* at, std::uint64_t v) {
  if (v < 0x80) {
    *at = static_cast<std::byte>(v);
    return 1;
  }
  if (v <= 0xFF) return store(at, 0xCC, static_cast<std::uint8_t>(v));
  if (v <= 0xFFFF) return store(at, 0xCD, static_cast<std::uint16_t>(v));
  if (v <= 0xFFFFFFFF) return store(at, 0xCE, static_cast<std::uint32_t>(v));
  return store(at, 0xCF, v);
}
inline std::size_t store_sint(std::byte* at, std::int64_t v) {
  const auto bits = static_cast<std::uint64_t>(v);
  if (v >= 0) return store_uint(at, bits);
  if (v >= -32) {
    *at = static_cast<std::byte>(bits & 0xFF);
    return 1;
  }
  if (v >= INT8_MIN) return store(at, 0xD0, static_cast<std::uint8_t>(bits));
  if (v >= INT16_MIN) return store(at, 0xD1, static_cast<std::uint16_t>(bits));
  if (v >= INT32_MIN) return store(at, 0xD2, static_cast<std::uint32_t>(bits));
  return store(at, 0xD3, bits);
}
/// The head of a bin of `size` bytes, into at least five bytes of room. Returns its size.
inline std::size_t store_bin_head(std::byte* at, std::size_t size) {
  if (size <= 0xFF) return store(at, 0xC4, static_cast<std::uint8_t>(size));
  if (size <= 0xFFFF) return store(at, 0xC5, static_cast<std::uint16_t>(size));
  return store(at, 0xC6, static_cast<std::uint32_t>(size));
}

enum class Skip : std::uint8_t { ok, cut, deep };
/// Moves `at` behind the next object, without recursion; `at` is undefined unless ok. `cut` also stands for
/// the byte that msgpack never uses.
Skip skip(const std::byte*& at, const std::byte* end, std::size_t depth);
/// The same at any depth. False: cut.
bool skip_any(const std::byte*& at, const std::byte* end);

}  // namespace detail

/// Appends msgpack objects to a buffer, each in its shortest form.
class Pack {
 public:
  explicit Pack(Buffer& out) : out_(out) {}
  void nil() { lead(0xC0); }
  void boolean(bool v) { lead(v ? 0xC3 : 0xC2); }
  void uint(std::uint64_t v) { out_.advance(detail::store_uint(out_.room(1 + sizeof v), v)); }
  void sint(std::int64_t v) { out_.advance(detail::store_sint(out_.room(1 + sizeof v), v)); }
  void real(double v) { detail::put(out_, 0xCB, std::bit_cast<std::uint64_t>(v)); }
  void str(std::string_view v) {
    std::byte* const at = out_.room(v.size() + kLongestHead);
    std::byte* behind = at + 1;
    if (v.size() < 32) {
      *at = static_cast<std::byte>(0xA0 | v.size());
    } else {
      behind = head(at, v.size(), 0xD9);
    }
    out_.advance(static_cast<std::size_t>(payload(behind, v.data(), v.size()) - at));
  }
  void bin(Bytes v) {
    std::byte* const at = out_.room(v.size() + kLongestHead);
    out_.advance(static_cast<std::size_t>(payload(head(at, v.size(), 0xC4), v.data(), v.size()) - at));
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
  static constexpr std::size_t kLongestHead = 5;  // lead byte and length
  // As sized(), into room that is there; returns what is behind it.
  static std::byte* head(std::byte* at, std::size_t size, unsigned first) {
    if (size <= 0xFF) return at + detail::store(at, first, static_cast<std::uint8_t>(size));
    if (size <= 0xFFFF) return at + detail::store(at, first + 1, static_cast<std::uint16_t>(size));
    return at + detail::store(at, first + 2, static_cast<std::uint32_t>(size));
  }
  static std::byte* payload(std::byte* at, const void* bytes, std::size_t size) {
    if (size != 0) std::memcpy(at, bytes, size);
    return at + size;
  }
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
  /// float 32, float 64 or any integer
  std::optional<double> real() {
    if (left() >= 9 && *at_ == std::byte{0xCB}) {
      const auto bits = detail::load<std::uint64_t>(at_ + 1);
      at_ += 9;
      return std::bit_cast<double>(bits);
    }
    if (left() >= 5 && *at_ == std::byte{0xCA}) {
      const auto bits = detail::load<std::uint32_t>(at_ + 1);
      at_ += 5;
      return std::bit_cast<float>(bits);
    }
    return real_of_integer();
  }
  std::optional<bool> boolean() {
    if (at_ == end_ || (*at_ != std::byte{0xC2} && *at_ != std::byte{0xC3})) return std::nullopt;
    return *at_++ == std::byte{0xC3};
  }
  bool nil() {
    if (at_ == end_ || *at_ != std::byte{0xC0}) return false;
    ++at_;
    return true;
  }
  std::optional<std::string_view> str() {
    Bytes found;
    if (read_str(found)) return as_text(found);
    return std::nullopt;
  }
  std::optional<Bytes> bin() {
    Bytes found;
    if (read_blob(found, 0xC4)) return found;
    return std::nullopt;
  }
  /// The payload of a bin or str.
  std::optional<Bytes> bytes() {
    Bytes found;
    if (read_bytes(found)) return found;
    return std::nullopt;
  }
  bool read_bytes(Bytes& found) { return read_blob(found, 0xC4) || read_str(found); }
  /// Number of items that follow; never more than the bytes that are left.
  std::optional<std::uint32_t> array() {
    if (at_ != end_ && (*at_ & std::byte{0xF0}) == std::byte{0x90}) {
      const auto count = static_cast<std::uint32_t>(*at_ & std::byte{0x0F});
      if (count > left() - 1) return std::nullopt;
      ++at_;
      return count;
    }
    return long_array();
  }
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
    Bytes payload;
    if (!read_blob(payload, 0xC4) && detail::skip(at_, end_, depth) != detail::Skip::ok) {
      at_ = start;
      return std::nullopt;
    }
    return Bytes{start, at_};
  }
  /// The next object as a tree; ext becomes a map {"ext": type, "data": binary}; map keys that are not text
  /// are written as text (numbers as in JSON, binary as it is, other objects as "0x" and their bytes, and so
  /// are all that would look like another key); of equal keys the last one holds. Bounded by `depth`.
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
  std::optional<double> real_of_integer();
  std::optional<std::uint32_t> long_array();
  std::optional<std::uint32_t> container(unsigned fixed, unsigned first, std::size_t item_bytes);

  bool read_str(Bytes& found) {
    if (at_ == end_) return false;
    const auto lead = static_cast<unsigned>(*at_);
    if ((lead & 0xE0) == 0xA0) return take(found, 1, lead & 0x1F);
    return read_blob(found, 0xD9);
  }
  // A bin or str whose lead bytes for one, two and four length bytes start at `first`.
  bool read_blob(Bytes& found, unsigned first) {
    if (left() < 2) return false;
    const unsigned form = static_cast<unsigned>(*at_) - first;
    if (form == 0) return take(found, 2, static_cast<std::size_t>(at_[1]));
    if (form == 1 && left() >= 3) return take(found, 3, detail::load<std::uint16_t>(at_ + 1));
    if (form == 2 && left() >= 5) return take(found, 5, detail::load<std::uint32_t>(at_ + 1));
    return false;
  }
  bool take(Bytes& found, std::size_t head, std::size_t size) {
    if (left() - head < size) return false;
    found = {at_ + head, size};
    at_ += head + size;
    return true;
  }

  const std::byte* at_;
  const std::byte* end_;
};

}  // namespace weft::wire
