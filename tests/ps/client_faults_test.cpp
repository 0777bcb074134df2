// What a client does when its caller's functions throw, and when its requests cannot leave.
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ps/live_cluster.hpp"
#include "ps/tables.hpp"

using namespace weft;
using namespace weft::ps;
using namespace weft::ps::test;

namespace {

// Four rows of it are a piece of a MiB; three pieces are on their way at a time, and what comes behind waits.
constexpr std::uint64_t kWidth = 65'536;

std::vector<TableSpec> dense(std::uint64_t rows, std::uint64_t width,
                             const std::string& consistency = "asp") {
  return {table_of(R"({"kind": "dense", "rows": )" + std::to_string(rows) + R"(, "width": )" +
                   std::to_string(width) + R"(, "consistency": ")" + consistency +
                   R"(", "aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1}})")};
}

std::vector<std::uint64_t> first_keys(std::uint64_t count) {
  std::vector<std::uint64_t> keys(count);
  std::iota(keys.begin(), keys.end(), 0);
  return keys;
}

}  // namespace

TEST_CASE("a Done that throws does not keep back what waits behind it") {
  LiveCluster cluster("tcp", dense(4, kWidth), 1, 1, kPatient);
  const auto client = cluster.client(0);
  std::vector<float> out(4 * kWidth);
  std::vector<float> last(4 * kWidth, 7);
  bool ended = false;

  for (int i = 0; i < 3; ++i)
    client->pull(0, first_keys(4), out, [](const Result&) { throw std::runtime_error("from Done"); });
  client->pull(0, first_keys(4), last, [&](const Result& result) { ended = result.ok(); });
  for (int i = 0; i < 3; ++i)
    CHECK_THROWS_WITH_AS((void)client->flush(soon()), "from Done", std::runtime_error);
  const Result flushed = client->flush(soon());

  CHECK_MESSAGE(flushed.ok(), flushed.text);
  CHECK(ended);
  CHECK(last[0] == 0);
}

TEST_CASE("a Done that throws while what waits is sent does not end the sending for ever") {
  LiveCluster cluster("tcp", dense(4, kWidth), 1, 1, kPatient);
  const auto client = cluster.client(0);
  std::vector<float> out(4 * kWidth);
  std::string last;

  for (int i = 0; i < 3; ++i) client->pull(0, first_keys(4), out, nullptr);
  client->pull(0, first_keys(4), out, [](const Result&) { throw std::runtime_error("from Done"); });
  client->pull(0, first_keys(4), out, [&](const Result& result) { last = result.text; });
  // From now on the port refuses, and so ends what is sent before sending returns.
  client->dealer().begin_drain();
  CHECK_THROWS_WITH_AS((void)client->flush(soon()), "from Done", std::runtime_error);
  const Result flushed = client->flush(soon());

  CHECK_MESSAGE(flushed.ok(), flushed.text);
  CHECK(last == "server 0: the dealer takes no new requests");
  CHECK(client->outstanding() == 0);
}

TEST_CASE("an OnRows that throws fails its pull, once, and is not shown more") {
  LiveCluster cluster("tcp", dense(24, kWidth), 1, 1, kPatient);
  const auto client = cluster.client(0);
  int shown = 0;
  std::vector<std::string> ends;

  client->pull(
      0, first_keys(24),
      [&](const RowsView&) {
        ++shown;
        throw std::runtime_error("from OnRows");
      },
      [&](const Result& result) { ends.push_back(result.text); });
  CHECK_THROWS_WITH_AS((void)client->flush(soon()), "from OnRows", std::runtime_error);
  const Result flushed = client->flush(soon());

  CHECK_MESSAGE(flushed.ok(), flushed.text);
  CHECK(shown == 1);
  CHECK(ends == std::vector<std::string>{"server 0: what was shown its rows threw: from OnRows"});
}

TEST_CASE(
    "a handler that throws ends the blocking pull it interrupts, which never writes to its output later") {
  LiveCluster cluster("tcp", dense(96, kWidth, "bsp"), 2, 1, kPatient);
  const auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  REQUIRE(slow->push(0, first_keys(1), std::vector<float>(kWidth, 5), soon()).ok());
  REQUIRE(fast->clock(soon()).ok());
  std::vector<float> out(96 * kWidth, 42);
  cluster.loop.at(cluster.loop.now() + 50ms, [] { throw std::runtime_error("from a timer"); });

  CHECK_THROWS_WITH_AS((void)fast->pull(0, first_keys(96), out, soon()), "from a timer", std::runtime_error);

  CHECK(fast->outstanding() == 0);
  REQUIRE(slow->clock(soon()).ok());
  REQUIRE(fast->clock(soon()).ok());
  CHECK(out[0] == 42);
  CHECK(out.back() == 42);
}

TEST_CASE("a client may be destroyed while one of its calls waits") {
  LiveCluster cluster("tcp", dense(1, 4, "bsp"), 2, 1);
  auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  REQUIRE(fast->clock(soon()).ok());
  std::vector<float> out(4, 42);
  cluster.loop.at(cluster.loop.now() + 50ms, [&] {
    fast.reset();
    throw std::runtime_error("from a timer");
  });

  CHECK_THROWS_WITH_AS((void)fast->pull(0, first_keys(1), out, soon()), "from a timer", std::runtime_error);

  CHECK(out[0] == 42);
}

TEST_CASE("a blocking call that waits behind others ends at its deadline, and says that it was never sent") {
  LiveCluster cluster("tcp", dense(96, kWidth, "bsp"), 2, 1, kPatient);
  const auto fast = cluster.client(0);
  const auto slow = cluster.client(1);
  REQUIRE(fast->clock(soon()).ok());
  std::vector<float> out(96 * kWidth);
  std::vector<float> row(kWidth);
  fast->pull(0, first_keys(96), out, nullptr);  // the slow worker holds it

  const Result result = fast->pull(0, first_keys(1), row, Deadline::after(100ms));

  CHECK(result.status == Status::unreachable);
  CHECK(result.text.starts_with("server 0: never sent: it waited for "));
  CHECK(result.text.ends_with(" bytes that are on their way to and from server/0"));
  REQUIRE(slow->clock(soon()).ok());
  CHECK(fast->flush(soon()).ok());
}

TEST_CASE("an operation that waits behind one without a deadline ends by the timeout") {
  LiveCluster cluster("tcp", dense(96, kWidth, "bsp"), 2, 1, kPatient);
  const auto slow = cluster.client(1);
  const auto fast = cluster.client(0, {.timeout = 200ms});
  REQUIRE(fast->clock(soon()).ok());
  std::vector<float> out(96 * kWidth);
  std::vector<float> row(kWidth);
  std::string text;
  cluster.loop.at(cluster.loop.now() + 10ms, [&] {
    fast->pull(0, first_keys(1), row, [&](const Result& result) {
      text = result.text;
      slow->clock(nullptr);
    });
  });
  // Lets go of the first in any case.
  cluster.loop.at(cluster.loop.now() + 10s, [&] { slow->clock(nullptr); });

  CHECK(fast->pull(0, first_keys(96), out, Deadline::never()).ok());

  CHECK(text.starts_with("server 0: never sent: "));
}

TEST_CASE("a call that a stopped loop ends does not speak of its deadline") {
  LiveCluster cluster("tcp", dense(1, 4, "bsp"), 2, 1);
  const auto slow = cluster.client(1);
  const auto fast = cluster.client(0);
  REQUIRE(fast->clock(soon()).ok());
  std::vector<float> out(4);
  fast->pull(0, first_keys(1), out, nullptr);
  cluster.loop.at(cluster.loop.now() + 50ms, [&] { cluster.loop.stop(); });

  CHECK(fast->flush(soon()).text == "1 operations have not ended: the loop was stopped");
  CHECK(fast->flush(Deadline::after(50ms)).text == "1 operations have not ended by the deadline");
}

TEST_CASE("what an OnRows owns is let go when its pull has ended") {
  LiveCluster cluster("tcp", dense(3, 4), 1, 1);
  const auto client = cluster.client(0);
  auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = owned;

  const Result pulled = client->pull(
      0, first_keys(3), [owned = std::move(owned)](const RowsView&) {}, soon());

  REQUIRE_MESSAGE(pulled.ok(), pulled.text);
  CHECK(seen.expired());
}
