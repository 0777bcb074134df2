// The parameter server: sparse pulls with pushes against plain requests of the same bytes, and whole dense
// tables against plain libzmq sending frames of their size one way.
#include <algorithm>

#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {
namespace {

constexpr std::uint64_t kSparseBytes = 12;         // a key and its value
constexpr std::uint64_t kDenseAhead = 8ULL << 20;  // bytes of dense operations outstanding, at most

Value sparse(Stage& stage, std::uint64_t keys) {
  const Bench& options = stage.options();
  const std::uint64_t count =
      options.count != 0 ? options.count : std::max<std::uint64_t>(10'000, 100'000 / keys);
  const std::uint64_t window = options.window != 0 ? options.window : 64;
  const unsigned workers = options.workers;
  const auto run = [&](const char* program, std::uint64_t mark) {
    const Figures figures = stage.run({program, "server", "sparse-worker", workers},
                                      {set("count", count), set("keys", keys), set("window", window),
                                       set("high-water", std::max(mark, 2 * window + 2))});
    return Sample{
        .value = static_cast<double>(count * workers) / figures.seconds, .tail = 0, .figures = figures};
  };
  const Contestant weft{"weft", [&] { return run(kWeft, 1000); }};
  const Contestant plain =
      best_of_marks(keys * kSparseBytes, [&](std::uint64_t mark) { return run(kLibzmq, mark); });
  const Rounds rounds = play(format("ps-sparse, {} keys", keys), {weft, plain}, "operations/s", options);
  Value out = report("ps-sparse", keys * kSparseBytes, options, "operations/s", rounds);
  out["keys"] = keys;
  out["window"] = window;
  out["workers"] = workers;
  return out;
}

Value dense(Stage& stage, std::uint64_t size, const char* name, const char* role) {
  const Bench& options = stage.options();
  const std::uint64_t count = count_for(options, 512ULL << 20, size, 20, 5000);
  const std::uint64_t window = std::clamp<std::uint64_t>(kDenseAhead / size, 2, 64);
  const unsigned workers = options.workers;
  const auto sample_of = [&](const Figures& figures, std::uint64_t operations) {
    const double bytes = static_cast<double>(operations) * static_cast<double>(size);
    return Sample{.value = bytes / figures.seconds / (1 << 20), .tail = 0, .figures = figures};
  };
  const Contestant weft{
      "weft", [&] {
        const Settings work{set("size", size), set("count", count), set("window", window)};
        return sample_of(stage.run({kWeft, "server", role, workers}, work), count * workers);
      }};
  const Contestant plain = best_of_marks(size, [&](std::uint64_t mark) {
    const Settings work{set("size", size), set("count", count), set("high-water", mark)};
    return sample_of(stage.run({kLibzmq, "pull", "push", workers}, work), count * workers - 1);
  });
  const Rounds rounds = play(format("{}, {}", name, format_size(size)), {weft, plain}, "MiB/s", options);
  Value out = report(name, size, options, "MiB/s", rounds);
  out["window"] = window;
  out["workers"] = workers;
  return out;
}

}  // namespace

Reports parameters(Stage& stage) {
  const Bench& options = stage.options();
  std::vector<std::uint64_t> keys = options.keys;
  std::vector<std::uint64_t> sizes = options.dense;
  if (keys.empty() && sizes.empty()) {
    keys = {1, 100};
    sizes = {64ULL << 10, 1ULL << 20, 16ULL << 20};
  }
  Reports reports;
  for (const std::uint64_t one : keys) reports.push_back(sparse(stage, one));
  for (const std::uint64_t size : sizes) {
    reports.push_back(dense(stage, size, "ps-dense-push", "push-worker"));
    reports.push_back(dense(stage, size, "ps-dense-pull", "pull-worker"));
    reports.push_back(dense(stage, size, "ps-dense-view", "view-worker"));
  }
  return reports;
}

}  // namespace weft::cli::bench
