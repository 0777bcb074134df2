#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>

#include "ps/cluster.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

using Keys = std::vector<std::uint64_t>;
using Floats = std::vector<float>;

std::vector<TableSpec> tables() {
  return parse_tables(parse_json(R"({
      "sparse": {"width": 2, "aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1}},
      "dense": {"kind": "dense", "rows": 20, "aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1}}})"));
}

}  // namespace

TEST_CASE("a client learns the tables by joining and names those that do not exist") {
  Cluster cluster(tables(), 1, 3);

  const ClientCore client = cluster.client(0);

  CHECK(client.table("dense") == 1);
  CHECK(client.workers() == 1);
  CHECK_THROWS_WITH_AS((void)client.table("spares"), doctest::Contains("did you mean sparse?"), Error);
}

TEST_CASE("values come back in the order of the keys, over any number of shards") {
  for (const std::uint32_t shards : {1U, 2U, 5U}) {
    CAPTURE(shards);
    Cluster cluster(tables(), 1, shards, 42);
    ClientCore client = cluster.client(0);
    Keys keys;
    Floats values;
    for (std::uint64_t i = 0; i < 50; ++i) {
      keys.push_back(i * 7919 % 1000);
      values.push_back(static_cast<float>(i));
      values.push_back(static_cast<float>(i) + 0.5F);
    }
    Call call;

    client.assign(call, 0, keys, values);
    REQUIRE(cluster.run(0, call));
    Floats out(values.size());
    client.pull(call, 0, keys, out);
    REQUIRE(cluster.run(0, call));

    CHECK(call.ok());
    CHECK(out == values);
  }
}

TEST_CASE("a pull sees every push that its worker sent before, however shards are reached") {
  Random random(5);
  Cluster cluster(tables(), 1, 3, 99);
  ClientCore client = cluster.client(0);
  Floats expected(20);
  for (int round = 0; round < 50; ++round) {
    Keys keys;
    Floats gradients;
    for (std::uint64_t key = 0; key < 20; ++key) {
      if (random.below(2) == 0) continue;
      keys.push_back(key);
      gradients.push_back(static_cast<float>(random.below(10)));
      expected[key] -= gradients.back();
    }
    Keys all(20);
    for (std::uint64_t key = 0; key < 20; ++key) all[key] = key;
    Floats out(20);
    Call push;
    Call pull;

    client.push(push, 1, keys, gradients);
    cluster.post(0, push);
    client.pull(pull, 1, all, out);
    cluster.post(0, pull);
    cluster.pump();

    REQUIRE(pull.ok());
    REQUIRE(pull.done());
    CHECK(out == expected);
  }
}

TEST_CASE("push_pull gives the rows after the push") {
  Cluster cluster(tables(), 1, 2);
  ClientCore client = cluster.client(0);
  const Keys keys{15, 3};
  const Floats gradients{1, 2};
  Floats out(2);
  Call call;

  client.push_pull(call, 1, keys, gradients, out);

  REQUIRE(cluster.run(0, call));
  CHECK(out == Floats{-1, -2});
}

TEST_CASE("an empty set of keys is done at once") {
  Cluster cluster(tables(), 1, 2);
  ClientCore client = cluster.client(0);
  Call call;
  client.pull(call, 0, {}, std::span<float>());
  CHECK(call.done());
  CHECK(call.parts().empty());
}

TEST_CASE("an error of one shard is the error of the call, with the shard's name and sentence") {
  Cluster cluster(tables(), 1, 2);
  ClientCore stranger({2, 5, 1});
  stranger.set_tables(tables());
  Call call;
  stranger.clock(call);

  REQUIRE(cluster.run(5, call));

  CHECK(call.status() == Status::not_joined);
  CHECK(call.text().find("server 0: worker 5 has not joined") == 0);
}

TEST_CASE("a shard that does not answer ends its part and no later reply counts") {
  Cluster cluster(tables(), 1, 2);
  ClientCore client = cluster.client(0);
  Call call;
  client.stats(call);

  CHECK_FALSE(call.on_failure(1, "no answer in 5 s"));
  CHECK_FALSE(call.on_reply(1, ps::Reply{}));
  CHECK_FALSE(call.on_reply(9, ps::Reply{}));
  CHECK(call.on_reply(0, ps::Reply{}));

  CHECK(call.done());
  CHECK(call.status() == Status::unreachable);
  CHECK(call.text() == "server 1: no answer in 5 s");
}

TEST_CASE("a reply with the wrong number of values is an error and writes nothing") {
  ClientCore client({1, kObserver, 0});
  client.set_tables(tables());
  const Keys keys{1, 2};
  Floats out(4, 7.0F);
  Call call;
  client.pull(call, 0, keys, out);
  ps::Reply reply;
  reply.values = {1, 2, 3};

  CHECK(call.on_reply(0, reply));

  CHECK_FALSE(call.ok());
  CHECK(out == Floats{7, 7, 7, 7});
}

TEST_CASE("asking for what cannot be is refused before anything is sent") {
  ClientCore client({2, 0, 1});
  client.set_tables(tables());
  const Keys keys{1, 25};
  Floats out(2);
  Call call;
  CHECK_THROWS_WITH_AS(client.pull(call, 1, keys, out),
                       "key 25 is outside of dense table dense: it has rows 0 to 19", Error);
  CHECK_THROWS_WITH_AS(client.pull(call, 0, keys, out),
                       "pull of 2 keys of table sparse (width 2) needs 4 values, found 2", Error);
  CHECK_THROWS_AS(client.push(call, 0, keys, out), Error);
  CHECK_THROWS_AS(client.pull(call, 2, keys, out), Error);
  CHECK_THROWS_AS(ClientCore({0, 0, 1}), Error);
}

TEST_CASE("servers that disagree are refused at the join") {
  ClientCore client({2, 0, 1});
  Cluster one(tables(), 1, 2);
  auto others = tables();
  others[0].width = 3;
  Cluster two(others, 1, 2);
  Call call;
  client.join(call);
  std::vector<ps::Reply> replies;
  one.shard(0).on_request(1, call.parts()[0].request, replies);
  two.shard(1).on_request(2, call.parts()[1].request, replies);
  call.on_reply(0, replies[0]);
  call.on_reply(1, replies[1]);

  CHECK_THROWS_WITH_AS(client.accept_join(call), doctest::Contains("servers 0 and 1 have different tables"),
                       Error);
}

TEST_CASE("servers in the wrong order or number are refused at the join") {
  ClientCore client({2, 0, 1});
  Cluster three(tables(), 1, 3);
  Call call;
  client.join(call);
  three.post(0, call);
  three.pump();
  CHECK_THROWS_WITH_AS(client.accept_join(call), "server 0 says that it is server 0 of 3, expected 0 of 2",
                       Error);
}

TEST_CASE("barriers hold until all workers have come, and a dead one is not waited for") {
  Cluster cluster(tables(), 3, 2);
  std::vector<ClientCore> clients{cluster.client(0), cluster.client(1), cluster.client(2)};
  Call calls[3];
  for (std::uint32_t worker : {0U, 1U}) {
    clients[worker].barrier(calls[worker]);
    CHECK_FALSE(cluster.run(worker, calls[worker]));
  }

  cluster.kill(2);

  CHECK(calls[0].done());
  CHECK(calls[1].ok());
}
