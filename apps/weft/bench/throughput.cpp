// Records one way, from one process to another.
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {
namespace {

constexpr const char* kNoPromise = "best-effort";
constexpr std::uint64_t kOrderBytes = 104;  // of the packed struct that the typed ends carry

struct Shape {
  std::uint64_t size;
  std::uint64_t count;
  bool typed;
  std::string delivery;
};

Sample sample_of(const Figures& figures, std::uint64_t count) {
  return {.value = static_cast<double>(count - 1) / figures.seconds, .tail = 0, .figures = figures};
}

Value measure(Stage& stage, const Shape& shape) {
  const Bench& options = stage.options();
  const char* in = shape.typed ? "typed-pull" : "pull";
  const char* out = shape.typed ? "typed-push" : "push";
  const Settings work{set("size", shape.size), set("count", shape.count)};
  const auto weft = [&](const char* name, const std::string& delivery) -> Contestant {
    return {name, [&, delivery] {
              Settings settings = work;
              settings.emplace_back("delivery", delivery);
              if (delivery == "exactly-once")
                settings.emplace_back("journal-to", (stage.fresh_journal() / "to").string());
              return sample_of(stage.run({kWeft, in, out}, settings), shape.count);
            }};
  };
  const Contestant plain = best_of_marks(shape.size, [&](std::uint64_t mark) {
    Settings settings = work;
    settings.push_back(set("high-water", mark));
    return sample_of(stage.run({kLibzmq, in, out}, settings), shape.count);
  });
  std::vector<Contestant> contestants{weft("weft", shape.delivery), plain};
  const bool promises = shape.delivery != kNoPromise;
  if (promises) contestants.push_back(weft(kNoPromise, kNoPromise));
  const Rounds rounds =
      play(format("throughput, {}", format_size(shape.size)), contestants, "records/s", options);
  Value out_value = report("throughput", shape.size, options, "records/s", rounds);
  out_value["delivery"] = shape.delivery;
  out_value["typed"] = shape.typed;
  if (promises) {
    out_value["best_effort"] = rounded(rounds.of(2).median);
    out_value["ratio_best_effort"] = rounded(rounds.ratio(0, 2).median);
    out_value["spread_best_effort"] = to_value(rounds.ratio(0, 2));
  }
  return out_value;
}

std::uint64_t default_count(const Bench& options, std::uint64_t size) {
  return count_for(options, 1ULL << 30, size, 100, 5'000'000);
}

}  // namespace

Reports throughput(Stage& stage) {
  const Bench& options = stage.options();
  const std::uint64_t size = options.typed ? kOrderBytes : options.size.value_or(100);
  return {measure(stage, {size, default_count(options, size), options.typed, options.delivery})};
}

Reports rate_over_size(Stage& stage) {
  const Bench& options = stage.options();
  Reports reports;
  for (std::uint64_t size = 16; size <= (16ULL << 20); size *= 4)
    reports.push_back(
        measure(stage, {size, count_for(options, 256ULL << 20, size, 32, 2'000'000), false, kNoPromise}));
  return reports;
}

}  // namespace weft::cli::bench
