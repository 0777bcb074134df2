#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/ps/shard.hpp>

#include "ps/random.hpp"

using namespace weft;
using namespace weft::ps;

namespace {

using Keys = std::vector<std::uint64_t>;
using Floats = std::vector<float>;

/// A shard with tables 0 (sparse, width 1), as `json` says, and helpers that write requests.
struct Rig {
  Shard shard;
  std::vector<ps::Reply> replies;
  std::uint64_t ticket = 0;
  std::uint64_t seq = 0;

  explicit Rig(const std::string& json, ShardOptions options = {})
      : shard(options, {TableSpec::parse("w", parse_json(json), "tables.w")}) {}

  /// The replies that came out, in order.
  const std::vector<ps::Reply>& ask(const Request& request) {
    replies.clear();
    shard.on_request(++ticket, request, replies);
    return replies;
  }
  Request make(Op op, std::uint32_t worker, std::uint64_t clock = 0) {
    Request request;
    request.op = op;
    request.worker = worker;
    request.epoch = 1;
    request.clock = clock;
    return request;
  }
  const std::vector<ps::Reply>& join(std::uint32_t worker) { return ask(make(Op::join, worker)); }
  const std::vector<ps::Reply>& clock(std::uint32_t worker, std::uint64_t clock) {
    return ask(make(Op::clock, worker, clock));
  }
  const std::vector<ps::Reply>& push(std::uint32_t worker, std::uint64_t clock, const Keys& keys,
                                     const Floats& values) {
    Request request = make(Op::push, worker, clock);
    request.seq = ++seq;
    request.keys = keys;
    request.values = values;
    return ask(request);
  }
  const std::vector<ps::Reply>& pull(std::uint32_t worker, std::uint64_t clock, const Keys& keys) {
    Request request = make(Op::pull, worker, clock);
    request.keys = keys;
    return ask(request);
  }
  /// As an observer, who never waits.
  Floats look(const Keys& keys) {
    Request request = make(Op::pull, kObserver);
    request.keys = keys;
    return ask(request).at(0).values;
  }
};

ShardOptions for_workers(std::uint32_t workers) {
  ShardOptions options;
  options.workers = workers;
  return options;
}

const std::string kSgd = R"("optimizer": {"name": "sgd", "learning_rate": 1}, "aggregate": "sum")";
const std::string kAsp = "{" + kSgd + R"(, "consistency": "asp"})";
const std::string kBsp = "{" + kSgd + R"(, "consistency": "bsp"})";
const std::string kSsp2 = "{" + kSgd + R"(, "consistency": "ssp", "staleness": 2})";

}  // namespace

TEST_CASE("joining tells tables, shards and workers") {
  Rig rig(kAsp, for_workers(3));

  const ps::Reply& reply = rig.join(1).at(0);

  CHECK(reply.status == Status::ok);
  CHECK(reply.info.get("shards") == Value(1));
  CHECK(reply.info.get("workers") == Value(3));
  CHECK(reply.info.get("tables").get("w").get("consistency") == Value("asp"));
}

TEST_CASE("asp applies a push at once and its worker reads it") {
  Rig rig(kAsp, for_workers(2));
  rig.join(0);

  CHECK(rig.push(0, 0, {3, 4}, {1, 2}).at(0).status == Status::ok);

  CHECK(rig.pull(0, 1'000'000, {4, 3, 5}).at(0).values == Floats{-2, -1, 0});
}

TEST_CASE("with aggregate mean a push of one of four workers counts a quarter") {
  Rig rig(R"({"optimizer": {"name": "sgd", "learning_rate": 1}})", for_workers(4));
  rig.join(0);
  rig.push(0, 0, {3}, {8});
  CHECK(rig.look({3}) == Floats{-2});
}

TEST_CASE("push_pull answers with what the push made of the rows") {
  Rig rig(kAsp);
  rig.join(0);
  Request request = rig.make(Op::push_pull, 0);
  const Keys keys{1, 2};
  const Floats values{1, -1};
  request.seq = 1;
  request.keys = keys;
  request.values = values;

  CHECK(rig.ask(request).at(0).values == Floats{-1, 1});
}

TEST_CASE("a push that comes twice is applied once") {
  Rig rig(kAsp);
  rig.join(0);
  const Keys keys{1};
  const Floats values{1};
  Request request = rig.make(Op::push, 0);
  request.keys = keys;
  request.values = values;
  for (const std::uint64_t seq : {1, 3, 3, 2, 1, 2}) {
    request.seq = seq;
    CHECK(rig.ask(request).at(0).status == Status::ok);
  }
  CHECK(rig.look({1}) == Floats{-3});
  CHECK(rig.shard.stats().pushes == 3);
  CHECK(rig.shard.stats().duplicates == 3);
}

TEST_CASE("ssp parks a pull that is too far ahead and releases it when the slowest moves") {
  Rig rig(kSsp2, for_workers(2));
  rig.join(0);
  rig.join(1);

  CHECK(rig.pull(0, 2, {1}).size() == 1);
  CHECK(rig.pull(0, 3, {1}).empty());
  const std::uint64_t parked = rig.ticket;
  rig.push(1, 0, {1}, {5});
  const std::vector<ps::Reply>& released = rig.clock(1, 1);

  REQUIRE(released.size() == 2);
  CHECK(released[0].ticket == parked);
  CHECK(released[0].values == Floats{-5});
  CHECK(rig.shard.stats().max_gap == 2);
  CHECK(rig.shard.stats().waited == 1);
  CHECK(rig.shard.stats().parked == 0);
}

TEST_CASE("nobody runs ahead of a worker that has not joined yet") {
  Rig rig(kSsp2, for_workers(2));
  rig.join(0);
  CHECK(rig.pull(0, 3, {1}).empty());
  CHECK(rig.join(1).size() == 1);
  CHECK(rig.clock(1, 1).size() == 2);
}

TEST_CASE("bsp shows the updates of earlier clocks only, and all of them") {
  Rig rig(kBsp, for_workers(2));
  rig.join(0);
  rig.join(1);

  rig.push(0, 0, {1}, {1});
  CHECK(rig.look({1}) == Floats{0});
  rig.clock(0, 1);
  CHECK(rig.pull(0, 1, {1}).empty());
  rig.push(1, 0, {1}, {10});
  rig.push(1, 0, {1, 2}, {100, 7});
  const std::vector<ps::Reply>& released = rig.clock(1, 1);

  REQUIRE(released.size() == 2);
  CHECK(released[0].values == Floats{-111});
  CHECK(rig.look({2}) == Floats{-7});
}

TEST_CASE("bsp with aggregate mean divides by the workers of the clock") {
  Rig rig(R"({"optimizer": {"name": "sgd", "learning_rate": 1}, "consistency": "bsp"})", for_workers(3));
  for (std::uint32_t worker : {0U, 1U, 2U}) rig.join(worker);
  rig.push(0, 0, {1}, {6});
  for (std::uint32_t worker : {0U, 1U, 2U}) rig.clock(worker, 1);
  CHECK(rig.look({1}) == Floats{-2});

  rig.ask(rig.make(Op::finish, 2, 1));
  rig.push(1, 1, {1}, {6});
  for (std::uint32_t worker : {0U, 1U}) rig.clock(worker, 2);
  CHECK(rig.look({1}) == Floats{-5});
}

TEST_CASE("bsp runs the optimiser once a clock for a key, on the sum") {
  Rig rig(
      R"({"optimizer": {"name": "adagrad", "learning_rate": 1}, "aggregate": "sum", "consistency": "bsp"})",
      for_workers(2));
  rig.join(0);
  rig.join(1);
  rig.push(0, 0, {1}, {3});
  rig.push(1, 0, {1}, {4});
  rig.clock(0, 1);
  rig.clock(1, 1);
  // One step of size 1 on the sum 7; two steps would give 1 + 4/5.
  CHECK(rig.look({1})[0] == doctest::Approx(-1));
}

TEST_CASE("a worker that ran ahead in bsp does not show later clocks to a pull of an earlier one") {
  Rig rig(kBsp, for_workers(2));
  rig.join(0);
  rig.join(1);
  rig.push(0, 0, {1}, {1});
  CHECK(rig.pull(0, 1, {1}).empty());
  const std::uint64_t early = rig.ticket;
  // Without waiting for its pull the worker goes on to clock 2; then the other one leaps there in one
  // request.
  rig.push(0, 1, {1}, {10});
  CHECK(rig.pull(0, 2, {1}).empty());
  const std::uint64_t late = rig.ticket;

  const std::vector<ps::Reply> released = rig.clock(1, 2);

  REQUIRE(released.size() == 3);
  CHECK(released[0].ticket == early);
  CHECK(released[0].values == Floats{-1});
  CHECK(released[1].ticket == late);
  CHECK(released[1].values == Floats{-11});
}

TEST_CASE("a finished or dead worker releases those who wait for it") {
  for (const bool dies : {false, true}) {
    CAPTURE(dies);
    Rig rig(kBsp, for_workers(2));
    rig.join(0);
    rig.join(1);
    rig.push(0, 0, {1}, {1});
    rig.push(1, 0, {1}, {10});
    CHECK(rig.pull(0, 1, {1}).empty());

    rig.replies.clear();
    if (dies) {
      rig.shard.on_worker_dead(1, rig.replies);
    } else {
      rig.ask(rig.make(Op::finish, 1));
    }

    // What a dead worker had not finished is dropped and counted; what a finished one pushed counts.
    REQUIRE(!rig.replies.empty());
    CHECK(rig.replies.back().values == (dies ? Floats{-1} : Floats{-11}));
    CHECK(rig.shard.stats().discarded_pushes == (dies ? 1 : 0));
    CHECK_FALSE(rig.shard.all_workers_done());
    rig.ask(rig.make(Op::finish, 0));
    CHECK(rig.shard.all_workers_done());
  }
}

TEST_CASE("a dead worker is refused until it joins again, and an old process for ever") {
  Rig rig(kAsp, for_workers(2));
  rig.join(0);
  rig.join(1);
  rig.clock(0, 4);
  rig.replies.clear();
  rig.shard.on_worker_dead(1, rig.replies);

  CHECK(rig.push(1, 0, {1}, {1}).at(0).status == Status::not_joined);
  Request again = rig.make(Op::join, 1);
  again.epoch = 2;
  CHECK(rig.ask(again).at(0).clock == 4);
  CHECK(rig.push(1, 4, {1}, {1}).at(0).status == Status::fenced);
  CHECK(rig.join(1).at(0).status == Status::fenced);
  again.op = Op::pull;
  again.epoch = 3;
  CHECK(rig.ask(again).at(0).status == Status::not_joined);
}

TEST_CASE("a restarted worker starts a new sequence and its waiting requests are answered as fenced") {
  Rig rig(kBsp, for_workers(2));
  rig.join(0);
  rig.join(1);
  rig.push(0, 0, {1}, {1});
  CHECK(rig.pull(0, 1, {1}).empty());
  const std::uint64_t waiting = rig.ticket;

  Request again = rig.make(Op::join, 0);
  again.epoch = 2;
  const std::vector<ps::Reply> replies = rig.ask(again);

  REQUIRE(replies.size() == 2);
  CHECK(replies[0].ticket == waiting);
  CHECK(replies[0].status == Status::fenced);
  CHECK(replies[1].clock == 1);
  const Keys keys{1};
  const Floats values{1};
  Request push = rig.make(Op::push, 0, 1);
  push.epoch = 2;
  push.seq = 1;
  push.keys = keys;
  push.values = values;
  rig.ask(push);
  CHECK(rig.shard.stats().duplicates == 0);
}

TEST_CASE("a barrier opens when every worker that goes on has come") {
  Rig rig(kAsp, for_workers(3));
  for (std::uint32_t worker : {0U, 1U, 2U}) rig.join(worker);
  const auto barrier = [&](std::uint32_t worker, std::uint64_t number) {
    Request request = rig.make(Op::barrier, worker);
    request.number = number;
    return rig.ask(request).size();
  };

  CHECK(barrier(0, 1) == 0);
  CHECK(barrier(1, 1) == 0);
  CHECK(barrier(2, 1) == 3);
  CHECK(barrier(0, 2) == 0);
  CHECK(barrier(1, 2) == 0);
  CHECK(rig.ask(rig.make(Op::finish, 2)).size() == 3);
  CHECK(rig.shard.stats().barrier == 2);
}

TEST_CASE("assign sets rows at once in every consistency") {
  for (const std::string& table : {kAsp, kSsp2, kBsp}) {
    Rig rig(table, for_workers(2));
    rig.join(0);
    const Keys keys{8};
    const Floats values{2.5F};
    Request request = rig.make(Op::assign, 0);
    request.seq = 1;
    request.keys = keys;
    request.values = values;
    rig.ask(request);
    CHECK(rig.look({8}) == Floats{2.5F});
  }
}

TEST_CASE("bad requests get a sentence, are counted and change nothing") {
  ShardOptions options = for_workers(1);
  options.max_reply_bytes = 64;
  Rig rig(R"({"kind": "dense", "rows": 10, "width": 2, "optimizer": {"name": "sgd", "learning_rate": 1}})",
          options);
  rig.join(0);
  const auto refused = [&](const ps::Reply& reply, Status status, const std::string& sentence) {
    CAPTURE(reply.text);
    CHECK(reply.status == status);
    CHECK(reply.text.find(sentence) != std::string::npos);
    CHECK(reply.values.empty());
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();

  refused(rig.push(0, 0, {1, 2}, {1, 2, 3}).at(0), Status::bad_request,
          "2 keys of table w (width 2) came with 3 values");
  refused(rig.push(0, 0, {1}, {1, 2, 3, 4}).at(0), Status::bad_request, "came with 4 values");
  refused(rig.push(0, 0, {1, 10}, {1, 2, 3, 4}).at(0), Status::bad_request,
          "key 10 is outside of the rows 0 to 10");
  refused(rig.push(0, 0, {1, 2}, {1, 2, nan, 4}).at(0), Status::bad_request,
          "value 0 of key 2 of table w is nan");
  refused(rig.push(0, 0, {1}, {1, -infinity}).at(0), Status::bad_request,
          "value 1 of key 1 of table w is -inf");
  refused(rig.pull(0, 0, {UINT64_MAX}).at(0), Status::bad_request, "outside");
  refused(rig.pull(0, 0, Keys(9, 1)).at(0), Status::bad_request, "need a reply of more than 64 bytes");
  refused(rig.pull(3, 0, {1}).at(0), Status::not_joined, "worker 3 has not joined");
  refused(rig.ask(rig.make(Op::finish, kObserver)).at(0), Status::not_joined, "an observer may pull");
  Request odd = rig.make(Op::pull, 0);
  odd.table = 7;
  refused(rig.ask(odd).at(0), Status::unknown_table, "table 7 does not exist");
  odd.op = static_cast<Op>(99);
  refused(rig.ask(odd).at(0), Status::bad_request, "operation 99 does not exist");
  refused(rig.join(70'000).at(0), Status::bad_request, "worker 70000 is out of range");

  CHECK(rig.shard.stats().refused == 12);
  CHECK(rig.shard.stats().pushes == 0);
  CHECK(rig.look({1, 2}) == Floats{0, 0, 0, 0});
}

TEST_CASE("what may pile up is bounded: rows, parked requests, buffered pushes") {
  ShardOptions options = for_workers(2);
  options.max_parked = 2;
  options.max_buffered_bytes = 100;
  Rig rig("{" + kSgd + R"(, "consistency": "bsp", "max_rows": 3})", options);
  rig.join(0);
  rig.join(1);

  CHECK(rig.push(0, 0, {1, 2, 3, 4}, {1, 1, 1, 1}).at(0).status == Status::full);
  CHECK(rig.push(0, 0, {1, 2, 3}, {1, 1, 1}).at(0).status == Status::ok);
  CHECK(rig.push(0, 0, {1, 2, 3}, {1, 1, 1}).at(0).status == Status::full);
  CHECK(rig.pull(0, 1, {1}).empty());
  CHECK(rig.pull(0, 1, {1}).empty());
  CHECK(rig.pull(0, 1, {1}).at(0).status == Status::full);
  rig.shard.cancel(rig.ticket - 1);
  CHECK(rig.clock(1, 1).size() == 2);
  CHECK(rig.shard.stats().most_parked == 2);
  CHECK(rig.push(0, 1, {1, 2, 3}, {1, 1, 1}).at(0).status == Status::ok);
}

TEST_CASE("requests of random bytes never harm a shard") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Rig rig(seed % 2 == 0 ? kBsp : kSsp2, for_workers(3));
    std::uint64_t asked = 0;
    std::uint64_t answered = 0;
    std::vector<ps::Reply> replies;
    Keys keys;
    Floats values;
    for (int i = 0; i < 2000; ++i) {
      Request request;
      request.op = static_cast<Op>(random.below(13));
      request.table = static_cast<std::uint32_t>(random.below(8) == 0 ? random.next() : 0);
      request.worker = static_cast<std::uint32_t>(random.below(8) == 0 ? random.next() : random.below(4));
      request.epoch = random.below(8) == 0 ? random.below(3) : 1;
      request.seq = random.below(8) == 0 ? random.next() : random.below(3000);
      request.clock = random.below(64) == 0 ? random.next() : random.below(20);
      request.number = random.below(5);
      keys.assign(random.below(5), random.next());
      values.assign(random.below(4) == 0 ? random.below(7) : keys.size(), 1.0F);
      request.keys = keys;
      request.values = values;
      replies.clear();
      rig.shard.on_request(static_cast<std::uint64_t>(i), request, replies);
      ++asked;
      answered += replies.size();
      if (i % 500 == 499) {
        replies.clear();
        rig.shard.on_worker_dead(static_cast<std::uint32_t>(random.below(4)), replies);
        answered += replies.size();
      }
    }
    // Requests of dead workers are forgotten without an answer.
    CHECK(answered + rig.shard.stats().parked <= asked);
  }
}

TEST_CASE("shard options out of range are refused") {
  ShardOptions options;
  options.index = 2;
  options.count = 2;
  CHECK_THROWS_WITH_AS(options.check(),
                       doctest::Contains("index: expected a number below the count of shards, 2"), Error);
  options = {};
  options.count = 0;
  CHECK_THROWS_AS(Shard(options, {}), Error);
}

TEST_CASE(
    "a gradient or weight that a row could not recover from is refused with its key, and changes nothing") {
  Rig rig(R"({"optimizer": {"name": "ftrl"}})");
  rig.join(0);
  REQUIRE(rig.push(0, 0, {1, 9}, {1, 1}).at(0).status == Status::ok);
  const Floats before = rig.look({1, 9});

  const ps::Reply reply = rig.push(0, 0, {1, 9}, {1, 3e19F}).at(0);
  CHECK(reply.status == Status::bad_request);
  CHECK(reply.text.find("value 0 of key 9 of table w is 3e+19; ftrl squares gradients") != std::string::npos);
  Request assign = rig.make(Op::assign, 0);
  assign.seq = ++rig.seq;
  const Keys keys{9};
  const Floats values{3.4e38F};
  assign.keys = keys;
  assign.values = values;
  const ps::Reply refused = rig.ask(assign).at(0);
  CHECK(refused.status == Status::bad_request);
  CHECK(refused.text.find("value 0 of key 9 of table w is 3.4e+38; with its learning_rate") !=
        std::string::npos);

  CHECK(rig.look({1, 9}) == before);
}

TEST_CASE("sums of one clock that pass the largest float leave rows finite") {
  ShardOptions options;
  options.workers = 2;
  Rig rig(R"({"consistency": "bsp", "aggregate": "sum"})", options);
  rig.join(0);
  rig.join(1);
  const float huge = std::numeric_limits<float>::max();
  for (const std::uint32_t worker : {0U, 1U}) {
    rig.push(worker, 0, {5}, {huge});
    rig.push(worker, 0, {5}, {worker == 0 ? huge : -huge});
  }
  rig.clock(0, 1);
  rig.clock(1, 1);

  CHECK(all_finite(rig.look({5})));
}
