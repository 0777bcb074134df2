// Text formatting; the only door to the formatting library.
#pragma once

#include <string>
#include <utility>

#include <fmt/core.h>

namespace weft {

/// Formats with "{}" fields, checked at compile time.
template <class... Args>
[[nodiscard]] std::string format(fmt::format_string<Args...> pattern, Args&&... args) {
  return fmt::format(pattern, std::forward<Args>(args)...);
}

}  // namespace weft
