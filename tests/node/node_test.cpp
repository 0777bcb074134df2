#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "node/support.hpp"

using namespace weft;
using namespace weft::test;

namespace {

// Two nodes that meet at a socket in a folder of the test.
topology::Plan plan_of(const std::string& socket) {
  return pair_plan("endpoint: \"ipc://" + socket + "\"");
}

}  // namespace

TEST_CASE("a node starts when its promised peers are there, and drains when its work is done") {
  const topology::Plan plan = plan_of(socket_path("drain"));
  std::vector<std::string> got;
  int sink_code = -1;
  std::thread sink_thread([&] {
    Loop loop;
    Node sink(loop, node_of(plan, "sink"), {});
    sink.open<Pull<>>("in")->on_record([&](const RawRecord& r, const Meta&) { got.emplace_back(r.text()); });
    sink.on_peer([&](std::string_view, const PeerEvent& e) {
      if (e.what == PeerEvent::What::finished) sink.drain();
    });
    sink_code = sink.run();
  });
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});
  auto* out = source.open<Push<>>("out");
  source.on_start([&] {
    for (int i = 0; i < 1000; ++i) REQUIRE(out->send(as_bytes(std::to_string(i))) == SendStatus::ok);
    source.finish();
  });

  const int code = source.run();
  sink_thread.join();

  CHECK(code == 0);
  CHECK(sink_code == 0);
  CHECK(got.size() == 1000);
  CHECK(got.back() == "999");
}

TEST_CASE("a node that waits in vain says who is missing, and in which state") {
  const topology::Plan plan = plan_of(socket_path("alone"));
  const auto log = std::make_shared<Captured>();
  Loop loop;
  Node source(loop, node_of(plan, "source"), {.start_limit = 50ms, .log = logger_of(log)});
  (void)source.open<Push<>>("out");

  CHECK(source.run() == 3);

  CHECK(source.state() == NodeState::failed);
  CHECK(log->has("not ready after 50ms: port out waits for sink/0 (no HELLO from ipc://"));
}

TEST_CASE("a node that does not open a linked port is refused") {
  const topology::Plan plan = plan_of(socket_path("unopened"));
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});

  CHECK(source.run() == 1);
}

TEST_CASE("an exception of a handler ends the node, not the process") {
  const topology::Plan plan = plan_of(socket_path("throws"));
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});
  (void)source.open<Push<>>("out");
  loop.post([] { throw Error(Errc::io, "the disk is gone"); });

  CHECK(source.run() == 1);
}

TEST_CASE("a signal drains a node, whatever it was doing") {
  const std::string socket = socket_path("signal");
  const topology::Plan plan = plan_of(socket);
  Loop loop;
  Pull<> sink(loop, sink_at(socket));
  int taken = 0;
  sink.on_record([&](const RawRecord&, const Meta&) { ++taken; });
  Node source(loop, node_of(plan, "source"), {});
  auto* out = source.open<Push<>>("out");
  int told = 0;
  source.on_drain([&] { ++told; });
  source.on_start([&] {
    REQUIRE(out->send(as_bytes("last")) == SendStatus::ok);
    REQUIRE(kill(getpid(), SIGTERM) == 0);
  });

  CHECK(source.run() == 0);

  CHECK(told == 1);
  CHECK(taken == 1);
}

TEST_CASE("a second signal stops a node at once, and it says what was left") {
  const std::string socket = socket_path("twice");
  const topology::Plan plan = plan_of(socket);
  const auto log = std::make_shared<Captured>();
  Loop loop;
  Pull<> sink(loop, sink_at(socket));
  sink.pause(true);
  sink.on_record([](const RawRecord&, const Meta&) {});
  Node source(loop, node_of(plan, "source"), {.log = logger_of(log)});
  auto* out = source.open<Push<>>("out");
  source.on_drain([] { REQUIRE(kill(getpid(), SIGINT) == 0); });
  source.on_start([&] {
    REQUIRE(out->send(as_bytes("stuck")) == SendStatus::ok);
    REQUIRE(kill(getpid(), SIGTERM) == 0);
  });

  CHECK(source.run() == 4);

  CHECK(log->has("stopped by a second signal: port out has"));
}

TEST_CASE("a node that cannot drain in time ends with its own exit code and says what was left") {
  const std::string socket = socket_path("late");
  const topology::Plan plan = plan_of(socket);
  const auto log = std::make_shared<Captured>();
  Loop loop;
  Pull<> sink(loop, sink_at(socket));
  sink.pause(true);
  sink.on_record([](const RawRecord&, const Meta&) {});
  Node source(loop, node_of(plan, "source"), {.drain_limit = 50ms, .log = logger_of(log)});
  auto* out = source.open<Push<>>("out");
  source.on_start([&] {
    REQUIRE(out->send(as_bytes("stuck")) == SendStatus::ok);
    source.finish();
  });

  CHECK(source.run() == 4);

  CHECK(log->has("not drained after 50ms: port out has 0 records queued, 1 on their way"));
}

TEST_CASE("senders wait with their drain while the program holds it") {
  const std::string socket = socket_path("hold");
  const topology::Plan plan = plan_of(socket);
  Loop loop;
  Pull<> sink(loop, sink_at(socket));
  std::vector<std::string> got;
  sink.on_record([&](const RawRecord& r, const Meta&) { got.emplace_back(r.text()); });
  Node source(loop, node_of(plan, "source"), {});
  auto* out = source.open<Push<>>("out");
  bool busy = true;
  source.hold_drain([&] { return busy; });
  source.on_drain([&] {
    loop.at(loop.now() + 1ms, [&] {
      REQUIRE(out->send(as_bytes("after all")) == SendStatus::ok);
      busy = false;
    });
  });
  source.on_start([&] { source.finish(); });

  CHECK(source.run() == 0);

  CHECK(got == std::vector<std::string>{"after all"});
}

TEST_CASE("a node that is done before it runs ends without starting") {
  const topology::Plan plan = plan_of(socket_path("early"));
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});
  (void)source.open<Push<>>("out");
  bool started = false;
  source.on_start([&] { started = true; });
  source.finish();

  CHECK(source.run() == 0);

  CHECK_FALSE(started);
}

TEST_CASE("a node that failed while it was set up does not run") {
  const topology::Plan plan = plan_of(socket_path("setup"));
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});
  (void)source.open<Push<>>("out");
  source.fail("no such data file");

  CHECK(source.run() == 1);
}

TEST_CASE("an unlinked port opens as nothing") {
  const topology::Plan plan = plan_of(socket_path("unlinked"));
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});

  CHECK(source.open<Push<>>("other") == nullptr);
  CHECK(source.ports() == std::vector<std::string>{"out"});
  REQUIRE(source.links_of("out").size() == 1);
  CHECK(source.links_of("out")[0]->to_node == "sink");
}

TEST_CASE("ipc without a place is refused by a node that no launcher started") {
  const topology::Plan plan = pair_plan("transport: ipc");
  Loop loop;
  Node sink(loop, node_of(plan, "sink"), {});

  CHECK_THROWS_WITH_AS((void)sink.open<Pull<>>("in"), doctest::Contains("no run directory"), Error);
}
