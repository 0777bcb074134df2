#include "sim_link.hpp"

#include <algorithm>
#include <tuple>

#include <weft/core/format.hpp>
#include <weft/sim/pub_sub.hpp>
#include <weft/sim/push_pull.hpp>
#include <weft/sim/requests.hpp>

namespace weft::cli {
namespace {

using topology::Pattern;

// What the simulator does where nobody says what to break.
constexpr const char* kUsualFaults = "loss=0.01,duplicate=0.01,reorder=0.05,crash=0.001";

sim::Faults faults_of(const Sim& sim) {
  return sim::parse_faults(sim.faults.empty() ? kUsualFaults : sim.faults == "none" ? "" : sim.faults);
}

// The workers are the end that there are many of.
std::pair<std::uint32_t, std::uint32_t> ends_of(const topology::LinkPlan& link, const Sim& sim) {
  std::pair<std::uint32_t, std::uint32_t> ends(link.from_replicas, link.to_replicas);
  if (sim.workers != 0) (ends.first >= ends.second ? ends.first : ends.second) = sim.workers;
  return ends;
}

std::uint64_t records_of(const Sim& sim, std::uint32_t most) {
  return sim.records != 0 ? sim.records : std::max<std::uint64_t>(1000, std::uint64_t{10} * most);
}

SimulatedLink shown(const sim::SimReport& report) {
  return {.promise = {},
          .report = report,
          .rows = {{"attempted", report.counts.attempted},
                   {"accepted", report.counts.accepted},
                   {"processed", report.counts.processed},
                   {"processed again", report.counts.duplicated},
                   {"expired", report.counts.expired},
                   {"dead-lettered", report.counts.dead_lettered},
                   {"purged", report.counts.purged},
                   {"lost", report.counts.lost},
                   {"lost with their sender", report.sender_lost},
                   {"batches sent", report.batches_sent},
                   {"batches sent again", report.batches_retransmitted},
                   {"most bytes in a sender", report.peak_sender_bytes},
                   {"most bytes in a receiver", report.peak_receiver_bytes}},
          .numbers = report.to_value()};
}

SimulatedLink shown(const sim::RequestReport& report) {
  return {.promise = {},
          .report = report,
          .rows = {{"asked", report.asked},
                   {"replied", report.replied},
                   {"remote errors", report.remote_errors},
                   {"timed out", report.timed_out},
                   {"attempts exhausted", report.exhausted},
                   {"outcome unknown", report.unknown},
                   {"cancelled", report.cancelled},
                   {"lost with their asker", report.abandoned},
                   {"done", report.handled},
                   {"done again", report.handled_again},
                   {"sent", report.requests_sent},
                   {"sent again", report.retries},
                   {"late replies", report.late_replies},
                   {"most bytes in an asker", report.peak_asker_bytes},
                   {"most bytes of kept replies", report.peak_window_bytes}},
          .numbers = report.to_value()};
}

SimulatedLink shown(const sim::PubSubReport& report) {
  return {.promise = {},
          .report = report,
          .rows = {{"published", report.published},
                   {"applied", report.applied},
                   {"snapshots applied", report.snapshots},
                   {"replayed", report.replayed},
                   {"holes filled", report.filled},
                   {"missed", report.missed},
                   {"ranges that were gone", report.overruns},
                   {"questions", report.questions},
                   {"dropped for want of room", report.dropped},
                   {"epochs", report.epochs},
                   {"most bytes retained", report.peak_window_bytes},
                   {"most bytes held back", report.peak_held_bytes}},
          .numbers = report.to_value()};
}

SimulatedLink push_pull(const topology::LinkPlan& link, const Sim& sim) {
  sim::PushPullOptions options{.seed = sim.seed.value_or(1), .delivery = link.delivery};
  options.distribute = link.distribute;
  options.overflow = link.overflow;
  options.sender_journal = !link.journal_from.empty();
  std::tie(options.senders, options.receivers) = ends_of(link, sim);
  options.records = records_of(sim, std::max(options.senders, options.receivers));
  options.capacity = std::max<std::uint64_t>(link.capacity_bytes, 4096);
  options.window = {link.prefetch_bytes, 1024};
  options.prefetch_records = link.prefetch_records;
  options.max_attempts = link.max_attempts;
  options.ttl = link.ttl;
  options.delay = link.delay;
  options.faults = faults_of(sim);
  if (sim.for_ != Duration::zero()) options.faults_for = sim.for_;
  return shown(sim::run_push_pull(options));
}

SimulatedLink requests(const topology::LinkPlan& link, const Sim& sim) {
  sim::RequestOptions options{.seed = sim.seed.value_or(1), .delivery = link.delivery};
  options.distribute = link.distribute;
  options.journal = !link.journal_to.empty();
  std::tie(options.askers, options.answerers) = ends_of(link, sim);
  options.requests = records_of(sim, std::max(options.askers, options.answerers));
  options.capacity = std::max<std::uint64_t>(link.capacity_bytes, 4096);
  options.window = {link.prefetch_bytes, 1024};
  options.reply_window_bytes = 64ULL << 20;
  options.reply_window = 65536;
  options.max_attempts = link.max_attempts;
  options.faults = faults_of(sim);
  if (sim.for_ != Duration::zero()) options.faults_for = sim.for_;
  return shown(sim::run_requests(options));
}

SimulatedLink pub_sub(const topology::LinkPlan& link, const Sim& sim) {
  sim::PubSubOptions options{.seed = sim.seed.value_or(1), .keep_last = link.keep_last};
  std::tie(options.publishers, options.subscribers) = ends_of(link, sim);
  options.batches = records_of(sim, options.publishers);
  options.retain_bytes = link.retain_bytes;
  options.window = {link.prefetch_bytes, 1024};
  options.page_bytes = std::max<std::uint64_t>(1, link.prefetch_bytes / 4);
  options.faults = faults_of(sim);
  if (sim.for_ != Duration::zero()) options.faults_for = sim.for_;
  return shown(sim::run_pub_sub(options));
}

}  // namespace

std::string left_out(const topology::LinkPlan& link) {
  if (link.delivery == Delivery::best_effort) return "best-effort promises nothing that could be checked";
  if (!link.dead_letters_of.empty()) return "it carries the dead letters of another link";
  if (link.pattern == Pattern::pub_sub && !link.journal_from.empty())
    return "a publisher with a journal is not simulated yet";
  if (link.pattern == Pattern::pub_sub && link.replay != From::latest)
    return "subscribers that begin in the past are not simulated yet";
  return {};
}

SimulatedLink simulate_link(const topology::LinkPlan& link, const Sim& sim) {
  SimulatedLink out = link.pattern == Pattern::dealer_router ? requests(link, sim)
                      : link.pattern == Pattern::pub_sub     ? pub_sub(link, sim)
                                                             : push_pull(link, sim);
  std::tie(out.from, out.to) = ends_of(link, sim);
  out.promise =
      link.pattern == Pattern::pub_sub
          ? format("{}{}", topology::to_string(link.delivery), link.keep_last ? ", keeps last values" : "")
          : format("{}, {}", topology::to_string(link.delivery), topology::to_string(link.distribute));
  return out;
}

void for_each_seed(const Sim& sim, const std::function<void(std::uint64_t seed)>& play) {
  std::uint64_t seed = sim.seed.value_or(1);
  for (std::uint64_t played = 0; played < sim.seeds; ++seed) {
    if (!sim.kind.empty() && sim::to_string(sim::kind_of_seed(seed)) != sim.kind) continue;
    play(seed);
    ++played;
  }
}

SimulatedLink simulate_seed(std::uint64_t seed, std::uint64_t records) {
  switch (sim::kind_of_seed(seed)) {
    case sim::LinkKind::requests:
      return shown(sim::run_requests(sim::request_options_of_seed(seed, records)));
    case sim::LinkKind::pub_sub:
      return shown(sim::run_pub_sub(sim::pub_sub_options_of_seed(seed, records)));
    case sim::LinkKind::push_pull:
      break;
  }
  return shown(sim::run_push_pull(sim::options_of_seed(seed, records)));
}

SimulatedLink simulate_paused(std::uint64_t seed, std::uint64_t records,
                              const std::vector<sim::Pause>& pauses) {
  const auto with = [&pauses](auto options) {
    options.pauses = pauses;
    return options;
  };
  switch (sim::kind_of_seed(seed)) {
    case sim::LinkKind::requests:
      return shown(sim::run_requests(with(sim::paused_request_options_of_seed(seed, records))));
    case sim::LinkKind::pub_sub:
      return shown(sim::run_pub_sub(with(sim::paused_pub_sub_options_of_seed(seed, records))));
    case sim::LinkKind::push_pull:
      break;
  }
  return shown(sim::run_push_pull(with(sim::paused_options_of_seed(seed, records))));
}

}  // namespace weft::cli
