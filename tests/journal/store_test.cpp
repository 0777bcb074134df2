#include <random>

#include <doctest/doctest.h>

#include <weft/core/format.hpp>

#include "journal/journal_support.hpp"
#include "journal/memory_disk.hpp"

using namespace weft;
using namespace weft::journal;
using namespace weft::journal::testing;

namespace {

JournalOptions small_segments(const std::shared_ptr<Disk>& disk, unsigned segments = 8) {
  return {.path = "/j", .segment_bytes = 64 << 10, .max_bytes = segments * (64ULL << 10), .disk = disk};
}

std::string key_of(int i) {
  return format("{:08}", i);
}

}  // namespace

TEST_CASE("all that waits shares one write and one sync") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  REQUIRE(put(store, "s", "0", "v") == Store::Flush::done);
  const auto before = store.stats();
  const int writes = disk->writes();

  for (int i = 0; i < 100; ++i) {
    JournalTxn changes;
    changes.put("s", as_bytes(key_of(i)), as_bytes("value"));
    REQUIRE(store.submit(changes) == CommitStatus::ok);
  }
  CHECK(store.durable() == 1);
  REQUIRE(store.flush() == Store::Flush::done);

  CHECK(store.durable() == 101);
  CHECK(store.stats().syncs == before.syncs + 1);
  CHECK(disk->writes() == writes + 1);
  CHECK(store.flush() == Store::Flush::idle);
}

TEST_CASE("room is made ready ahead of small writes only: what is large is written once") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store({.path = "/j", .segment_bytes = 1 << 20, .disk = disk});
  const auto file_bytes = [&] { return disk->contents().at("/j/0000000000000001.segment").size(); };

  REQUIRE(put(store, "s", "0", "v") == Store::Flush::done);
  const std::size_t ready = file_bytes();
  CHECK(ready > store.stats().disk_bytes);
  REQUIRE(put(store, "s", "1", "v") == Store::Flush::done);
  CHECK(file_bytes() == ready);
  for (const char* key : {"2", "3"}) {
    REQUIRE(put(store, "s", key, std::string(ready, 'v')) == Store::Flush::done);
    CHECK(file_bytes() == store.stats().disk_bytes);
  }
}

TEST_CASE("after a crash all that was durable is there, and of the rest whole entries only") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto disk = std::make_shared<MemoryDisk>();
    auto store = std::make_unique<Store>(small_segments(disk, 100));
    Content durable;
    Content now;
    for (int step = 0; step < 300; ++step) {
      const unsigned what = random() % 20;
      if (what == 0) {
        store.reset();
        disk->crash();
        store = std::make_unique<Store>(small_segments(disk, 100));
        now = durable;
        REQUIRE(content_of(*store) == durable);
        CHECK(store->damage().empty());
      } else if (what < 6) {
        if (store->waiting()) REQUIRE(store->flush() == Store::Flush::done);
        durable = now;
      } else {
        JournalTxn changes;
        for (unsigned i = 0; i <= random() % 4; ++i) {
          const std::string key = std::to_string(random() % 40);
          if (random() % 3 == 0) {
            changes.erase("s", as_bytes(key));
            now.erase("s/" + key);
          } else {
            const std::string value(random() % 3000, static_cast<char>('a' + random() % 26));
            changes.put("s", as_bytes(key), as_bytes(value));
            now["s/" + key] = value;
          }
        }
        REQUIRE(store->submit(changes) == CommitStatus::ok);
      }
    }
  }
}

TEST_CASE("opened again at any time, a journal holds what a plain map holds") {
  std::uint64_t reclaimed = 0;
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto disk = std::make_shared<MemoryDisk>();
    auto store = std::make_unique<Store>(small_segments(disk, 12));
    Content expected;
    for (int step = 0; step < 1500; ++step) {
      const std::string space(1, static_cast<char>('a' + random() % 3));
      const std::string key = std::to_string(random() % 30);
      JournalTxn changes;
      if (random() % 4 == 0) {
        changes.erase(space, as_bytes(key));
        expected.erase(space + "/" + key);
      } else {
        const std::string value(random() % 4000, static_cast<char>('a' + random() % 26));
        changes.put(space, as_bytes(key), as_bytes(value));
        expected[space + "/" + key] = value;
      }
      REQUIRE(store->submit(changes) == CommitStatus::ok);
      if (random() % 3 == 0) REQUIRE(store->flush() == Store::Flush::done);
      if (random() % 100 == 0) {
        (void)store->flush();
        reclaimed += store->stats().reclaimed_segments;
        store.reset();
        store = std::make_unique<Store>(small_segments(disk, 12));
        REQUIRE(store->damage().empty());
        REQUIRE(content_of(*store) == expected);
      }
    }
    REQUIRE(content_of(*store) == expected);
  }
  CHECK(reclaimed > 20);
}

TEST_CASE("a queue keeps its disk use bounded, however much goes through it") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store(small_segments(disk));
  const std::string value(3000, 'v');
  std::size_t most = 0;

  for (int i = 0; i < 5000; ++i) {
    REQUIRE(put(store, "out", key_of(i), value) == Store::Flush::done);
    if (i >= 20) REQUIRE(erase(store, "out", key_of(i - 20)) == Store::Flush::done);
    most = std::max(most, disk->used());
  }

  CHECK(most <= 8 * (64 << 10));
  CHECK(store.count("out") == 20);
  CHECK(store.stats().reclaimed_segments > 200);
  CHECK(store.stats().written_bytes < 2 * 5000 * 3100);
}

TEST_CASE("a value that stays does not keep the segments behind it") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store(small_segments(disk));
  REQUIRE(put(store, "state", "old", std::string(2000, 'o')) == Store::Flush::done);

  for (int i = 0; i < 3000; ++i)
    REQUIRE(put(store, "marks", "one", std::string(500, 'm')) == Store::Flush::done);

  CHECK(disk->used() <= 8 * (64 << 10));
  CHECK(store.read("state", as_bytes("old"))->size() == 2000);
  CHECK(store.stats().reclaimed_segments > 10);
}

TEST_CASE("beyond max_bytes puts are refused until enough was erased, and erasures are not") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store(small_segments(disk, 4));
  const std::string value(5000, 'v');
  JournalTxn changes;
  int count = 0;
  for (; count < 1000; ++count) {
    changes.clear();
    changes.put("out", as_bytes(key_of(count)), as_bytes(value));
    if (store.submit(changes) != CommitStatus::ok) break;
    REQUIRE(store.flush() == Store::Flush::done);
  }
  REQUIRE(count < 1000);
  CHECK(store.no_space());
  CHECK(!changes.empty());
  CHECK(store.submit(changes) == CommitStatus::full);

  for (int i = 0; i < count; ++i) REQUIRE(erase(store, "out", key_of(i)) == Store::Flush::done);
  (void)store.submit(changes);
  (void)store.flush();
  if (!changes.empty()) REQUIRE(store.submit(changes) == CommitStatus::ok);
  REQUIRE(store.flush() != Store::Flush::failed);

  CHECK(!store.no_space());
  CHECK(content_of(store) == Content{{"out/" + key_of(count), value}});
  CHECK(disk->used() <= 4 * (64 << 10));
}

TEST_CASE("the smallest journal goes on for ever when little of it is alive") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store(small_segments(disk, 2));

  for (int i = 0; i < 2000; ++i) {
    JournalTxn changes;
    changes.put("s", as_bytes(key_of(i % 3)), as_bytes(std::string(4000, 'x')));
    bool taken = false;
    for (int tries = 0; tries < 3 && !taken; ++tries) {
      taken = store.submit(changes) == CommitStatus::ok;
      REQUIRE(store.flush() != Store::Flush::failed);
    }
    REQUIRE(taken);
  }

  CHECK(store.count("s") == 3);
  CHECK(disk->used() <= 2 * (64 << 10));
}

TEST_CASE("what has been submitted and waits is bounded") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store({.path = "/j", .max_pending_bytes = 64 << 10, .disk = disk});
  JournalTxn changes;
  changes.put("s", as_bytes("1"), as_bytes(std::string(40 << 10, 'x')));
  REQUIRE(store.submit(changes) == CommitStatus::ok);
  changes.put("s", as_bytes("2"), as_bytes(std::string(40 << 10, 'x')));

  CHECK(store.submit(changes) == CommitStatus::full);
  CHECK(store.submitted() == 1);
  REQUIRE(store.flush() == Store::Flush::done);
  CHECK(store.submit(changes) == CommitStatus::ok);
}

TEST_CASE("a disk that is full keeps what waits, and takes it when there is room") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  REQUIRE(put(store, "s", "0", std::string(1000, 'x')) == Store::Flush::done);
  disk->set_limit(100000);
  int taken = 1;
  for (; taken < 1000; ++taken) {
    JournalTxn changes;
    changes.put("s", as_bytes(key_of(taken)), as_bytes(std::string(7000, 'y')));
    if (store.submit(changes) != CommitStatus::ok) break;
    if (taken % 3 == 0) (void)store.flush();
  }
  REQUIRE(taken < 1000);
  CHECK(store.no_space());
  CHECK(store.durable() < store.submitted());
  const std::uint64_t durable = store.durable();
  {
    // What a restart would find now.
    const Store reader({.path = "/j", .disk = disk}, Store::Access::read_only);
    CHECK(reader.damage().empty());
    CHECK(reader.count("s") == durable);
  }

  disk->set_limit(SIZE_MAX);
  REQUIRE(store.flush() == Store::Flush::done);

  CHECK(!store.no_space());
  CHECK(!store.failure());
  CHECK(store.durable() == store.submitted());
  const Store reader({.path = "/j", .disk = disk}, Store::Access::read_only);
  CHECK(reader.damage().empty());
  CHECK(reader.count("s") == static_cast<std::uint64_t>(taken));
}

TEST_CASE("EIO on any write stops acceptance, and nothing more is reported durable") {
  for (int nth = 1; nth < 12; ++nth) {
    CAPTURE(nth);
    const auto disk = std::make_shared<MemoryDisk>();
    Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    disk->fail_write(nth);
    Store::Flush flush = Store::Flush::done;
    int count = 0;
    for (; flush == Store::Flush::done && count < 100; ++count)
      flush = put(store, "s", key_of(count), std::string(20000, 'x'));

    CHECK(flush == Store::Flush::failed);
    REQUIRE(store.failure());
    CHECK(store.failure()->find("Input/output error") != std::string::npos);
    CHECK(store.failure()->find("/j/") == 0);
    const auto durable = store.durable();
    CHECK(durable == store.submitted() - 1);
    disk->fail_write(0);
    JournalTxn changes;
    changes.put("s", {}, Bytes{});
    CHECK(store.submit(changes) == CommitStatus::failed);
    CHECK(store.flush() == Store::Flush::failed);
    CHECK(store.durable() == durable);
    disk->crash();
    const Store again({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    CHECK(again.count("s") >= durable);
  }
}

TEST_CASE("EIO on any sync stops acceptance, and nothing more is reported durable") {
  for (int nth = 1; nth < 12; ++nth) {
    CAPTURE(nth);
    const auto disk = std::make_shared<MemoryDisk>();
    Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    disk->fail_sync(nth);
    for (int i = 1; i < nth; ++i)
      REQUIRE(put(store, "s", key_of(i), std::string(20000, 'x')) == Store::Flush::done);

    CHECK(put(store, "s", "last", "x") == Store::Flush::failed);

    CHECK(store.failure()->find("cannot sync it: Input/output error") != std::string::npos);
    CHECK(store.durable() == static_cast<std::uint64_t>(nth - 1));
    disk->fail_sync(0);
    JournalTxn changes;
    changes.put("s", {}, Bytes{});
    CHECK(store.submit(changes) == CommitStatus::failed);
  }
}

TEST_CASE("erasing what was put in the same batch leaves nothing alive") {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  JournalTxn changes;
  changes.put("s", as_bytes("k"), as_bytes("v"));
  changes.erase("s", as_bytes("k"));
  changes.erase("s", as_bytes("never there"));
  REQUIRE(store.submit(changes) == CommitStatus::ok);
  REQUIRE(store.flush() == Store::Flush::done);

  CHECK(store.stats().live_values == 0);
  CHECK(store.spaces().empty());
}

TEST_CASE("without sync nothing is synced, and what was written is there for the next process") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    Store store({.path = "/j", .sync = false, .disk = disk});
    REQUIRE(put(store, "s", "k", "v") == Store::Flush::done);
    CHECK(store.durable() == 1);
    CHECK(store.stats().syncs == 0);
  }
  const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  CHECK(content_of(store) == Content{{"s/k", "v"}});
}
