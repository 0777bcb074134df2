// The loop and other threads, exceptions and signals: what is posted, what stops it, what ends it.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <pthread.h>

#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

TEST_CASE("posted functions run on the loop's thread, in order, from many threads") {
  Loop loop;
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::vector<std::thread> threads;
  const auto me = std::this_thread::get_id();
  bool always_here = true;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&, t, i] {
          always_here = always_here && std::this_thread::get_id() == me;
          seen[static_cast<std::size_t>(t)].push_back(i);
          ++total;
        });
      }
    });
  }

  CHECK(loop.run_until([&] { return total == kThreads * kEach; }, soon()));

  for (auto& thread : threads) thread.join();
  CHECK(always_here);
  for (const auto& one : seen) CHECK(std::is_sorted(one.begin(), one.end()));
}

TEST_CASE("a function that posts itself does not keep timers and sockets waiting") {
  Loop loop;
  Link link(loop.context(), "a");
  bool readable = false;
  bool timer = false;
  loop.watch(link.pull, [&] { readable = true, link.take(); });
  loop.at(Clock::now(), [&] { timer = true; });
  std::function<void()> again = [&] { loop.post(again); };
  loop.post(again);
  link.send();

  CHECK(loop.run_until([&] { return readable && timer; }, soon()));
}

TEST_CASE("a function posted before an exception of another is not lost") {
  Loop loop;
  std::vector<int> ran;
  loop.post([&] { ran.push_back(1); });
  loop.post([] { throw std::runtime_error("boom"); });
  loop.post([&] { ran.push_back(3); });

  CHECK_THROWS_WITH(loop.run(), "boom");
  CHECK(ran == std::vector<int>{1});
  CHECK(loop.run_until([&] { return ran.size() == 2; }, soon()));
  CHECK(ran == std::vector<int>{1, 3});
}

TEST_CASE("stop from another thread ends run") {
  Loop loop;
  std::atomic<bool> started{false};
  loop.post([&] { started = true; });
  std::thread other([&] {
    while (!started) std::this_thread::yield();
    loop.stop();
  });

  loop.run();

  other.join();
  CHECK(loop.stopped());
}

TEST_CASE("a stop that comes before run ends it, and the run after that goes on") {
  Loop loop;
  loop.stop();

  loop.run();

  CHECK(loop.stopped());
  bool ran = false;
  loop.post([&] { ran = true; });
  CHECK(loop.run_until([&] { return ran; }, soon()));
  CHECK_FALSE(loop.stopped());
}

TEST_CASE("stop ends a wait inside a handler and the run around it") {
  Loop loop;
  bool inner = true;
  loop.post([&] {
    loop.at(Clock::now(), [&] { loop.stop(); });
    inner = loop.run_until([] { return false; }, soon());
  });

  loop.run();

  CHECK_FALSE(inner);
  CHECK(loop.stopped());
}

TEST_CASE("an exception of a handler ends the run, and the loop stays usable") {
  Loop loop;
  Link link(loop.context(), "a");
  int calls = 0;
  loop.watch(link.pull, [&] {
    link.take();
    if (++calls == 1) throw std::runtime_error("first message");
  });
  link.send();
  link.send();

  CHECK_THROWS_WITH(loop.run(), "first message");
  CHECK(loop.run_until([&] { return calls == 2; }, soon()));
}

TEST_CASE("many threads send to one loop without losing a wake-up") {
  Context context;
  Loop loop(context);
  Socket pull(context, SocketType::pull);
  const auto inproc = pull.bind("inproc://many");
  const auto tcp = pull.bind("tcp://127.0.0.1:*");
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  int got = 0;
  loop.watch(pull, [&] {
    Message message;
    for (int i = 0; i < 3 && pull.receive(message); ++i) ++got;  // a few a turn: some are always left
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Socket push(context, SocketType::push, {.linger = 30s});
      push.connect(t % 2 == 0 ? inproc : tcp);
      for (int i = 0; i < kEach; ++i) {
        push.send(text("x"));
        if (i % 7 == 0) std::this_thread::yield();
      }
    });
  }

  CHECK(loop.run_until([&] { return got == kThreads * kEach; }, soon()));
  for (auto& thread : threads) thread.join();
}

TEST_CASE("signals do not disturb a wait") {
  Loop loop;
  struct sigaction before {};
  struct sigaction quiet {};
  quiet.sa_handler = [](int) {};
  REQUIRE(::sigaction(SIGUSR1, &quiet, &before) == 0);
  const auto me = ::pthread_self();
  bool done = false;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      ::pthread_kill(me, SIGUSR1);
      std::this_thread::yield();
    }
    loop.post([&] { done = true; });
  });

  CHECK(loop.run_until([&] { return done; }, soon()));

  other.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("a loop and its sockets may end in either order") {
  Context context;
  auto loop = std::make_unique<Loop>(context);
  auto early = std::make_unique<Link>(context, "early");
  Link late(context, "late");
  loop->watch(early->pull, [] {});
  loop->watch(late.pull, [] {});

  early.reset();
  CHECK_FALSE(loop->run_once(at_once()));
  loop.reset();
  late.send();

  Message message;
  CHECK(late.pull.receive(message));
}

TEST_CASE("two loops on two threads of one context talk over inproc") {
  Context context;
  std::atomic<bool> bound{false};
  std::thread server([&] {
    Loop loop(context);
    Socket router(context, SocketType::router);
    router.bind("inproc://server");
    Message message;
    loop.watch(router, [&] {
      if (!router.receive(message) || message.size() != 2) return;
      std::vector<Frame> reply = frames({"done"});
      router.send_to(message[0].view(), reply);
      loop.stop();
    });
    bound = true;
    loop.run_until([] { return false; }, soon());
  });
  while (!bound) std::this_thread::yield();
  Loop loop(context);
  Socket dealer(context, SocketType::dealer);
  dealer.connect("inproc://server");

  REQUIRE(dealer.send(text("work")) == SendStatus::sent);

  CHECK(receive(loop, dealer) == Strings{"done"});
  server.join();
}
