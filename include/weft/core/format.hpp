// Text formatting; the only door to the formatting library.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>

namespace weft {

/// Formats with "{}" fields, checked at compile time.
template <class... Args>
[[nodiscard]] std::string format(fmt::format_string<Args...> pattern, Args&&... args) {
  return fmt::format(pattern, std::forward<Args>(args)...);
}

}  // namespace weft
