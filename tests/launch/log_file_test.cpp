#include "launch/log_file.hpp"

#include <filesystem>

#include "launch/support.hpp"

using namespace weft;
using namespace weft::test;
using launch::LogFile;

TEST_CASE("lines that a full disk has no room for are counted, and the log says so when there is room") {
  const Base base;
  const std::string path = base.path() + "/a.log";
  std::filesystem::create_symlink("/dev/full", path);
  LogFile log(path, {});
  CHECK(!log.write("one"));
  CHECK(!log.write("two"));
  CHECK(log.lost() == 2);
  CHECK(log.why() == "No space left on device");
  std::filesystem::remove(path);
  log.look_again();
  CHECK(log.write("three"));
  CHECK(log.lost() == 2);
  CHECK(read_text(path) == "weft: 2 lines are missing here: No space left on device\nthree\n");
}

TEST_CASE("a log that is full becomes the one before it, and the oldest goes") {
  const Base base;
  const std::string path = base.path() + "/a.log";
  {
    LogFile log(path, {.max_bytes = 8, .keep = 2});
    for (const char* line : {"aaaaaa", "bbbbbb", "cccccc", "dddddd"}) CHECK(log.write(line));
  }
  CHECK(read_text(path) == "dddddd\n");
  CHECK(read_text(path + ".1") == "cccccc\n");
  CHECK(read_text(path + ".2") == "bbbbbb\n");
  CHECK(!std::filesystem::exists(path + ".3"));
}

TEST_CASE("a log that cannot be turned over is not written beyond its bound") {
  const Base base;
  const std::string path = base.path() + "/a.log";
  std::filesystem::create_directories(path + ".1/full");  // which no file replaces
  LogFile log(path, {.max_bytes = 8, .keep = 1});
  CHECK(log.write("aaaaaa"));
  CHECK(!log.write("bbbbbb"));
  CHECK(log.lost() == 1);
  CHECK(log.why() == "Is a directory");
  CHECK(read_text(path) == "aaaaaa\n");
  std::filesystem::remove_all(path + ".1");
  CHECK(log.write("cccccc"));
  CHECK(read_text(path) == "weft: 1 lines are missing here: Is a directory\ncccccc\n");
  CHECK(read_text(path + ".1") == "aaaaaa\n");
}

TEST_CASE("a log that is cut goes on behind its new end") {
  const Base base;
  const std::string path = base.path() + "/a.log";
  LogFile log(path, {});
  CHECK(log.write("before"));
  std::filesystem::resize_file(path, 0);
  CHECK(log.write("after"));
  CHECK(read_text(path) == "after\n");
}
