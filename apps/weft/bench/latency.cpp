// Round trips: one at a time, or at a pace that is the same for both.
#include <algorithm>
#include <charconv>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {
namespace {

/// Requests a second that plain libzmq answers here with a window of 1,000.
double plain_rate(Stage& stage, std::uint64_t size) {
  constexpr std::uint64_t kCount = 200'000;
  const Figures figures = stage.run({kLibzmq, "router", "dealer"},
                                    {set("size", size), set("count", kCount), set("window", 1000)});
  return static_cast<double>(kCount) / figures.seconds;
}

std::uint64_t pace(Stage& stage, std::uint64_t size) {
  const std::string& text = stage.options().rate;
  if (text.empty()) return 0;
  if (text == "half")
    return std::max<std::uint64_t>(1000, static_cast<std::uint64_t>(plain_rate(stage, size) / 2));
  std::uint64_t rate = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (error != std::errc{} || end != text.data() + text.size() || rate < 1 || rate > 100'000'000)
    throw Error(Errc::invalid_argument,
                format("--rate is \"{}\": expected requests a second from 1 to 100000000, or half", text));
  return rate;
}

}  // namespace

Reports latency(Stage& stage) {
  const Bench& options = stage.options();
  const std::uint64_t size = options.size.value_or(100);
  const std::uint64_t rate = pace(stage, size);
  // Two seconds at a pace.
  const std::uint64_t usual = rate == 0 ? 10'000 : std::clamp<std::uint64_t>(2 * rate, 100, 2'000'000);
  const std::uint64_t count = options.count != 0 ? options.count : usual;
  const Settings work{set("size", size), set("count", count), set("rate", rate), set("high-water", 100'000)};
  const auto contestant = [&](const char* name, const char* program) -> Contestant {
    return {name, [&stage, &work, program] {
              const Figures figures = stage.run({program, "router", "asker"}, work);
              return Sample{.value = figures.p50, .tail = figures.p99, .figures = figures};
            }};
  };
  const std::string title =
      format("latency, {}{}", format_size(size), rate == 0 ? "" : format(", {} a second", rate));
  const Rounds rounds =
      play(title, {contestant("weft", kWeft), contestant("libzmq", kLibzmq)}, "us (p50)", options);
  Value out = report("latency", size, options, "us", rounds);
  out["ratio_p50"] = rounded(rounds.ratio(0, 1).median);
  out["ratio_p99"] = rounded(rounds.ratio(0, 1, Rounds::tail).median);
  out["spread_p99"] = to_value(rounds.ratio(0, 1, Rounds::tail));
  out["weft_p99"] = rounded(rounds.of(0, Rounds::tail).median);
  out["libzmq_p99"] = rounded(rounds.of(1, Rounds::tail).median);
  if (rate != 0) out["rate"] = rate;
  return {out};
}

}  // namespace weft::cli::bench
