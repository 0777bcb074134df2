// weft chaos: runs a topology, breaks its nodes and connections meanwhile, and counts what became of every
// record.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <limits>
#include <set>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/launch/launcher.hpp>
#include <weft/launch/run_directory.hpp>
#include <weft/sim/ledger.hpp>
#include <weft/topology/topology.hpp>
#include <weft/transport/loop.hpp>

#include "chaos_ledger.hpp"
#include "chaos_network.hpp"
#include "chaos_picker.hpp"
#include "programs.hpp"
#include "runs.hpp"
#include "screen.hpp"
#include "summary.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr Duration kFirstBackOff = std::chrono::milliseconds(5);
constexpr Duration kLastBackOff = std::chrono::milliseconds(50);

// A node that finishes with exit code 0 has done its work and is not started again.
void allow_restarts(topology::Plan& plan, const std::vector<topology::NodeId>& killed) {
  for (topology::NodePlan& node : plan.nodes) {
    if (std::ranges::find(killed, node.id) == killed.end()) continue;
    node.restart = std::max(node.restart, topology::Restart::on_failure);
    node.max_restarts = std::numeric_limits<unsigned>::max();
  }
}

/// Breaks the nodes of a run while it runs. Of the loop's thread; lives as long as the loop runs.
class Breaker {
 public:
  Breaker(Loop& loop, const Chaos& chaos, sim::Ledger& ledger, BrokenNetwork& network,
          std::vector<topology::NodeId> kill, std::vector<topology::NodeId> stop)
      : loop_(loop),
        chaos_(chaos),
        ledger_(ledger),
        network_(network),
        kill_(std::move(kill), chaos.in_turn, chaos.seed),
        stop_(std::move(stop), chaos.in_turn, chaos.seed + 1) {}

  void attach(launch::LaunchOptions& options) {
    options.on_ready = [this] { begin(); };
    // Not only when it drains: that waits for all nodes to be up at once, which they may never be under fire.
    options.on_work_done = [this] { end(); };
    options.on_drain = [this] { end(); };
    options.address_of = [this](const std::string& link, const std::string& endpoint) {
      return network_.address(link, endpoint);
    };
  }
  void use(launch::Launcher& launcher) { launcher_ = &launcher; }
  void on_state(const topology::NodeId& node, std::string_view state) {
    // A program that describes nothing says no more than that it was started.
    const bool up = state == "ready" || state == "running";
    const bool gone = state == "stopped" || state == "failed";
    if (up) {
      up_.insert(node.text());
    } else {
      up_.erase(node.text());
    }
    if (state == "restarting") away_.insert(node.text());
    if (up || gone) away_.erase(node.text());
    drain_when_all_are_back();
  }

 private:
  void begin() {
    if (!kill_.nodes().empty()) loop_.every(chaos_.every, [this] { kill_one(); });
    if (!stop_.nodes().empty()) loop_.every(chaos_.stop_every, [this] { stop_one(); });
    if (chaos_.for_ == Duration::zero()) return;
    loop_.at(Clock::now() + chaos_.for_, [this] {
      end();
      time_is_over_ = true;
      drain_when_all_are_back();
    });
  }

  [[nodiscard]] bool usable(const topology::NodeId& node) const {
    return up_.contains(node.text()) && !stopped_.contains(node.text());
  }

  void kill_one() {
    if (over_) return;
    const auto node = kill_.pick([this](const topology::NodeId& id) { return usable(id); });
    if (!node || !launcher_->signal(*node, SIGKILL)) return;
    up_.erase(node->text());  // the launcher hears of it later
    away_.insert(node->text());
    ledger_.fault("killed");
    ledger_.fault("killed " + node->name);
  }

  void stop_one() {
    if (over_) return;
    const auto node = stop_.pick([this](const topology::NodeId& id) { return usable(id); });
    if (!node || !launcher_->signal(*node, SIGSTOP)) return;
    stopped_.insert(node->text());
    ledger_.fault("stopped");
    ledger_.fault("stopped " + node->name);
    loop_.at(Clock::now() + chaos_.stop_for, [this, id = *node] {
      if (stopped_.erase(id.text()) != 0) launcher_->signal(id, SIGCONT);
    });
  }

  // A stopped node could not drain.
  void end() {
    over_ = true;
    network_.heal();
    for (const topology::NodeId& node : stop_.nodes()) {
      if (stopped_.erase(node.text()) != 0) launcher_->signal(node, SIGCONT);
    }
  }

  void drain_when_all_are_back() {
    if (!time_is_over_ || !away_.empty() || draining_) return;
    draining_ = true;
    loop_.post([this] { launcher_->drain(); });
  }

  Loop& loop_;
  const Chaos& chaos_;
  sim::Ledger& ledger_;
  BrokenNetwork& network_;
  launch::Launcher* launcher_ = nullptr;
  Picker kill_;
  Picker stop_;
  std::set<std::string> up_;
  std::set<std::string> away_;
  std::set<std::string> stopped_;
  bool over_ = false;
  bool time_is_over_ = false;
  bool draining_ = false;
};

void print_ledger(const ChaosLedger& counted, const sim::Ledger& ledger, Delivery promise) {
  for (const std::string& note : counted.notes()) std::printf("\n%s\n", note.c_str());
  std::printf("\nThe ledger:\n%s", ledger.text().c_str());
  if (ledger.problems().empty()) {
    std::printf("%s\n",
                promise == Delivery::best_effort
                    ? "  no link promises more than best effort: what was lost is counted, and no problem"
                    : "  what the links promise was kept");
  }
  std::fflush(stdout);
}

}  // namespace

int run_verb(const Chaos& chaos) {
  Catalog catalog;
  topology::Plan plan =
      topology::load(chaos.source.file, {.sets = chaos.source.sets, .describe = catalog.describer()});
  const auto kill = nodes_named(plan, chaos.kill, "--kill");
  const auto stop = nodes_named(plan, chaos.stop, "--stop");
  allow_restarts(plan, kill);
  BrokenNetwork network(plan, chaos.fault, chaos.on, chaos.seed);

  const std::string base = base_folder(chaos.run_directory);
  const std::string run = launch::make_run_id(plan.name, base);
  const std::string folder = folder_of(plan.file);
  const ChaosLedger counted(plan, format("{}/{}/ledger", base, run), [&](const topology::NodePlan& node) {
    const auto& described = catalog.find(node.program, folder).description;
    return described ? described->program : std::string();
  });
  const Delivery promise = ChaosLedger::promise(plan);
  sim::Ledger ledger({.delivery = promise, .ordered = chaos.ordered});

  Loop loop;
  Breaker breaker(loop, chaos, ledger, network, kill, stop);
  Screen screen(plan, {.lines = chaos.verbose, .to_stderr = chaos.json, .progress = true});
  launch::LaunchOptions options{.base = base, .short_folders = short_folders(), .run = run};
  options.resolve = [&](const topology::NodePlan& node) {
    const Catalog::Entry& entry = catalog.find(node.program, folder);
    return launch::Program{entry.path, entry.description.has_value()};
  };
  options.first_back_off = kFirstBackOff;
  options.last_back_off = kLastBackOff;
  options.wait_for_restarts = true;
  options.on_line = [&](const topology::NodeId& node, bool is_stderr, std::string_view line) {
    screen.line(node, is_stderr, line);
  };
  options.on_state = [&](const topology::NodeId& node, std::string_view state, std::string_view text) {
    breaker.on_state(node, state);
    if (chaos.verbose) screen.state(node, state, text);
  };
  options.on_progress = [&](const Value& state) { screen.progress(state); };
  options.on_warning = [&](std::string_view sentence) { screen.note(format("weft: {}", sentence)); };
  options.own_child = [&](pid_t child) { return network.owns(child); };
  breaker.attach(options);
  launch::Launcher launcher(loop, plan, std::move(options));
  breaker.use(launcher);
  counted.make_folder();
  const launch::RunReport report = launcher.run();
  const bool hurry = launcher.asked_to_stop();
  if (!screen.finish(hurry)) return kFailed;
  const LastWords last(hurry, kFailed);
  if (report.ready && counted.counts()) counted.fill(ledger);
  network.fill(ledger);
  counted.remove_folder();
  if (chaos.json) {
    Value out;
    out["ledger"] = ledger.to_value();
    out["report"] = launch::to_value(report);
    std::printf("%s\n", to_json(out).c_str());
  } else {
    print_summary(report);
    print_ledger(counted, ledger, promise);
  }
  return ledger.problems().empty() ? launch::exit_code(report) : kFailed;
}

}  // namespace weft::cli
