#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/core/error.hpp>
#include <weft/node/node.hpp>
#include <weft/topology/topology.hpp>

using namespace weft;
using namespace std::chrono_literals;

namespace {

// Two nodes in one process that meet at a socket in a folder of the test.
topology::Plan plan_of(const std::string& socket) {
  return topology::load_text(R"(
weft: 1
name: pair
nodes:
  source: {run: a, lifetime: finite}
  sink: {run: b, lifetime: service}
links:
  - {from: source.out, to: sink.in, pattern: push-pull, endpoint: "ipc://)" +
                                 socket + R"("}
)",
                             "pair.yaml");
}

std::string socket_path(const char* name) {
  return "/tmp/weft-node-test-" + std::to_string(getpid()) + "-" + name;
}

const topology::NodePlan& node(const topology::Plan& plan, std::string_view name) {
  for (const auto& n : plan.nodes) {
    if (n.id.name == name) return n;
  }
  throw Error(Errc::not_found, "no such node");
}

}  // namespace

TEST_CASE("a node starts when its promised peers are there, and drains when its work is done") {
  const topology::Plan plan = plan_of(socket_path("drain"));
  std::vector<std::string> got;
  int sink_code = -1;
  std::thread sink_thread([&] {
    Loop loop;
    Node sink(loop, node(plan, "sink"), {});
    sink.open<Pull<>>("in")->on_record([&](const RawRecord& r, const Meta&) { got.emplace_back(r.text()); });
    sink.on_peer([&](std::string_view, const PeerEvent& e) {
      if (e.what == PeerEvent::What::finished) sink.drain();
    });
    sink_code = sink.run();
  });
  Loop loop;
  Node source(loop, node(plan, "source"), {});
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
  Loop loop;
  Node source(loop, node(plan, "source"), {.start_limit = 50ms});
  (void)source.open<Push<>>("out");
  std::string said;
  source.on_report([] { return Value(); });

  CHECK(source.run() == 3);
  CHECK(source.state() == NodeState::failed);
}

TEST_CASE("a node that does not open a linked port is refused") {
  const topology::Plan plan = plan_of(socket_path("unopened"));
  Loop loop;
  Node source(loop, node(plan, "source"), {});

  CHECK(source.run() == 1);
}

TEST_CASE("an exception of a handler ends the node, not the process") {
  const topology::Plan plan = plan_of(socket_path("throws"));
  Loop loop;
  Node source(loop, node(plan, "source"), {});
  (void)source.open<Push<>>("out");
  loop.post([] { throw Error(Errc::io, "the disk is gone"); });

  CHECK(source.run() == 1);
}
