// The file of record ids that outlives its process.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/program/id_log.hpp>

using weft::program::IdLog;

namespace {

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/wid-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file() const { return IdLog::file(path_, "sink/3", "taken"); }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("ids are read back in their order, with their marks") {
  const Folder folder;
  {
    IdLog log(folder.file());
    CHECK(log.append(0) == 0);
    CHECK(log.append(1'000'000'000'000) == 1);
    CHECK(log.append(~std::uint64_t{0}) == 2);
    log.mark(1);
  }

  const auto entries = IdLog::read(folder.file());

  CHECK(folder.file().ends_with("/sink-3.taken"));
  CHECK(std::filesystem::file_size(folder.file()) == 24);
  REQUIRE(entries.size() == 3);
  CHECK(entries[0] == IdLog::Entry{0, false});
  CHECK(entries[1] == IdLog::Entry{1'000'000'000'000, true});
  CHECK(entries[2] == IdLog::Entry{IdLog::kNoId, false});
}

TEST_CASE("a log is continued over its chunks") {
  const Folder folder;
  constexpr std::uint64_t kMany = 300'000;
  for (std::uint64_t n = 0; n < kMany;) {
    IdLog log(folder.file());
    REQUIRE(log.size() == n);
    for (std::uint64_t end = n + 70'001; n < end && n < kMany; ++n) log.append(n);
    CHECK(log.at(n / 2).id == n / 2);
  }

  const auto entries = IdLog::read(folder.file());

  REQUIRE(entries.size() == kMany);
  CHECK(entries.back().id == kMany - 1);
}

TEST_CASE("what a killed process has appended is there") {
  const Folder folder;
  const std::string path = folder.file();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    IdLog log(path);
    for (std::uint64_t n = 0; n < 1000; ++n) log.append(n);
    log.mark(7);
    kill(getpid(), SIGKILL);
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);

  IdLog log(path);

  CHECK(WIFSIGNALED(status));
  CHECK(log.size() == 1000);
  CHECK(log.at(999).id == 999);
  CHECK(log.at(7).marked);
  CHECK(IdLog::read(path).size() == 1000);
}

TEST_CASE("a torn end is overwritten, not read") {
  const Folder folder;
  { IdLog(folder.file()).append(5); }
  { std::ofstream(folder.file(), std::ios::binary | std::ios::app) << "abc"; }
  CHECK(IdLog::read(folder.file()).size() == 1);

  { IdLog(folder.file()).append(6); }

  const auto entries = IdLog::read(folder.file());
  REQUIRE(entries.size() == 2);
  CHECK(entries[1].id == 6);
}

TEST_CASE("a ledger without its folder is named") {
  CHECK_THROWS_WITH_AS(IdLog("/nowhere/at/all.taken"),
                       "cannot open the ledger /nowhere/at/all.taken: No such file or directory",
                       weft::Error);
}
