#include <weft/core/units.hpp>

#include <array>
#include <charconv>
#include <cmath>

#include <weft/core/format.hpp>

namespace weft {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kTimes{Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000}, Unit{"s", 1'000'000'000},
                            Unit{"ms", 1'000'000},        Unit{"us", 1'000},         Unit{"ns", 1}};
constexpr std::array kSizes{Unit{"GiB", 1ULL << 30},
                            Unit{"GB", 1'000'000'000},
                            Unit{"MiB", 1ULL << 20},
                            Unit{"MB", 1'000'000},
                            Unit{"KiB", 1ULL << 10},
                            Unit{"KB", 1'000},
                            Unit{"B", 1}};

template <std::size_t N>
std::optional<std::uint64_t> parse_unit(std::string_view text, const std::array<Unit, N>& units) {
  double number = 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || number < 0 || !std::isfinite(number)) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(rest - text.data()));
  for (const Unit& candidate : units) {
    if (candidate.name != unit) continue;
    const double scaled = number * static_cast<double>(candidate.factor);
    if (scaled > 9.2e18) return std::nullopt;
    return static_cast<std::uint64_t>(std::llround(scaled));
  }
  return std::nullopt;
}

std::string rounded(double number, std::string_view unit) {
  const int digits = number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return format("{:.{}f} {}", number, digits, unit);
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto nanos = parse_unit(text, kTimes);
  if (!nanos) return std::nullopt;
  return Duration(static_cast<Duration::rep>(*nanos));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_unit(text, kSizes);
}

std::string format_duration(Duration span) {
  if (span < Duration::zero() && span != Duration::min()) return "-" + format_duration(-span);
  const auto nanos = static_cast<std::uint64_t>(span.count());
  if (nanos == 0) return "0s";
  for (const Unit& unit : kTimes) {
    if (nanos % unit.factor == 0) return format("{}{}", nanos / unit.factor, unit.name);
  }
  return format("{}ns", nanos);
}

std::string format_size(std::uint64_t bytes) {
  for (const std::string_view name : {"GiB", "MiB", "KiB"}) {
    for (const Unit& unit : kSizes) {
      if (unit.name == name && bytes != 0 && bytes % unit.factor == 0)
        return format("{}{}", bytes / unit.factor, name);
    }
  }
  return format("{}B", bytes);
}

std::string humane_duration(Duration span) {
  const auto nanos = static_cast<double>(span.count());
  if (nanos >= 1e9) return rounded(nanos / 1e9, "s");
  if (nanos >= 1e6) return rounded(nanos / 1e6, "ms");
  if (nanos >= 1e3) return rounded(nanos / 1e3, "us");
  return format("{} ns", span.count());
}

std::string humane_size(std::uint64_t bytes) {
  const auto n = static_cast<double>(bytes);
  if (n >= 1024.0 * 1024 * 1024) return rounded(n / (1024.0 * 1024 * 1024), "GiB");
  if (n >= 1024.0 * 1024) return rounded(n / (1024.0 * 1024), "MiB");
  if (n >= 1024.0) return rounded(n / 1024.0, "KiB");
  return format("{} B", bytes);
}

std::string humane_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

}  // namespace weft
