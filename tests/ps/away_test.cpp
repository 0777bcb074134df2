// Servers that are stopped, or that come back without their rows, and workers that never come.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>

#include "ps/live_cluster.hpp"
#include "ps/tables.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

TEST_CASE("an observer is not given the rows of a server that was started again either") {
  Loop loop;
  PortOptions port{.name = "params", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}};
  ParamsRouter router(loop, port);
  auto server = std::make_unique<Server>(router, ShardOptions{.incarnation = 1}, std::vector{TableSpec{}});
  Client client(loop, {.node = "reader/0", .connect = router.endpoints()}, {});
  client.join(soon());
  server.reset();
  server = std::make_unique<Server>(router, ShardOptions{.incarnation = 2}, std::vector{TableSpec{}});
  const std::vector<std::uint64_t> keys{1};
  std::vector<float> out(1);

  CHECK(client.pull(0, keys, out, soon()).status == Status::not_joined);
  CHECK_THROWS_AS(client.join(soon()), Error);
}

TEST_CASE("one stopped server does not stop what goes to another one") {
  Loop loop, stopped;  // a loop that is not run is a process that was stopped
  std::vector<std::unique_ptr<Server>> servers;
  PortOptions port{.name = "params", .heartbeat = 1s, .dead_after = 10s};
  PortOptions asks = port;
  asks.node = "worker/0";
  for (std::uint32_t i = 0; i < 2; ++i) {
    port.node = "server/" + std::to_string(i);
    port.bind = {"tcp://127.0.0.1:*"};
    servers.push_back(std::make_unique<Server>(
        i == 0 ? loop : stopped, port, ShardOptions{.index = i, .count = 2}, std::vector{TableSpec{}}));
    asks.connect.push_back(servers[i]->router().endpoints()[0]);
  }
  Client client(loop, asks, {.shards = 2, .worker = 0, .max_outstanding = 8});
  bool joined = false;
  client.join([&](const Result& result) { joined = result.ok(); });
  for (const Deadline end = soon(); !joined && !end.passed(Clock::now());) {
    (void)loop.run_once(Deadline::after(1ms));
    (void)stopped.run_once(Deadline::after(1ms));
  }
  REQUIRE(joined);
  const std::vector<float> one{1};
  int pushed = 0, full = 0;
  std::uint64_t key = 0;

  // It asks only whether there is room, as long as 500 pushes to the other server take.
  const bool went_on = loop.run_until(
      [&] {
        while (client.has_room() && pushed < 500) {
          const std::vector<std::uint64_t> keys{++key};
          client.push(0, keys, one, [&](const Result& result) {
            pushed += result.ok() ? 1 : 0;
            full += result.status == Status::full ? 1 : 0;
          });
        }
        return pushed >= 500;
      },
      soon());

  CHECK(went_on);
  CHECK(full > 0);
  const auto to = [&](std::uint32_t server) {
    std::uint64_t k = 1;
    while (jump_hash(k, 2) != server) ++k;
    return std::vector<std::uint64_t>{k};
  };
  CHECK(client.has_room(0, to(0)));
  CHECK(!client.has_room(0, to(1)));
}

TEST_CASE("a barrier that failed is asked for again under its number") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 2, 1);
  const auto first = cluster.client(0);
  const auto second = cluster.client(1);
  REQUIRE(!first->barrier(Deadline::after(50ms)).ok());
  Status opened = Status::unreachable;

  first->barrier([&](const Result& result) { opened = result.status; });
  CHECK(second->barrier(soon()).ok());
  CHECK(cluster.run_until([&] { return opened == Status::ok; }));
}

TEST_CASE("a server names the workers that it waits for and that never came") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 3, 1);
  const auto first = cluster.client(0);
  const auto second = cluster.client(1);
  CHECK(second->missing() == "worker 2 has");
  CHECK(cluster.server(0).waits_for().empty());
  const std::vector<std::uint64_t> keys{1};
  std::vector<float> out(1);
  REQUIRE(first->clock(soon()).ok());
  first->pull(0, keys, out, nullptr);

  CHECK(cluster.run_until([&] { return !cluster.server(0).waits_for().empty(); }));
  CHECK(cluster.server(0).waits_for() ==
        "1 request waits, and worker 2 has never joined: 3 workers are expected");
}
