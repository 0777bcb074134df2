// weft sim: the links of a topology under a simulated network, disk and clock; or seeds of every mixture.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/sim/push_pull.hpp>
#include <weft/topology/topology.hpp>

#include "verbs.hpp"

namespace weft::cli {
namespace {

// What the simulator does where nobody says what to break.
constexpr const char* kUsualFaults = "loss=0.01,duplicate=0.01,reorder=0.05,crash=0.001";

double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Why a link is not simulated; empty: it is.
std::string left_out(const topology::LinkPlan& link) {
  if (link.pattern != topology::Pattern::push_pull) return "only push-pull links are simulated yet";
  if (link.delivery == Delivery::best_effort) return "best-effort promises nothing that could be checked";
  if (!link.dead_letters_of.empty()) return "it carries the dead letters of another link";
  return {};
}

sim::PushPullOptions options_of(const topology::LinkPlan& link, const Sim& sim) {
  sim::PushPullOptions options{.seed = sim.seed.value_or(1), .delivery = link.delivery};
  options.distribute = link.distribute;
  options.overflow = link.overflow;
  options.sender_journal = !link.journal_from.empty();
  options.senders = link.from_replicas;
  options.receivers = link.to_replicas;
  // The workers are the end that there are many of.
  if (sim.workers != 0)
    (options.senders >= options.receivers ? options.senders : options.receivers) = sim.workers;
  options.records =
      sim.records != 0
          ? sim.records
          : std::max<std::uint64_t>(1000, std::uint64_t{10} * std::max(options.senders, options.receivers));
  options.capacity = std::max<std::uint64_t>(link.capacity_bytes, 4096);
  options.window.bytes = link.prefetch_bytes;
  options.window.batches = 1024;
  options.max_attempts = link.max_attempts;
  options.ttl = link.ttl;
  options.delay = link.delay;
  options.faults = sim::parse_faults(sim.faults.empty()     ? kUsualFaults
                                     : sim.faults == "none" ? ""
                                                            : sim.faults);
  if (sim.for_ != Duration::zero()) options.faults_for = sim.for_;
  return options;
}

void print_report(const sim::SimReport& report, double wall) {
  const auto row = [](const char* name, std::uint64_t number) {
    std::printf("  %-24s %12llu\n", name, static_cast<unsigned long long>(number));
  };
  row("attempted", report.counts.attempted);
  row("accepted", report.counts.accepted);
  row("processed", report.counts.processed);
  row("processed again", report.counts.duplicated);
  row("expired", report.counts.expired);
  row("dead-lettered", report.counts.dead_lettered);
  row("purged", report.counts.purged);
  row("lost", report.counts.lost);
  row("lost with their sender", report.sender_lost);
  row("batches sent", report.batches_sent);
  row("batches sent again", report.batches_retransmitted);
  row("messages", report.messages);
  row("messages lost", report.messages_lost);
  for (const auto& [kind, times] : report.counts.faults) row(("fault: " + kind).c_str(), times);
  row("most bytes in a sender", report.peak_sender_bytes);
  row("most bytes in a receiver", report.peak_receiver_bytes);
  std::printf("  %-24s %12.3f s\n", "virtual time",
              std::chrono::duration<double>(report.virtual_time).count());
  std::printf("  %-24s %12.3f s\n", "wall time", wall);
  std::printf("  %-24s %12.1f MiB\n", "memory", static_cast<double>(peak_memory_bytes()) / (1 << 20));
  for (const std::string& problem : report.problems) std::printf("  PROBLEM: %s\n", problem.c_str());
}

int simulate_file(const Sim& sim) {
  // Nothing is started, so its programs need not be there.
  const topology::Plan plan = topology::load(sim.source.file, {.sets = sim.source.sets, .describe = {}});
  bool ok = true;
  Value out = Value::map();
  Value list = Value::list();
  for (const topology::LinkPlan& link : plan.links) {
    Value one = Value::map();
    one["link"] = link.id;
    const std::string reason = left_out(link);
    if (!reason.empty()) {
      one["simulated"] = false;
      one["why"] = reason;
      if (!sim.json) std::printf("%s: not simulated: %s\n", link.id.c_str(), reason.c_str());
      list.push_back(std::move(one));
      continue;
    }
    const sim::PushPullOptions options = options_of(link, sim);
    const TimePoint start = Clock::now();
    const sim::SimReport report = sim::run_push_pull(options);
    const double wall = seconds_since(start);
    ok = ok && report.ok();
    if (!sim.json) {
      std::printf("%s: %s, %s; %u senders, %u receivers, seed %llu: %s\n", link.id.c_str(),
                  std::string(topology::to_string(link.delivery)).c_str(),
                  std::string(topology::to_string(link.distribute)).c_str(), options.senders,
                  options.receivers, static_cast<unsigned long long>(options.seed),
                  report.ok() ? "ok" : "BROKEN");
      print_report(report, wall);
    }
    one["simulated"] = true;
    one["senders"] = options.senders;
    one["receivers"] = options.receivers;
    one["wall_seconds"] = wall;
    const Value numbers = report.to_value();
    for (const auto& [name, value] : numbers.as_map()) one[name] = value;
    list.push_back(std::move(one));
  }
  out["ok"] = ok;
  out["memory_bytes"] = peak_memory_bytes();
  out["links"] = std::move(list);
  if (sim.json) std::printf("%s\n", to_json(out).c_str());
  return ok ? kOk : kFailed;
}

// Each seed draws a kind of link and what breaks.
int simulate_seeds(const Sim& sim) {
  if (sim.workers != 0 || !sim.faults.empty() || sim.for_ != Duration::zero())
    throw Error(Errc::invalid_argument,
                "--workers, --faults and --for need a topology file: without one, each seed draws them");
  const std::uint64_t first = sim.seed.value_or(1);
  const TimePoint start = Clock::now();
  std::uint64_t broken = 0;
  Value list = Value::list();
  std::uint64_t events = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t processed = 0;
  for (std::uint64_t seed = first; seed - first < sim.seeds; ++seed) {
    const sim::SimReport report =
        sim::run_push_pull(sim::options_of_seed(seed, sim.records != 0 ? sim.records : 1000));
    events += report.events;
    duplicated += report.counts.duplicated;
    processed += report.counts.processed;
    if (report.ok()) continue;
    ++broken;
    std::fprintf(stderr, "seed %llu: %s; again: weft sim --seed %llu\n",
                 static_cast<unsigned long long>(seed), report.problems.front().c_str(),
                 static_cast<unsigned long long>(seed));
    list.push_back(report.to_value());
  }
  if (sim.json) {
    Value out = Value::map();
    out["ok"] = broken == 0;
    out["first_seed"] = first;
    out["seeds"] = sim.seeds;
    out["broken"] = broken;
    out["processed"] = processed;
    out["duplicated"] = duplicated;
    out["events"] = events;
    out["wall_seconds"] = seconds_since(start);
    out["failures"] = std::move(list);
    std::printf("%s\n", to_json(out).c_str());
  } else {
    std::printf(
        "%llu seeds from %llu on: %llu broken, %llu records processed, %llu again, %llu events, %.1f s\n",
        static_cast<unsigned long long>(sim.seeds), static_cast<unsigned long long>(first),
        static_cast<unsigned long long>(broken), static_cast<unsigned long long>(processed),
        static_cast<unsigned long long>(duplicated), static_cast<unsigned long long>(events),
        seconds_since(start));
  }
  return broken == 0 ? kOk : kFailed;
}

}  // namespace

int run_verb(const Sim& sim) {
  return sim.source.file.empty() ? simulate_seeds(sim) : simulate_file(sim);
}

}  // namespace weft::cli
