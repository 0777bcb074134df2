// How keys and values travel between clients and servers: inside of records, as frames, in pieces, in place.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ps/live_cluster.hpp"
#include "ps/random.hpp"
#include "ps/tables.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

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
      const std::uint64_t rows = width == 1 ? 500'000 : (12ULL << 20) / sizeof(float) / width;
      LiveCluster cluster("tcp", {table_of(large_table(rows, width))}, 1, servers, kPatient);
      const auto client = cluster.client(0);
      const auto keys = all_rows(rows);
      std::vector<float> given(rows * width);
      for (std::size_t i = 0; i < given.size(); ++i) given[i] = static_cast<float>(i % 8191);
      std::vector<float> out(given.size());
      std::vector<float> lent(given);

      const Result assigned = client->assign(0, keys, given, soon());
      REQUIRE_MESSAGE(assigned.ok(), assigned.text);
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
      CHECK(pushes >= 6 / servers);
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
  LiveCluster cluster("tcp", {table_of(large_table(96, 65'536))}, 1, 1, kPatient);
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
  const std::uint64_t rows = 200'000;  // of one number: three pieces
  std::vector<std::vector<float>> seen;
  for (const bool at_once : {true, false}) {
    LiveCluster cluster("tcp", {table_of(large_table(rows, 1, R"(, "consistency": "bsp")"))}, 2, 1, kPatient);
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
    const Result pulled = one->pull(0, keys, out, soon());
    REQUIRE_MESSAGE(pulled.ok(), pulled.text);
    seen.push_back(out);
  }
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0][5] < 0);
}

TEST_CASE("a deadline ends an operation whose pieces still wait for their turn") {
  LiveCluster cluster("tcp", {table_of(large_table(96, 65'536, R"(, "consistency": "bsp")"))}, 2, 1,
                      kPatient);
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
                          servers, kPatient);
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
