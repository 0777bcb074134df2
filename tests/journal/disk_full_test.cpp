// A disk that is really full: a small tmpfs that only one thread of this process sees. Needs root.
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

void fill_and_free(const std::string& at) {
  const std::string path = at + "/j";
  std::uint64_t submitted = 0;
  {
    const auto journal = Journal::open({.path = path, .segment_bytes = 256 << 10});
    CommitStatus status = CommitStatus::ok;
    while (status == CommitStatus::ok && submitted < 1000) {
      journal->change().put("s", as_bytes(std::to_string(submitted)), as_bytes(std::string(10000, 'x')));
      status = journal->submit();
      if (status != CommitStatus::ok) break;
      ++submitted;
      if (!journal->wait_durable(submitted, Deadline::after(std::chrono::milliseconds(300)))) break;
    }
    REQUIRE(submitted < 1000);
    CHECK(journal->no_space());
    CHECK(!journal->failure());
    CHECK(journal->durable() < journal->submitted());

    // Room, and nobody submits: the writer tries by itself.
    REQUIRE(::mount("tmpfs", at.c_str(), "tmpfs", MS_REMOUNT, "size=8m") == 0);
    CHECK(journal->wait_durable(journal->submitted(), soon()));
    CHECK(journal->submit() == CommitStatus::ok);
    CHECK(journal->wait_durable(journal->submitted(), soon()));
    submitted = journal->submitted();
  }
  const auto journal = Journal::open({.path = path});
  CHECK(journal->damage().empty());
  CHECK(journal->count("s") == submitted);
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
