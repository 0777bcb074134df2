#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

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

TEST_CASE("the loop's time is that of the turn inside of one, and goes on outside") {
  Loop loop;
  const TimePoint made = Clock::now();
  while (Clock::now() - made < 5ms) {
  }

  CHECK(loop.now() - made >= 5ms);
  TimePoint first, second;
  loop.post([&] {
    first = loop.now();
    while (Clock::now() - first < 5ms) {
    }
    second = loop.now();
  });
  REQUIRE(loop.run_once(soon()));
  CHECK(first == second);
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

TEST_CASE(
    "a hook on demand runs once for each turn in which it was asked for, behind those that always run") {
  Loop loop;
  Link link(loop.context(), "a");
  Strings log;
  const Loop::HookId idle = loop.on_demand([&] { log.push_back("idle"); });
  const Loop::HookId busy = loop.on_demand([&] { log.push_back("busy"); });
  loop.on_idle([&] { log.push_back("hook"); });
  loop.watch(link.pull, [&] {
    link.take();
    log.push_back("read");
    loop.ask_for(busy);
    loop.ask_for(busy);
  });
  link.send();

  CHECK(loop.run_once(soon()));

  CHECK(log == Strings{"hook", "read", "hook", "busy"});
  loop.ask_for(idle);
  CHECK_FALSE(loop.run_once(at_once()));
  CHECK(log.back() == "idle");
}

TEST_CASE("a hook on demand that asks for itself runs again before the next wait, and not in between") {
  Loop loop;
  int calls = 0;
  Loop::HookId hook = 0;
  hook = loop.on_demand([&] {
    if (++calls < 3) loop.ask_for(hook);
  });
  loop.ask_for(hook);

  for (int turn = 1; turn <= 3; ++turn) {
    loop.run_once(at_once());
    CHECK(calls == turn);
  }
  loop.run_once(at_once());
  CHECK(calls == 3);
}

TEST_CASE("what hooks ask for before a wait is done before that wait") {
  Loop loop;
  int calls = 0;
  Loop::HookId second = 0;
  const Loop::HookId first = loop.on_demand([&] {
    if (++calls < 3) loop.ask_for(second);
  });
  second = loop.on_demand([&] { loop.ask_for(first); });
  loop.ask_for(first);

  CHECK_FALSE(loop.run_once(Deadline::after(20ms)));  // one wait, in which nothing comes

  CHECK(calls == 3);
}

TEST_CASE("a hook on demand is not entered again by a turn inside it, but runs once more after it") {
  Loop loop;
  int calls = 0;
  int inside = 0;
  Loop::HookId hook = 0;
  hook = loop.on_demand([&] {
    ++calls;
    CHECK(inside == 0);
    if (calls > 1) return;
    ++inside;
    loop.ask_for(hook);
    loop.run_once(at_once());
    --inside;
  });
  loop.ask_for(hook);

  loop.run_once(at_once());
  loop.run_once(at_once());

  CHECK(calls == 2);
}

TEST_CASE("a removed hook on demand is not called, also when it was asked for or removes itself") {
  Loop loop;
  int calls = 0;
  Loop::HookId own = 0;
  own = loop.on_demand([&] {
    ++calls;
    loop.remove_hook(own);
    loop.ask_for(own);
  });
  const Loop::HookId other = loop.on_demand([&] { calls += 100; });
  loop.ask_for(own);
  loop.ask_for(other);
  loop.remove_hook(other);

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
