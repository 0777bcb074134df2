// The only door to yaml-cpp: bytes to a located tree.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "problems.hpp"
#include "tree.hpp"

namespace weft::topology {

inline constexpr std::size_t kLongestFile = 1 << 20;  ///< bytes
inline constexpr std::size_t kDeepestNesting = 32;    ///< lists and maps
inline constexpr std::size_t kMostValues = 100'000;   ///< keys and values, aliases expanded

/// Parses one YAML document. Every mistake goes to `problems`; nullopt when no tree could be made at all.
/// Duplicate keys are reported and the first value kept. Any bytes give a tree or a problem.
std::optional<Tree> parse_yaml(const std::string& text, const std::string& file, Problems& problems);

}  // namespace weft::topology
