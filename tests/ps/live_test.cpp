// Client and Server over real blocks.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/ps/libsvm.hpp>

#include "ps/data_files.hpp"
#include "ps/live_cluster.hpp"
#include "ps/tables.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

std::vector<double> ftrl_trace(const std::string& transport, const std::string& file, std::uint32_t workers,
                               std::uint32_t servers) {
  LiveCluster cluster(transport, {table_of(R"({"kind": "sparse", "consistency": "bsp", "aggregate": "sum",
      "optimizer": {"name": "ftrl", "learning_rate": 1, "beta": 1, "l1": 1, "l2": 1}})")},
                      workers, servers);
  std::vector<Dataset> shares;
  for (std::uint32_t w = 0; w < workers; ++w)
    shares.push_back(read_libsvm(file, Labels::binary, {w, workers}));
  std::deque<LiveTrainer> trainers;
  for (std::uint32_t w = 0; w < workers; ++w) trainers.emplace_back(cluster, w, shares[w], 20, 100, false);
  REQUIRE(cluster.run_until([&] { return std::ranges::all_of(trainers, &LiveTrainer::done); }));
  std::vector<double> trace(20);
  for (const LiveTrainer& trainer : trainers) {
    for (std::size_t step = 0; step < trace.size(); ++step) trace[step] += trainer.losses()[step];
  }
  return trace;
}

PeerEvent event_of(const std::string& node, PeerEvent::What what) {
  PeerEvent event;
  event.node = node;
  event.what = what;
  return event;
}

Dataset small_data(std::uint64_t rows, std::uint64_t first) {
  Dataset data;
  for (std::uint64_t row = 0; row < rows; ++row) {
    data.indexes.insert(data.indexes.end(), {first + row % 5, 100 + row % 3});
    data.values.insert(data.values.end(), {1.0F, 0.5F});
    data.end_row(row % 2 == 0 ? 1.0F : 0.0F);
  }
  return data;
}

}  // namespace

TEST_CASE("over real blocks FTRL with one worker follows the golden trace within 5e-5") {
  const auto file = data_file("rcv1_100.libsvm");
  if (!file) return;
  for (const char* transport : {"inproc", "tcp"}) {
    CAPTURE(std::string(transport));

    const std::vector<double> trace = ftrl_trace(transport, *file, 1, 1);

    for (std::size_t step = 0; step < kGoldenTrace.size(); ++step) {
      CAPTURE(step);
      CHECK(std::fabs(trace[step] - kGoldenTrace[step]) <= 5e-5);
    }
  }
}

TEST_CASE("over real blocks FTRL with four workers in bsp follows the golden trace, bit-exact every time") {
  const auto file = data_file("rcv1_100.libsvm");
  if (!file) return;

  const std::vector<double> trace = ftrl_trace("tcp", *file, 4, 2);

  for (std::size_t step = 0; step < kGoldenTrace.size(); ++step) {
    CAPTURE(step);
    CHECK(std::fabs(trace[step] - kGoldenTrace[step]) <= 1e-4 * kGoldenTrace[step]);
  }
  CHECK(ftrl_trace("tcp", *file, 4, 2) == trace);
  CHECK(ftrl_trace("inproc", *file, 4, 2) == trace);
}

TEST_CASE("a pull sees every push that was called before it, though nobody waited for them") {
  for (const char* transport : {"inproc", "tcp"}) {
    CAPTURE(std::string(transport));
    LiveCluster cluster(transport, {table_of(kSumSgd + "}")}, 1, 2);
    const auto client = cluster.client(0, {.max_outstanding = 1000});
    std::vector<std::uint64_t> keys(50);
    std::iota(keys.begin(), keys.end(), 0);
    const std::vector<float> ones(keys.size(), 1);
    std::vector<float> out(keys.size());

    for (int i = 0; i < 200; ++i) client->push(0, keys, ones, nullptr);
    const Result pulled = client->pull(0, keys, out, soon());

    REQUIRE_MESSAGE(pulled.ok(), pulled.text);
    CHECK(out == std::vector<float>(keys.size(), -200));
    CHECK(client->flush(soon()).ok());
    CHECK(client->outstanding() == 0);
  }
}

TEST_CASE("push_pull, assign, clock and stats work over real blocks") {
  LiveCluster cluster("tcp", {table_of(R"({"kind": "dense", "rows": 7, "width": 2, "aggregate": "sum",
      "optimizer": {"name": "sgd", "learning_rate": 1}})")},
                      1, 3);
  const auto client = cluster.client(0);
  const std::uint32_t weights = client->table("weights");
  const std::vector<std::uint64_t> keys{6, 0, 3};
  std::vector<float> out(6);

  REQUIRE(client->assign(weights, keys, std::vector<float>{1, 2, 3, 4, 5, 6}, soon()).ok());
  REQUIRE(client->push_pull(weights, keys, std::vector<float>{1, 1, 1, 1, 1, 1}, out, soon()).ok());
  CHECK(out == std::vector<float>{0, 1, 2, 3, 4, 5});
  const Result clocked = client->clock(soon());
  REQUIRE(clocked.ok());
  CHECK(clocked.clock == 1);
  CHECK(client->clocks() == 1);
  const Result stats = client->stats(soon());

  REQUIRE(stats.infos.size() == 3);
  CHECK(stats.infos[0].get("pushes").as_uint() == 1);
  CHECK(stats.infos[2].get("shard").as_uint() == 2);
}

TEST_CASE("a bsp pull is parked until the slower worker has clocked, and other requests go on meanwhile") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 2);
  const auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  const std::vector<std::uint64_t> keys{1, 2, 3};
  std::vector<float> out(3);
  std::vector<float> peeked(3, 9);
  bool answered = false;

  fast->push(0, keys, std::vector<float>{1, 1, 1}, nullptr);
  fast->clock(nullptr);
  fast->pull(0, keys, out, [&](const Result& result) { answered = result.ok(); });
  CHECK(slow->pull(0, keys, peeked, soon()).ok());
  CHECK(peeked == std::vector<float>{0, 0, 0});
  CHECK(!answered);
  slow->push(0, keys, std::vector<float>{1, 2, 3}, nullptr);
  slow->clock(nullptr);

  REQUIRE(cluster.run_until([&] { return answered; }));
  CHECK(out == std::vector<float>{-2, -3, -4});
  CHECK(cluster.server(0).shard().stats().max_gap == 0);
}

TEST_CASE("with ssp the gap reaches the bound when one worker stands still, and never passes it") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "ssp", "staleness": 2})")}, 2, 2);
  const Dataset data = small_data(40, 0);
  const auto idle = cluster.client(1);
  LiveTrainer trainer(cluster, 0, data, 20, 10, true);

  REQUIRE(cluster.run_until([&] { return trainer.losses().size() == 3; }));
  CHECK(trainer.max_gap() == 2);
  for (int i = 0; i < 20; ++i) REQUIRE(idle->clock(soon()).ok());
  REQUIRE(cluster.run_until([&] { return trainer.done(); }));

  CHECK(trainer.max_gap() == 2);
  CHECK(cluster.server(0).shard().stats().max_gap <= 2);
}

TEST_CASE("a worker that is killed does not hold the others") {
  for (const char* consistency : {"bsp", "ssp"}) {
    CAPTURE(std::string(consistency));
    LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": ")" + consistency + "\"}")}, 2, 2);
    const Dataset data = small_data(40, 0);
    auto victim = cluster.client(1);
    LiveTrainer trainer(cluster, 0, data, 20, 10, true);
    REQUIRE(cluster.run_until([&] { return cluster.server(0).shard().stats().parked == 1; }));
    CHECK(!trainer.done());

    victim.reset();

    REQUIRE(cluster.run_until([&] { return trainer.done(); }));
    CHECK(cluster.server(0).shard().stats().workers_dead == 1);
  }
}

TEST_CASE("a worker that says goodbye without having finished does not hold the others") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 1);
  const auto leaver = cluster.client(1);
  const auto stayer = cluster.client(0);
  REQUIRE(stayer->clock(soon()).ok());
  bool opened = false;
  stayer->barrier([&](const Result& result) { opened = result.ok(); });

  leaver->dealer().begin_drain();

  REQUIRE(cluster.run_until([&] { return opened; }));
  CHECK(cluster.server(0).shard().stats().workers_finished == 1);
}

TEST_CASE("a silent worker is slow, not dead") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 1, 1);
  const auto client = cluster.client(0);

  cluster.server(0).on_peer(event_of("worker/0", PeerEvent::What::suspect));

  CHECK(client->clock(soon()).ok());
  CHECK(cluster.server(0).shard().stats().workers_running == 1);
}

TEST_CASE("a worker that was taken for dead is told so, joins again, and keeps its clock") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0);
  REQUIRE(client->clock(soon()).ok());
  cluster.server(0).on_peer(event_of("worker/0", PeerEvent::What::dead));

  const Result refused = client->clock(soon());
  client->join(soon());

  CHECK(refused.status == Status::not_joined);
  CHECK(refused.text == "server 0: worker 0 was declared dead; it must join before clock");
  CHECK(client->clocks() == 2);
  CHECK(client->clock(soon()).ok());
}

TEST_CASE("a newer process of a worker fences the older one") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto older = cluster.client(0, {.epoch = 1});
  const auto newer = cluster.client(0, {.epoch = 2}, "other/0");

  const Result result = older->clock(soon());

  CHECK(result.status == Status::fenced);
  CHECK(newer->clock(soon()).ok());
}

TEST_CASE("a deadline that passes names the server and its state") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 2);
  const auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  REQUIRE(fast->clock(soon()).ok());
  const std::vector<std::uint64_t> keys{0};
  std::vector<float> out(1);
  const std::uint32_t shard = jump_hash(0, 2);

  const Result result = fast->pull(0, keys, out, Deadline::after(50ms));

  const std::string name = "server/" + std::to_string(shard);
  CHECK(result.status == Status::unreachable);
  CHECK(result.text == "server " + std::to_string(shard) + ": no reply from " + name + " (up)");
}

TEST_CASE("a server that is not there is named when joining ends") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 2);
  cluster.drop_server(1);
  const auto client = cluster.stranger(0);

  std::string sentence;
  try {
    client->join(Deadline::after(200ms));
  } catch (const Error& e) {
    sentence = e.what();
  }

  CHECK(sentence.find("server 1: never sent") != std::string::npos);
}

TEST_CASE("a server that dies fails what it was asked, with its name") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 1);
  const auto client = cluster.client(0);
  REQUIRE(client->clock(soon()).ok());
  const std::vector<std::uint64_t> keys{0};
  std::vector<float> out(1);
  Result result;
  bool ended = false;
  client->pull(0, keys, out, [&](const Result& r) {
    result = r;
    ended = true;
  });
  REQUIRE(cluster.run_until([&] { return cluster.server(0).shard().stats().parked == 1; }));

  cluster.server(0).router().close();

  REQUIRE(cluster.run_until([&] { return ended; }));
  CHECK(result.status == Status::unreachable);
  CHECK(result.text.find("server/0 was lost before it replied") != std::string::npos);
}

TEST_CASE("a server that was started again is refused, because its rows are gone") {
  Loop loop;
  PortOptions port{.name = "params", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}};
  ParamsRouter router(loop, port);
  auto server = std::make_unique<Server>(router, ShardOptions{.incarnation = 1}, std::vector{TableSpec{}});
  Client client(loop, {.node = "worker/0", .connect = router.endpoints()}, {.worker = 0});
  client.join(soon());
  server.reset();
  server = std::make_unique<Server>(router, ShardOptions{.incarnation = 2}, std::vector{TableSpec{}});

  const std::vector<std::uint64_t> keys{1};
  std::vector<float> out(1);
  CHECK(client.pull(0, keys, out, soon()).status == Status::not_joined);
  CHECK_THROWS_WITH_AS(client.join(soon()), "server 0 was started again and has lost its rows", Error);

  // It was said once, and stays so: a later operation must not work on a table that is empty.
  CHECK(client.push(0, keys, out, soon()).status == Status::unusable);
  CHECK(client.pull(0, keys, out, soon()).text == "server 0 was started again and has lost its rows");
  Status last = Status::ok;
  client.clock([&](const Result& result) { last = result.status; });
  CHECK(last == Status::unusable);
  CHECK_THROWS_AS(client.join(soon()), Error);
}

TEST_CASE("an observer learns the tables and never waits") {
  LiveCluster cluster("inproc", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 2);
  const auto worker = cluster.client(0);
  REQUIRE(worker->clock(soon()).ok());
  const auto observer = cluster.client(kObserver);
  const std::vector<std::uint64_t> keys{1, 2};
  std::vector<float> out(2, 7);

  const Result pulled = observer->pull(observer->table("weights"), keys, out, soon());
  const Result pushed = observer->push(0, keys, out, soon());

  CHECK(pulled.ok());
  CHECK(out == std::vector<float>{0, 0});
  CHECK(pushed.status == Status::not_joined);
  CHECK(cluster.server(0).shard().stats().workers_running == 1);
}

TEST_CASE("a server that drains fails what is parked and goes on answering the rest") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 1);
  const auto client = cluster.client(0);
  REQUIRE(client->clock(soon()).ok());
  const std::vector<std::uint64_t> keys{0};
  std::vector<float> out(1);
  std::string text;
  client->pull(0, keys, out, [&](const Result& result) { text = result.text; });
  REQUIRE(cluster.run_until([&] { return cluster.server(0).shard().stats().parked == 1; }));

  cluster.server(0).begin_drain();

  REQUIRE(cluster.run_until([&] { return !text.empty(); }));
  CHECK(text == "server 0: the server is stopping: nobody is waited for any more");
  CHECK(client->pull(0, keys, out, soon()).text == text);
  CHECK(client->push(0, keys, out, soon()).ok());
  CHECK(cluster.server(0).router().open_requests() == 0);
}

TEST_CASE("operations beyond the bound end as full, and blocking ones wait for room") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0, {.max_outstanding = 2});
  const std::vector<std::uint64_t> keys{0};
  const std::vector<float> one{1};
  std::vector<float> out(1);
  Status third = Status::ok;

  client->push(0, keys, one, nullptr);
  client->push(0, keys, one, nullptr);
  CHECK(!client->has_room());
  client->push(0, keys, one, [&](const Result& result) { third = result.status; });
  CHECK(third == Status::full);

  CHECK(client->pull(0, keys, out, soon()).ok());
  CHECK(out[0] == -2);
}

TEST_CASE("a failure without a Done is kept for flush") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0);
  const std::vector<std::uint64_t> keys{3};

  client->push(0, keys, std::vector<float>{NAN}, nullptr);
  const Result flushed = client->flush(soon());

  CHECK(flushed.status == Status::bad_request);
  CHECK(flushed.text == "server 0: value 0 of key 3 of table weights is nan; only finite numbers are taken");
  CHECK(client->flush(soon()).ok());
}

TEST_CASE("a blocking pull that ends by a stopped loop never writes to its output later") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "consistency": "bsp"})")}, 2, 1);
  const auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  const std::vector<std::uint64_t> keys{0};
  REQUIRE(slow->push(0, keys, std::vector<float>{5}, soon()).ok());
  REQUIRE(fast->clock(soon()).ok());
  std::vector<float> out{42};
  cluster.loop.at(cluster.loop.now() + 50ms, [&] { cluster.loop.stop(); });

  const Result result = fast->pull(0, keys, out, soon());
  REQUIRE(slow->clock(soon()).ok());
  REQUIRE(fast->clock(soon()).ok());

  CHECK(result.text == "server 0: the loop was stopped before it replied");
  CHECK(out[0] == 42);
  CHECK(fast->outstanding() == 0);
}

TEST_CASE("what cannot be asked throws, and nothing of it is on its way") {
  LiveCluster cluster("inproc", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0);
  const std::vector<std::uint64_t> keys{1, 2};
  std::vector<float> out(1);

  CHECK_THROWS_AS((void)client->pull(0, keys, out, soon()), Error);
  CHECK_THROWS_AS(client->push(7, keys, out, nullptr), Error);
  CHECK_THROWS_WITH_AS((void)client->table("weigths"),
                       "the servers have no table \"weigths\"; they have weights (did you mean weights?)",
                       Error);
  CHECK(client->outstanding() == 0);
}
