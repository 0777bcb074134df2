// Durations and sizes as people write them: "10s", "250ms", "64MiB".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <weft/core/time.hpp>

namespace weft {

/// "<number><unit>" with unit ns, us, ms, s, m or h; the number may have a fraction ("1.5s"). A bare number,
/// a negative number or an unknown unit: nullopt. "0s" is zero.
std::optional<Duration> parse_duration(std::string_view text);
/// "<number><unit>" with unit B, KiB, MiB, GiB or KB, MB, GB (powers of 1,000). A bare number: nullopt.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// Shortest exact form that parse_duration reads back: "10s", "250ms".
std::string format_duration(Duration span);
/// Shortest exact form that parse_size reads back: "64MiB", "1000B".
std::string format_size(std::uint64_t bytes);
/// For people, rounded to three digits: "1.23 s", "45.6 ms".
std::string humane_duration(Duration span);
/// For people, rounded to three digits: "1.23 MiB".
std::string humane_size(std::uint64_t bytes);
/// For people: "12,345,678".
std::string humane_count(std::uint64_t count);

}  // namespace weft
