// Launcher: starts every node of a plan as a process, lets them meet, watches them, and ends the run.
//
//   weft::Loop loop;
//   weft::launch::Launcher launcher(loop, plan, {.base = base, .resolve = find_program});
//   const weft::launch::RunReport report = launcher.run();
//
// Each run has a directory <base>/<run>/ of mode 0700: state.json (see state(); at most 50 ms old, and older
// only where the disk stands still), nodes/<name>-<replica>.json (specs), logs/<name>-<replica>.log, control
// (a socket), s/ (sockets of nodes), lock (held while the launcher lives). run_directory.hpp reads it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <weft/core/log.hpp>
#include <weft/core/time.hpp>
#include <weft/core/value.hpp>
#include <weft/launch/report.hpp>
#include <weft/launch/run_directory.hpp>
#include <weft/topology/plan.hpp>
#include <weft/transport/loop.hpp>

namespace weft::launch {

/// What `run:` of a node stands for.
struct Program {
  std::string path;  ///< absolute
  /// True: the program describes itself, gets `--spec FILE --control ENDPOINT --run ID --epoch N
  /// --run-directory DIR`, and reports. False: it gets its `args:` and the environment variable WEFT_SPEC,
  /// and counts as ready once it runs. Both have WEFT_CONTROL, WEFT_RUN, WEFT_NODE and WEFT_REPLICA.
  bool describes = true;
};

struct LaunchOptions {
  /// Folder that holds the runs; made (mode 0700) when missing. Where it is too long for the paths of
  /// sockets, these are in a short one: RunDirectory::sockets().
  std::string base;
  /// See RunDirectory.
  std::vector<std::string> short_folders = {"/tmp"};
  /// Name of the run: letters, digits, "_", "-", ".", at most 64. Empty: "<topology>-<MMDD-hhmmss>-<random>".
  std::string run = {};
  /// Finds a node's program. Throws Error{not_found} with a sentence that names it.
  std::function<Program(const topology::NodePlan&)> resolve = {};
  /// Drain so long after all nodes became ready. Absent: until the main nodes have ended.
  std::optional<Duration> run_for = {};
  /// True for the node whose stdin is that of the launcher; all others read /dev/null. Not for a terminal.
  std::function<bool(const topology::NodePlan&)> wants_stdin = {};
  /// What the peers of an end that is bound at `endpoint` are told instead of it. Absent: the endpoint.
  std::function<std::string(const std::string& link, const std::string& endpoint)> address_of = {};
  /// Added to the environment of every node, before its own `env:`.
  std::vector<std::pair<std::string, std::string>> environment = {};
  /// How far apart two starts of a node that failed are: the first time, and, doubling, at most. One that ran
  /// for longer than that is started again at once.
  Duration first_back_off = std::chrono::milliseconds(200);
  Duration last_back_off = std::chrono::seconds(10);
  /// A run whose main nodes have ended drains once those that are being started again are ready: they may
  /// hold records of others. False: at once, and they count as failed.
  bool wait_for_restarts = false;
  /// Directories of earlier runs that are kept; older ones that are over are removed at the start.
  unsigned keep_runs = kKeptRuns;
  /// SIGINT, SIGTERM and SIGHUP (unless it is ignored) drain the run, a second SIGINT or SIGTERM kills it.
  /// They stay blocked in the calling thread while run() runs.
  bool handle_signals = true;
  /// run() makes this process the parent of whatever loses its own below it (PR_SET_CHILD_SUBREAPER), ends
  /// what nodes have left behind, and reaps it. Where this process has living children before, it does
  /// neither: what those leave behind could not be told from what nodes do. False: for a process that has
  /// children of its own, of which it hears by SIGCHLD.
  bool adopts = true;
  /// True for a child that the caller has started during the run, which starts no others: it is let be, and
  /// the caller waits for it. On the loop's thread.
  std::function<bool(pid_t child)> own_child = {};

  // All called on the loop's thread; they must not block.
  /// One line of output of a node, without its newline, at most 16 KiB.
  std::function<void(const topology::NodeId&, bool is_stderr, std::string_view line)> on_line = {};
  /// A node changed its state ("started", then what it says itself: "bound", "joined", "ready", "running",
  /// "draining"; "restarting", "stopped", "failed"), and why.
  std::function<void(const topology::NodeId&, std::string_view state, std::string_view text)> on_state = {};
  /// What happens to the run as a whole, in a sentence ("draining: the main nodes have ended").
  std::function<void(std::string_view sentence)> on_event = {};
  /// What a person should know now: lines that a log lost, a node that hangs, a run directory that is gone.
  std::function<void(std::string_view sentence)> on_warning = {};
  /// All nodes are ready and sources start; once, when state.json says so (for a disk that stands still: 5 s
  /// later).
  std::function<void()> on_ready = {};
  /// The main nodes have ended; once, before the run drains, which it does when what is restarted is back.
  std::function<void()> on_work_done = {};
  /// The run begins to drain: from here on a node that dies is not started again.
  std::function<void()> on_drain = {};
  /// Once a second: see Launcher::state().
  std::function<void(const Value& state)> on_progress = {};
  Logger log = {};
};

/// Owned and used by the main thread of the process, with its loop: nodes die with the thread that starts
/// them.
class Launcher {
 public:
  /// Makes the run directory and the control socket; starts nothing. Throws Error{invalid_argument,
  /// bad_endpoint, not_found, io}.
  Launcher(Loop& loop, topology::Plan plan, LaunchOptions options);
  /// Kills what still runs.
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  [[nodiscard]] const std::string& run_id() const;
  [[nodiscard]] const std::string& directory() const;

  /// Starts all nodes, and runs the loop until all have ended. Failures of nodes are in the report.
  RunReport run();
  /// Ends the run in order: sources first, then those that they feed, stage by stage.
  void drain();
  /// A signal, or somebody who asked for it, has ended the run.
  [[nodiscard]] bool asked_to_stop() const;
  /// Kills all process groups.
  void stop_now();
  /// Sends a signal to a node's process group, to break it on purpose. False: it has no process now.
  bool signal(const topology::NodeId& node, int number);

  /// to_value(RunReport), and {file, pid, started: seconds since 1970, state: starting|running|draining|over,
  /// control_rejected}; each node has also {pid, progress, missing, ports: {port: counts}, endpoints: {link:
  /// address}, ends: [{port, link, sender, binds, pattern, delivery, prefetch, endpoint}]}.
  [[nodiscard]] Value state() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::launch
