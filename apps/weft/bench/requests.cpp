// Requests and replies with a window of them outstanding, by one asker or by many.
#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {
namespace {

constexpr std::uint64_t kFew = 10;  // many clients are compared with so many at the same load

Settings work_of(std::uint64_t size, std::uint64_t count, std::uint64_t window, std::uint64_t clients) {
  return {set("size", size), set("count", count), set("window", std::max(window, clients)),
          set("clients", clients)};
}

Sample requests_sample(const Figures& figures, std::uint64_t count) {
  return {.value = static_cast<double>(count) / figures.seconds, .tail = 0, .figures = figures};
}

}  // namespace

Reports requests(Stage& stage) {
  const Bench& options = stage.options();
  const std::uint64_t size = options.size.value_or(100);
  const std::uint64_t count = count_for(options, 512ULL << 20, size, 200, 500'000);
  const std::uint64_t window = options.window != 0 ? options.window : 1000;
  const std::uint64_t clients = options.clients;
  const auto weft = [&](const char* name, std::uint64_t askers) -> Contestant {
    return {name, [&stage, askers, size, count, window] {
              return requests_sample(
                  stage.run({kWeft, "router", "dealer"}, work_of(size, count, window, askers)), count);
            }};
  };
  const auto plain = [&](std::uint64_t askers) {
    return best_of_marks(size, [&stage, askers, size, count, window](std::uint64_t mark) {
      Settings settings = work_of(size, count, window, askers);
      settings.push_back(set("high-water", mark));
      return requests_sample(stage.run({kLibzmq, "router", "dealer"}, settings), count);
    });
  };
  std::vector<Contestant> contestants{weft("weft", clients), plain(clients)};
  if (clients > kFew) {
    contestants.push_back(weft("weft of 10", kFew));
    contestants.push_back(plain(kFew));
    contestants.back().name = "libzmq of 10";
  }
  const Rounds rounds = play(format("requests, {}, {} clients", format_size(size), clients), contestants,
                             "requests/s", options);
  Value out = report("requests", size, options, "requests/s", rounds);
  out["window"] = std::max(window, clients);
  out["clients"] = clients;
  if (clients > kFew) {
    out["weft_to_10_clients"] = rounded(rounds.ratio(0, 2).median);
    out["libzmq_to_10_clients"] = rounded(rounds.ratio(1, 3).median);
    if (options.transport != "inproc") {
      out["weft_bytes_a_client"] = rounded(rounds.of(0, Rounds::memory).median);
      out["libzmq_bytes_a_client"] = rounded(rounds.of(1, Rounds::memory).median);
    }
  }
  return {out};
}

}  // namespace weft::cli::bench
