// Whole runs with real processes.
#include <algorithm>
#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

#include "launch/support.hpp"

using namespace weft;
using namespace weft::test;

namespace {

const char* const kLink = "  - {from: source.out, to: sink.in, pattern: push-pull}\n";

topology::Plan pair(const std::string& source, const std::string& sink) {
  return plan_of("  source: {run: self, " + source + "}\n  sink: {run: self, " + sink + "}\n", kLink);
}

// Two scripts that are linked on paper only, each told what to run by /bin/sh.
topology::Plan scripts(const std::string& first, const std::string& second) {
  return plan_of("  source: {run: /bin/sh, " + first + "}\n  sink: {run: /bin/sh, " + second + "}\n", kLink);
}

// Waits for a signal without using the processor.
const std::string kWait = "tail -f /dev/null & wait $!";
// Ignores SIGTERM, and says when it does.
const std::string kStubborn = "args: [-c, \"trap '' TERM; echo deaf now; tail -f /dev/null & wait; wait\"]";

// A child of the test's own process that waits for its end.
class OwnChild {
 public:
  OwnChild() = default;
  ~OwnChild() {
    if (id_ <= 0) return;
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }
  OwnChild(const OwnChild&) = delete;
  OwnChild& operator=(const OwnChild&) = delete;

  void start() {
    id_ = fork();
    if (id_ != 0) return;
    for (;;) pause();
  }
  [[nodiscard]] pid_t id() const { return id_; }
  [[nodiscard]] bool lives() const { return id_ > 0 && waitpid(id_, nullptr, WNOHANG) == 0; }

 private:
  pid_t id_ = -1;
};

}  // namespace

TEST_CASE("a run of two processes ends well, and its report adds up") {
  Watched run;
  const auto plan = pair("replicas: 2, lifetime: finite, with: {do: send, count: 1000}",
                         "lifetime: service, with: {do: take}");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  CHECK(report.ready);
  CHECK(report.reason.empty());
  REQUIRE(report.nodes.size() == 3);
  for (const auto& node : report.nodes) {
    CHECK(node.state == "stopped");
    CHECK(node.exit_code == 0);
    CHECK(node.restarts == 0);
    CHECK(node.peak_memory_bytes > 100'000);
  }
  REQUIRE(report.links.size() == 1);
  CHECK(report.links[0].sent == 2000);
  CHECK(report.links[0].received == 2000);
  CHECK(report.links[0].left == 0);
  CHECK(report.links[0].exact);
  CHECK(report.result.get("source/1").get("sent") == Value(1000));
  CHECK(report.result.get("sink/0").get("taken") == Value(2000));
}

TEST_CASE("the run directory keeps logs, specs and the last state, for this user only") {
  Watched run;
  const auto plan = pair("lifetime: finite, with: {do: send, count: 1}", "lifetime: service");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(contains(read_text(report.directory + "/logs/source-0.log"), "source/0 says hello\n"));
  CHECK(Watched::has(run.lines, "sink/0: sink/0 says hello"));
  const Value state = parse_json(read_text(report.directory + "/state.json"));
  CHECK(state.get("state") == Value("over"));
  CHECK(state.get("ok") == Value(true));
  CHECK(state.get("topology") == Value("test"));
  CHECK(state.get("nodes").as_list().size() == 2);
  CHECK_NOTHROW(
      (void)topology::node_plan_from_value(parse_json(read_text(report.directory + "/nodes/sink-0.json"))));
  CHECK((std::filesystem::status(report.directory).permissions() & std::filesystem::perms::others_all) ==
        std::filesystem::perms::none);
}

TEST_CASE("sources end before those that they feed are told to") {
  Watched run;
  const auto plan = plan_of(
      "  sink: {run: self, lifetime: service}\n"
      "  source: {run: self, lifetime: service, with: {do: stream}}\n",
      kLink);
  LaunchOptions options = run.options();
  options.run_for = 20ms;

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(report.ok);
  CHECK(Watched::place(run.states, "source/0 stopped") < Watched::place(run.states, "sink/0 draining"));
  CHECK(report.links[0].sent == report.links[0].received);
}

TEST_CASE("a program that does not exist fails the run with its path") {
  Watched run;
  const auto plan = scripts("args: [-c, exit 0]", "args: [-c, exit 0]");
  LaunchOptions options = run.options();
  options.resolve = [](const topology::NodePlan&) {
    return launch::Program{.path = "/no/such/program", .describes = false};
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK_FALSE(report.ok);
  CHECK(report.reason == "source/0: cannot start /no/such/program: No such file or directory");
}

TEST_CASE("a script whose interpreter does not exist is told from a missing program") {
  Watched run;
  const std::string script = run.base.path() + "/script";
  std::ofstream(script) << "#!/no/such/interpreter\n";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const auto plan = scripts("args: []", "args: []");
  LaunchOptions options = run.options();
  options.resolve = [&](const topology::NodePlan&) {
    return launch::Program{.path = script, .describes = false};
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(contains(report.reason, "the interpreter that its first line names does not exist"));
}

TEST_CASE("a node inherits its standard streams and nothing else of its launcher") {
  Watched run;
  const auto plan =
      scripts("lifetime: finite, args: [-c, 'echo $(ls -l /proc/$$/fd | grep -c [.]log) log files']",
              "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  CHECK(Watched::has(run.lines, "source/0: 0 log files"));
}

TEST_CASE("a node that ends badly at once fails the run and leaves its last lines") {
  Watched run;
  const auto plan = scripts("lifetime: finite, args: [-c, 'echo out; echo oops >&2; printf cut; exit 7']",
                            "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK(report.reason == "source/0 ended with exit code 7: oops");
  CHECK(node_of(report, "source/0").state == "failed");
  CHECK(node_of(report, "source/0").exit_code == 7);
  auto lines = node_of(report, "source/0").last_lines;
  std::ranges::sort(lines);
  CHECK(lines == std::vector<std::string>{"cut", "oops", "out"});
  CHECK(Watched::has(run.lines, "source/0! oops"));
  CHECK(Watched::has(run.lines, "source/0: out"));
  CHECK(node_of(report, "sink/0").state == "stopped");
}

TEST_CASE("a node that ends before it is ready has not done its work") {
  Watched run;
  auto plan = pair("lifetime: finite, with: {do: send}", "lifetime: service");
  LaunchOptions options = run.options();
  options.resolve = [](const topology::NodePlan& node) {
    if (node.id.name == "source") return launch::Program{.path = "/bin/true", .describes = true};
    return resolve(node);
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK_FALSE(report.ok);
  CHECK(contains(report.reason, "source/0 ended with exit code 0: it was not ready yet"));
}

TEST_CASE("a node is started again until its restarts are used up") {
  Watched run;
  const auto plan = scripts("lifetime: finite, restart: on-failure, max-restarts: 2, args: [-c, 'exit 3']",
                            "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK(node_of(report, "source/0").restarts == 2);
  CHECK(report.reason == "source/0 ended with exit code 3 (after 2 restarts)");
  CHECK(std::ranges::count(run.states, "source/0 started") == 3);
}

TEST_CASE("a killed node is started again, its peer finds it, and the run goes on") {
  Watched run;
  const auto plan = pair("lifetime: finite, with: {do: patient, count: 10}",
                         "lifetime: service, restart: on-failure, with: {do: die}");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  CHECK(node_of(report, "sink/0").restarts == 1);
  CHECK(node_of(report, "sink/0").exit_code == 0);
  CHECK(report.result.get("sink/0").get("taken").as_int() >= 10);
  CHECK_FALSE(report.links[0].exact);
}

TEST_CASE(
    "a run whose main nodes have ended waits for one that is being started again, where it is told to") {
  for (const bool wait : {true, false}) {
    Watched run;
    const auto plan =
        scripts("lifetime: finite, args: [-c, \"trap 'exit 0' USR1; echo armed; tail -f /dev/null & wait\"]",
                "lifetime: service, restart: on-failure, args: [-c, '" + kWait + "']");
    Loop loop;
    Launcher* launcher = nullptr;
    LaunchOptions options = run.options();
    options.first_back_off = wait ? 100ms : 20s;
    options.wait_for_restarts = wait;
    bool drained = false;
    int done = 0;
    options.on_work_done = [&] { done += drained ? 100 : 1; };
    options.on_drain = [&] { drained = true; };
    const auto note_line = options.on_line;
    options.on_line = [&](const topology::NodeId& id, bool errors, std::string_view line) {
      note_line(id, errors, line);
      CHECK(launcher->signal({"sink", 0}, SIGKILL));
    };
    const auto note_state = options.on_state;
    options.on_state = [&](const auto& id, std::string_view state, std::string_view text) {
      note_state(id, state, text);
      if (state != "restarting") return;
      CHECK_FALSE(launcher->signal(id, SIGKILL));
      CHECK(launcher->signal({"source", 0}, SIGUSR1));
    };
    Launcher made(loop, plan, std::move(options));
    launcher = &made;

    const RunReport report = made.run();

    CHECK(drained);
    CHECK(done == 1);
    CHECK(report.ok == wait);
    CHECK(node_of(report, "sink/0").restarts == 1);
    CHECK(std::ranges::count(run.states, "sink/0 started") == (wait ? 2 : 1));
  }
}

TEST_CASE("a run that waits for restarts waits for one whose death it has not seen yet") {
  Watched run;
  const auto plan = scripts("lifetime: finite, args: [-c, 'exit 0']",
                            "lifetime: service, restart: on-failure, args: [-c, '" + kWait + "']");
  Loop loop;
  Launcher* launcher = nullptr;
  LaunchOptions options = run.options();
  options.first_back_off = 1ms;
  options.wait_for_restarts = true;
  const auto note = options.on_state;
  options.on_state = [&](const topology::NodeId& id, std::string_view state, std::string_view text) {
    note(id, state, text);
    // Whether the run is over is judged behind this very call.
    if (id.name == "source" && state == "stopped") CHECK(launcher->signal({"sink", 0}, SIGKILL));
  };
  Launcher made(loop, plan, std::move(options));
  launcher = &made;

  const RunReport report = made.run();

  CHECK(report.ok);
  CHECK(node_of(report, "sink/0").restarts == 1);
}

TEST_CASE("a peer that never speaks is named when the start limit is over") {
  Watched run;
  const auto plan = plan_of(
      "  source: {run: self, lifetime: finite, with: {do: send}}\n"
      "  sink: {run: self, lifetime: service, with: {do: mute}}\n",
      kLink, "{start: " + std::string(kTimeToStart) + ", drain: 2s}");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK_FALSE(report.ready);
  CHECK(contains(report.reason, "not ready after " + std::string(kTimeToStart) + ": "));
  CHECK(contains(report.reason, "sink/0 has not said anything since it was started"));
  CHECK(
      contains(report.reason,
               "source/0 is bound (port out waits for sink/0 (the launcher does not know where it is yet))"));
}

TEST_CASE("a node that ignores SIGTERM is killed after its grace") {
  Watched run;
  const auto plan = scripts("lifetime: service, args: [-c, '" + kWait + "']",
                            "lifetime: service, grace: 100ms, " + kStubborn);
  LaunchOptions options = run.options();
  options.on_line = [](const topology::NodeId&, bool, std::string_view line) {
    if (line == "deaf now") REQUIRE(kill(getpid(), SIGTERM) == 0);
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK_FALSE(report.ok);
  CHECK(node_of(report, "sink/0").signal == SIGKILL);
  CHECK(contains(report.reason, "did not end within 100ms of SIGTERM"));
}

TEST_CASE("what a node leaves behind in its process group dies with it") {
  Watched run;
  const auto plan = scripts("lifetime: finite, args: [-c, 'tail -f /dev/null & echo $!']",
                            "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  const auto line =
      std::ranges::find_if(run.lines, [](const auto& l) { return l.starts_with("source/0: "); });
  REQUIRE(line != run.lines.end());
  const pid_t left_behind = std::stoi(line->substr(10));
  Loop loop;
  const auto tick = loop.every(1ms, [] {});
  CHECK(loop.run_until([&] { return kill(left_behind, 0) != 0; }, soon()));
  loop.cancel(tick);
}

TEST_CASE("what has left the group of a node that is told to end is told as well") {
  Watched run;
  // What it has started in a session of its own does not hear of the signal to its group.
  const auto plan = scripts("lifetime: service, args: [-c, '" + kWait + "']",
                            "lifetime: service, args: [-c, \"trap 'exit 0' TERM; setsid sh -c 'echo away; "
                            "exec sleep 600' & wait\"]");
  LaunchOptions options = run.options();
  options.on_line = [](const topology::NodeId&, bool, std::string_view line) {
    if (line == "away") REQUIRE(kill(getpid(), SIGTERM) == 0);
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(report.reason.empty());
  CHECK(node_of(report, "sink/0").exit_code == 0);
}

TEST_CASE("a signal drains the run, a second one kills it at once") {
  Watched run;
  const auto plan = scripts("lifetime: service, " + kStubborn, "lifetime: service, " + kStubborn);
  LaunchOptions options = run.options();
  options.on_line = [](const topology::NodeId& id, bool, std::string_view) {
    if (id.name == "source") REQUIRE(kill(getpid(), SIGTERM) == 0);
  };
  const auto note = options.on_event;
  options.on_event = [note](std::string_view sentence) {
    note(sentence);
    if (sentence.starts_with("draining: SIGTERM")) REQUIRE(kill(getpid(), SIGINT) == 0);
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK_FALSE(report.ok);
  CHECK(report.reason == "stopped at once by a second SIGINT");
  CHECK(node_of(report, "source/0").signal == SIGKILL);
}

TEST_CASE("a second signal kills what the nodes have left behind, and no child of the caller's own") {
  Watched run;
  // Out of the group, the session and the environment of its node, and deaf.
  const std::string away =
      "setsid env -i /bin/sh -c \\\"trap '' TERM; echo deaf; while :; do sleep 600; done\\\" & wait";
  const auto plan = scripts("lifetime: service, grace: 5m, args: [-c, \"" + away + "\"]",
                            "lifetime: service, args: [-c, '" + kWait + "']");
  LaunchOptions options = run.options();
  OwnChild mine;
  options.own_child = [&](pid_t child) { return child == mine.id(); };
  options.on_ready = [&] { mine.start(); };
  options.on_line = [](const topology::NodeId&, bool, std::string_view line) {
    if (line == "deaf") REQUIRE(kill(getpid(), SIGTERM) == 0);
  };
  options.on_event = [](std::string_view sentence) {
    if (sentence.ends_with("that the nodes have started are left")) REQUIRE(kill(getpid(), SIGINT) == 0);
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(report.reason == "stopped at once by a second SIGINT");
  CHECK(report.seconds < 200);  // not after the grace of 5 minutes
  CHECK(mine.lives());
}

TEST_CASE("what an earlier child of the launcher's process leaves behind is not ended with the run") {
  Watched run;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  // It ends in the midst of the run, and what it has started tells its number and goes on.
  const pid_t parent = fork();
  if (parent == 0) {
    const pid_t orphan = fork();
    if (orphan == 0) {
      setsid();
      pause();
      _exit(0);
    }
    (void)!write(ends[1], &orphan, sizeof orphan);
    pause();
    _exit(0);
  }
  pid_t orphan = 0;
  REQUIRE(read(ends[0], &orphan, sizeof orphan) == sizeof orphan);
  LaunchOptions options = run.options();
  options.on_ready = [&] {
    kill(parent, SIGKILL);
    waitpid(parent, nullptr, 0);
  };
  const auto plan =
      scripts("lifetime: finite, args: [-c, 'exit 0']", "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(report.ok);
  CHECK(kill(orphan, 0) == 0);
  kill(orphan, SIGKILL);
  for (const int fd : ends) close(fd);
}

TEST_CASE("a script that does not catch SIGTERM ends as it was told to") {
  Watched run;
  const auto plan =
      scripts("lifetime: finite, args: [-c, 'exit 0']", "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  CHECK(node_of(report, "sink/0").signal == SIGTERM);
  CHECK(node_of(report, "sink/0").state == "stopped");
}

TEST_CASE("a node that reports a failure has failed, though the signal to stop ends its process") {
  Watched run;
  const auto plan = pair("lifetime: finite, with: {do: send}", "lifetime: service, with: {do: fail-late}");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK(node_of(report, "sink/0").signal == SIGTERM);
  CHECK(node_of(report, "sink/0").state == "failed");
  CHECK(contains(report.reason, "cannot write what is left"));
}

TEST_CASE("lines of any length are kept, cut at 16 KiB") {
  Watched run;
  const auto plan =
      scripts("lifetime: finite, args: [-c, 'head -c 40000 /dev/zero | tr \"\\\\0\" x; echo; echo end']",
              "lifetime: service, args: [-c, '" + kWait + "']");

  const RunReport report = launch_and_wait(plan, run.options());

  std::vector<std::size_t> lengths;
  for (const auto& line : run.lines) {
    if (line.starts_with("source/0: ")) lengths.push_back(line.size() - 10);
  }
  CHECK(lengths == std::vector<std::size_t>{16384, 16384, 7232, 3});
  CHECK(report.ok);
}

TEST_CASE("a script is told its run, node and spec by its environment") {
  Watched run;
  const auto plan = scripts(
      "lifetime: finite, env: {COLOUR: red}, args: [-c, 'echo $WEFT_NODE/$WEFT_REPLICA $WEFT_RUN $COLOUR "
      "$ALL; "
      "test -r $WEFT_SPEC']",
      "lifetime: service, args: [-c, '" + kWait + "']");
  LaunchOptions options = run.options();
  options.run = "named";
  options.environment = {{"ALL", "everyone"}};

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(report.ok);
  CHECK(Watched::has(run.lines, "source/0: source/0 named red everyone"));
}

TEST_CASE("a run cannot be called what would leave its folder") {
  Watched run;
  LaunchOptions options = run.options();
  options.run = "../other";
  Loop loop;

  CHECK_THROWS_WITH_AS(Launcher(loop, scripts("args: []", "args: []"), std::move(options)),
                       doctest::Contains("a name has 1 to 64 letters"), Error);
}
