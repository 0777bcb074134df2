// A command and its streams: when its owner is told of room, of what was read, and of its end.
#include "weft-exec/child.hpp"

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <weft/transport/loop.hpp>

using namespace weft;

namespace {

// As every program does: a command may be gone in the midst of a write.
[[maybe_unused]] const auto before_pipes = std::signal(SIGPIPE, SIG_IGN);

Deadline patience() {
  return Deadline::after(std::chrono::seconds(30));
}

/// A folder that goes with the test.
struct Folder {
  std::string path = "/tmp/weft-child-XXXXXX";
  Folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Folder() {
    ::unlink(file().c_str());
    ::rmdir(path.c_str());
  }
  [[nodiscard]] std::string file() const { return path + "/mark"; }
  [[nodiscard]] bool marked() const {
    struct stat found {};
    return ::stat(file().c_str(), &found) == 0;
  }
};

}  // namespace

TEST_CASE("a command that makes room is told of later, never inside a write") {
  Loop loop;
  bool writing = false, told = false, told_inside = false;
  exec::Child child(loop, {.on_line = [](std::string_view) {},
                           .on_error_line = [](std::string_view) {},
                           .on_room =
                               [&] {
                                 told = true;
                                 told_inside = told_inside || writing;
                               },
                           .on_taken = {},
                           .on_closed = {},
                           .on_broken = {},
                           .on_exit = {}});
  child.write_line(std::string(exec::Child::kMostQueued, 'x'));
  REQUIRE(!child.has_room());
  child.start({"/bin/sh", "-c", "exec cat >/dev/null"});

  // Each write takes as much into the pipe as the command has read meanwhile.
  const Deadline deadline = patience();
  writing = true;
  for (std::size_t n = 0; n != exec::Child::kMostQueued / 4 && !told && !deadline.passed(Clock::now());) {
    if (child.write_line("y") && child.has_room()) ++n;
  }
  writing = false;

  CHECK(!told_inside);
  CHECK(loop.run_until([&] { return told; }, patience()));
}

TEST_CASE("a command that reads no more has nothing waiting for it, and holds nobody up") {
  Loop loop;
  bool closed = false, told = false;
  exec::Child child(loop, {.on_line = [](std::string_view) {},
                           .on_error_line = [](std::string_view) {},
                           .on_room = [&] { told = true; },
                           .on_taken = {},
                           .on_closed = [&] { closed = true; },
                           .on_broken = {},
                           .on_exit = {}});
  child.write_line(std::string(2 * exec::Child::kMostQueued, 'x'));
  child.start({"/bin/sh", "-c", "exec 0<&-; exec sleep 600"});

  CHECK(loop.run_until([&] { return closed && told; }, patience()));
  CHECK(child.queued() == 0);
  CHECK(!child.write_line("y"));
  CHECK(child.left_unread());
}

TEST_CASE("what a command has written so far is read at once, and not what it writes meanwhile") {
  Loop loop;
  std::size_t lines = 0;
  exec::Child child(loop, {.on_line =
                               [&](std::string_view) {
                                 // As slow as it takes for the pipe never to be empty.
                                 if (++lines > 1'000'000) throw std::runtime_error("it goes on for ever");
                                 const TimePoint later = Clock::now() + std::chrono::microseconds(1);
                                 while (Clock::now() < later) {
                                 }
                               },
                           .on_error_line = [](std::string_view) {},
                           .on_room = {},
                           .on_taken = {},
                           .on_closed = {},
                           .on_broken = {},
                           .on_exit = {}});
  child.start({"/bin/sh", "-c", "exec yes"});
  REQUIRE(loop.run_until([&] { return lines != 0; }, patience()));

  CHECK_NOTHROW(child.read_now());
}

TEST_CASE("what a command had read when it ended counts as read") {
  Loop loop;
  bool taken = false, taken_at_end = false, ended = false;
  exec::Child child(loop, {.on_line = [](std::string_view) {},
                           .on_error_line = [](std::string_view) {},
                           .on_room = {},
                           .on_taken = [&](std::size_t left) { taken = left == 0; },
                           .on_closed = {},
                           .on_broken = {},
                           .on_exit =
                               [&](int) {
                                 ended = true;
                                 taken_at_end = taken;
                               }});
  child.tells_taken();
  child.start({"/bin/sh", "-c", "read line"});
  REQUIRE(child.give("1"));

  CHECK(loop.run_until([&] { return ended; }, patience()));
  CHECK(taken_at_end);
}

TEST_CASE("a command ends although its output was paused and a process that it left holds it open") {
  const Folder folder;
  Loop loop;
  bool ended = false;
  exec::Child child(loop, {.on_line = [](std::string_view) {},
                           .on_error_line = [](std::string_view) {},
                           .on_room = {},
                           .on_taken = {},
                           .on_closed = {},
                           .on_broken = {},
                           .on_exit = [&](int) { ended = true; }});
  child.pause(true);
  // The mark is made when its standard error is closed, which is when no more is waited for.
  child.start({"/bin/sh", "-c",
               "(trap '' PIPE; while echo x >&2; do sleep 0.05; done; : >" + folder.file() +
                   "; exec sleep 600) & exit 0"});
  const auto turns = loop.every(std::chrono::milliseconds(10), [] {});
  REQUIRE(loop.run_until([&] { return folder.marked(); }, patience()));
  REQUIRE(!ended);

  child.pause(false);

  CHECK(loop.run_until([&] { return ended; }, patience()));
  loop.cancel(turns);
}

TEST_CASE("the end of a command is told behind its last line, also where that waits and lacks its end") {
  Loop loop;
  bool ended = false, ended_while_paused = false;
  exec::Child* it = nullptr;
  bool paused = false;
  exec::Child child(loop, {.on_line =
                               [&](std::string_view) {
                                 paused = true;
                                 it->pause(true);
                               },
                           .on_error_line = [](std::string_view) {},
                           .on_room = {},
                           .on_taken = {},
                           .on_closed = {},
                           .on_broken = {},
                           .on_exit =
                               [&](int) {
                                 ended = true;
                                 ended_while_paused = paused;
                               }});
  it = &child;
  child.start({"/bin/sh", "-c", "printf last"});
  REQUIRE(loop.run_until([&] { return paused && !child.running(); }, patience()));
  CHECK(!ended);

  paused = false;
  child.pause(false);

  CHECK(loop.run_until([&] { return ended; }, patience()));
  CHECK(!ended_while_paused);
}

TEST_CASE("a command that has read a part of what waits is told of once, where somebody asked") {
  Loop loop;
  int told = 0;
  exec::Child child(loop, {.on_line = [](std::string_view) {},
                           .on_error_line = [](std::string_view) {},
                           .on_room = [] {},
                           .on_left = [&] { ++told; },
                           .on_taken = {},
                           .on_closed = {},
                           .on_broken = {},
                           .on_exit = {}});
  child.write_line(std::string(4 * exec::Child::kMostQueued, 'x'));
  CHECK(child.left_queue() == 0);
  child.tell_left();
  child.start({"/bin/sh", "-c", "head -c 1000000 >/dev/null; exec sleep 600"});

  CHECK(loop.run_until([&] { return child.left_queue() >= 1000000; }, patience()));
  CHECK(loop.run_until([&] { return told != 0; }, patience()));
  CHECK(told == 1);
  CHECK(child.left_queue() + child.queued() == child.queued_ever());
  CHECK(!child.has_room());
}
