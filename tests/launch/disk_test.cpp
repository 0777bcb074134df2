// A disk that stands still: whoever opens a FIFO that nobody reads waits, as in a call that a busy disk holds
// up.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <future>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/disk.hpp"
#include "launch/node_log.hpp"
#include "launch/support.hpp"

using namespace weft;
using namespace weft::test;
using launch::Disk;
using launch::NodeLog;

namespace {

/// The place where the launcher writes its state next.
class StandingDisk {
 public:
  explicit StandingDisk(const std::string& run_directory) : path_(run_directory + "/state.json.new") {}
  ~StandingDisk() {
    if (reader_ >= 0) ::close(reader_);
  }
  StandingDisk(const StandingDisk&) = delete;
  StandingDisk& operator=(const StandingDisk&) = delete;

  void stand_still() {
    // Between two texts: a file of that name is on its way to be state.json.
    const Deadline limit = soon();
    int made = -1;
    while ((made = mkfifo(path_.c_str(), 0600)) != 0 && errno == EEXIST && !limit.passed(Clock::now()))
      std::this_thread::yield();
    REQUIRE(made == 0);
  }
  void go_on() {
    if (reader_ < 0) reader_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);
    REQUIRE(reader_ >= 0);
  }

 private:
  std::string path_;
  int reader_ = -1;
};

void wait_for(Disk& disk) {
  Loop loop;
  const auto watch = loop.watch_fd(disk.fd(), [&] { disk.acknowledge(); });
  REQUIRE(loop.run_until([&] { return disk.idle(); }, soon()));
  loop.unwatch(watch);
}

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

}  // namespace

TEST_CASE("a disk that stands still holds up neither a run nor what is heard of it") {
  Watched run;
  const auto plan = plan_of(
      "  source: {run: self, lifetime: service, with: {do: stream}}\n"
      "  sink: {run: self, lifetime: service}\n",
      "  - {from: source.out, to: sink.in, pattern: push-pull}\n");
  StandingDisk disk(run.base.path() + "/still");
  LaunchOptions options = run.options();
  options.run = "still";
  Loop loop;
  Launcher* launcher = nullptr;
  int looks = 0;
  options.on_ready = [&] { disk.stand_still(); };
  options.on_progress = [&](const Value& state) {
    // Twice: the first look may have been before the disk was asked for anything.
    if (state.get("state") == Value("running") && ++looks == 3) launcher->drain();
  };
  const auto note = options.on_state;
  options.on_state = [&](const topology::NodeId& id, std::string_view state, std::string_view text) {
    note(id, state, text);
    if (id.name == "sink" && state == "stopped") disk.go_on();
  };
  Launcher made(loop, plan, std::move(options));
  launcher = &made;

  const RunReport report = made.run();

  CHECK(report.ok);
  CHECK(looks == 3);
  CHECK(parse_json(read_text(report.directory + "/state.json")).get("state") == Value("over"));
  CHECK(contains(read_text(report.directory + "/logs/sink-0.log"), "sink/0 says hello\n"));
}

TEST_CASE("a node that says more than waits for the disk is held up, but not for long, and nothing is lost") {
  Watched run;
  const auto plan = plan_of(
      "  source: {run: /bin/sh, lifetime: finite, args: [-c, 'yes 123456789012345 | head -n 400000']}\n"
      "  sink: {run: /bin/sh, lifetime: service, args: [-c, 'tail -f /dev/null & wait $!']}\n",
      "  - {from: source.out, to: sink.in, pattern: push-pull}\n");
  StandingDisk disk(run.base.path() + "/still");
  LaunchOptions options = run.options();
  options.run = "still";
  std::size_t heard = 0;
  options.on_line = [&](const topology::NodeId& id, bool, std::string_view) {
    if (id.name == "source" && ++heard == 1) disk.stand_still();
  };
  options.on_state = [&](const topology::NodeId& id, std::string_view state, std::string_view) {
    if (id.name == "source" && state == "stopped") disk.go_on();
  };

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK(report.ok);
  CHECK(heard == 400000);
  const std::size_t lost = node_of(report, "source/0").lost_log_lines;
  const std::string log = read_text(report.directory + "/logs/source-0.log");
  CHECK(lines_in(log) + lost >= 400000);
  CHECK(contains(log, "lines are missing here") == (lost != 0));
}

TEST_CASE("lines that find no room while the disk stands still are counted, and the log says where") {
  const Base base;
  const std::string path = base.path() + "/a.log";
  Disk disk;
  NodeLog log(disk, path, {});
  std::promise<void> moves;
  disk.post([still = moves.get_future().share()] { still.wait(); });
  constexpr std::size_t kLines = 20000;
  const std::string line(1000, 'x');

  log.write("first");
  CHECK_FALSE(log.full());
  for (std::size_t i = 0; i < kLines; ++i) log.write(line);
  CHECK(log.full());
  const std::uint64_t lost = log.lost().lines;
  CHECK(lost > 0);
  moves.set_value();
  wait_for(disk);
  log.write("last");
  wait_for(disk);

  CHECK_FALSE(log.full());
  CHECK(log.lost().lines == lost);
  const std::string text = read_text(path);
  CHECK(lines_in(text) == 1 + (kLines - lost) + 1 + 1);
  CHECK(text.ends_with(format("weft: {} lines are missing here: the disk stood still\nlast\n", lost)));
}

TEST_CASE("of several texts for a file the last one is written, and what fails is told") {
  const Base base;
  Disk disk;
  std::promise<void> moves;
  disk.post([still = moves.get_future().share()] { still.wait(); });
  const std::uint64_t before = disk.asked();
  for (const char* text : {"one", "two", "three"}) disk.replace(base.path() + "/file", text);
  CHECK(disk.asked() == before + 1);
  disk.replace(base.path() + "/no/such/folder", "text");
  moves.set_value();
  wait_for(disk);

  CHECK(read_text(base.path() + "/file") == "three");
  CHECK(contains(disk.take_error(), "/no/such/folder.new"));
  CHECK(disk.take_error().empty());
}
