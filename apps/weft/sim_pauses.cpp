// weft sim --pauses: seeds whose processes are stopped at every moment of their runs, in turn.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>
#include <weft/sim/pauses.hpp>

#include "sim_link.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

/// Of all seeds of one kind of link.
struct PauseTally {
  std::uint64_t seeds = 0, broken = 0, runs = 0, moments = 0, events = 0;
  Duration longest{};

  void add(const sim::PausesReport& one) {
    ++seeds;
    broken += one.ok() ? 0U : 1U;
    runs += one.runs;
    moments += one.moments;
    events += one.events;
    longest = std::max(longest, one.longest);
  }
  void print(const std::string& what, const std::string& end) const {
    std::printf("%s: %llu broken, %llu runs, stopped at %llu moments, %llu events, back after %s at most%s\n",
                what.c_str(), static_cast<unsigned long long>(broken), static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(moments), static_cast<unsigned long long>(events),
                humane_duration(longest).c_str(), end.c_str());
  }
  [[nodiscard]] Value to_value() const {
    Value out = Value::map();
    out["seeds"] = seeds;
    out["broken"] = broken;
    out["runs"] = runs;
    out["moments"] = moments;
    out["events"] = events;
    out["longest_seconds"] = std::chrono::duration<double>(longest).count();
    return out;
  }
};

std::uint64_t records_of(const Sim& sim) {
  return sim.records != 0 ? sim.records : 12;
}

sim::PausesReport play(std::uint64_t seed, const Sim& sim) {
  return sim::play_pauses(seed, [&](const std::vector<sim::Pause>& pauses) {
    return simulate_paused(seed, records_of(sim), pauses).report;
  });
}

void complain(const sim::PausesReport& report, const Sim& sim) {
  std::fprintf(stderr, "seed %llu: %s; again: weft sim --seed %llu --records %llu --pause %s\n",
               static_cast<unsigned long long>(report.seed), report.problems.front().c_str(),
               static_cast<unsigned long long>(report.seed), static_cast<unsigned long long>(records_of(sim)),
               report.pauses.empty() ? "none" : report.pauses.c_str());
}

}  // namespace

int simulate_pauses(const Sim& sim) {
  const std::uint64_t first = sim.seed.value_or(1);
  const TimePoint start = Clock::now();
  std::array<PauseTally, sim::kLinkKinds> tallies;
  PauseTally all;
  Value failures = Value::list();
  for_each_seed(sim, [&](std::uint64_t seed) {
    const sim::PausesReport report = play(seed, sim);
    tallies[static_cast<std::size_t>(sim::kind_of_seed(seed))].add(report);
    all.add(report);
    if (report.ok()) return;
    complain(report, sim);
    failures.push_back(report.to_value());
  });
  const double wall = std::chrono::duration<double>(Clock::now() - start).count();
  Value out = all.to_value();
  out["ok"] = all.broken == 0;
  out["first_seed"] = first;
  out["wall_seconds"] = wall;
  out["failures"] = std::move(failures);
  for (std::size_t kind = 0; kind < tallies.size(); ++kind) {
    const std::string name(sim::to_string(static_cast<sim::LinkKind>(kind)));
    out["kinds"][name] = tallies[kind].to_value();
    if (!sim.json && tallies[kind].seeds != 0)
      tallies[kind].print(format("  {}, {} seeds", name, tallies[kind].seeds), "");
  }
  if (sim.json) {
    std::printf("%s\n", to_json(out).c_str());
  } else {
    all.print(format("{} seeds from {} on", all.seeds, first), format(", {:.1f} s", wall));
  }
  return all.broken == 0 ? kOk : kFailed;
}

std::uint64_t records_of_pauses(const Sim& sim) {
  return records_of(sim);
}

}  // namespace weft::cli
