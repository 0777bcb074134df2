// What durability costs: links with journals beside a plain file that is synced as often, and beside a
// broker.
#include <algorithm>
#include <optional>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {
namespace {

// Places of the contestants; the report compares the first two.
enum Place : std::size_t { kAtLeastOnce, kPlain, kFile, kBestEffort, kExactlyOnce, kBroker };

struct Journals {
  Stage& stage;
  std::uint64_t size;
  std::uint64_t count;
  std::uint64_t commit;

  [[nodiscard]] Settings work() const {
    return {set("size", size), set("count", count), set("commit", commit)};
  }
  [[nodiscard]] Sample sample(const Figures& figures, double seconds, std::uint64_t records) const {
    return {.value = static_cast<double>(records) / seconds, .tail = 0, .figures = figures};
  }

  /// Until every record has been processed, and is durable where it shall be.
  [[nodiscard]] Contestant link(const char* name, const char* delivery, bool from, bool to) const {
    return {name, [this, delivery, from, to] {
              Settings settings = work();
              settings.emplace_back("delivery", delivery);
              const auto folder = stage.fresh_journal();
              if (from) settings.emplace_back("journal-from", (folder / "from").string());
              if (to) settings.emplace_back("journal-to", (folder / "to").string());
              const Figures figures = stage.run({kWeft, "pull", "push"}, settings);
              return sample(figures, figures.settled, count);
            }};
  }
  [[nodiscard]] Contestant file() const {
    return {"file", [this] {
              Settings settings = work();
              settings.emplace_back("journal-from", stage.fresh_journal().string());
              const Figures figures = stage.run_alone(kLibzmq, "file", settings);
              return sample(figures, figures.settled, count);
            }};
  }
  [[nodiscard]] Contestant plain() const {
    return best_of_marks(size, [this](std::uint64_t mark) {
      Settings settings = work();
      settings.push_back(set("high-water", mark));
      const Figures figures = stage.run({kLibzmq, "pull", "push"}, settings);
      return sample(figures, figures.seconds, count - 1);
    });
  }
  /// A broker takes its time: fewer records give the same rate.
  [[nodiscard]] Contestant broker(const std::string& address) const {
    return {"rabbitmq", [this, address] {
              const std::uint64_t fewer = std::min<std::uint64_t>(count, 100'000);
              const Figures figures =
                  stage.run_at(address, {kRabbitmq, "consumer", "publisher"},
                               {set("size", size), set("count", fewer), set("window", 1000)});
              return sample(figures, std::max(figures.seconds, figures.settled), fewer);
            }};
  }
};

}  // namespace

Reports journal(Stage& stage) {
  const Bench& options = stage.options();
  const std::uint64_t size = options.size.value_or(100);
  const Journals bench{stage, size, count_for(options, 50ULL << 20, size, 100, 1'000'000), options.commit};
  std::vector<Contestant> contestants{bench.link("at-least-once", "at-least-once", true, false),
                                      bench.plain(), bench.file(),
                                      bench.link("best-effort", "best-effort", false, false),
                                      bench.link("exactly-once", "exactly-once", true, true)};
  const bool broker = !options.rabbitmq.empty();
  if (broker && !stage.has(kRabbitmq)) {
    throw Error(
        Errc::not_found,
        "--rabbitmq needs the program weft-bench-rabbitmq, which is built where librabbitmq is found");
  }
  if (broker) contestants.push_back(bench.broker(options.rabbitmq));

  const Rounds rounds = play(format("journal, {} x {} a commit", format_size(size), options.commit),
                             contestants, "records/s", options);
  Value out = report("journal", size, options, "records/s", rounds);
  out["commit"] = options.commit;
  out["file"] = rounded(rounds.of(kFile).median);
  out["best_effort"] = rounded(rounds.of(kBestEffort).median);
  out["exactly_once"] = rounded(rounds.of(kExactlyOnce).median);
  const auto compare = [&](const char* name, const char* spread, std::size_t a, std::size_t b) {
    out[name] = rounded(rounds.ratio(a, b).median);
    out[spread] = to_value(rounds.ratio(a, b));
  };
  compare("ratio_file", "spread_file", kAtLeastOnce, kFile);
  compare("ratio_best_effort", "spread_best_effort", kAtLeastOnce, kBestEffort);
  compare("ratio_exactly_once_libzmq", "spread_exactly_once_libzmq", kExactlyOnce, kPlain);
  if (broker) {
    out["rabbitmq"] = rounded(rounds.of(kBroker).median);
    compare("ratio_rabbitmq", "spread_rabbitmq", kAtLeastOnce, kBroker);
  }
  return {out};
}

}  // namespace weft::cli::bench
