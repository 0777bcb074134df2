// Pack and Unpack: the few msgpack primitives that headers and protocol bodies need, without objects or allocation.
// Records of user types go through codec.hpp instead. Source: the MessagePack specification (github.com/msgpack).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <weft/core/bytes.hpp>
#include <weft/core/value.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/limits.hpp>

namespace weft::wire {

/// Appends msgpack objects to a buffer, each in its shortest form.
class Pack {
 public:
  explicit Pack(Buffer& out) : out_(out) {}
  void nil();
  void boolean(bool v);
  void uint(std::uint64_t v);
  void sint(std::int64_t v);
  void real(double v);
  void str(std::string_view v);
  void bin(Bytes v);
  /// Only the head of a bin of `size` bytes; the caller appends the bytes.
  void bin_head(std::size_t size);
  void array(std::size_t count);
  void map(std::size_t count);
  void ext(std::int8_t type, Bytes payload);
  void raw(Bytes packed) { out_.append(packed); }
  void value(const Value& v);

 private:
  Buffer& out_;
};

/// Reads msgpack objects one after another from hostile bytes. Every reader returns nullopt (and moves nothing) when
/// the next object is of another kind, is cut short or is out of bounds. Views point into the bytes.
class Unpack {
 public:
  explicit Unpack(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  [[nodiscard]] bool done() const { return at_ == end_; }
  [[nodiscard]] Bytes rest() const { return {at_, end_}; }

  /// Non-negative integers in any form.
  std::optional<std::uint64_t> uint();
  /// Integers that fit into 64 signed bits.
  std::optional<std::int64_t> sint();
  std::optional<double> real();  ///< float 32, float 64 or any integer
  std::optional<bool> boolean();
  bool nil();
  std::optional<std::string_view> str();
  std::optional<Bytes> bin();
  /// The payload of a bin or str.
  std::optional<Bytes> bytes();
  std::optional<std::uint32_t> array();  ///< number of items that follow
  std::optional<std::uint32_t> map();    ///< number of pairs that follow
  struct Ext {
    std::int8_t type;
    Bytes payload;
  };
  std::optional<Ext> ext();
  /// The whole next object, structurally checked: nothing in it is cut short or nested deeper than `depth`.
  std::optional<Bytes> object(std::size_t depth = kMaxRecordDepth);
  /// The next object as a tree; ext becomes a map {"ext": type, "data": binary}; map keys that are not text are
  /// written as text. Bounded by `depth`.
  std::optional<Value> value(std::size_t depth = kMaxRecordDepth);

 private:
  const std::byte* at_;
  const std::byte* end_;
};

}  // namespace weft::wire
