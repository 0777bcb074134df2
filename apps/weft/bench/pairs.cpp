#include "pairs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <weft/core/format.hpp>

namespace weft::cli::bench {
namespace {

void print_round(const std::vector<Contestant>& contestants, const std::vector<Sample>& samples,
                 const std::string& unit, unsigned round) {
  std::string line = format("  round {}:", round + 1);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double value = samples[i].value;
    line += value >= 1e6 ? format(" {} {:.3f} M", contestants[i].name, value / 1e6)
                         : format(" {} {:.1f}", contestants[i].name, value);
    if (i > 0) line += format(" (ratio {:.2f})", samples[0].value / value);
    line += i + 1 < samples.size() ? "," : " " + unit;
  }
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

/// Marks in messages. With large ones a mark in thousands would fill the memory, so a low one takes part.
std::vector<std::uint64_t> marks(std::uint64_t size) {
  if (size < 64 * 1024) return {1000, 100'000};
  return {std::max<std::uint64_t>(2, (16ULL << 20) / size), 1000};
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

Spread Rounds::of(std::size_t contestant, Pick pick) const {
  std::vector<double> values;
  for (const Sample& sample : samples_[contestant]) values.push_back(pick(sample));
  return spread_of(std::move(values));
}

Spread Rounds::ratio(std::size_t a, std::size_t b, Pick pick) const {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < samples_[a].size(); ++i)
    ratios.push_back(pick(samples_[a][i]) / pick(samples_[b][i]));
  return spread_of(std::move(ratios));
}

Rounds play(const std::string& title, const std::vector<Contestant>& contestants, const std::string& unit,
            const Bench& options) {
  if (!options.json) std::printf("%s over %s\n", title.c_str(), options.transport.c_str());
  Rounds rounds(contestants.size());
  for (unsigned round = 0; round < options.runs; ++round) {
    std::vector<Sample> samples(contestants.size());
    for (std::size_t turn = 0; turn < contestants.size(); ++turn) {
      const std::size_t i = round % 2 == 0 ? turn : contestants.size() - 1 - turn;
      samples[i] = contestants[i].run();
      rounds.add(i, samples[i]);
    }
    if (!options.json) print_round(contestants, samples, unit, round);
  }
  return rounds;
}

Contestant best_of_marks(std::uint64_t size, const std::function<Sample(std::uint64_t)>& run) {
  return {"libzmq", [=] {
            Sample best;
            for (const std::uint64_t mark : marks(size)) {
              const Sample sample = run(mark);
              if (sample.value >= best.value) best = sample;
            }
            return best;
          }};
}

Value rounded(double value) {
  if (std::fabs(value) >= 1000) return static_cast<std::int64_t>(std::llround(value));
  const double digits = std::fabs(value) >= 0.1 ? 1e3 : 1e6;
  return std::round(value * digits) / digits;
}

Value to_value(const Spread& spread) {
  return Value::List{rounded(spread.least), rounded(spread.greatest)};
}

Value report(const std::string& name, std::uint64_t size, const Bench& options, const std::string& unit,
             const Rounds& rounds) {
  const Spread ratio = rounds.ratio(0, 1);
  Value out;
  out["case"] = name;
  out["size"] = size;
  out["transport"] = options.transport;
  out["unit"] = unit;
  out["weft"] = rounded(rounds.of(0).median);
  out["libzmq"] = rounded(rounds.of(1).median);
  out["ratio"] = rounded(ratio.median);
  out["runs"] = options.runs;
  out["spread"] = to_value(ratio);
  return out;
}

}  // namespace weft::cli::bench
