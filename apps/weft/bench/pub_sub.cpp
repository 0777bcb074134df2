// One publisher, several subscribers, nothing lost: records delivered to all of them together.
#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {

Reports pub_sub(Stage& stage) {
  const Bench& options = stage.options();
  const std::uint64_t size = options.size.value_or(1024);
  const std::uint64_t count = count_for(options, 512ULL << 20, size, 100, 500'000);
  const unsigned subscribers = options.subscribers;
  const auto run = [&](const char* program, std::uint64_t mark) {
    const Figures figures =
        stage.run({program, "pub", "sub", subscribers},
                  {set("size", size), set("count", count), set("high-water", mark)}, subscribers);
    return Sample{.value = static_cast<double>((count - 1) * subscribers) / figures.seconds,
                  .tail = 0,
                  .figures = figures};
  };
  const Contestant weft{"weft", [&] { return run(kWeft, 1000); }};
  const Contestant plain = best_of_marks(size, [&](std::uint64_t mark) { return run(kLibzmq, mark); });
  const Rounds rounds = play(format("pubsub, {}, {} subscribers", format_size(size), subscribers),
                             {weft, plain}, "records/s", options);
  Value out = report("pubsub", size, options, "records/s", rounds);
  out["subscribers"] = subscribers;
  return {out};
}

}  // namespace weft::cli::bench
