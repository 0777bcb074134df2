#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "conformance.hpp"

using namespace weft;
using weft::conformance::soon;
using namespace std::chrono_literals;

namespace {

struct Update {
  std::uint64_t key = 0;
  std::string name;
  std::vector<float> gradient;
  WEFT_RECORD(Update, key, name, gradient)
};

}  // namespace

TEST_CASE("a typed record reaches the handler of its receiver") {
  Loop loop;
  Pull<Update> pull(loop, {.name = "updates", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}});
  Push<Update> push(loop, {.name = "updates", .node = "worker/0", .connect = pull.endpoints()});
  std::vector<Update> got;
  std::string peer;
  pull.on_record([&](Update& u, const Meta& meta) {
    got.push_back(std::move(u));
    peer = meta.peer;
  });

  REQUIRE(push.send({.key = 7, .name = "seven", .gradient = {1, 2}}) == SendStatus::ok);
  REQUIRE(loop.run_until([&] { return !got.empty(); }, soon()));

  CHECK(got[0].key == 7);
  CHECK(got[0].name == "seven");
  CHECK(got[0].gradient == std::vector<float>{1, 2});
  CHECK(peer == "worker/0");
}

TEST_CASE("many records arrive once, in order, and are counted at both ends") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"inproc://many"}});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  std::uint64_t next = 0;
  bool in_order = true;
  pull.on_record(
      [&](const RawRecord& r, const Meta&) { in_order = in_order && r.text() == std::to_string(next++); });

  for (int i = 0; i < 100'000; ++i) REQUIRE(push.send(as_bytes(std::to_string(i)), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(next == 100'000);
  CHECK(in_order);
  CHECK(push.stats().sent_records == 100'000);
  CHECK(pull.stats().received_records == 100'000);
  CHECK(pull.stats().missed_batches == 0);
  CHECK(pull.stats().rejected_messages == 0);
}

TEST_CASE("receive without a handler waits for a record until its deadline") {
  Loop loop;
  Pull<Update> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  Push<Update> push(loop, {.name = "out", .connect = pull.endpoints()});

  CHECK(!pull.receive(Deadline::after(1ms)));
  REQUIRE(push.send({.key = 3, .name = {}, .gradient = {}}) == SendStatus::ok);
  const auto got = pull.receive(soon());

  REQUIRE(got);
  CHECK(got->record.key == 3);
}

TEST_CASE("a record that no receiver could take is refused where it is made, and those around it pass") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    Loop loop;
    Pull<> pull(loop, {.name = "in", .bind = {"inproc://deep"}, .delivery = delivery});
    Push<> push(loop, {.name = "out", .connect = pull.endpoints(), .delivery = delivery});
    std::vector<std::string> got;
    pull.on_record([&](const RawRecord& r, const Meta&) { got.emplace_back(as_text(r.packed())); });
    const std::string deepest = std::string(32, '\x91') + '\x01';
    CHECK(push.send_packed(as_bytes("\x01")) == SendStatus::ok);
    CHECK(push.send_packed(as_bytes('\x91' + deepest)) == SendStatus::too_deep);
    CHECK(push.send_packed(as_bytes("\x01\x02")) == SendStatus::malformed);
    CHECK(push.send_packed(as_bytes("")) == SendStatus::malformed);
    CHECK(push.send_packed(as_bytes("\xc1")) == SendStatus::malformed);
    CHECK(push.send_packed(as_bytes(deepest)) == SendStatus::ok);
    REQUIRE(push.settle(soon()));
    CHECK(got == std::vector<std::string>{"\x01", deepest});
  }
}

namespace {

class SaidLines : public Logger::Sink {
 public:
  std::vector<std::string> all;

 private:
  void write(LogLevel, std::string_view, std::string_view line) override { all.emplace_back(line); }
};

}  // namespace

TEST_CASE("a receiver says in its log why it rejects a record, once for each reason") {
  Loop loop;
  const auto lines = std::make_shared<SaidLines>();
  Pull<Update> pull(loop, {.name = "in", .bind = {"inproc://unfit"}, .log = {lines, "test", LogLevel::warn}});
  pull.on_record([](const Update&, const Meta&) {});
  conformance::Stranger stranger(loop, "inproc://unfit", "stranger/0");
  const auto send = [&](std::uint64_t seq, const std::string& record) {
    stranger.send(wire::Kind::data, seq,
                  [](wire::Options& o) {
                    o.count_v = 1;
                    o.mark(wire::Options::count);
                  },
                  {as_bytes(record)});
  };
  stranger.hello("push");
  REQUIRE(stranger.wait(wire::Kind::hello));

  for (std::uint64_t seq = 1; seq <= 4; ++seq)
    send(seq, seq % 2 == 1 ? "\xA1x" : std::string(40, '\x91') + '\x01');
  REQUIRE(loop.run_until([&] { return pull.stats().rejected_records == 4; }, soon()));

  REQUIRE(lines->all.size() == 2);
  CHECK(lines->all[0].find("is not a Update") != std::string::npos);
  CHECK(lines->all[1].find("is nested deeper than 32 levels") != std::string::npos);
}
