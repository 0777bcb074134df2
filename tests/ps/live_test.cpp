// Client and Server over real blocks.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/ps/libsvm.hpp>

#include "ps/data_files.hpp"
#include "ps/live_cluster.hpp"
#include "ps/random.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

const std::vector<double> kGoldenTrace{69.314718, 69.314718, 67.151912, 61.414778, 56.244989,
                                       53.218700, 51.248737, 49.846688, 48.650164, 47.698351,
                                       46.924038, 46.388223, 45.970721, 45.499307, 45.102245,
                                       44.798413, 44.565211, 44.386417, 44.240657, 44.109764};

const std::string kSumSgd = R"({"aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1})";

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

  CHECK_THROWS_WITH_AS(client.join(soon()), "server 0 was started again and has lost its rows", Error);
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

namespace {

/// Sends any bytes as a request.
class AnyDealer : public DealerBase {
 public:
  AnyDealer(Loop& loop, PortOptions options) : DealerBase(loop, std::move(options), {}, {}), loop_(loop) {}
  std::string ask(const std::function<void(wire::BatchBuilder&)>& encode) {
    std::optional<std::string> end;
    submit({}, soon(), encode, [&](RawReply& reply) {
      end = reply.outcome == Outcome::ok ? "ok" : std::string(to_string(reply.outcome)) + ": " + reply.text;
    });
    (void)loop_.run_until([&] { return end.has_value(); }, soon());
    return end.value_or("nothing");
  }

 private:
  Loop& loop_;
};

/// Seven numbers, then bins.
std::function<void(wire::BatchBuilder&)> inside(std::vector<std::uint64_t> values,
                                                std::vector<std::string> bins) {
  return [values = std::move(values), bins = std::move(bins)](wire::BatchBuilder& batch) {
    batch.add([&](wire::Buffer& out) {
      wire::Pack pack(out);
      pack.array(values.size() + bins.size());
      for (const std::uint64_t value : values) pack.uint(value);
      for (const std::string& bin : bins) pack.bin(as_bytes(bin));
    });
  };
}

std::function<void(wire::BatchBuilder&)> numbers(std::vector<std::uint64_t> values,
                                                 std::vector<Tensor> tensors) {
  return [values = std::move(values), tensors = std::move(tensors)](wire::BatchBuilder& batch) {
    batch.add([&](wire::Buffer& out) {
      wire::Pack pack(out);
      pack.array(values.size() + tensors.size());
      for (const std::uint64_t value : values) pack.uint(value);
      for (const Tensor& tensor : tensors) wire::pack_tensor_ref(out, batch.add_tensor(tensor), tensor);
    });
  };
}

}  // namespace

TEST_CASE("hostile requests get an error with a sentence, are counted, and leave the server as it was") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0);
  AnyDealer stranger(cluster.loop, {.name = "ask", .connect = cluster.endpoints()});
  const std::uint64_t observer = kObserver;
  const Tensor keys = Tensor::own(std::vector<std::uint64_t>{1, 2});
  const Tensor floats = Tensor::own(std::vector<float>{1, 2});
  const auto raw = [](std::string bytes) {
    return [bytes = std::move(bytes)](wire::BatchBuilder& batch) { batch.add_packed(as_bytes(bytes)); };
  };

  CHECK(stranger.ask(raw("\xA3yes")) == "remote error: a request is an array of 7 to 9 items, this is none");
  CHECK(stranger.ask(raw("\x92\x01\x02")) == "remote error: a request has 7 to 9 items, this one has 2");
  CHECK(stranger.ask(raw("\x97\x02\xFF\x01\x01\x01\x01\x01")) ==
        "remote error: item 1 of the request (table) is no unsigned integer");
  CHECK(stranger.ask(numbers({999, 0, observer, 0, 0, 0, 0}, {})) ==
        "remote error: operation 999 does not exist");
  CHECK(stranger.ask(numbers({2, 0, observer + 1, 0, 0, 0, 0}, {})) ==
        "remote error: item 2 of the request (worker) is 4294967296, expected at most 4294967295");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0}, {floats})) ==
        "remote error: item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came "
        "with it");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0}, {keys, keys})) ==
        "remote error: item 8 of the request (values) is neither a bin of F32 nor a tensor of F32 that came "
        "with it");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0, 5}, {})) ==
        "remote error: item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came "
        "with it");
  CHECK(stranger.ask(inside({2, 0, observer, 0, 0, 0, 0}, {"1234567"})) ==
        "remote error: item 7 of the request (keys) is neither a bin of U64 nor a tensor of U64 that came "
        "with it");
  CHECK(stranger.ask(inside({3, 0, 0, 0, 1, 0, 0}, {"12345678", "12345"})) ==
        "remote error: item 8 of the request (values) is neither a bin of F32 nor a tensor of F32 that came "
        "with it");
  CHECK(stranger.ask(inside({2, 0, observer, 0, 0, 0, 0}, {""})) == "ok");
  CHECK(stranger.ask(inside({2, 0, observer, 0, 0, 0, 0}, {"12345678"})) == "ok");
  CHECK(stranger.ask(numbers({77, 0, observer, 0, 0, 0, 0}, {})) == "ok");  // a reply that refuses
  CHECK(stranger.ask(numbers({3, 0, 0, UINT64_MAX, 1, UINT64_MAX, UINT64_MAX}, {keys, floats})) == "ok");
  CHECK(stranger.ask(numbers({2, 0, observer, 0, 0, 0, 0}, {keys})) == "ok");

  CHECK(cluster.server(0).router().malformed() == 10);
  CHECK(cluster.server(0).report().get("refused").as_uint() == 2);
  std::vector<float> out(1, 9);
  CHECK(client->pull(0, std::vector<std::uint64_t>{1}, out, soon()).ok());
  CHECK(out[0] == 0);
}

TEST_CASE("numbers arrive whether they are few, inside of the record, or many, as frames of their own") {
  const std::uint64_t border = kFrameFrom / sizeof(float);
  for (const std::uint64_t width : {std::uint64_t{1}, border - 1, border, border + 1}) {
    CAPTURE(width);
    LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "width": )" + std::to_string(width) + "}")}, 1, 2);
    const auto client = cluster.client(0);
    const std::vector<std::uint64_t> keys{7, 1ULL << 63U, 0};
    std::vector<float> given(keys.size() * width);
    std::iota(given.begin(), given.end(), 0.5F);
    std::vector<float> out(given.size());

    REQUIRE(client->assign(0, keys, given, soon()).ok());
    REQUIRE(client->pull(0, keys, out, soon()).ok());

    CHECK(out == given);
  }
  // Keys of their own size: many of them beside few values cannot be, so a pull of a wide row is not enough.
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0);
  for (const std::uint64_t count : {kFrameFrom / 8 - 1, kFrameFrom / 8, kFrameFrom / 8 + 1}) {
    CAPTURE(count);
    std::vector<std::uint64_t> keys(count);
    std::iota(keys.begin(), keys.end(), 1ULL << 40U);
    std::vector<float> given(count);
    std::iota(given.begin(), given.end(), 0.5F);
    std::vector<float> out(count);

    REQUIRE(client->assign(0, keys, given, soon()).ok());
    REQUIRE(client->pull(0, keys, out, soon()).ok());

    CHECK(out == given);
  }
}

TEST_CASE("operations that are called together travel in few messages, and so do their replies") {
  LiveCluster cluster("tcp", {table_of(kSumSgd + "}")}, 1, 1);
  const auto client = cluster.client(0);
  const std::vector<std::uint64_t> keys{1, 2, 3};
  const std::vector<float> ones(3, 1);
  const auto before = client->dealer().stats();
  const auto before_replies = cluster.server(0).router().stats();

  for (int i = 0; i < 60; ++i) client->push(0, keys, ones, nullptr);
  REQUIRE(client->flush(soon()).ok());

  const auto after = client->dealer().stats();
  const auto replies = cluster.server(0).router().stats();
  CHECK(after.sent_records - before.sent_records == 60);
  CHECK(after.sent_batches - before.sent_batches == 1);
  CHECK(replies.sent_records - before_replies.sent_records == 60);
  CHECK(replies.sent_batches - before_replies.sent_batches == 1);
}

namespace {

/// A dense table of some MiB that travels in several pieces, over one server or two.
std::string large_table(std::uint64_t rows, std::uint64_t width, const std::string& more = "") {
  return R"({"kind": "dense", "rows": )" + std::to_string(rows) + R"(, "width": )" + std::to_string(width) +
         R"(, "aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1})" + more + "}";
}

std::vector<std::uint64_t> all_rows(std::uint64_t rows) {
  std::vector<std::uint64_t> keys(rows);
  std::iota(keys.begin(), keys.end(), 0);
  return keys;
}

}  // namespace

TEST_CASE("an operation of many MiB travels in pieces, in either style, whatever the width of its rows") {
  for (const std::uint32_t servers : {1U, 2U}) {
    for (const std::uint64_t width : {1U, 1000U, 65'536U}) {
      CAPTURE(servers);
      CAPTURE(width);
      const std::uint64_t rows = (12ULL << 20) / sizeof(float) / width;
      LiveCluster cluster("tcp", {table_of(large_table(rows, width))}, 1, servers);
      const auto client = cluster.client(0);
      const auto keys = all_rows(rows);
      std::vector<float> given(rows * width);
      for (std::size_t i = 0; i < given.size(); ++i) given[i] = static_cast<float>(i % 8191);
      std::vector<float> out(given.size());
      std::vector<float> lent(given);

      REQUIRE(client->assign(0, keys, given, soon()).ok());
      {
        // What was given is the caller's again when the call returns, though most of it was not sent yet.
        std::vector<std::uint64_t> own_keys = keys;
        client->push(0, own_keys, lent, nullptr);
        std::ranges::fill(lent, 1e9F);
        std::ranges::fill(own_keys, UINT64_MAX);
      }
      REQUIRE(client->pull(0, keys, out, soon()).ok());

      CHECK(std::ranges::all_of(out, [](float value) { return value == 0; }));
      CHECK(client->flush(soon()).ok());
      const std::uint64_t pushes = cluster.server(0).shard().stats().pushes;
      CHECK(pushes > 12 / servers / 2);
      CHECK(client->outstanding() == 0);
    }
  }
}

TEST_CASE("values in allocated memory are pushed without a copy, and their owner is let go") {
  for (const auto shared : {SharedMemory::off, SharedMemory::on}) {
    CAPTURE(shared == SharedMemory::on);
    Loop loop;
    const TableSpec table = table_of(large_table(48, 65'536));
    Server server(
        loop, {.name = "params", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}, .shared_memory = shared},
        {.workers = 1}, {table});
    Client client(loop,
                  {.name = "params",
                   .node = "worker/0",
                   .connect = server.router().endpoints(),
                   .shared_memory = shared},
                  {.worker = 0});
    client.join(soon());
    const auto keys = all_rows(48);
    std::vector<float> out(48 * 65'536);
    // The links for shared memory are made meanwhile.
    REQUIRE(client.pull(0, keys, out, soon()).ok());
    REQUIRE(loop.run_until([&] { return shared == SharedMemory::off || client.allocate(1 << 16).shared; },
                           soon()));

    std::weak_ptr<const void> owner;
    {
      const TensorRoom room = client.allocate(out.size());
      std::iota(room.as<float>().begin(), room.as<float>().end(), 1.0F);
      owner = room.owner;
      client.push(0, keys, room.tensor<float>(), nullptr);
    }
    CHECK(!owner.expired());
    REQUIRE(client.flush(soon()).ok());
    REQUIRE(client.pull(0, keys, out, soon()).ok());

    CHECK(loop.run_until([&] { return owner.expired(); }, soon()));
    float expected = 0;
    CHECK(std::ranges::all_of(out, [&](float value) { return value == (expected -= 1); }));
    const auto sent = client.dealer().stats().sent_shared_bytes;
    const auto replied = server.router().stats().sent_shared_bytes;
    CHECK(sent == (shared == SharedMemory::on ? out.size() * sizeof(float) : 0));
    CHECK((replied > 0) == (shared == SharedMemory::on));
  }
}

TEST_CASE("an operation whose piece is refused ends with its sentence, and asks for no more") {
  LiveCluster cluster("tcp", {table_of(large_table(96, 65'536))}, 1, 1);
  const auto client = cluster.client(0);
  const auto keys = all_rows(96);
  std::vector<float> given(96 * 65'536, 1);
  given[65'536 + 3] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> out(65'536);

  const Result result = client->push(0, keys, given, soon());

  CHECK(result.status == Status::bad_request);
  CHECK(result.text.find("value 3 of key 1 of table weights is nan") != std::string::npos);
  const ShardStats stats = cluster.server(0).shard().stats();
  CHECK(stats.refused == 1);
  CHECK(stats.pushes < 24 - 1);  // of 24 pieces
  CHECK(client->pull(0, std::vector<std::uint64_t>{95}, out, soon()).ok());
  CHECK(out[0] == 0);
}

TEST_CASE("pieces of a bsp push are summed to the same bits as one request") {
  const std::uint64_t rows = 700'000;  // of one number: three pieces
  std::vector<std::vector<float>> seen;
  for (const bool at_once : {true, false}) {
    LiveCluster cluster("tcp", {table_of(large_table(rows, 1, R"(, "consistency": "bsp")"))}, 2, 1);
    const auto one = cluster.client(0);
    const auto two = cluster.client(1);
    const auto keys = all_rows(rows);
    std::vector<float> gradient(rows);
    for (std::size_t i = 0; i < rows; ++i) gradient[i] = 1.0F / static_cast<float>(i + 3);
    std::vector<float> out(rows);
    for (Client* client : {two.get(), one.get()}) {
      const std::size_t step = at_once ? rows : 10'000;
      for (std::size_t i = 0; i < rows; i += step) {
        REQUIRE(
            client->push(0, std::span(keys).subspan(i, step), std::span(gradient).subspan(i, step), soon())
                .ok());
      }
      for (float& g : gradient) g *= 1.7F;
    }
    one->clock(nullptr);
    two->clock(nullptr);
    REQUIRE(one->pull(0, keys, out, soon()).ok());
    seen.push_back(out);
  }
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0][5] < 0);
}

TEST_CASE("a deadline ends an operation whose pieces still wait for their turn") {
  LiveCluster cluster("tcp", {table_of(large_table(96, 65'536, R"(, "consistency": "bsp")"))}, 2, 1);
  const auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  const auto keys = all_rows(96);
  std::vector<float> out(96 * 65'536, 7);
  REQUIRE(fast->clock(soon()).ok());

  const Result result = fast->pull(0, keys, out, Deadline::after(50ms));  // the slow worker holds it

  CHECK(result.status == Status::unreachable);
  CHECK(result.text == "server 0: no reply from server/0 (up)");
  CHECK(out[0] == 7);
  CHECK(fast->outstanding() == 0);
  REQUIRE(slow->clock(soon()).ok());
  CHECK(fast->pull(0, keys, out, soon()).ok());
  CHECK(out[0] == 0);
}

TEST_CASE("a pull can be shown the rows where they arrive, each once, beside their keys") {
  for (const std::uint64_t width : {1U, 3U, 65'536U}) {
    for (const std::uint32_t servers : {1U, 3U}) {
      CAPTURE(width);
      CAPTURE(servers);
      LiveCluster cluster("tcp", {table_of(kSumSgd + R"(, "width": )" + std::to_string(width) + "}")}, 1,
                          servers);
      const auto client = cluster.client(0);
      const std::uint64_t count = width == 65'536 ? 20 : 200'000 / width;
      std::vector<std::uint64_t> keys(count);
      for (std::size_t i = 0; i < count; ++i) keys[i] = mix64(i);
      std::vector<float> given(count * width);
      for (std::size_t i = 0; i < given.size(); ++i)
        given[i] = static_cast<float>(keys[i / width] % 4093 + i % width);
      REQUIRE(client->assign(0, keys, given, soon()).ok());
      std::vector<std::uint64_t> seen;
      std::size_t wrong = 0;
      bool ended = false;
      {
        const std::vector<std::uint64_t> own = keys;  // the caller's again when the call returns
        client->pull(
            0, own,
            [&](const RowsView& rows) {
              REQUIRE(rows.values.size() == rows.keys.size() * width);
              seen.insert(seen.end(), rows.keys.begin(), rows.keys.end());
              for (std::size_t i = 0; i < rows.values.size(); ++i) {
                wrong +=
                    rows.values[i] == static_cast<float>(rows.keys[i / width] % 4093 + i % width) ? 0 : 1;
              }
            },
            [&](const Result& result) { ended = result.ok(); });
      }

      REQUIRE(cluster.run_until([&] { return ended; }));

      CHECK(wrong == 0);
      std::ranges::sort(seen);
      std::ranges::sort(keys);
      CHECK(seen == keys);
    }
  }
}
