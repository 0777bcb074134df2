// How a run ends: done, cut short, or short of what its links promise.
#include <csignal>

#include <unistd.h>

#include "launch/support.hpp"

using namespace weft;
using namespace weft::test;

namespace {

topology::Plan linked_pair(const std::string& source, const std::string& sink, const std::string& link = "") {
  return plan_of("  source: {run: self, " + source + "}\n  sink: {run: self, " + sink + "}\n",
                 "  - {from: source.out, to: sink.in, pattern: push-pull" + link + "}\n");
}

/// The run, with a signal to it once all nodes are ready.
RunReport signalled(const topology::Plan& plan, int number) {
  Watched run;
  LaunchOptions options = run.options();
  options.on_ready = [number] { REQUIRE(kill(getpid(), number) == 0); };
  return launch_and_wait(plan, std::move(options));
}

void check_sums(const RunReport& report) {
  for (const auto& l : report.links) {
    const std::uint64_t rejected = l.delivery == topology::Delivery::best_effort ? l.rejected_records : 0;
    CHECK(l.accepted == l.processed + rejected + l.failed + l.timed_out + l.expired + l.dead_lettered +
                            l.dropped + l.lost + l.left);
  }
}

}  // namespace

TEST_CASE("a run that is ended before its main nodes have ended was interrupted") {
  for (const int number : {SIGINT, SIGTERM}) {
    const RunReport report =
        signalled(linked_pair("lifetime: finite, with: {do: stream}", "lifetime: service"), number);

    CHECK_FALSE(report.ok);
    CHECK(report.interrupted == (number == SIGINT ? "SIGINT" : "SIGTERM"));
    CHECK(report.reason == format("interrupted by {} before source/0 had ended", report.interrupted));
    CHECK(exit_code(report) == 128 + number);
    CHECK(to_value(report).get("interrupted") == Value(report.interrupted));
    CHECK(node_of(report, "source/0").state == "stopped");
    check_sums(report);
  }
}

TEST_CASE(
    "services that are stopped have done their work, and so has a main node without an end that is taken "
    "down") {
  const RunReport services =
      signalled(linked_pair("lifetime: service, with: {do: stream}", "lifetime: service"), SIGINT);
  CHECK(services.ok);
  CHECK(exit_code(services) == 0);

  const auto endless = linked_pair("lifetime: finite, with: {do: endless}", "lifetime: service");
  const RunReport down = signalled(endless, SIGTERM);
  CHECK(down.ok);
  CHECK(down.interrupted.empty());
  CHECK(exit_code(signalled(endless, SIGINT)) == 130);
}

TEST_CASE("a run that is ended before its nodes are ready was interrupted, whatever they are") {
  Watched run;
  LaunchOptions options = run.options();
  options.on_state = [](const topology::NodeId& id, std::string_view state, std::string_view) {
    if (id.name == "source" && state == "bound") REQUIRE(kill(getpid(), SIGTERM) == 0);
  };
  const auto plan =
      linked_pair("lifetime: service, with: {do: stream}", "lifetime: service, with: {do: mute}");

  const RunReport report = launch_and_wait(plan, std::move(options));

  CHECK_FALSE(report.ok);
  CHECK(contains(report.reason, "interrupted by SIGTERM before all nodes were ready"));
}

TEST_CASE("a main node that is stopped from outside has not done its work, and the others do theirs") {
  Watched run;
  const auto plan = plan_of(
      "  source: {run: self, lifetime: finite, with: {do: stream}}\n"
      "  other: {run: self, lifetime: finite, with: {do: send, count: 10}}\n"
      "  sink: {run: self, lifetime: service}\n",
      "  - {from: source.out, to: sink.in, pattern: push-pull}\n"
      "  - {from: other.out, to: sink.in, pattern: push-pull}\n");
  Loop loop;
  Launcher* launcher = nullptr;
  LaunchOptions options = run.options();
  options.on_state = [&](const topology::NodeId& id, std::string_view state, std::string_view) {
    if (id.name == "source" && state == "running") CHECK(launcher->signal(id, SIGTERM));
  };
  Launcher made(loop, plan, std::move(options));
  launcher = &made;

  const RunReport report = made.run();

  CHECK_FALSE(report.ok);
  CHECK(report.interrupted.empty());
  CHECK(report.reason == "source/0 was stopped by a signal from outside the run before its work was done");
  CHECK(node_of(report, "source/0").state == "stopped");
  CHECK(report.result.get("other/0").get("sent") == Value(10));
}

TEST_CASE("records that their receiver rejects fail the run, and are counted at the link") {
  Watched run;
  const auto plan =
      linked_pair("lifetime: finite, with: {do: send, count: 10}", "lifetime: service, with: {do: strict}");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK(exit_code(report) == 1);
  CHECK(report.reason ==
        "link source.out>sink.in: 10 of 10 records were rejected by sink.in: they are not what it takes");
  CHECK(report.links[0].rejected_records == 10);
  CHECK(report.links[0].processed + report.links[0].lost + report.links[0].left == 0);
  check_sums(report);
}

TEST_CASE("dead letters that nobody takes fail the run") {
  Watched run;
  const auto plan = linked_pair("lifetime: finite, with: {do: send, count: 10}",
                                "lifetime: service, with: {do: strict}", ", delivery: at-least-once");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK(contains(report.reason, "10 of 10 records are dead letters and nobody takes them"));
  CHECK(report.links[0].untaken == 10);
  check_sums(report);
}

TEST_CASE("a node that ends without its last report has not said what it did") {
  Watched run;
  const auto plan = linked_pair("lifetime: finite, with: {do: leave}", "lifetime: service");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  CHECK(contains(report.reason, "its last report never came"));
  CHECK_FALSE(report.links[0].exact);
  REQUIRE(report.links[0].inexact.size() == 1);
  CHECK(report.links[0].inexact[0] ==
        "source/0 ended once without a last report: its counts are as of the one before");
}

TEST_CASE("a node whose last report is awaited does not hang") {
  Watched run;
  auto plan = linked_pair("lifetime: finite, with: {do: leave}", "lifetime: service");
  // Shorter than a file may say: of the second that its last report is awaited, most is silence.
  plan.nodes[0].hang_after = 50ms;

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK_FALSE(report.ok);
  const bool slow = contains(report.reason, "hung");  // a loaded machine may take longer to start it
  CHECK((slow || contains(report.reason, "its last report never came")));
}

TEST_CASE("the last report of a node that took its launcher for gone is in its pipe") {
  Watched run;
  const auto plan = linked_pair("lifetime: finite, with: {do: leave-word}", "lifetime: service");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  CHECK(report.reason.empty());
  CHECK(report.result.get("source/0").get("said") == Value("all"));
}

TEST_CASE("after a death the counts of a link still add up, and say of whom they are not exact") {
  Watched run;
  const auto plan = linked_pair("lifetime: finite, with: {do: patient, count: 10}",
                                "lifetime: service, restart: on-failure, with: {do: die}");

  const RunReport report = launch_and_wait(plan, run.options());

  CHECK(report.ok);
  REQUIRE(report.links[0].inexact.size() == 1);
  CHECK(contains(report.links[0].inexact[0], "sink/0 ended once without a last report"));
  check_sums(report);
}
