// What can be said of a record type as a whole: how it is read and written, and what its records look like.
// Included by codec_direct.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <weft/core/value.hpp>
#include <weft/wire/codec_bounded.hpp>
#include <weft/wire/limits.hpp>
#include <weft/wire/tensor.hpp>

namespace weft::wire::detail {

/// True when a T is read and written here as a whole.
template <class T>
constexpr bool is_direct() {
  if constexpr (Number<T> || Record<T> || std::same_as<T, std::string> || std::same_as<T, std::string_view> ||
                std::same_as<T, Tensor> || std::same_as<T, Value>) {
    return true;
  } else if constexpr (is_vector<T>) {
    return Octet<typename T::value_type> ||
           (!std::same_as<typename T::value_type, bool> && is_direct<typename T::value_type>());
  } else if constexpr (is_array<T>) {
    return Octet<typename T::value_type> || is_direct<typename T::value_type>();
  } else if constexpr (is_optional<T>) {
    return is_direct<typename T::value_type>();
  } else {
    return false;
  }
}

/// True when reading a T here leaves nothing of what it was. What is inside of vectors and optionals is made
/// anew.
template <class T>
constexpr bool is_whole() {
  if constexpr (!is_direct<T>()) {
    return false;
  } else if constexpr (Record<T>) {
    return decltype(std::declval<T&>().weft_visit([](auto&... fields) {
      return std::bool_constant<(is_whole<std::remove_cvref_t<decltype(fields)>>() && ...)>();
    }))::value;
  } else if constexpr (is_array<T>) {
    return Octet<typename T::value_type> || is_whole<typename T::value_type>();
  } else {
    return true;
  }
}

/// True when every T is written as an object that is nested no deeper than `Left`.
template <class T, std::size_t Left = kMaxRecordDepth>
constexpr bool is_shallow() {
  if constexpr (!is_direct<T>() || std::same_as<T, Value>) {
    return false;
  } else if constexpr (Record<T>) {
    if constexpr (Left == 0) return false;
    return decltype(std::declval<T&>().weft_visit([](auto&... fields) {
      constexpr std::size_t left = Left == 0 ? 0 : Left - 1;
      return std::bool_constant<(is_shallow<std::remove_cvref_t<decltype(fields)>, left>() && ...)>();
    }))::value;
  } else if constexpr (is_vector<T> || is_array<T>) {
    if constexpr (Octet<typename T::value_type>) return true;
    if constexpr (Left == 0) {
      return false;
    } else {
      return is_shallow<typename T::value_type, Left - 1>();
    }
  } else if constexpr (is_optional<T>) {
    return is_shallow<typename T::value_type, Left>();
  } else {
    return true;
  }
}

}  // namespace weft::wire::detail
