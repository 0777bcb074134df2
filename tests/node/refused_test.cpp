// Nodes whose peers refuse them, cannot be found, or die for good: they end, and say why.
#include <memory>
#include <string>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "node/support.hpp"

using namespace weft;
using namespace weft::test;

namespace {

/// A node of `source.out`, on its own, that says what it logs.
struct Source {
  std::shared_ptr<Captured> log = std::make_shared<Captured>();
  Loop loop;
  topology::Plan plan;
  Node node;
  Push<>* out;
  explicit Source(const std::string& endpoint, NodeOptions options = {})
      : plan(pair_plan("endpoint: \"" + endpoint + "\"")),
        node(loop, node_of(plan, "source"), with_log(std::move(options))),
        out(node.open<Push<>>("out")) {}
  NodeOptions with_log(NodeOptions options) const {
    options.log = logger_of(log);
    return options;
  }
};

}  // namespace

TEST_CASE("a node whose place a later process has taken ends, although it has started long ago") {
  const std::string socket = socket_path("fenced");
  Source source("ipc://" + socket, {.epoch = 5});
  Pull<> sink(source.loop, sink_at(socket));
  std::unique_ptr<Push<>> later;
  source.node.on_start([&] {
    later = std::make_unique<Push<>>(
        source.loop,
        PortOptions{
            .name = "out", .node = "source/0", .scope = "pair", .connect = {"ipc://" + socket}, .epoch = 6});
    later->on_peer([&](const PeerEvent& event) {
      if (event.what == PeerEvent::What::up) REQUIRE(source.out->send(as_bytes("x")) == SendStatus::ok);
    });
  });

  CHECK(source.node.run() == 1);

  CHECK(source.log->has("port out: refused by sink/0: source/0 is known with epoch 6"));
  CHECK(source.log->has("it has been replaced (fenced)"));
}

TEST_CASE("a node that its only peer refuses after the start ends") {
  const std::string socket = socket_path("denied");
  Source source("ipc://" + socket);
  auto sink = std::make_unique<Pull<>>(source.loop, sink_at(socket));
  std::unique_ptr<Dealer<>> other;
  source.node.on_start([&] { sink.reset(); });
  const auto replace = source.loop.every(1ms, [&] {
    if (sink || other) return;
    PortOptions options = sink_at(socket);
    try {
      other = std::make_unique<Dealer<>>(source.loop, options);
    } catch (const Error&) {  // the socket is given back in the background
    }
  });

  CHECK(source.node.run() == 1);

  source.loop.cancel(replace);
  CHECK(source.log->has("port out: refused by sink/0: "));
  CHECK(source.log->has("needs a router"));
  CHECK(source.log->has("no other peer is left"));
}

TEST_CASE("a node that waits for a host whose name is unknown says so early, and at its start limit") {
  Source source("tcp://no-such-host.invalid:5960", {.start_limit = 3s});

  CHECK(source.node.run() == 3);

  CHECK(source.log->has("port out: tcp://no-such-host.invalid:5960: its host name is unknown; it is tried"));
  CHECK(source.log->has("sink/0 (no HELLO from tcp://no-such-host.invalid:5960, unreachable: its host name"));
}

TEST_CASE("a node says of a peer that is not there that nobody listens there") {
  Source source("ipc://" + socket_path("nobody"), {.start_limit = 1s});

  CHECK(source.node.run() == 3);

  CHECK(source.log->has("unreachable: nobody listens there"));
}

TEST_CASE("a best-effort sender whose receiver dies with its last records names the loss, and fails") {
  const std::string socket = socket_path("dies");
  Source source("ipc://" + socket);
  auto sink = std::make_unique<Pull<>>(source.loop, sink_at(socket));
  source.node.on_start([&] {
    for (int i = 0; i < 5; ++i) REQUIRE(source.out->send(as_bytes("x")) == SendStatus::ok);
    source.node.finish();
  });
  const auto watch = source.loop.every(1ms, [&] {
    if (sink && sink->stats().received_records == 5) sink.reset();  // killed, before it has handled them
  });

  CHECK(source.node.run() == 4);

  source.loop.cancel(watch);
  CHECK(source.log->has("port out lost 5 records that were on their way to sink/0, which is dead"));
}
