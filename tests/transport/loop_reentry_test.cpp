// The loop from inside its own handlers: changing what it watches, breathing, waiting.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <weft/transport/loop.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

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
    if (!digging) return;  // the last one is still due when the error is out
    loop.at(loop.now(), deeper);
    loop.run_until([] { return false; }, soon());
  };
  loop.at(Clock::now(), deeper);

  CHECK_THROWS_WITH_AS(loop.run(), doctest::Contains("inside each other"), Error);
  digging = false;
  bool usable = false;
  loop.post([&] { usable = true; });
  CHECK(loop.run_until([&] { return usable; }, soon()));
}

TEST_CASE("what is retired ends when its time has come and no turn is on the stack") {
  Loop loop;
  int held = 0;
  const auto hold = [&held] {
    ++held;
    return std::shared_ptr<void>(nullptr, [&held](void*) { --held; });
  };
  bool over = false;
  int within = 0;
  loop.post([&] {
    loop.retire([&, what = hold()] { return over; });
    loop.retire([what = hold()] { return true; });
    loop.post([] {});
    REQUIRE(loop.run_once(soon()));  // inside of this one
    within = held;
  });

  REQUIRE(loop.run_once(soon()));

  CHECK(within == 2);
  CHECK(held == 1);
  over = true;
  loop.post([] {});
  REQUIRE(loop.run_once(soon()));
  CHECK(held == 0);
}

TEST_CASE("what is retired ends with the loop, and may retire others then") {
  int ends = 0;
  {
    Loop loop;
    const auto last = [&] {
      ++ends;
      loop.retire([what = std::shared_ptr<void>(nullptr, [&](void*) { ++ends; })] { return false; });
    };
    loop.retire([what = std::shared_ptr<void>(nullptr, [last](void*) { last(); })] { return false; });
  }
  CHECK(ends == 2);
}
