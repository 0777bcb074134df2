#include <weft/transport/loop.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

// A push joined to a pull over inproc.
struct Link {
  Link(Context& context, const std::string& name)
      : pull(context, SocketType::pull), push(context, SocketType::push) {
    push.connect(pull.bind("inproc://" + name));
  }
  void send(std::string_view content = "x") { REQUIRE(push.send(text(content)) == SendStatus::sent); }
  void take() {
    Message message;
    pull.receive(message);
  }
  Socket pull;
  Socket push;
};

Deadline at_once() {
  return Deadline::at(TimePoint::min());
}

}  // namespace

TEST_CASE("a watched socket calls its handler in each turn until it has been read") {
  Loop loop;
  Link link(loop.context(), "a");
  int calls = 0;
  loop.watch(link.pull, [&] {
    ++calls;
    link.take();
  });
  link.send();
  link.send();

  CHECK(loop.run_once(soon()));
  CHECK(calls == 1);
  CHECK(loop.run_once(soon()));
  CHECK(calls == 2);
  CHECK_FALSE(loop.run_once(at_once()));
  CHECK(calls == 2);
}

TEST_CASE("a turn without events ends at its deadline and says that nothing happened") {
  Loop loop;
  const auto deadline = Deadline::after(20ms);

  CHECK_FALSE(loop.run_once(deadline));
  CHECK(deadline.passed(Clock::now()));
}

TEST_CASE("run_until tells whether its condition came true") {
  Loop loop;
  bool came = false;
  loop.at(Clock::now() + 1ms, [&] { came = true; });

  CHECK_FALSE(loop.run_until([] { return false; }, Deadline::after(5ms)));
  CHECK(loop.run_until([&] { return came; }, soon()));
  CHECK(loop.run_until([] { return true; }, at_once()));
}

TEST_CASE("run_until with a deadline in the past still handles what is there") {
  Loop loop;
  Link link(loop.context(), "a");
  bool got = false;
  loop.watch(link.pull, [&] { link.take(), got = true; });
  link.send();

  CHECK(loop.run_until([&] { return got; }, at_once()));
}

TEST_CASE("a file descriptor is watched by its level, and a hang-up calls the handler too") {
  Loop loop;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  std::string read;
  bool ended = false;
  loop.watch_fd(ends[0], [&] {
    char byte = 0;
    if (::read(ends[0], &byte, 1) == 1) {
      read += byte;
    } else {
      ended = true;
    }
  });
  REQUIRE(::write(ends[1], "ab", 2) == 2);

  CHECK(loop.run_once(soon()));
  CHECK(loop.run_once(soon()));
  CHECK(read == "ab");
  CHECK_FALSE(loop.run_once(at_once()));
  ::close(ends[1]);
  CHECK(loop.run_once(soon()));
  CHECK(ended);
  ::close(ends[0]);
}

TEST_CASE("on_writable is called while the socket takes messages, until it is switched off") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull, {.receive_high_water = 1});
  Socket push(loop.context(), SocketType::push, {.send_high_water = 1});
  push.connect(pull.bind("inproc://w"));
  const auto watch = loop.watch(push, [] {});
  int calls = 0;
  loop.on_writable(watch, [&] {
    ++calls;
    push.send(text("x"));
  });

  CHECK(loop.run_once(soon()));
  CHECK(loop.run_once(soon()));
  CHECK(calls == 2);
  CHECK_FALSE(loop.run_once(at_once()));  // full
  Message message;
  REQUIRE(pull.receive(message));
  REQUIRE(pull.receive(message));
  CHECK(eventually(loop, [&] { return calls == 3; }));
  loop.on_writable(watch, nullptr);
  while (pull.receive(message)) {
  }
  CHECK_FALSE(loop.run_once(at_once()));
}

TEST_CASE("on_writable may switch itself off") {
  Loop loop;
  Link link(loop.context(), "a");
  const auto watch = loop.watch(link.push, [] {});
  auto held = std::make_shared<int>(0);
  loop.on_writable(watch, [&loop, watch, held] {
    loop.on_writable(watch, nullptr);
    ++*held;  // the function is still alive here
  });

  CHECK(loop.run_once(soon()));
  CHECK_FALSE(loop.run_once(at_once()));
  CHECK(*held == 1);
}

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

TEST_CASE("a handler may remove itself, and is destroyed only after it returned") {
  Loop loop;
  Link link(loop.context(), "a");
  auto held = std::make_shared<int>(7);
  int seen = 0;
  Loop::WatchId watch = 0;
  watch = loop.watch(link.pull, [&, held] {
    loop.unwatch(watch);
    seen = *held;
  });
  link.send();

  CHECK(loop.run_once(soon()));
  CHECK_FALSE(loop.run_once(at_once()));
  CHECK(seen == 7);
  CHECK(held.use_count() == 1);
}

TEST_CASE("a handler may destroy another watched socket that is ready in the same turn") {
  Loop loop;
  std::vector<std::unique_ptr<Link>> links;
  int calls = 0;
  for (int i = 0; i < 3; ++i) {
    links.push_back(std::make_unique<Link>(loop.context(), "l" + std::to_string(i)));
    links.back()->send();
  }
  for (std::size_t i = 0; i < 3; ++i) {
    loop.watch(links[i]->pull, [&, i] {
      ++calls;
      for (std::size_t other = 0; other < 3; ++other) {
        if (other != i) links[other].reset();  // closing takes the watch back
      }
    });
  }

  CHECK(loop.run_once(soon()));
  CHECK(calls == 1);
}

TEST_CASE("a handler may add watches, timers and hooks while the loop is in its turn") {
  Loop loop;
  Link first(loop.context(), "first");
  Link second(loop.context(), "second");
  bool watched = false;
  bool timed = false;
  bool hooked = false;
  loop.watch(first.pull, [&] {
    first.take();
    for (int i = 0; i < 20; ++i) loop.watch_fd(::eventfd(0, EFD_CLOEXEC), [] {});  // make the tables grow
    loop.watch(second.pull, [&] { second.take(), watched = true; });
    loop.at(loop.now(), [&] { timed = true; });
    loop.on_idle([&] { hooked = true; });
    second.send();
  });
  first.send();

  CHECK(loop.run_until([&] { return watched && timed && hooked; }, soon()));
}

TEST_CASE("all ready sockets are served in each turn, each first in its turn") {
  Loop loop;
  std::vector<std::unique_ptr<Link>> links;
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) {
    links.push_back(std::make_unique<Link>(loop.context(), "l" + std::to_string(i)));
    links.back()->send();
    loop.watch(links.back()->pull, [&order, i] { order.push_back(i); });  // never reads: always ready
  }

  std::vector<bool> was_first(4, false);
  for (int turn = 0; turn < 4; ++turn) {
    order.clear();
    REQUIRE(loop.run_once(soon()));
    REQUIRE(order.size() == 4);
    was_first[static_cast<std::size_t>(order[0])] = true;
  }

  CHECK(was_first == std::vector<bool>(4, true));
}

TEST_CASE("timers fire in the order of their times") {
  Loop loop;
  std::vector<int> order;
  const auto start = Clock::now();
  loop.at(start + 3ms, [&] { order.push_back(3); });
  loop.at(start + 1ms, [&] { order.push_back(1); });
  loop.at(start + 2ms, [&] { order.push_back(2); });

  CHECK(loop.run_until([&] { return order.size() == 3; }, soon()));
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("a timer never fires before its time") {
  Loop loop;
  for (int i = 0; i < 20; ++i) {
    const auto when = Clock::now() + std::chrono::microseconds(100 + 150 * i);
    std::optional<TimePoint> fired;
    loop.at(when, [&] { fired = Clock::now(); });
    REQUIRE(loop.run_until([&] { return fired.has_value(); }, soon()));
    CHECK(*fired >= when);
  }
}

TEST_CASE("breathe serves timers and other sockets, but not the handler it is called from") {
  Loop loop;
  Link busy(loop.context(), "busy");
  Link other(loop.context(), "other");
  int entered = 0;
  int others = 0;
  int beats = 0;
  loop.watch(other.pull, [&] { other.take(), ++others; });
  loop.watch(busy.pull, [&] {
    ++entered;
    other.send();
    loop.at(loop.now(), [&] { ++beats; });
    loop.breathe();  // busy.pull is still readable
    busy.take();
  });
  busy.send();

  CHECK(loop.run_once(soon()));
  CHECK(entered == 1);
  CHECK(others == 1);
  CHECK(beats == 1);
}

TEST_CASE("a wait inside a handler sleeps although that handler's own socket is readable") {
  Loop loop;
  Link link(loop.context(), "a");
  int turns = 0;
  bool done = false;
  loop.on_idle([&] { ++turns; });
  loop.watch(link.pull, [&] {
    loop.at(Clock::now() + 20ms, [&] { done = true; });
    CHECK(loop.run_until([&] { return done; }, soon()));
    link.take();
  });
  link.send();

  CHECK(loop.run_once(soon()));
  CHECK(turns < 10);
}

TEST_CASE("breathing in breathing ends somewhere") {
  Loop loop;
  int depth = 0;
  int deepest = 0;
  std::function<void()> deeper = [&] {
    deepest = std::max(deepest, ++depth);
    if (deepest < 1000) {
      loop.at(loop.now(), deeper);
      loop.breathe();
    }
    --depth;
  };
  loop.at(Clock::now(), deeper);

  CHECK(loop.run_once(soon()));
  CHECK(deepest > 1);
  CHECK(deepest < 20);
}

TEST_CASE(
    "a wait inside the handler of a descriptor sleeps although the descriptor is readable, which comes back "
    "later") {
  Loop loop;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  int turns = 0;
  int calls = 0;
  bool done = false;
  loop.on_idle([&] { ++turns; });
  const auto watch = loop.watch_fd(ends[0], [&] {
    if (++calls > 1) return;
    loop.at(Clock::now() + 20ms, [&] { done = true; });
    CHECK(loop.run_until([&] { return done; }, soon()));
  });
  REQUIRE(::write(ends[1], "x", 1) == 1);

  CHECK(loop.run_once(soon()));
  CHECK(turns < 10);
  CHECK(calls == 1);
  CHECK(loop.run_once(soon()));  // nobody has read it
  CHECK(calls == 2);
  loop.unwatch(watch);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a message that arrives while its handler waits is handled afterwards") {
  Loop loop;
  Link link(loop.context(), "a");
  int calls = 0;
  loop.watch(link.pull, [&] {
    link.take();
    if (++calls > 1) return;
    loop.at(Clock::now() + 1ms, [&] { link.send(); });
    loop.run_until([] { return false; }, Deadline::after(5ms));
  });
  link.send();

  CHECK(loop.run_until([&] { return calls == 2; }, soon()));
}

TEST_CASE("news that a call on the socket swallowed still reaches the handler") {
  Loop loop;
  Link link(loop.context(), "a");
  int got = 0;
  loop.watch(link.pull, [&] {
    link.take();
    ++got;
  });
  CHECK_FALSE(loop.run_once(at_once()));  // at rest
  for (int i = 1; i <= 50; ++i) {
    link.send();
    CHECK(link.pull.readable());  // takes libzmq's notice, and leaves the message
    REQUIRE(loop.run_until([&] { return got == i; }, soon()));
  }
}

TEST_CASE("a descriptor that is watched already or is a plain file is refused") {
  Loop loop;
  const int fd = ::eventfd(0, EFD_CLOEXEC);
  loop.watch_fd(fd, [] {});

  CHECK(contains(error_of([&] { loop.watch_fd(fd, [] {}); }).what(), "watched already"));
  Folder folder;
  const int file = ::open(folder.file("plain").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  CHECK(contains(error_of([&] { loop.watch_fd(file, [] {}); }).what(), "plain file"));
  ::close(file);
  ::close(fd);
}

TEST_CASE("an unwatched descriptor may be watched again") {
  Loop loop;
  int calls = 0;
  const int fd = ::eventfd(1, EFD_CLOEXEC);
  loop.unwatch(loop.watch_fd(fd, [&] { calls += 100; }));
  loop.watch_fd(fd, [&] { ++calls; });

  CHECK(loop.run_once(soon()));
  CHECK(calls == 1);
  ::close(fd);
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

TEST_CASE("what a turn inside a handler has served is not served again by the outer one") {
  Loop loop;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);  // blocking: reading it twice would hang
  Link link(loop.context(), "a");
  std::string read;
  loop.watch(link.pull, [&] {
    link.take();
    loop.breathe();
  });
  loop.watch_fd(ends[0], [&] {
    char byte = 0;
    REQUIRE(::read(ends[0], &byte, 1) == 1);
    read += byte;
  });
  for (int i = 1; i <= 4; ++i) {  // in the turns between, either comes first
    link.send();
    REQUIRE(::write(ends[1], "x", 1) == 1);
    REQUIRE(loop.run_until(
        [&] { return read.size() == static_cast<std::size_t>(i) && !link.pull.readable(); }, soon()));
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("waits inside each other without end are refused by an error") {
  Loop loop;
  bool digging = true;
  std::function<void()> deeper = [&] {
    if (digging) loop.at(loop.now(), deeper);
    loop.run_until([] { return false; }, soon());
  };
  loop.at(Clock::now(), deeper);

  CHECK_THROWS_WITH_AS(loop.run(), doctest::Contains("inside each other"), Error);
  digging = false;
  bool usable = false;
  loop.post([&] { usable = true; });
  CHECK(loop.run_until([&] { return usable; }, soon()));
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

TEST_CASE("an idle hook runs before waiting and after a turn in which something happened") {
  Loop loop;
  Link link(loop.context(), "a");
  Strings log;
  loop.watch(link.pull, [&] { link.take(), log.push_back("read"); });
  loop.on_idle([&] { log.push_back("hook"); });
  link.send();

  CHECK(loop.run_once(soon()));

  CHECK(log == Strings{"hook", "read", "hook"});
}

TEST_CASE("what a hook sends wakes the loop, and a hook alone does not") {
  Loop loop;
  Link link(loop.context(), "a");
  int hooks = 0;
  bool got = false;
  loop.watch(link.pull, [&] { link.take(), got = true; });
  loop.on_idle([&] {
    if (hooks++ == 0) link.send();
  });

  CHECK(loop.run_until([&] { return got; }, soon()));
  const int before = hooks;
  CHECK_FALSE(loop.run_once(Deadline::after(20ms)));
  CHECK(hooks <= before + 1);
}

TEST_CASE("a removed hook is not called again, also when it removes itself") {
  Loop loop;
  int calls = 0;
  Loop::HookId hook = 0;
  hook = loop.on_idle([&] {
    ++calls;
    loop.remove_hook(hook);
  });

  loop.run_once(at_once());
  loop.run_once(at_once());

  CHECK(calls == 1);
}

TEST_CASE("a hundred idle sockets cost no turn") {
  Loop loop;
  std::vector<std::unique_ptr<Link>> links;
  int handled = 0;
  int turns = 0;
  for (int i = 0; i < 50; ++i) {
    links.push_back(std::make_unique<Link>(loop.context(), "l" + std::to_string(i)));
    loop.watch(links.back()->pull, [&] { ++handled; });
    loop.watch(links.back()->push, [&] { ++handled; });
  }
  loop.on_idle([&] { ++turns; });

  CHECK_FALSE(loop.run_once(Deadline::after(50ms)));

  CHECK(handled == 0);
  CHECK(turns == 1);
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
