// weft sim: the links of a topology under a simulated network, disk and clock; or seeds of every mixture.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <initializer_list>
#include <string_view>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>

#include "sim_link.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void print_link(const SimulatedLink& link, double wall) {
  const auto row = [](const std::string& name, std::uint64_t number) {
    std::printf("  %-26s %12llu\n", name.c_str(), static_cast<unsigned long long>(number));
  };
  for (const auto& [name, number] : link.rows) row(name, number);
  row("messages", link.report.messages);
  row("messages lost", link.report.messages_lost);
  for (const auto& [kind, times] : link.report.faults) row("fault: " + kind, times);
  std::printf("  %-26s %12.3f s\n", "virtual time",
              std::chrono::duration<double>(link.report.virtual_time).count());
  std::printf("  %-26s %12.3f s\n", "wall time", wall);
  std::printf("  %-26s %12.1f MiB\n", "memory", static_cast<double>(peak_memory_bytes()) / (1 << 20));
  for (const std::string& problem : link.report.problems) std::printf("  PROBLEM: %s\n", problem.c_str());
}

/// One link of a file, printed. False: a promise was broken.
bool simulate_one(const topology::LinkPlan& link, const Sim& sim, Value& list) {
  Value one = Value::map();
  one["link"] = link.id;
  const std::string reason = left_out(link);
  one["simulated"] = reason.empty();
  if (!reason.empty()) {
    one["why"] = reason;
    if (!sim.json) std::printf("%s: not simulated: %s\n", link.id.c_str(), reason.c_str());
    list.push_back(std::move(one));
    return true;
  }
  const TimePoint start = Clock::now();
  const SimulatedLink run = simulate_link(link, sim);
  const double wall = seconds_since(start);
  if (!sim.json) {
    std::printf("%s: %s; %u senders, %u receivers, seed %llu: %s\n", link.id.c_str(), run.promise.c_str(),
                run.from, run.to, static_cast<unsigned long long>(run.report.seed),
                run.report.ok() ? "ok" : "BROKEN");
    print_link(run, wall);
  }
  one["senders"] = run.from;
  one["receivers"] = run.to;
  one["wall_seconds"] = wall;
  for (const auto& [name, value] : run.numbers.as_map()) one[name] = value;
  list.push_back(std::move(one));
  return run.report.ok();
}

int simulate_file(const Sim& sim) {
  // Nothing is started, so its programs need not be there.
  const topology::Plan plan = topology::load(sim.source.file, {.sets = sim.source.sets, .describe = {}});
  bool ok = true;
  Value list = Value::list();
  for (const topology::LinkPlan& link : plan.links) ok = simulate_one(link, sim, list) && ok;
  Value out = Value::map();
  out["ok"] = ok;
  out["memory_bytes"] = peak_memory_bytes();
  out["links"] = std::move(list);
  if (sim.json) std::printf("%s\n", to_json(out).c_str());
  return ok ? kOk : kFailed;
}

/// Of all seeds of one kind of link.
struct Tally {
  std::uint64_t seeds = 0, broken = 0, processed = 0, again = 0, events = 0;
  Value to_value() const {
    Value out = Value::map();
    out["seeds"] = seeds;
    out["broken"] = broken;
    out["processed"] = processed;
    out["duplicated"] = again;
    out["events"] = events;
    return out;
  }
  void add(const Tally& other) {
    seeds += other.seeds;
    broken += other.broken;
    processed += other.processed;
    again += other.again;
    events += other.events;
  }
};

Tally tally_of(const SimulatedLink& run) {
  const auto row = [&run](std::initializer_list<std::string_view> names) {
    std::uint64_t number = 0;
    for (const auto& [name, value] : run.rows) {
      if (std::find(names.begin(), names.end(), name) != names.end()) number += value;
    }
    return number;
  };
  return {.seeds = 1,
          .broken = run.report.ok() ? 0U : 1U,
          .processed = row({"processed", "done", "applied"}),
          .again = row({"processed again", "done again"}),
          .events = run.report.events};
}

using Tallies = std::array<Tally, sim::kLinkKinds>;

void print_tallies(const Sim& sim, const Tallies& tallies, const Tally& all, double wall) {
  const auto line = [](const std::string& what, const Tally& tally, const std::string& end) {
    std::printf("%s: %llu broken, %llu records processed, %llu again, %llu events%s\n", what.c_str(),
                static_cast<unsigned long long>(tally.broken),
                static_cast<unsigned long long>(tally.processed),
                static_cast<unsigned long long>(tally.again), static_cast<unsigned long long>(tally.events),
                end.c_str());
  };
  for (std::size_t kind = 0; kind < tallies.size(); ++kind) {
    if (tallies[kind].seeds == 0) continue;
    line(format("  {}, {} seeds", sim::to_string(static_cast<sim::LinkKind>(kind)), tallies[kind].seeds),
         tallies[kind], "");
  }
  line(format("{} seeds from {} on", all.seeds, sim.seed.value_or(1)), all, format(", {:.1f} s", wall));
}

Value value_of(const Sim& sim, const Tallies& tallies, const Tally& all, double wall, Value failures) {
  Value out = all.to_value();
  out["ok"] = all.broken == 0;
  out["first_seed"] = sim.seed.value_or(1);
  out["wall_seconds"] = wall;
  out["failures"] = std::move(failures);
  Value& kinds = out["kinds"] = Value::map();
  for (std::size_t kind = 0; kind < tallies.size(); ++kind)
    kinds[std::string(sim::to_string(static_cast<sim::LinkKind>(kind)))] = tallies[kind].to_value();
  return out;
}

// What plays this seed once more as it was played here.
std::string command_of(const Sim& sim, std::uint64_t seed) {
  std::string command = format("weft sim --seed {}", seed);
  if (sim.records != 0) command += format(" --records {}", sim.records);
  if (!sim.pause.empty()) command += format(" --pause {}", sim.pause);
  return command;
}

// Each seed draws a kind of link and what breaks.
int simulate_seeds(const Sim& sim) {
  if (sim.workers != 0 || !sim.faults.empty() || sim.for_ != Duration::zero())
    throw Error(Errc::invalid_argument,
                "--workers, --faults and --for need a topology file: without one, each seed draws them");
  if (sim.pauses) return simulate_pauses(sim);
  const TimePoint start = Clock::now();
  Tallies tallies;
  Tally all;
  Value failures = Value::list();
  for_each_seed(sim, [&](std::uint64_t seed) {
    const SimulatedLink run =
        sim.pause.empty()
            ? simulate_seed(seed, sim.records != 0 ? sim.records : 1000)
            : simulate_paused(seed, records_of_pauses(sim),
                              sim.pause == "none" ? std::vector<sim::Pause>() : sim::parse_pauses(sim.pause));
    const Tally one = tally_of(run);
    tallies[static_cast<std::size_t>(sim::kind_of_seed(seed))].add(one);
    all.add(one);
    if (run.report.ok()) return;
    std::fprintf(stderr, "seed %llu: %s; again: %s\n", static_cast<unsigned long long>(seed),
                 run.report.problems.front().c_str(), command_of(sim, seed).c_str());
    failures.push_back(run.numbers);
  });
  const double wall = seconds_since(start);
  if (sim.json) {
    std::printf("%s\n", to_json(value_of(sim, tallies, all, wall, std::move(failures))).c_str());
  } else {
    print_tallies(sim, tallies, all, wall);
  }
  return all.broken == 0 ? kOk : kFailed;
}

}  // namespace

int run_verb(const Sim& sim) {
  if (!sim.source.file.empty() && (sim.pauses || !sim.pause.empty() || !sim.kind.empty()))
    throw Error(Errc::invalid_argument,
                "--pauses, --pause and --kind are for seeds, without a topology file");
  return sim.source.file.empty() ? simulate_seeds(sim) : simulate_file(sim);
}

}  // namespace weft::cli
