#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/journal/disk.hpp>

#include "journal/journal_support.hpp"
#include "journal/memory_disk.hpp"

using namespace weft;
using namespace weft::journal;
using namespace weft::journal::testing;

TEST_CASE("what was submitted is there after the journal is opened again") {
  const Folder folder;
  {
    const auto journal = Journal::open({.path = folder / "j"});
    journal->change().put("a", as_bytes("1"), as_bytes("one"));
    journal->change().put("a", as_bytes("2"), as_bytes("two"));
    journal->change().put("b", as_bytes("1"), as_bytes("eins"));
    CHECK(journal->next() == 1);
    REQUIRE(journal->submit() == CommitStatus::ok);
    journal->change().erase("a", as_bytes("1"));
    REQUIRE(journal->submit() == CommitStatus::ok);
    CHECK(journal->submitted() == 2);
    REQUIRE(journal->wait_durable(2, soon()));
    CHECK(journal->durable() == 2);
  }

  const auto journal = Journal::open({.path = folder / "j"});

  CHECK(journal->damage().empty());
  CHECK(content_of(*journal) == Content{{"a/2", "two"}, {"b/1", "eins"}});
  CHECK(journal->spaces() == std::vector<std::string>{"a", "b"});
  CHECK(journal->count("a") == 1);
  CHECK(journal->count("nothing") == 0);
  CHECK(!journal->read("a", as_bytes("1")));
  CHECK(journal->submitted() == 0);
}

TEST_CASE("a value is the concatenation of its parts, and may be empty as its key may") {
  const Folder folder;
  const auto journal = Journal::open({.path = folder / "j"});
  const std::vector<Bytes> parts{as_bytes("ab"), {}, as_bytes("cd")};

  journal->change().put("s", {}, parts);
  journal->change().put("s", as_bytes("k"), Bytes{});
  REQUIRE(journal->submit() == CommitStatus::ok);

  CHECK(content_of(*journal) == Content{{"s/", "abcd"}, {"s/k", ""}});
}

TEST_CASE("values are read while they wait and after they are written") {
  const Folder folder;
  const auto journal = Journal::open({.path = folder / "j"});
  const std::string value(96 << 10, 'v');
  for (int i = 0; i < 50; ++i) {
    const std::string key = std::to_string(i);
    journal->change().put("s", as_bytes(key), as_bytes(value));
    REQUIRE(journal->submit() == CommitStatus::ok);
    const auto read = journal->read("s", as_bytes(key));
    REQUIRE(read);
    CHECK(as_text(*read) == value);
  }

  REQUIRE(journal->wait_durable(journal->submitted(), soon()));

  int count = 0;
  journal->for_each("s", [&](Bytes, Bytes read) { count += as_text(read) == value ? 1 : 0; });
  CHECK(count == 50);
}

TEST_CASE("keys come in the order of their bytes, from where one asks") {
  const Folder folder;
  const auto journal = Journal::open({.path = folder / "j"});
  for (const char* key : {"b", "\xff", "a", "ab", "c"})
    journal->change().put("s", as_bytes(key), as_bytes(key));
  REQUIRE(journal->submit() == CommitStatus::ok);
  std::vector<std::string> keys;

  journal->for_each_from("s", as_bytes("ab"), [&](Bytes key, Bytes) {
    keys.emplace_back(as_text(key));
    return keys.size() < 3;
  });

  CHECK(keys == std::vector<std::string>{"ab", "b", "c"});
}

TEST_CASE("hold, release and before_commit make one entry") {
  const auto disk = std::make_shared<MemoryDisk>();
  const auto journal = Journal::open({.path = "/j", .disk = disk});
  int prepared = 0;
  const auto id = journal->before_commit([&] {
    ++prepared;
    journal->change().put("s", as_bytes("late"), as_bytes("3"));
    CHECK(journal->submit() == CommitStatus::ok);
  });

  journal->hold();
  journal->hold();
  journal->change().put("s", as_bytes("a"), as_bytes("1"));
  CHECK(journal->submit() == CommitStatus::ok);
  journal->change().put("s", as_bytes("b"), as_bytes("2"));
  CHECK(journal->submit() == CommitStatus::ok);
  CHECK(journal->submitted() == 0);
  CHECK(journal->release() == CommitStatus::ok);
  CHECK(journal->held());
  CHECK(prepared == 0);
  CHECK(journal->release() == CommitStatus::ok);

  CHECK(!journal->held());
  CHECK(prepared == 1);
  CHECK(journal->submitted() == 1);
  CHECK(journal->count("s") == 3);
  journal->remove_before_commit(id);
  journal->hold();
  CHECK(journal->release() == CommitStatus::ok);
  CHECK(prepared == 1);
  CHECK(journal->submitted() == 1);
}

TEST_CASE("a second owner is refused with the first one's process id") {
  const Folder folder;
  const auto journal = Journal::open({.path = folder / "j"});
  std::string said;

  try {
    Journal::open({.path = folder / "j"});
  } catch (const Error& error) {
    CHECK(error.code() == Errc::in_use);
    said = error.what();
  }

  CHECK(said.find("process " + std::to_string(::getpid()) + " owns") != std::string::npos);
}

TEST_CASE("options, spaces and keys out of range are named") {
  CHECK_THROWS_AS(Journal::open({}), Error);
  CHECK_THROWS_WITH_AS(Journal::open({.path = "/j", .segment_bytes = 1}),
                       "JournalOptions.segment_bytes is 1, allowed are 65536 to 1073741824 bytes", Error);
  JournalTxn changes;
  CHECK_THROWS_AS(changes.put("", {}, Bytes{}), Error);
  CHECK_THROWS_AS(changes.put(std::string(256, 's'), {}, Bytes{}), Error);
  CHECK_THROWS_AS(changes.erase("s", as_bytes(std::string(1025, 'k'))), Error);
  CHECK(changes.empty());
}

TEST_CASE("a missing parent, a plain file and a folder of other things are refused") {
  const Folder folder;
  const auto code = [](const std::string& path) {
    try {
      Journal::open({.path = path});
    } catch (const Error& error) {
      return error.code();
    }
    return Errc::internal;
  };
  std::filesystem::create_directory(folder / "other");
  ::fclose(::fopen((folder / "file").c_str(), "w"));
  ::fclose(::fopen((folder / "other/letter.txt").c_str(), "w"));

  CHECK(code(folder / "no/j") == Errc::io);
  CHECK(code(folder / "file") == Errc::invalid_file);
  CHECK(code(folder / "other") == Errc::invalid_file);
  CHECK(!std::filesystem::exists(folder / "other/lock"));
}

TEST_CASE("a wake comes when what was submitted is durable, and none after unsubscribe") {
  const Folder folder;
  const auto journal = Journal::open({.path = folder / "j"});
  std::mutex mutex;
  std::condition_variable changed;
  int wakes = 0;
  const auto id = journal->subscribe([&] {
    const std::lock_guard lock(mutex);
    ++wakes;
    changed.notify_all();
  });

  journal->change().put("s", as_bytes("k"), as_bytes("v"));
  REQUIRE(journal->submit() == CommitStatus::ok);
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_until(lock, soon().point(), [&] { return journal->durable() == 1; }));
  }
  journal->unsubscribe(id);
  const int before = wakes;
  journal->change().put("s", as_bytes("k"), as_bytes("w"));
  REQUIRE(journal->submit() == CommitStatus::ok);
  REQUIRE(journal->wait_durable(2, soon()));

  CHECK(wakes == before);
}

TEST_CASE("subscribers come and go on other threads while commits are made") {
  const auto disk = std::make_shared<MemoryDisk>();
  const auto journal = Journal::open({.path = "/j", .disk = disk});
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        auto alive = std::make_unique<std::atomic<int>>(0);
        const auto id = journal->subscribe([&count = *alive] { ++count; });
        (void)journal->durable();
        (void)journal->failure();
        (void)journal->no_space();
        journal->unsubscribe(id);
      }
    });
  }

  for (int i = 0; i < 2000; ++i) {
    journal->change().put("s", as_bytes(std::to_string(i % 50)), as_bytes("value"));
    REQUIRE(journal->submit() == CommitStatus::ok);
    if (i % 7 == 0) CHECK(journal->read("s", as_bytes(std::to_string(i % 50))));
  }
  CHECK(journal->wait_durable(2000, soon()));
  over = true;
  for (std::thread& thread : threads) thread.join();

  CHECK(journal->count("s") == 50);
}

TEST_CASE(
    "a transaction that one of several abandons ends the journal with the reason, and nothing of it is "
    "kept") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    const auto journal = Journal::open({.path = "/j", .disk = disk});
    journal->change().put("s", as_bytes("before"), as_bytes("1"));
    REQUIRE(journal->submit() == CommitStatus::ok);
    REQUIRE(journal->wait_durable(journal->submitted(), soon()));
    journal->enter();
    journal->enter();
    const auto id =
        journal->before_commit([&] { journal->change().put("s", as_bytes("amid"), as_bytes("2")); });

    journal->abandon();

    REQUIRE(journal->failure());
    CHECK(journal->failure()->find("closed amid a transaction") != std::string::npos);
    (void)journal->leave();
    CHECK(journal->submit() == CommitStatus::failed);
    CHECK(!journal->wait_durable(journal->submitted() + 1, soon()));
    journal->remove_before_commit(id);
  }
  const auto journal = Journal::open({.path = "/j", .disk = disk});
  CHECK(journal->count("s") == 1);
  journal->enter();
  journal->abandon();  // alone: only what belongs to it is forgotten
  CHECK(!journal->failure());
}
