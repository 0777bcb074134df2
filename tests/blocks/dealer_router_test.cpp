#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"

using namespace weft;
using weft::conformance::soon;
using namespace std::chrono_literals;

namespace {

struct Query {
  int a = 0;
  int b = 0;
  WEFT_RECORD(Query, a, b)
};
struct Answer {
  int sum = 0;
  WEFT_RECORD(Answer, sum)
};

}  // namespace

TEST_CASE("a request gets its reply") {
  Loop loop;
  Router<Query, Answer> router(loop, {.name = "answers", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}});
  Dealer<Query, Answer> dealer(loop, {.name = "ask", .node = "worker/0", .connect = router.endpoints()});
  router.on_request([](const Query& q, Responder<Answer> respond) { respond.reply({.sum = q.a + q.b}); });

  const auto reply = dealer.ask({.a = 2, .b = 3}, soon());

  REQUIRE(reply.ok());
  CHECK(reply.record->sum == 5);
  CHECK(reply.peer == "server/0");
}

TEST_CASE("requests and replies acknowledge each other beside what they say") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = {"inproc://beside"}});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  router.on_request([](const RawRecord& q, Responder<Raw> respond) { respond.reply(q.bytes()); });
  REQUIRE(dealer.ask(as_bytes("one"), soon()).ok());
  CHECK(router.stats().outstanding_records == 1);  // the dealer has yet to say that it took the reply

  REQUIRE(dealer.ask(as_bytes("two"), soon()).ok());

  CHECK(router.stats().outstanding_records == 1);  // the second request said so
}

TEST_CASE("many requests in flight get each its own reply, also when they are answered out of order") {
  Loop loop;
  Router<Query, Answer> router(loop, {.name = "answers", .bind = {"inproc://many-requests"}});
  Dealer<Query, Answer> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  std::vector<std::pair<int, Responder<Answer>>> parked;
  router.on_request([&](const Query& q, Responder<Answer> respond) {
    parked.emplace_back(q.a, std::move(respond));
    if (parked.size() < 100) return;
    for (auto at = parked.rbegin(); at != parked.rend(); ++at) at->second.reply({.sum = -at->first});
    parked.clear();
  });
  int ended = 0;
  int right = 0;

  for (int i = 0; i < 1000; ++i) {
    dealer.request({.a = i, .b = 0}, soon(), [&, i](Reply<Answer>& reply) {
      ++ended;
      right += reply.ok() && reply.record->sum == -i ? 1 : 0;
    });
  }
  REQUIRE(loop.run_until([&] { return ended == 1000; }, soon()));

  CHECK(right == 1000);
  CHECK(dealer.open_requests() == 0);
  CHECK(router.open_requests() == 0);
}

TEST_CASE("an error of the handler arrives as an error") {
  Loop loop;
  Router<Query, Answer> router(loop, {.name = "answers", .bind = {"tcp://127.0.0.1:*"}});
  Dealer<Query, Answer> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  router.on_request(
      [](const Query&, Responder<Answer> respond) { respond.fail(wire::Code::not_found, "no such table"); });

  const auto reply = dealer.ask({}, soon());

  CHECK(reply.outcome == Outcome::remote_error);
  CHECK(reply.code == wire::Code::not_found);
  CHECK(reply.text == "no such table");
}

TEST_CASE("a request ends at its deadline, with the state of the peer") {
  Loop loop;
  Router<Query, Answer> router(loop, {.name = "answers", .node = "server/0", .bind = {"tcp://127.0.0.1:*"}});
  Dealer<Query, Answer> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  std::vector<Responder<Answer>> kept;
  router.on_request([&](const Query&, Responder<Answer> respond) { kept.push_back(std::move(respond)); });
  REQUIRE(dealer.wait_for_peers(1, soon()));

  const auto reply = dealer.ask({}, Deadline::after(100ms));

  CHECK(reply.outcome == Outcome::timed_out);
  CHECK(reply.text == "no reply from server/0 (up)");
  CHECK(dealer.stats().timed_out_requests == 1);
  kept.at(0).reply({.sum = 1});
  REQUIRE(loop.run_until([&] { return dealer.stats().late_replies == 1; }, soon()));
}

TEST_CASE("a request to nobody ends at its deadline and says so") {
  Loop loop;
  Dealer<> dealer(loop, {.name = "ask"});

  const auto reply = dealer.ask(as_bytes("hello"), Deadline::after(10ms));

  CHECK(reply.outcome == Outcome::timed_out);
  CHECK(reply.text == "never sent: no router is known");
}

TEST_CASE("a router without a handler hands out requests one by one") {
  Loop loop;
  Router<> router(loop, {.name = "answers", .bind = {"tcp://127.0.0.1:*"}});
  Dealer<> dealer(loop, {.name = "ask", .connect = router.endpoints()});
  std::string got;
  dealer.request(as_bytes("ping"), soon(),
                 [&](Reply<RawRecord>& r) { got = r.ok() ? r.record->text() : "?"; });

  auto request = router.next(soon());
  REQUIRE(request);
  CHECK(request->first.text() == "ping");
  request->second.reply(as_bytes("pong"));
  REQUIRE(loop.run_until([&] { return !got.empty(); }, soon()));

  CHECK(got == "pong");
}
