// The pair-runner: contestants that do the same work take turns, and are compared round by round. A machine
// changes its speed from one minute to the next; only runs side by side compare.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <weft/core/value.hpp>

#include "stage.hpp"

namespace weft::cli::bench {

/// What one run of one contestant is worth.
struct Sample {
  double value = 0;  ///< in the unit of the case
  double tail = 0;   ///< latency: the 99th percentile
  Figures figures;
};

struct Contestant {
  std::string name;
  std::function<Sample()> run;
};

/// Median, least and greatest.
struct Spread {
  double median = 0;
  double least = 0;
  double greatest = 0;
};
Spread spread_of(std::vector<double> values);

/// Of all rounds.
class Rounds {
 public:
  explicit Rounds(std::size_t contestants) : samples_(contestants) {}
  void add(std::size_t contestant, Sample sample) { samples_[contestant].push_back(std::move(sample)); }
  /// Of the values of one contestant; `what` picks another figure than the value.
  using Pick = double (*)(const Sample&);
  static double value(const Sample& sample) { return sample.value; }
  static double tail(const Sample& sample) { return sample.tail; }
  static double memory(const Sample& sample) { return sample.figures.memory; }
  [[nodiscard]] Spread of(std::size_t contestant, Pick pick = value) const;
  /// a / b, round by round.
  [[nodiscard]] Spread ratio(std::size_t a, std::size_t b, Pick pick = value) const;

 private:
  std::vector<std::vector<Sample>> samples_;
};

/// Runs every contestant --runs times, in turn, every other round in reverse. Prints the title and each round
/// unless
/// --json is on.
Rounds play(const std::string& title, const std::vector<Contestant>& contestants, const std::string& unit,
            const Bench& options);

/// The best of several runs of the plain program, one for each mark.
Contestant best_of_marks(std::uint64_t size, const std::function<Sample(std::uint64_t high_water)>& run);

/// The report of a case in which contestant 0 is Weft and 1 plain libzmq; other members may be added.
Value report(const std::string& name, std::uint64_t size, const Bench& options, const std::string& unit,
             const Rounds& rounds);

/// A whole number from 1,000 on, else with three digits or more behind the point.
Value rounded(double value);
Value to_value(const Spread& spread);

}  // namespace weft::cli::bench
