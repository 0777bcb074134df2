// Run directories, guests, garbage, and what is left when a launcher is killed.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/node/control.hpp>

#include "launch/stages.hpp"
#include "launch/support.hpp"

using namespace weft;
using namespace weft::test;

namespace {

namespace fs = std::filesystem;

const char* const kOneLink = "  - {from: source.out, to: sink.in, pattern: push-pull}\n";

topology::Plan streaming() {
  return plan_of(
      "  source: {run: self, lifetime: service, with: {do: stream}}\n"
      "  sink: {run: self, lifetime: service}\n",
      kOneLink);
}

Value message(const char* op, const char* node = "", const char* port = "") {
  Value out;
  out["op"] = op;
  out["node"] = node;
  out["port"] = port;
  return out;
}

PortOptions guest(const std::string& directory) {
  return {.name = "guest",
          .node = "guest/1",
          .scope = "weft-control",
          .connect = {"ipc://" + directory + "/control"}};
}

void ask(Dealer<>& dealer, const Value& what, std::function<void(const Value&)> done) {
  const wire::Buffer packed = control::pack(what);
  dealer.request_packed(packed.view(), soon(), [done = std::move(done)](Reply<RawRecord>& reply) {
    if (reply.outcome == Outcome::closed) return;
    done(reply.ok() ? *control::unpack(*reply.record) : Value(reply.text));
  });
}

topology::LinkPlan arrow(const char* from, const char* to) {
  topology::LinkPlan out;
  out.from_node = from;
  out.to_node = to;
  return out;
}

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("a chain drains link by link, a cycle together") {
  const std::vector<topology::LinkPlan> chain{arrow("a", "b"), arrow("b", "c")};
  const std::vector<topology::LinkPlan> cycle{arrow("a", "b"), arrow("b", "a"), arrow("b", "c")};

  CHECK(launch::next_to_drain(chain, {"a", "b", "c"}) == Names{"a"});
  CHECK(launch::next_to_drain(chain, {"b", "c"}) == Names{"b"});
  CHECK(launch::next_to_drain(chain, {"c"}) == Names{"c"});
  CHECK(launch::next_to_drain(cycle, {"a", "b", "c"}) == Names{"a", "b"});
  CHECK(launch::next_to_drain({arrow("a", "a")}, {"a"}) == Names{"a"});
}

TEST_CASE("runs are found by name, by its beginning, or as the only living one") {
  Base base;
  const launch::RunDirectory one(base.path(), "alpha-1");
  {
    const launch::RunDirectory two(base.path(), "beta-1");
    CHECK_THROWS_WITH_AS((void)launch::find_run(base.path(), ""), doctest::Contains("several runs are live"),
                         Error);
  }

  CHECK(launch::list_runs(base.path()).size() == 2);
  CHECK(launch::find_run(base.path(), "").id == "alpha-1");
  CHECK(launch::find_run(base.path(), "").live);
  CHECK(launch::find_run(base.path(), "").pid == getpid());
  CHECK(launch::find_run(base.path(), "be").id == "beta-1");
  CHECK_FALSE(launch::find_run(base.path(), "beta-1").live);
  CHECK_THROWS_WITH_AS((void)launch::find_run(base.path(), "gamma"),
                       doctest::Contains("no run is called \"gamma\""), Error);
}

TEST_CASE("only the newest finished runs are kept, and living ones always") {
  Base base;
  const launch::RunDirectory living(base.path(), "living", 1);
  for (const char* id : {"a", "b", "c"}) launch::RunDirectory(base.path(), id, 1);
  const launch::RunDirectory last(base.path(), "last", 1);

  const auto runs = launch::list_runs(base.path());

  CHECK(runs.size() == 3);
  CHECK(launch::find_run(base.path(), "living").live);
}

TEST_CASE("a launcher keeps as many finished runs as its options say") {
  Base base;
  for (const unsigned keep : {50U, 50U, 50U, 1U}) {
    Loop loop;
    const Launcher launcher(loop, streaming(), {.base = base.path(), .resolve = resolve, .keep_runs = keep});
  }
  CHECK(launch::list_runs(base.path()).size() == 2);  // the one that was kept, and the last
}

TEST_CASE("a folder that others can write to does not hold runs") {
  Base base;
  std::filesystem::permissions(base.path(), std::filesystem::perms::all);

  CHECK_THROWS_WITH_AS(launch::RunDirectory(base.path(), "a"), doctest::Contains("others cannot write to"),
                       Error);
}

TEST_CASE("folders that no launcher of this user has made are no runs, and are let be") {
  Base base;
  const auto make = [&](const std::string& name) {
    fs::create_directories(base.path() + "/" + name);
    return base.path() + "/" + name + "/lock";
  };
  std::ofstream(make("project")) << "1\n";
  REQUIRE(mkfifo(make("pipe").c_str(), 0600) == 0);
  { const launch::RunDirectory over(base.path(), "over", 5); }
  fs::create_symlink(base.path() + "/over/lock", make("link"));
  fs::create_directory_symlink(base.path() + "/over", base.path() + "/other");
  const bool root = getuid() == 0;
  if (root) {
    const std::string lock = make("theirs");
    fs::copy_file(base.path() + "/over/lock", lock);
    REQUIRE(chown(fs::path(lock).parent_path().c_str(), 1, 1) == 0);
  }

  const launch::RunDirectory run(base.path(), "run", 0);

  CHECK(launch::list_runs(base.path()).size() == 1);
  for (const char* name : {"project", "pipe", "link"}) CHECK(fs::exists(base.path() + "/" + name));
  CHECK(fs::exists(base.path() + "/theirs") == root);
  CHECK_FALSE(fs::exists(base.path() + "/over"));
}

TEST_CASE("a run's folder that somebody else has put there is not used") {
  Base base;
  fs::create_directory(base.path() + "/taken");
  CHECK_THROWS_WITH_AS(launch::RunDirectory(base.path(), "taken"), doctest::Contains("File exists"), Error);
  const std::string id(60, 'r');  // its sockets are elsewhere, and looked at by themselves
  launch::RunDirectory run(base.path(), id);
  const auto replace = [&](mode_t mode) {
    fs::remove_all(run.path());
    REQUIRE(mkdir(run.path().c_str(), 0700) == 0);
    REQUIRE(chmod(run.path().c_str(), mode) == 0);
  };
  replace(0777);
  CHECK_THROWS_WITH_AS(run.make_again(), doctest::Contains("Permission denied"), Error);
  if (getuid() == 0) {
    replace(0700);
    REQUIRE(chown(run.path().c_str(), 1, 1) == 0);
    CHECK_THROWS_WITH_AS(run.make_again(), doctest::Contains("Permission denied"), Error);
  }
  replace(0700);
  run.make_again();
  CHECK(run.there());
  CHECK(launch::find_run(base.path(), id).live);
}

TEST_CASE("a new run gets a name that no run has, however many there are this second") {
  Base base;
  unsigned number = 0;
  const auto twice = [&] { return number++ / 2; };  // each name is met again
  std::set<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    const std::string id = launch::make_run_id("t", base.path(), twice);
    fs::create_directory(base.path() + "/" + id);
    ids.insert(id);
  }
  CHECK(ids.size() == 5);
  CHECK(number >= 9);
}

TEST_CASE("a run directory that is too long for sockets has them in a short one of this user alone") {
  Base base;
  const std::string id(60, 'x');
  std::string sockets;
  {
    const launch::RunDirectory run(base.path(), id);
    sockets = run.sockets();
    CHECK(sockets.size() + 47 <= 107);
    CHECK(run.control_endpoint() == "ipc://" + sockets + "/control");
    CHECK(fs::is_directory(sockets + "/s"));
    CHECK(fs::status(sockets).permissions() == fs::perms::owner_all);
    CHECK(launch::find_run(base.path(), id).sockets == sockets);
  }
  CHECK_FALSE(fs::exists(sockets));
  CHECK(launch::find_run(base.path(), id).sockets == base.path() + "/" + id);
  const launch::RunDirectory plain(base.path(), "plain");
  CHECK(plain.sockets() == plain.path());
}

TEST_CASE("sockets are in no folder that others can write to") {
  Base base, shared;
  REQUIRE(chmod(shared.path().c_str(), 0777) == 0);
  const std::vector<std::string> folders{shared.path(), "/tmp"};
  {
    const launch::RunDirectory run(base.path(), std::string(60, 'x'), 20, folders);
    CHECK(run.sockets().starts_with("/tmp/weft-"));
  }
  REQUIRE(chmod(shared.path().c_str(), 01777) == 0);
  {
    const launch::RunDirectory run(base.path(), std::string(60, 'y'), 20, folders);
    CHECK(run.sockets().starts_with(shared.path() + "/weft-"));
  }
  CHECK_THROWS_WITH_AS(
      launch::RunDirectory(base.path(), std::string(60, 'z'), 20, {base.path() + "/" + std::string(60, 'z')}),
      doctest::Contains("107 bytes"), Error);
}

TEST_CASE("the sockets that a killed launcher has left go with the next run, if they are this user's alone") {
  Base base, others;
  const auto leave = [&](const std::string& id, mode_t mode) {
    std::string folder = others.path() + "/weft-" + id;
    REQUIRE(mkdir(folder.c_str(), 0700) == 0);
    std::ofstream(folder + "/control") << "x";
    REQUIRE(chmod(folder.c_str(), mode) == 0);
    fs::create_directories(base.path() + "/" + id);
    std::ofstream(base.path() + "/" + id + "/lock") << "1\nweft run\n";
    fs::create_directory_symlink(folder, base.path() + "/" + id + "/sockets");
    return folder;
  };
  const std::string ours = leave("ours", 0700);
  const std::string open = leave("open", 0755);

  const launch::RunDirectory run(base.path(), "next");

  CHECK_FALSE(fs::exists(ours));
  CHECK(fs::exists(open));
}

TEST_CASE("a run in a long folder, of nodes with long names, meets by sockets and can be looked at") {
  Watched run;
  const std::string name(60, 'n');
  const auto plan =
      plan_of("  " + name + ": {run: self, lifetime: service, with: {do: stream}}\n" +
                  "  sink: {run: self, lifetime: service}\n",
              "  - {from: " + name + ".out, to: sink.in, pattern: push-pull, transport: ipc, bind: from}\n");
  LaunchOptions options = run.options();
  options.base = run.base.path() + "/" + std::string(120, 'b');
  Loop loop;
  Launcher* launcher = nullptr;
  std::string sockets;
  options.on_ready = [&] {
    const auto runs = launch::list_runs(run.base.path() + "/" + std::string(120, 'b'));
    REQUIRE(runs.size() == 1);
    sockets = runs[0].sockets;
    CHECK(sockets != runs[0].directory);
    launcher->drain();
  };
  Launcher made(loop, plan, std::move(options));
  launcher = &made;

  const RunReport report = made.run();

  CHECK(report.ok);
  CHECK(report.links[0].received == report.links[0].sent);
  CHECK_FALSE(sockets.empty());
}

TEST_CASE("random bytes and wrong messages on the control socket are counted and harm nothing") {
  Watched run;
  Loop loop;
  Launcher launcher(loop, streaming(), run.options());
  Dealer<> dealer(loop, guest(launcher.directory()));
  std::mt19937 random(7);
  int answered = 0;
  constexpr int kMessages = 300;
  const auto count = [&](const Value&) {
    if (++answered == kMessages) launcher.drain();
  };
  Value negative = message("report", "sink/0");
  negative["epoch"] = -1;
  negative["ports"]["in"]["received_records"] = -5;
  for (int i = 0; i < kMessages; ++i) {
    if (i % 3 == 0) {
      ask(dealer, negative, count);
    } else if (i % 3 == 1) {
      ask(dealer, message("nonsense", "sink/0", "in"), count);
    } else {
      std::string bytes(random() % 50, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      dealer.request(as_bytes(bytes), soon(), [&](Reply<RawRecord>&) { count({}); });
    }
  }

  const RunReport report = launcher.run();

  CHECK(answered == kMessages);
  CHECK(launcher.state().get("control_rejected").as_int() >= kMessages);
  CHECK(report.nodes.size() == 2);
  CHECK_MESSAGE(report.ok, report.reason);
}

TEST_CASE("a guest taps a port and sees its records") {
  Watched run;
  Loop loop;
  LaunchOptions options = run.options();
  Launcher launcher(loop, streaming(), std::move(options));
  Dealer<> dealer(loop, guest(launcher.directory()));
  std::optional<Sub<>> sub;
  std::string seen;
  ask(dealer, message("tap", "sink/0", "in"), [&](const Value& answer) {
    REQUIRE(answer.get("endpoint").is_string());
    sub.emplace(loop, PortOptions{.name = "tap",
                                  .scope = answer.get("scope").as_string(),
                                  .connect = {answer.get("endpoint").as_string()}});
    sub->on_record([&](const RawRecord& record, const Meta&) {
      if (seen.empty()) launcher.drain();
      seen = record.text();
    });
  });

  const RunReport report = launcher.run();

  CHECK(seen.starts_with("source/0 "));
  CHECK_MESSAGE(report.ok, report.reason);
}

TEST_CASE("a guest takes part in a link until it leaves") {
  Watched run;
  Loop loop;
  Launcher launcher(loop, streaming(), run.options());
  auto dealer = std::make_unique<Dealer<>>(loop, guest(launcher.directory()));
  const std::string at = "ipc://" + launcher.directory() + "/s/guest";
  // With more room than the sink: `balance` gives the next batch to whoever has most.
  Pull<> pull(loop, {.name = "guest", .scope = launcher.run_id(), .bind = {at}, .window_bytes = 16ULL << 20});
  int taken = 0;
  bool left = false;
  pull.on_record([&](const RawRecord&, const Meta&) {
    if (++taken == 1) loop.post([&] { dealer.reset(); });
  });
  pull.on_peer([&](const PeerEvent& event) {
    if (event.what != PeerEvent::What::finished && event.what != PeerEvent::What::dead) return;
    left = true;
    launcher.drain();
  });
  Value attach = message("attach", "source/0", "out");
  attach["endpoint"] = at;
  ask(*dealer, attach, [](const Value& answer) { CHECK(answer.get("scope").is_string()); });

  const RunReport report = launcher.run();

  CHECK(taken > 0);
  CHECK(left);
  CHECK_FALSE(report.links[0].exact);
  CHECK_MESSAGE(report.ok, report.reason);
}

TEST_CASE("a guest that connects by itself is noticed: its records are not missed") {
  Watched run;
  Loop loop;
  const auto plan = plan_of(
      "  source: {run: self, lifetime: service, with: {do: stream}}\n  sink: {run: self, lifetime: "
      "service}\n",
      "  - {from: source.out, to: sink.in, pattern: push-pull, bind: from}\n");
  LaunchOptions options = run.options();
  Launcher* it = nullptr;
  std::optional<Pull<>> pull;
  options.on_ready = [&] {
    const Value nodes = it->state().get("nodes");
    const std::string at = nodes.as_list().at(0).get("endpoints").get("source.out>sink.in").as_string();
    pull.emplace(
        loop,
        PortOptions{.name = "guest", .scope = it->run_id(), .connect = {at}, .window_bytes = 16ULL << 20});
    pull->on_record([&](const RawRecord&, const Meta&) { it->drain(); });
  };
  Launcher launcher(loop, plan, std::move(options));
  it = &launcher;

  const RunReport report = launcher.run();

  REQUIRE(pull);
  CHECK(pull->stats().received_records > 0);
  CHECK_FALSE(report.links[0].exact);
  CHECK_MESSAGE(report.ok, report.reason);
}

TEST_CASE("a guest is told what it got wrong") {
  Watched run;
  Loop loop;
  Launcher launcher(loop, streaming(), run.options());
  Dealer<> dealer(loop, guest(launcher.directory()));
  std::string text;
  Value state;
  ask(dealer, message("tap", "sink/0", "other"), [&](const Value& answer) { text = answer.as_string(); });
  ask(dealer, message("state"), [&](const Value& answer) { state = answer; });
  ask(dealer, message("down"), [](const Value&) {});

  const RunReport report = launcher.run();

  CHECK(text == "sink/0 has no port \"other\"");
  CHECK(state.get("run") == Value(launcher.run_id()));
  // `down` may come before the nodes are ready, and is an interruption then.
  CHECK((report.reason.empty() || report.interrupted == "SIGTERM"));
}

TEST_CASE("the nodes of a killed launcher are gone") {
  Base base;
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t launcher = fork();
  if (launcher == 0) {
    // A launcher that says who its nodes are once they run.
    try {
      Loop loop;
      LaunchOptions options{.base = base.path(), .resolve = resolve};
      Launcher run(loop, streaming(), options);
      auto* it = &run;
      loop.every(1ms, [it, out = pipe_ends[1], said = false]() mutable {
        const Value state = it->state();
        if (said || state.get("state") != Value("running")) return;
        said = true;
        for (const Value& node : state.get("nodes").as_list()) {
          const pid_t pid = static_cast<pid_t>(node.get("pid").as_int());
          if (write(out, &pid, sizeof pid) != static_cast<ssize_t>(sizeof pid)) _exit(1);
        }
      });
      (void)run.run();
    } catch (const std::exception&) {
    }
    _exit(1);
  }
  close(pipe_ends[1]);
  pid_t nodes[2] = {};
  REQUIRE(read(pipe_ends[0], &nodes[0], sizeof(pid_t)) == static_cast<ssize_t>(sizeof(pid_t)));
  REQUIRE(read(pipe_ends[0], &nodes[1], sizeof(pid_t)) == static_cast<ssize_t>(sizeof(pid_t)));
  close(pipe_ends[0]);
  CHECK(launch::find_run(base.path(), "").live);

  REQUIRE(kill(launcher, SIGKILL) == 0);
  REQUIRE(waitpid(launcher, nullptr, 0) == launcher);

  Loop loop;
  const auto tick = loop.every(1ms, [] {});
  const auto gone = [](pid_t pid) {
    const std::string stat = read_text(format("/proc/{}/stat", pid));
    return stat.empty() || contains(stat, ") Z ");  // nobody may reap an orphan here
  };
  CHECK(loop.run_until([&] { return gone(nodes[0]) && gone(nodes[1]); }, soon()));
  loop.cancel(tick);
  CHECK_FALSE(launch::list_runs(base.path()).at(0).live);
}

TEST_CASE("a run is ended from outside by its name") {
  Base base;
  const pid_t launcher = fork();
  if (launcher == 0) {
    try {
      Loop loop;
      LaunchOptions options{.base = base.path(), .run = "outside", .resolve = resolve};
      Launcher run(loop, streaming(), options);
      _exit(run.run().ok ? 0 : 1);
    } catch (const std::exception&) {
    }
    _exit(2);
  }
  Loop loop;
  const auto tick = loop.every(1ms, [] {});
  const auto running = [&] {
    for (const auto& run : launch::list_runs(base.path())) {
      if (run.state.get("state") == Value("running")) return true;
    }
    return false;
  };
  REQUIRE(loop.run_until(running, soon()));
  loop.cancel(tick);

  CHECK(launch::stop_run(launch::find_run(base.path(), "out"), soon()));

  int status = 0;
  REQUIRE(waitpid(launcher, &status, 0) == launcher);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(launch::find_run(base.path(), "outside").state.get("state") == Value("over"));
}
