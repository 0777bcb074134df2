#include <weft/launch/launcher.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <utility>

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/signals.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

#include "launch/launcher_impl.hpp"
#include "launch/stages.hpp"

namespace weft::launch {
namespace {

constexpr std::size_t kLastLines = 20;
constexpr Duration kStable =
    std::chrono::seconds(30);  // an incarnation that lived so long starts the back-off anew
constexpr Duration kStartMargin = std::chrono::seconds(2);  // that nodes have on top of the start limit
// Of a program that describes itself: a wrong option or spec, so starting again will not help. Others mean
// anything.
constexpr int kUsageExit = 2;

/// a += b, member by member.
void add_counts(Value& sum, const Value& counts) {
  if (!counts.is_map()) return;
  for (const auto& [port, numbers] : counts.as_map()) {
    if (!numbers.is_map()) continue;
    for (const auto& [name, number] : numbers.as_map()) {
      if (!number.is_int()) continue;
      Value& cell = sum[port][name];
      cell = Value(count_of(cell) + count_of(number));
    }
  }
}

void check_run_id(const std::string& run) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (run.size() <= 64 && run.front() != '.' && std::ranges::all_of(run, good)) return;
  throw Error(
      Errc::invalid_argument,
      format("the run is to be called {}: a name has 1 to 64 letters, digits, \"_\", \"-\" or \".\", and "
             "does not begin with \".\"",
             weft::quoted(run)));
}

std::string how_it_hung(const Managed& node) {
  return format("hung: nothing was heard of it for {}, and it was killed",
                format_duration(node.plan->hang_after));
}

}  // namespace

std::string how_it_ended(const Ending& ending) {
  if (ending.signal != 0)
    return format("was ended by signal {} ({})", ending.signal, strsignal(ending.signal));
  return format("ended with exit code {}", ending.exit_code);
}

Launcher::Launcher(Loop& loop, topology::Plan plan, LaunchOptions options) {
  if (!options.resolve)
    throw Error(Errc::invalid_argument, "a launcher needs `resolve`, which finds programs");
  if (options.first_back_off < Duration::zero() || options.last_back_off > std::chrono::hours(1)) {
    throw Error(Errc::invalid_argument,
                format("first_back_off is {} and last_back_off {}, but they have to be 0s to 1h",
                       format_duration(options.first_back_off), format_duration(options.last_back_off)));
  }
  if (!options.run.empty()) check_run_id(options.run);
  std::string run = options.run.empty() ? make_run_id(plan.name, options.base) : options.run;
  impl_ = std::make_unique<Impl>(loop, std::move(plan), std::move(options), std::move(run));
}

Launcher::~Launcher() = default;

Launcher::Impl::~Impl() {
  for (const Loop::TimerId timer : {second, start_timer, for_timer, state_timer, reap_timer, disk_timer}) {
    if (timer != 0) loop.cancel(timer);
  }
  for (const auto& node : nodes) {
    if (node->timer != 0) loop.cancel(node->timer);
  }
  for (const Loop::WatchId watch : {signal_watch, children_watch, disk_watch}) {
    if (watch != 0) loop.unwatch(watch);
  }
  for (const int fd : {signals, children}) {
    if (fd >= 0) ::close(fd);
  }
  if (masked) pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
}

const std::string& Launcher::run_id() const {
  return impl_->id;
}
const std::string& Launcher::directory() const {
  return impl_->directory->path();
}
void Launcher::drain() {
  impl_->drain("asked to");
}
void Launcher::stop_now() {
  impl_->fail("stopped at once");
  impl_->kill_all();
}
bool Launcher::asked_to_stop() const {
  return impl_->asked;
}
bool Launcher::signal(const topology::NodeId& node, int number) {
  Managed* managed = impl_->find(node.text());
  if (!managed || !managed->process) return false;
  // Its end is seen later; a run that waits for restarts must not take it for alive until then, and nobody
  // dies twice.
  if (number == SIGKILL && std::exchange(managed->dying, true)) return false;
  managed->process->signal_group(number);
  return true;
}
Value Launcher::state() const {
  return impl_->state();
}

RunReport Launcher::run() {
  Impl& impl = *impl_;
  impl.prepare();
  impl.begin();
  impl.loop.run();
  impl.ended = Clock::now();
  const bool written = impl.settle();
  impl.tell_lost_lines();
  if (impl.reason.empty() && impl.interrupted == 0) impl.reason = impl.stopped_early;
  if (impl.reason.empty()) impl.reason = impl.lost_in_silence();
  if (impl.reason.empty()) impl.reason = impl.unmet();
  impl.write_state();
  if (written) (void)impl.settle();
  return impl.report();
}

// Everything that can be wrong before the first process is found here.
void Launcher::Impl::prepare() {
  for (const topology::NodePlan& node : plan.nodes) {
    auto managed = std::make_unique<Managed>();
    managed->plan = &node;
    managed->program = options.resolve(node);
    managed->log =
        std::make_unique<NodeLog>(disk, directory->log_file(node.id.name, node.id.replica), node.log);
    nodes.push_back(std::move(managed));
  }
  open_control();
  write_specs(true);
}

void Launcher::Impl::begin() {
  began = Clock::now();
  began_at = static_cast<std::int64_t>(wall_micros() / 1'000'000);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask_before);
  masked = true;
  if (options.handle_signals) {
    const sigset_t set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) throw Error(Errc::io, "cannot make a signalfd");
    signal_watch = loop.watch_fd(signals, [this] { read_signals(); });
  }
  if (options.adopts) adopt();
  guard = std::make_unique<Guard>("WEFT_CONTROL=" + directory->control_endpoint());
  disk_watch = loop.watch_fd(disk.fd(), [this] { on_disk(); });
  second = loop.every(std::chrono::seconds(1), [this] { on_second(); });
  // The nodes have a little more: who looks at all of them can say best what is missing.
  at(start_timer, began + plan.start_limit,
     [this] { fail(format("not ready after {}: {}", format_duration(plan.start_limit), not_ready())); });
  for (const auto& node : nodes) {
    if (!draining) start(*node);
  }
  state_changed();
  check_ready();
}

void Launcher::Impl::start(Managed& node) {
  const topology::NodePlan& plan_of = *node.plan;
  node.epoch = std::max(node.epoch + 1, wall_micros());
  node.endpoints.clear();
  node.ready = !node.program.describes;  // what says nothing is ready when it runs
  node.dying = false;
  node.state = "started";
  node.last_word = false;
  node.reason.clear();
  node.last_error.clear();
  node.started = Clock::now();
  node.heard = {};
  node.hangs = node.hung = false;
  const std::string spec =
      format("{}/nodes/{}-{}.json", directory->path(), plan_of.id.name, plan_of.id.replica);
  Command command{.path = node.program.path, .arguments = {}, .environment = options.environment};
  command.environment.insert(command.environment.end(), plan_of.environment.begin(),
                             plan_of.environment.end());
  command.inherit_stdin = options.wants_stdin && options.wants_stdin(plan_of);
  const std::vector<std::pair<std::string, std::string>> who{
      {"WEFT_CONTROL", directory->control_endpoint()},
      {"WEFT_NODE", plan_of.id.name},
      {"WEFT_REPLICA", std::to_string(plan_of.id.replica)}};
  command.environment.insert(command.environment.end(), who.begin(), who.end());
  command.environment.emplace_back("WEFT_RUN", id);
  for (const auto& [name, value] : who) command.mark.push_back(format("{}={}", name, value));
  state_of(node, "started", "");
  if (node.program.describes) {
    const Duration drain_limit = std::min<Duration>(plan.drain_limit, plan_of.grace * 9 / 10);
    command.last_word = true;
    command.environment.emplace_back("WEFT_LAST_WORD", std::to_string(kLastWordFd));
    command.arguments = {"--spec",          spec,
                         "--control",       directory->control_endpoint(),
                         "--run-directory", directory->sockets(),
                         "--run",           id,
                         "--epoch",         std::to_string(node.epoch),
                         "--start-limit",   format_duration(plan.start_limit + kStartMargin),
                         "--drain-limit",   format_duration(drain_limit)};
  } else {
    command.arguments = plan_of.arguments;
    command.environment.emplace_back("WEFT_SPEC", spec);
  }
  try {
    node.life = Managed::Life::alive;
    node.process = std::make_unique<Process>(
        loop, command,
        Process::Handlers{
            .on_line = [this, &node](bool errors, std::string_view line) { on_line(node, errors, line); },
            .on_left = [this, &node](std::size_t count) { on_left(node, count); },
            .on_end = [this, &node](const Ending& ending) { on_end(node, ending); }});
  } catch (const Error& error) {
    node.life = Managed::Life::ended;
    node.state = "failed";
    node.reason = error.what();
    state_of(node, "failed", node.reason);
    fail(format("{}: {}", plan_of.id.text(), error.what()));
  }
  if (go && node.ready) loop.post([this] { check_over(); });
}

void Launcher::Impl::on_line(Managed& node, bool is_stderr, std::string_view line) {
  node.log->write(line);
  pace(node);
  node.last_lines.emplace_back(line);
  if (is_stderr) node.last_error = line;
  if (node.last_lines.size() > kLastLines) node.last_lines.pop_front();
  if (options.on_line) options.on_line(node.plan->id, is_stderr, line);
}

void Launcher::Impl::on_end(Managed& node, const Ending& ended_so) {
  const Ending ending = ended_so;
  read_signals();  // who signals all processes at once means this one as well
  node.process.reset();
  node.paused = false;
  hear_last_word(node, ending);
  if (await_last_word(node, ending)) return;
  node.awaited.reset();
  if (node.timer != 0) loop.cancel(node.timer);
  node.timer = 0;
  node.ending = ending;
  node.cpu_seconds += ending.cpu_seconds;
  node.peak_memory = std::max(node.peak_memory, ending.peak_memory);
  node.watcher.reset();
  node.tap_waiters.clear();
  fail_asks(node);
  node.life = Managed::Life::ended;
  node.ok = ending.exit_code == 0;
  // A script that does not catch the signal ends by it, as it was told to.
  // One that said before that it has failed was on its way out by itself.
  const bool told = node.told_to_stop || (draining && !node.program.describes);
  if (told && !node.killed && ending.signal == SIGTERM) node.ok = node.state != "failed";
  if (node.told_to_stop && node.killed) node.ok = false;
  if (node.ok && !node.ready && !node.told_to_stop && !go) {
    node.ok = false;
    node.reason = "it was not ready yet";
  }
  if (node.program.describes && !node.last_word) ++node.unfinished;
  if (Clock::now() - node.started > kStable) node.failures = 0;
  const bool wanted = node.plan->restart == topology::Restart::always ||
                      (node.plan->restart == topology::Restart::on_failure && !node.ok &&
                       !(node.program.describes && ending.exit_code == kUsageExit));
  if (wanted && !draining && !node.told_to_stop && node.failures < node.plan->max_restarts) {
    return start_again(node, node.hung ? how_it_hung(node) : how_it_ended(ending));
  }
  if (node.ok && node.program.describes && !node.last_word && node.ready) {
    node.ok = false;
    node.reason = "its last report never came, so what it did is not known";
  }
  note_early_end(node);
  node.state = node.ok ? "stopped" : "failed";
  if (!node.program.describes) node.last_word = true;  // it never says a word
  if (!node.ok) ended_badly(node);
  state_of(node, node.state, node.reason);
  changed();
  check_over();
  state_changed();
}

// The pauses are between starts: one that fails at once is not started in a busy loop, and one that was at
// work when it was killed is back at once.
void Launcher::Impl::start_again(Managed& node, const std::string& how) {
  const Duration apart = std::min<Duration>(options.last_back_off,
                                            options.first_back_off * (1LL << std::min(node.failures, 10U)));
  const Duration lived = Clock::now() - node.started;
  const Duration wait = std::max(Duration::zero(), apart - lived);
  ++node.failures;
  ++node.restarts;
  const std::string when = wait == Duration::zero() ? "at once" : "in " + humane_duration(wait);
  event(format("{} {}; starting it again {} ({} of {})", node.plan->id.text(), how, when, node.failures,
               node.plan->max_restarts));
  add_counts(node.earlier_counts, node.counts);
  node.counts = Value::map();
  node.life = Managed::Life::backing_off;
  node.state = "restarting";
  node.ready = false;  // the others must not begin while it is away
  node.reason = how;
  state_of(node, node.state, how);
  node.timer = loop.at(Clock::now() + wait, [this, &node] {
    node.timer = 0;
    start(node);
  });
  // Its peers are told at once that nobody is there, not when they notice.
  node.endpoints.clear();
  changed();
  state_changed();
}

void Launcher::Impl::ended_badly(Managed& node) {
  // One that failed before it could report said why on its last line of stderr.
  const bool by_itself = !node.killed && node.ending.signal == 0;
  if (node.reason.empty() && by_itself) node.reason = node.last_error;
  if (node.reason.empty() && node.hung) node.reason = how_it_hung(node);
  if (node.reason.empty()) {
    node.reason = !node.killed ? how_it_ended(node.ending)
                  : signals_seen > 1 || stopped
                      ? "was killed with the run"
                      : format("did not end within {} of SIGTERM", format_duration(node.plan->grace));
  }
  std::string sentence = format("{} {}", node.plan->id.text(), how_it_ended(node.ending));
  if (node.hung) {
    sentence = format("{} {}", node.plan->id.text(), how_it_hung(node));
  } else if (node.reason != how_it_ended(node.ending))
    sentence += ": " + node.reason;
  if (node.restarts != 0) sentence += format(" (after {} restarts)", node.restarts);
  // A node that was told to end and had something left, or a process that the user killed: all make a failed
  // run.
  fail(std::move(sentence));
}

void Launcher::Impl::event(const std::string& sentence) const {
  if (options.on_event) options.on_event(sentence);
}

void Launcher::Impl::state_of(const Managed& node, std::string_view now, std::string_view text) const {
  if (options.on_state) options.on_state(node.plan->id, now, text);
}

void Launcher::Impl::check_ready() {
  if (go || draining) return;
  if (!std::ranges::all_of(nodes, [](const auto& node) { return node->ready; })) return;
  go = true;
  if (start_timer != 0) loop.cancel(start_timer);
  start_timer = 0;
  event(format("all {} nodes are ready after {}", nodes.size(), humane_duration(Clock::now() - began)));
  changed();
  tell_ready_when_written();
  if (options.run_for) {
    for_timer = loop.at(Clock::now() + *options.run_for, [this] {
      for_timer = 0;
      drain(format("{} are over", format_duration(*options.run_for)));
    });
  }
}

void Launcher::Impl::check_over() {
  const auto has_ended = [](const auto& node) { return node->life == Managed::Life::ended; };
  if (std::ranges::all_of(nodes, has_ended)) {
    if (options.adopts && end_strays()) return;
    over = true;
    loop.stop();
    return;
  }
  if (draining) return drain_next();
  const bool any_main = std::ranges::any_of(nodes, [](const auto& node) { return node->plan->main; });
  const bool mains_done =
      std::ranges::all_of(nodes, [&](const auto& node) { return !node->plan->main || has_ended(node); });
  if (!any_main || !mains_done) return;
  if (!std::exchange(work_done, true) && options.on_work_done) options.on_work_done();
  const auto is_back = [&](const auto& node) { return has_ended(node) || (node->ready && !node->dying); };
  if (options.wait_for_restarts && go && !std::ranges::all_of(nodes, is_back)) return;
  drain("the main nodes have ended");
}

void Launcher::Impl::drain(const std::string& why) {
  if (draining) return;
  draining = true;
  tell_ready();
  event("draining: " + why);
  if (options.on_drain) options.on_drain();
  if (start_timer != 0) loop.cancel(start_timer);
  start_timer = 0;
  for (const auto& node : nodes) {
    if (node->life != Managed::Life::backing_off && node->life != Managed::Life::waiting) continue;
    if (node->timer != 0) loop.cancel(node->timer);
    node->timer = 0;
    const bool failed = node->life == Managed::Life::backing_off;
    node->life = Managed::Life::ended;
    node->state = failed ? "failed" : "never started";
    node->ok = false;
    if (failed && reason.empty()) {
      reason =
          format("{} {}, and the run ended before it was started again", node->plan->id.text(), node->reason);
    }
  }
  changed();
  state_changed();
  loop.post([this] { check_over(); });
}

/// Senders before those who receive from them, so that what is on its way arrives.
void Launcher::Impl::drain_next() {
  std::set<std::string> alive;
  for (const auto& node : nodes) {
    if (node->life == Managed::Life::alive) alive.insert(node->plan->id.name);
  }
  const auto next = next_to_drain(plan.links, alive);
  for (const auto& node : nodes) {
    if (node->life == Managed::Life::alive && next.contains(node->plan->id.name)) stop(*node);
  }
  changed();
}

void Launcher::Impl::stop(Managed& node) {
  if (node.told_to_stop || !node.process) return;
  node.told_to_stop = true;
  node.process->terminate();
  at(node.timer, Clock::now() + node.plan->grace, [this, &node] {
    if (!node.process) return;
    node.killed = true;
    event(format("{} did not end within {} of SIGTERM: killing it", node.plan->id.text(),
                 format_duration(node.plan->grace)));
    node.process->kill_group();
  });
}

void Launcher::Impl::kill_all() {
  stopped = true;
  for (const auto& node : nodes) {
    if (!node->process) continue;
    node->killed = true;
    node->process->kill_group();
  }
  if (strays) strays->signal(SIGKILL);
}

void Launcher::Impl::fail(std::string why) {
  if (reason.empty()) {
    reason = std::move(why);
    event("failed: " + reason);
  } else {
    event(why);
  }
  drain("the run has failed");
}

}  // namespace weft::launch
