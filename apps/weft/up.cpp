// weft up: runs a topology in the foreground, or detached.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/signals.hpp>
#include <weft/core/units.hpp>
#include <weft/launch/launcher.hpp>
#include <weft/topology/topology.hpp>
#include <weft/transport/loop.hpp>

#include "programs.hpp"
#include "runs.hpp"
#include "screen.hpp"
#include "summary.hpp"
#include "table.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr std::size_t kShownLines = 10;  // last output of a node that failed

std::string exit_text(const launch::NodeReport& node) {
  if (node.signal != 0) return format("signal {}", node.signal);
  return node.exit_code ? format("{}", *node.exit_code) : "-";
}

void print_nodes(const launch::RunReport& report) {
  Table table({"node", "state", ">exit", ">restarts", ">cpu s", ">peak memory"});
  for (const launch::NodeReport& node : report.nodes) {
    table.add({node.id.text(), node.state, exit_text(node), format("{}", node.restarts),
               format("{:.2f}", node.cpu_seconds), humane_size(node.peak_memory_bytes)});
  }
  std::printf("\n%s", table.text().c_str());
}

void print_links(const launch::RunReport& report) {
  const Value links = to_value(report).get("links");
  const Table table = link_table(links, report.seconds);
  if (table.empty()) return;
  std::printf("\n%s", table.text().c_str());
  for (const std::string& note : link_notes(links)) std::printf("%s\n", note.c_str());
}

void print_results(const launch::RunReport& report) {
  if (!report.result.is_map() || report.result.as_map().empty()) return;
  Table table({"node", "result"});
  for (const auto& [node, result] : report.result.as_map()) table.add({node, humane_members(result)});
  std::printf("\n%s", table.text().c_str());
}

void print_failures(const launch::RunReport& report) {
  for (const launch::NodeReport& node : report.nodes) {
    if (node.reason.empty()) continue;
    std::fprintf(stderr, "%s: %s\n", node.id.text().c_str(), node.reason.c_str());
    const std::size_t first = node.last_lines.size() > kShownLines ? node.last_lines.size() - kShownLines : 0;
    for (std::size_t i = first; i < node.last_lines.size(); ++i) {
      std::fprintf(stderr, "    %s\n", node.last_lines[i].c_str());
    }
  }
}

}  // namespace

void print_summary(const launch::RunReport& report) {
  print_nodes(report);
  print_links(report);
  print_results(report);
  // What a node wants to be said beside its numbers, such as that there was nothing to do.
  for (const auto& [node, result] : report.result.as_map()) {
    if (result.get("note").is_string())
      std::printf("\n%s: %s\n", node.c_str(), result.get("note").as_string().c_str());
  }
  const char* const ended = report.ok ? "is done" : report.signal == 0 ? "FAILED" : "was INTERRUPTED";
  std::printf("\n%s %s after %.2f s; its logs are in %s/logs\n", report.run.c_str(), ended, report.seconds,
              report.directory.c_str());
  std::fflush(stdout);
  if (report.ok) return;
  print_failures(report);
  std::fprintf(stderr, "weft: %s: %s\n", report.run.c_str(),
               report.reason.empty() ? "the run did not do what it should" : report.reason.c_str());
}

namespace {

bool reads_stdin(const topology::NodePlan& node) {
  return node.options.get("input") == Value("-");
}

// Who is told when a detached run is ready, or cannot be.
class Announcer {
 public:
  explicit Announcer(int fd) : fd_(fd) {}
  void ready(const std::string& run) {
    if (fd_ < 0) return;
    (void)!::write(fd_, run.data(), run.size());
    ::close(fd_);
    fd_ = -1;
    // From here on nobody looks: what the nodes say is in the logs.
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, fd);
    ::close(nowhere);
  }

 private:
  int fd_;
};

int run_plan(const Up& up, const topology::Plan& plan, Catalog& catalog, int announce_to) {
  Screen screen(plan,
                {.lines = !up.quiet, .to_stderr = up.json || up.detach, .progress = !up.quiet && !up.detach});
  Announcer announcer(announce_to);
  const std::string folder = folder_of(plan.file);
  launch::LaunchOptions options{.base = base_folder(up.run_directory), .short_folders = short_folders()};
  options.resolve = [&](const topology::NodePlan& node) {
    const Catalog::Entry& entry = catalog.find(node.program, folder);
    return launch::Program{entry.path, entry.description.has_value()};
  };
  if (up.for_ != Duration::zero()) options.run_for = up.for_;
  options.wants_stdin = [](const topology::NodePlan& node) {
    return reads_stdin(node) && ::isatty(STDIN_FILENO) == 0;
  };
  options.on_line = [&](const topology::NodeId& node, bool is_stderr, std::string_view line) {
    screen.line(node, is_stderr, line);
  };
  options.on_state = [&](const topology::NodeId& node, std::string_view state, std::string_view text) {
    screen.state(node, state, text);
  };
  options.on_progress = [&](const Value& state) { screen.progress(state); };
  options.on_event = [&](std::string_view sentence) {
    if (!up.quiet && sentence.starts_with("draining: SIG")) screen.note(std::string(sentence));
  };
  options.on_warning = [&](std::string_view sentence) { screen.note(format("weft: {}", sentence)); };
  std::string run;
  options.on_ready = [&] { announcer.ready(run); };
  Loop loop;
  auto launcher = std::make_unique<launch::Launcher>(loop, plan, std::move(options));
  run = launcher->run_id();
  const launch::RunReport report = launcher->run();
  const bool hurry = launcher->asked_to_stop();
  launcher
      .reset();  // the run is over, and a signal ends this process again, whoever reads what is said of it
  if (!screen.finish(hurry)) return kFailed;
  const LastWords last(hurry, kFailed);
  if (up.json) {
    std::printf("%s\n", to_json(launch::to_value(report)).c_str());
  } else {
    print_summary(report);
  }
  return launch::exit_code(report);
}

// The run that is starting, as who waits for it sees it.
struct Starting {
  pid_t child = 0;
  int announced = -1;  // it says here that it is ready; closed when it ends
  int signals = -1;
  bool cancelled = false;
};

// The name of the run; empty when it ended before it was ready. A signal that ends this process ends the run.
std::string wait_until_ready(Starting& start) {
  std::string run;
  for (;;) {
    std::array<pollfd, 2> polls{pollfd{start.announced, POLLIN, 0}, pollfd{start.signals, POLLIN, 0}};
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return run;
    signalfd_siginfo info{};
    if (polls[1].revents != 0 && ::read(start.signals, &info, sizeof info) > 0) {
      start.cancelled = true;
      // The second one ends it at once, but SIGHUP, which a terminal may say twice, is never the second one.
      ::kill(start.child, info.ssi_signo == SIGHUP ? SIGHUP : SIGTERM);
    }
    if (polls[0].revents == 0) continue;
    std::array<char, 256> bytes;
    const ssize_t got = ::read(start.announced, bytes.data(), bytes.size());
    if (got == 0 || (got < 0 && errno != EINTR)) return start.cancelled ? "" : run;
    if (got > 0) run.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

// What the shell had open is not this run's: a lock, say, would be held until it ends.
void close_inherited(int but) {
  if (but > STDERR_FILENO + 1) ::close_range(STDERR_FILENO + 1, static_cast<unsigned>(but) - 1, 0);
  ::close_range(static_cast<unsigned>(but) + 1, ~0U, 0);
}

// Forks before there is any thread or context; the child runs the topology in a session of its own.
int detach(const Up& up, const topology::Plan& plan, Catalog& catalog) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Error(Errc::io, format("cannot make a pipe: {}", std::strerror(errno)));
  const sigset_t set = stop_signals();
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &set, &before);
  Starting start{.announced = ends[0]};
  start.child = ::fork();
  if (start.child < 0) throw Error(Errc::io, format("cannot start a process: {}", std::strerror(errno)));
  if (start.child == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    close_inherited(ends[1]);
    ::setsid();
    int code = kFailed;
    try {
      code = run_plan(up, plan, catalog, ends[1]);
    } catch (const Error& e) {
      std::fprintf(stderr, "weft: %s\n", e.what());
      code = exit_code(e.code());
    }
    std::fflush(nullptr);
    ::_exit(code);
  }
  ::close(ends[1]);
  start.signals = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  const std::string run = wait_until_ready(start);
  ::close(ends[0]);
  if (!run.empty()) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    std::printf("%s\n", run.c_str());
    return kOk;
  }
  int status = 0;
  while (::waitpid(start.child, &status, 0) < 0 && errno == EINTR) {
  }
  if (start.cancelled) std::fprintf(stderr, "weft: the start was cancelled, and the run has ended\n");
  return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : kFailed;
}

}  // namespace

int run_verb(const Up& up) {
  Catalog catalog;
  const topology::Plan plan =
      topology::load(up.source.file, {.sets = up.source.sets, .describe = catalog.describer()});
  return up.detach ? detach(up, plan, catalog) : run_plan(up, plan, catalog, -1);
}

}  // namespace weft::cli
