#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/sim/disk.hpp>
#include <weft/sim/faults.hpp>
#include <weft/sim/random.hpp>
#include <weft/sim/scheduler.hpp>

using namespace weft;
using namespace weft::sim;
using namespace std::chrono_literals;
using Mode = journal::Disk::Mode;

namespace {

int write(journal::File& file, std::uint64_t offset, const std::string& text) {
  const Bytes part = std::as_bytes(std::span(text));
  return file.write(offset, {&part, 1}).error;
}

std::string contents(SimDisk& disk, const std::string& path) {
  const auto opened = disk.open(path, Mode::read);
  if (!opened.file) return "(gone)";
  std::string out(opened.file->size(), '?');
  (void)opened.file->read(0, std::as_writable_bytes(std::span(out)));
  return out;
}

}  // namespace

TEST_CASE("events run in the order of their time, and of their planning where times are equal") {
  Scheduler scheduler;
  std::vector<int> ran;
  scheduler.after(2ms, [&] { ran.push_back(3); });
  scheduler.after(1ms, [&] { ran.push_back(1); });
  scheduler.after(1ms, [&] {
    ran.push_back(2);
    scheduler.at(TimePoint{}, [&] { ran.push_back(20); });  // has passed: now
  });

  while (scheduler.step()) {
  }

  CHECK(ran == std::vector<int>{1, 2, 20, 3});
  CHECK(scheduler.elapsed() == 2ms);
  CHECK(scheduler.events() == 4);
}

TEST_CASE("a seed gives the same numbers, within their bounds") {
  Random a(7);
  Random b(7);
  for (int i = 0; i < 1000; ++i) {
    CHECK(a.next() == b.next());
    const std::uint64_t number = a.between(3, 5);
    CHECK(number == b.between(3, 5));
    CHECK((number >= 3 && number <= 5));
    CHECK(a.unit() < 1.0);
    (void)b.unit();
  }
  CHECK(!a.chance(0));
  CHECK(a.chance(1));
  CHECK(a.below(0) == 0);
}

TEST_CASE("faults are read from text and written back") {
  const Faults faults = parse_faults("loss=0.01,crash=0.001,delay=0.002");

  CHECK(faults.loss == 0.01);
  CHECK(faults.crash == 0.001);
  CHECK(faults.delay == 2ms);
  CHECK(to_text(faults) == "loss=0.01,crash=0.001,delay=0.002");
  CHECK(to_text(parse_faults("")).empty());
}

TEST_CASE("a fault that is unknown, has no number or is out of range is refused by name") {
  for (const auto& [given, words] :
       {std::pair("lost=1", "unknown fault 'lost'"), std::pair("loss", "no value"),
        std::pair("loss=much", "'much' is not a number"), std::pair("loss=2", "loss: 2 is not in 0 to 1"),
        std::pair("skew=0.5", "skew"), std::pair("delay=-1", "delay"), std::pair("crash=nan", "crash")}) {
    const char* const text = given;
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(parse_faults(text), doctest::Contains(words), Error);
  }
}

TEST_CASE("what was synced survives a power failure") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimDisk disk(seed);
    CHECK(disk.make_directory("d") == 0);
    const auto file = disk.open("d/a", Mode::create).file;
    CHECK(write(*file, 0, "first") == 0);
    CHECK(file->sync() == 0);
    CHECK(disk.sync_directory("d") == 0);
    CHECK(write(*file, 5, "second") == 0);

    disk.fail();

    CHECK(contents(disk, "d/a").substr(0, 5) == "first");
    CHECK(write(*file, 0, "zombie") == EIO);  // of a process that is gone
  }
}

TEST_CASE("what was not synced may be lost or torn by a power failure, and is not by a killed process") {
  bool lost = false;
  bool kept = false;
  bool cut = false;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SimDisk disk(seed);
    const auto file = disk.open("a", Mode::create).file;
    CHECK(disk.sync_directory("") == 0);
    CHECK(write(*file, 0, "text") == 0);
    disk.kill();
    CHECK(contents(disk, "a") == "text");
    disk.fail();
    const std::string left = contents(disk, "a");
    kept = kept || left == "text";
    cut = cut || (left.size() > 0 && left.size() < 4);
    lost = lost || left.find("text") == std::string::npos;
  }
  CHECK(lost);
  CHECK(kept);
  CHECK(cut);
}

TEST_CASE("a full disk takes a part and says so, and takes the rest when there is room") {
  SimDisk disk(3);
  const auto file = disk.open("a", Mode::create).file;
  disk.set_full(true);

  CHECK(write(*file, 0, "0123456789") == ENOSPC);
  CHECK(file->size() < 10);
  disk.set_full(false);
  CHECK(write(*file, 0, "0123456789") == 0);
  CHECK(file->size() == 10);
}

TEST_CASE("a broken disk says so from the planned operation on, until its process is gone") {
  SimDisk disk(3);
  const auto file = disk.open("a", Mode::create).file;
  disk.break_after(1);

  CHECK(write(*file, 0, "a") == 0);
  CHECK(write(*file, 0, "b") == EIO);
  CHECK(file->sync() == EIO);
  disk.kill();
  CHECK(write(*disk.open("a", Mode::write).file, 0, "c") == 0);
}

TEST_CASE("a lock is held by one, and falls with its process") {
  SimDisk disk(3);
  auto locked = disk.lock("lock");

  CHECK(locked.lock);
  CHECK(disk.lock("lock").error == EAGAIN);
  disk.kill();
  auto again = disk.lock("lock");
  CHECK(again.lock);
  locked.lock.reset();
  CHECK(!disk.lock_owner("lock").empty());
}
