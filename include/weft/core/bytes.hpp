// Views of raw bytes, and the conversions between them and text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weft {

/// A read-only view; the owner must outlive it.
using Bytes = std::span<const std::byte>;

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
/// The memory of an array of plain values, e.g. `std::span<const float>`.
template <class T>
Bytes bytes_of(std::span<const T> values) {
  return std::as_bytes(values);
}

}  // namespace weft
