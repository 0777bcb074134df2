// What peers cannot take, and bytes that change on their way: found, told, and made good.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "proxy.hpp"

using namespace weft;
using namespace weft::conformance;

TEST_CASE("sessions: what is changed on its way is found by the seal, and sent again") {
  Loop loop;
  Pull<> pull(loop, {.name = "in",
                     .bind = {"tcp://127.0.0.1:*"},
                     .heartbeat = 100ms,
                     .dead_after = 10s,
                     .delivery = Delivery::at_least_once});
  Proxy proxy(loop, pull.endpoints()[0]);
  PortOptions options{.name = "out",
                      .connect = proxy.endpoints(),
                      .heartbeat = 100ms,
                      .dead_after = 10s,
                      .batch_bytes = 8192,
                      .delivery = Delivery::at_least_once};
  Push<> push(loop, options);
  REQUIRE(push.wait_for_peers(1, soon()));
  std::vector<int> times(20'000);
  int strange = 0;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    const int n = std::atoi(std::string(r.text()).c_str());
    n >= 0 && n < static_cast<int>(times.size()) && std::to_string(n) == r.text() ? ++times[n] : ++strange;
  });
  proxy.damage(3);
  for (int i = 0; i < static_cast<int>(times.size()); ++i) {
    REQUIRE(push.send(as_bytes(std::to_string(i)), soon()) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(proxy.damaged() > 0);
  CHECK(pull.stats().rejections[static_cast<std::size_t>(wire::Rejection::bad_checksum)] > 0);
  CHECK(strange == 0);
  CHECK(std::ranges::all_of(times, [](int n) { return n >= 1; }));
  CHECK(push.stats().processed_records == times.size());
}

TEST_CASE("sessions: requests and replies that are changed on their way are made again") {
  Loop loop;
  Router<> router(loop, {.name = "answers",
                         .bind = {"tcp://127.0.0.1:*"},
                         .heartbeat = 100ms,
                         .dead_after = 10s,
                         .delivery = Delivery::at_least_once});
  Proxy proxy(loop, router.endpoints()[0]);
  PortOptions options{.name = "ask",
                      .connect = proxy.endpoints(),
                      .heartbeat = 100ms,
                      .dead_after = 10s,
                      .delivery = Delivery::at_least_once};
  options.attempt_timeout = 200ms;
  Dealer<> dealer(loop, options);
  REQUIRE(dealer.wait_for_peers(1, soon()));
  router.on_request([](const RawRecord& query, Responder<Raw> respond) { respond.reply(query.bytes()); });
  proxy.damage(4);
  for (int i = 0; i < 40; ++i) {
    const std::string query = std::to_string(i) + std::string(3000, 'q');
    const auto reply = dealer.ask(as_bytes(query), soon());
    REQUIRE(reply.ok());
    CHECK(reply.record->text() == query);
  }
  CHECK(proxy.damaged() > 0);
}

TEST_CASE(
    "sessions: ends tell each other the largest frame that they take, and no connection is lost to it") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    for (const bool early : {false, true}) {
      CAPTURE(static_cast<int>(delivery));
      CAPTURE(early);
      Loop loop;
      Push<> push(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .delivery = delivery});
      std::vector<std::string> letters;
      push.on_dead_letter([&](const DeadLetter& letter) {
        letters.emplace_back(letter.reason);
        return SendStatus::ok;
      });
      const auto connect = [&] {
        return std::make_unique<Pull<>>(loop, PortOptions{.name = "in",
                                                          .connect = push.endpoints(),
                                                          .max_frame_bytes = 64 << 10,
                                                          .delivery = delivery});
      };
      std::unique_ptr<Pull<>> pull;
      if (!early) {
        pull = connect();
        REQUIRE(push.wait_for_peers(1, soon()));
      }
      const std::string large(100'000, 'l');
      int refused = 0;
      for (int i = 0; i < 1000; ++i) {
        if (i % 100 == 50) refused += push.send(as_bytes(large)) == SendStatus::too_large ? 1 : 0;
        REQUIRE(push.send(as_bytes(std::to_string(i)), soon()) == SendStatus::ok);
      }
      if (early) pull = connect();
      int small = 0;
      pull->on_record([&](const RawRecord&, const Meta&) { ++small; });
      REQUIRE(push.settle(soon()));

      CHECK(small == 1000);
      CHECK(refused == (early ? 0 : 10));
      CHECK(letters.size() == (early && delivery != Delivery::best_effort ? 10 : 0));
      CHECK(push.stats().dropped_records == (early && delivery == Delivery::best_effort ? 10 : 0));
      CHECK(push.stats().reconnects == 0);
    }
  }
}
