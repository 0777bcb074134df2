// What kinds of values records have, and how those of a bounded size are written: with one check of the room.
// Included by codec_direct.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <weft/wire/pack.hpp>

namespace weft::wire::detail {

template <class T>
concept Record = requires(T& t) {
  t.weft_visit([](auto&...) { return true; });
};
template <class T>
concept Octet = std::same_as<T, char> || std::same_as<T, unsigned char> || std::same_as<T, std::byte>;
template <class T>
concept Number = (std::integral<T> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                  !std::same_as<T, char16_t> && !std::same_as<T, char32_t>) ||
                 std::same_as<T, float> || std::same_as<T, double>;

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// The most bytes that a T takes, when no T takes more; 0: there is no such bound.
template <class T>
constexpr std::size_t most_bytes() {
  if constexpr (std::same_as<T, bool>) {
    return 1;
  } else if constexpr (Number<T>) {
    return 1 + std::max(sizeof(T), std::size_t{1});
  } else if constexpr (Record<T>) {
    return decltype(std::declval<T&>().weft_visit([](auto&... fields) {
      constexpr bool bounded = ((most_bytes<std::remove_cvref_t<decltype(fields)>>() != 0) && ...);
      return std::integral_constant < std::size_t,
             bounded && sizeof...(fields) < 16
                 ? (1 + ... + most_bytes<std::remove_cvref_t<decltype(fields)>>())
                 : 0 > ();
    }))::value;
  } else if constexpr (is_array<T>) {
    constexpr std::size_t count = std::tuple_size_v<T>;
    constexpr std::size_t item = Octet<typename T::value_type> ? 1 : most_bytes<typename T::value_type>();
    if constexpr (Octet<typename T::value_type>) return 5 + count;
    return count < 16 && item != 0 ? 1 + count * item : 0;
  } else {
    return 0;
  }
}

/// Written with one check of the room. Larger ones would make a batch's block grow for bytes that never come.
template <class T>
constexpr bool is_bounded() {
  return most_bytes<T>() != 0 && most_bytes<T>() <= 1024;
}

/// Writes a T for which most_bytes() has a bound into room of that size; returns what is behind it.
template <class T>
std::byte* store_bounded(std::byte* at, const T& value) {
  if constexpr (std::same_as<T, bool>) {
    *at = static_cast<std::byte>(value ? 0xC3 : 0xC2);
    return at + 1;
  } else if constexpr (std::same_as<T, float>) {
    return at + store(at, 0xCA, std::bit_cast<std::uint32_t>(value));
  } else if constexpr (std::same_as<T, double>) {
    return at + store(at, 0xCB, std::bit_cast<std::uint64_t>(value));
  } else if constexpr (Number<T>) {
    if constexpr (std::is_signed_v<T>) return at + store_sint(at, value);
    return at + store_uint(at, static_cast<std::uint64_t>(value));
  } else if constexpr (Record<const T>) {
    value.weft_visit([&](const auto&... fields) {
      *at++ = static_cast<std::byte>(0x90 | sizeof...(fields));
      ((at = store_bounded(at, fields)), ...);
      return true;
    });
    return at;
  } else if constexpr (Octet<typename T::value_type>) {
    at += store_bin_head(at, value.size());
    if (!value.empty()) std::memcpy(at, value.data(), value.size());
    return at + value.size();
  } else {
    *at++ = static_cast<std::byte>(0x90 | value.size());
    for (const auto& item : value) at = store_bounded(at, item);
    return at;
  }
}

}  // namespace weft::wire::detail
