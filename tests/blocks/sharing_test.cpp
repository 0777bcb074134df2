// Several receivers of one sender get records as they have time for them, whatever the pattern promises.
#include <atomic>
#include <deque>
#include <functional>
#include <numeric>
#include <thread>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "acknowledged.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// A receiver that needs `work` for each record: it takes none before the time is over.
struct Worker {
  Loop& loop;
  Pull<> pull;
  Duration work;
  std::uint64_t got = 0;

  Worker(Loop& on, PortOptions options, Duration each) : loop(on), pull(on, std::move(options)), work(each) {
    pull.on_record([this](const RawRecord&, const Meta&) {
      ++got;
      pull.pause(true);
      loop.at(Clock::now() + work, [this] { pull.pause(false); });
    });
  }
};

/// Hands its records over to somebody who works through them, and takes the next ones meanwhile.
template <class Block>
struct Desk {
  Loop& loop;
  Block& block;
  Duration work;
  std::deque<std::pair<Receipt, std::function<void()>>> waiting = {};
  bool busy = false;
  std::uint64_t got = 0;

  Desk(Loop& at, Block& of, Duration takes) : loop(at), block(of), work(takes) {}

  void take(std::function<void()> end) {
    waiting.emplace_back(block.defer(), std::move(end));
    go_on();
  }
  void go_on() {
    if (busy || waiting.empty()) return;
    busy = true;
    loop.at(Clock::now() + work, [this] {
      const auto [receipt, end] = std::move(waiting.front());
      waiting.pop_front();
      busy = false;
      ++got;
      end();
      CHECK(block.settle(receipt));
      go_on();
    });
  }
};

struct Team {
  Place place{Place::Kind::ipc};
  Loop loop;
  Push<> push;
  std::vector<std::unique_ptr<Worker>> workers;

  Team(PortOptions sender, const PortOptions& receiver, const std::vector<Duration>& work)
      : push(loop, with_bind(std::move(sender))) {
    for (std::size_t i = 0; i < work.size(); ++i) {
      PortOptions options = receiver;
      options.name = "in";
      options.node = "worker/" + std::to_string(i);
      options.connect = push.endpoints();
      workers.push_back(std::make_unique<Worker>(loop, options, work[i]));
    }
    REQUIRE(push.wait_for_peers(work.size(), soon()));
  }
  PortOptions with_bind(PortOptions options) const {
    options.name = "out";
    options.bind = place.endpoints();
    return options;
  }
  std::vector<std::uint64_t> deal(int records) {
    for (int i = 0; i < records; ++i) REQUIRE(push.send(as_bytes("record"), soon()) == SendStatus::ok);
    REQUIRE(push.settle(soon()));
    return shares();
  }
  [[nodiscard]] std::vector<std::uint64_t> shares() const {
    std::vector<std::uint64_t> out;
    for (const auto& worker : workers) out.push_back(worker->got);
    return out;
  }
};

PortOptions promised(Delivery delivery) {
  PortOptions options;
  options.delivery = delivery;
  return options;
}

std::uint64_t sum(const std::vector<std::uint64_t>& shares) {
  return std::accumulate(shares.begin(), shares.end(), std::uint64_t{0});
}

}  // namespace

TEST_CASE("sharing: a receiver that is ten times as slow gets a tenth of what the others get") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    for (const Distribute distribute : {Distribute::balance, Distribute::round_robin}) {
      CAPTURE(static_cast<int>(delivery));
      PortOptions sender = promised(delivery);
      sender.distribute = distribute;
      Team team(sender, promised(delivery), {4ms, 4ms, 40ms});
      const auto got = team.deal(200);
      CHECK(sum(got) == 200);
      CHECK(got[0] >= 70);
      CHECK(got[1] >= 70);
      CHECK(got[2] >= 2);
      CHECK(got[2] <= 30);
    }
  }
}

TEST_CASE("sharing: what a handler has only passed on is not done") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    CAPTURE(static_cast<int>(delivery));
    Team team(promised(delivery), promised(delivery), {4ms, 4ms, 40ms});
    std::vector<std::unique_ptr<Desk<Pull<>>>> desks;
    for (const auto& worker : team.workers) {
      desks.push_back(std::make_unique<Desk<Pull<>>>(team.loop, worker->pull, worker->work));
      worker->pull.on_record(
          [desk = desks.back().get()](const RawRecord&, const Meta&) { desk->take([] {}); });
    }
    (void)team.deal(200);
    CHECK(desks[0]->got + desks[1]->got + desks[2]->got == 200);
    CHECK(desks[0]->got >= 70);
    CHECK(desks[1]->got >= 70);
    CHECK(desks[2]->got >= 2);
    CHECK(desks[2]->got <= 30);
  }
}

TEST_CASE("sharing: a burst is shared by equal receivers although it fits one batch") {
  Team team({}, {}, {200us, 200us, 200us, 200us});
  const auto got = team.deal(2000);
  CHECK(sum(got) == 2000);
  for (const std::uint64_t share : got) CHECK(share >= 250);
}

TEST_CASE("sharing: with a prefetch of one record a receiver has one, and the next when that is handled") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    CAPTURE(static_cast<int>(delivery));
    PortOptions receiver = promised(delivery);
    receiver.window_records = 1;
    Team team(promised(delivery), receiver, {1ms, 1ms});
    Worker& stuck = *team.workers[0];
    // It never gets to its second record.
    stuck.pull.on_record([&](const RawRecord&, const Meta&) {
      ++stuck.got;
      stuck.pull.pause(true);
    });
    for (int i = 0; i < 100; ++i) REQUIRE(team.push.send(as_bytes("record"), soon()) == SendStatus::ok);
    REQUIRE(team.push.flush(soon()));
    REQUIRE(team.loop.run_until([&] { return team.workers[1]->got == 99; }, soon()));
    CHECK(stuck.got == 1);
    CHECK(stuck.pull.stats().received_records == 1);
    stuck.pull.pause(false);
    CHECK(team.push.settle(soon()));
  }
}

TEST_CASE(
    "sharing: records with tensors, keys and correlations stay whole where batches are dealt in parts") {
  Place place(Place::Kind::ipc);
  Loop loop;
  PortOptions sender = acknowledged({.name = "out", .bind = place.endpoints()});
  sender.distribute = Distribute::hash;
  Push<> push(loop, sender);
  std::map<std::string, std::vector<std::string>> by_key;
  std::vector<std::unique_ptr<Pull<>>> pulls;
  for (int i = 0; i < 2; ++i) {
    PortOptions options =
        acknowledged({.name = "in", .node = "worker/" + std::to_string(i), .connect = push.endpoints()});
    options.window_records = 2;
    pulls.push_back(std::make_unique<Pull<>>(loop, options));
    pulls.back()->on_record([&](const RawRecord& record, const Meta&) {
      const std::string text(record.text());
      by_key[text.substr(0, text.find(' '))].push_back(text);
    });
  }
  REQUIRE(push.wait_for_peers(2, soon()));
  std::vector<std::uint64_t> told;
  push.on_outcome([&](std::uint64_t correlation, RecordFate fate) {
    CHECK(fate == RecordFate::processed);
    told.push_back(correlation);
  });
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const std::string key = "key" + std::to_string(i % 7);
    const std::string number = std::to_string(1000 + i);
    const std::string text = key + " " + number;
    REQUIRE(push.send(as_bytes(text), {.key = as_bytes(key), .correlation = i}) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));
  CHECK(told.size() == 100);
  std::size_t all = 0;
  for (const auto& [key, texts] : by_key) {
    CHECK(std::ranges::is_sorted(texts));
    all += texts.size();
  }
  CHECK(all == 100);
}

TEST_CASE("sharing: tensors go with their records where a batch is dealt in parts") {
  Place place(Place::Kind::ipc);
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints()});
  std::uint64_t got = 0;
  std::vector<std::unique_ptr<Pull<>>> pulls;
  for (int i = 0; i < 2; ++i) {
    pulls.push_back(std::make_unique<Pull<>>(loop, PortOptions{.name = "in",
                                                               .node = "worker/" + std::to_string(i),
                                                               .connect = push.endpoints(),
                                                               .window_records = 3}));
    pulls.back()->on_record([&](const RawRecord& record, const Meta&) {
      ++got;
      const std::string text(record.text());
      const auto tensors = record.tensors();
      REQUIRE(tensors.size() == 1);
      CHECK(as_text(tensors[0].data) == std::string(100, text[0]));
    });
  }
  REQUIRE(push.wait_for_peers(2, soon()));
  for (int i = 0; i < 20; ++i) {
    const std::string text(1, static_cast<char>('a' + i));
    const std::string data(100, text[0]);
    const Tensor tensor = Tensor::own(std::vector<std::uint8_t>(data.begin(), data.end()));
    REQUIRE(push.send(as_bytes(text), std::span(&tensor, 1)) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));
  CHECK(got == 20);
}

TEST_CASE("sharing: a small capacity in records is shared as well") {
  PortOptions sender = promised(Delivery::at_least_once);
  sender.capacity_records = 6;
  // Longer than a busy machine keeps one of them from the processor.
  Team team(sender, promised(Delivery::at_least_once), {10ms, 10ms, 10ms});
  const auto got = team.deal(120);
  CHECK(sum(got) == 120);
  for (const std::uint64_t share : got) CHECK(share >= 20);
}

TEST_CASE("sharing: requests go to routers that have time for them") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    CAPTURE(static_cast<int>(delivery));
    Place place(Place::Kind::ipc);
    Loop loop;
    PortOptions asking = promised(delivery);
    asking.name = "ask";
    asking.bind = place.endpoints();
    Dealer<> dealer(loop, asking);
    struct Server {
      std::unique_ptr<Loop> loop;
      std::thread thread;
      std::atomic<std::uint64_t> got{0};
    };
    Server servers[3];
    for (int i = 0; i < 3; ++i) {
      Server& server = servers[i];
      server.loop = std::make_unique<Loop>();
      server.thread = std::thread([&server, i, delivery, at = dealer.endpoints()] {
        PortOptions options = promised(delivery);
        options.name = "serve";
        options.node = "server/" + std::to_string(i);
        options.connect = at;
        Router<> router(*server.loop, options);
        router.on_request([&](const RawRecord&, Responder<Raw> reply) {
          ++server.got;
          // Its loop does nothing else meanwhile.
          const TimePoint until = Clock::now() + (i == 0 ? 40ms : 4ms);
          (void)server.loop->run_until([&] { return Clock::now() >= until; }, Deadline::at(until));
          reply.reply(as_bytes("done"));
        });
        server.loop->run();
      });
    }
    const bool up = dealer.wait_for_peers(3, soon());
    int done = 0;
    for (int i = 0; up && i < 200; ++i) {
      dealer.request(as_bytes("work"), soon(), [&](const auto&) { ++done; });
    }
    const bool all = loop.run_until([&] { return done == 200; }, soon());
    for (Server& server : servers) {
      server.loop->stop();
      server.thread.join();
    }
    REQUIRE(up);
    REQUIRE(all);
    CHECK(servers[0].got + servers[1].got + servers[2].got == 200);
    CHECK(servers[0].got <= 40);
    CHECK(servers[1].got >= 50);
    CHECK(servers[2].got >= 50);
  }
}

TEST_CASE("sharing: requests that a router has only passed on are not done") {
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    CAPTURE(static_cast<int>(delivery));
    Place place(Place::Kind::ipc);
    Loop loop;
    PortOptions asking = promised(delivery);
    asking.name = "ask";
    asking.bind = place.endpoints();
    Dealer<> dealer(loop, asking);
    std::vector<std::unique_ptr<Router<>>> routers;
    std::vector<std::unique_ptr<Desk<Router<>>>> desks;
    for (int i = 0; i < 3; ++i) {
      PortOptions options = promised(delivery);
      options.name = "serve";
      options.node = "server/" + std::to_string(i);
      options.connect = dealer.endpoints();
      routers.push_back(std::make_unique<Router<>>(loop, options));
      desks.push_back(std::make_unique<Desk<Router<>>>(loop, *routers.back(), i == 0 ? 40ms : 4ms));
      routers.back()->on_request([desk = desks.back().get()](const RawRecord&, Responder<Raw> reply) {
        auto kept = std::make_shared<Responder<Raw>>(std::move(reply));
        desk->take([kept] { kept->reply(as_bytes("done")); });
      });
    }
    REQUIRE(dealer.wait_for_peers(3, soon()));

    int done = 0;
    for (int i = 0; i < 200; ++i) dealer.request(as_bytes("work"), soon(), [&](const auto&) { ++done; });
    REQUIRE(loop.run_until([&] { return done == 200; }, soon()));

    CHECK(desks[0]->got + desks[1]->got + desks[2]->got == 200);
    CHECK(desks[0]->got >= 2);
    CHECK(desks[0]->got <= 30);
    CHECK(desks[1]->got >= 70);
    CHECK(desks[2]->got >= 70);
  }
}
