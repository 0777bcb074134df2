// A disk that is really full: a small tmpfs that only one thread of this process sees. Needs root.
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "journal/journal_support.hpp"

using namespace weft;
using namespace weft::journal::testing;

namespace {

// In a thread of its own, and so are the journal's: mounts of a namespace go with its last thread.
bool mount_small(const std::string& at) {
  if (::unshare(CLONE_NEWNS) != 0) return false;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  return ::mount("tmpfs", at.c_str(), "tmpfs", 0, "size=1m") == 0;
}

// What a port does with changes that were refused: submits them again when the journal has news.
bool submit_with_news(Journal& journal) {
  std::mutex mutex;
  std::condition_variable changed;
  bool news = true;
  const std::size_t id = journal.subscribe([&] {
    const std::lock_guard lock(mutex);
    news = true;
    changed.notify_one();
  });
  bool taken = false;
  const auto until = soon().point();
  while (!taken) {
    {
      std::unique_lock lock(mutex);
      if (!changed.wait_until(lock, until, [&] { return news; })) break;
      news = false;
    }
    taken = journal.submit() == CommitStatus::ok;
  }
  journal.unsubscribe(id);
  return taken;
}

std::string key_of(std::uint64_t number) {
  return std::to_string(number);
}

std::uint64_t fill(Journal& journal) {
  for (std::uint64_t count = 0; count < 1000; ++count) {
    journal.change().put("s", as_bytes(key_of(count)), as_bytes(std::string(10000, 'x')));
    if (journal.submit() != CommitStatus::ok) return count;  // it stays open
    REQUIRE(journal.wait_durable(journal.submitted(), soon()));
  }
  return 1000;
}

void fill_and_free(const std::string& at) {
  const std::string path = at + "/j";
  std::uint64_t values = 0;
  {
    const auto journal = Journal::open({.path = path, .segment_bytes = 256 << 10});
    values = fill(*journal);
    REQUIRE(values > 20);
    REQUIRE(values < 1000);
    CHECK(journal->no_space());
    CHECK(!journal->failure());
    CHECK(journal->durable() == journal->submitted());

    // Room that others make is found without a word from anybody.
    REQUIRE(::mount("tmpfs", at.c_str(), "tmpfs", MS_REMOUNT, "size=8m") == 0);
    CHECK(submit_with_news(*journal));
    ++values;
    CHECK(journal->wait_durable(journal->submitted(), soon()));
    CHECK(!journal->no_space());

    // Somebody else takes all of it: erasures find the reserve, and values wait until there is room again.
    const std::string other = at + "/other";
    std::ofstream(other) << std::string(16 << 20, 'o');
    for (std::uint64_t i = 0; i < 10; ++i, --values) journal->change().erase("s", as_bytes(key_of(i)));
    REQUIRE(journal->submit() == CommitStatus::ok);
    CHECK(journal->wait_durable(journal->submitted(), soon()));
    journal->change().put("s", as_bytes("late"), as_bytes(std::string(4 << 20, 'l')));
    CHECK(journal->submit() == CommitStatus::full);
    std::filesystem::remove(other);
    CHECK(submit_with_news(*journal));
    ++values;
    CHECK(journal->wait_durable(journal->submitted(), soon()));
  }
  const auto journal = Journal::open({.path = path});
  CHECK(journal->damage().empty());
  CHECK(journal->count("s") == values);
}

}  // namespace

TEST_CASE("on a small file system that fills up nothing is lost, and work goes on when it has room") {
  const Folder folder;
  const std::string at = folder / "small";
  std::filesystem::create_directory(at);
  bool mounted = false;
  std::thread([&] {
    mounted = mount_small(at);
    if (mounted) fill_and_free(at);
  }).join();
  if (!mounted) MESSAGE("skipped: no tmpfs can be mounted here");
}
