// Journals on disks that are smaller than their options: what is dead is reclaimed in time, also when the
// disk is full, so that a queue in a journal never stops for ever.
#include <deque>

#include <doctest/doctest.h>

#include "journal/journal_support.hpp"
#include "journal/memory_disk.hpp"

using namespace weft;
using namespace weft::journal;
using namespace weft::journal::testing;

namespace {

constexpr std::size_t kMiB = 1 << 20;

// A queue of values that stays `kept` bytes long, as a sender's is whose receiver keeps up; beside it a value
// that is written once and never again.
class Queue {
 public:
  Queue(Store& store, std::uint64_t kept, std::size_t size) : store_(store), kept_(kept), size_(size) {
    if (store_.count("once") == 0) CHECK(put(store_, "once", "epoch", "7") == Store::Flush::done);
  }

  // False: it was refused, and nothing that the receiver does makes room.
  bool push() {
    changes_.put("queue", as_bytes(key(next_)), as_bytes(std::string(size_, 'q')));
    held_.push_back(next_++);
    while (store_.submit(changes_) != CommitStatus::ok) {
      ++refused;
      // The receiver goes on; what is told here waits in the same changes, behind what was refused.
      if (held_.size() < 2) return false;
      pop();
      (void)store_.flush();
    }
    (void)store_.flush();
    while (held_.size() * size_ > kept_) pop();
    return true;
  }
  void pop() {
    changes_.erase("queue", as_bytes(key(held_.front())));
    held_.pop_front();
  }
  std::uint64_t refused = 0;

 private:
  static std::string key(std::uint64_t number) { return std::to_string(1'000'000'000 + number); }
  Store& store_;
  std::uint64_t kept_;
  std::size_t size_;
  std::uint64_t next_ = 0;
  std::deque<std::uint64_t> held_;
  JournalTxn changes_;
};

}  // namespace

// Segments are a quarter of the usual ones, and so is all the rest: what counts is how many of them there is
// room for.
TEST_CASE("a queue runs through a journal whose disk has room for few of its segments") {
  for (const std::size_t disk_size : {6 * kMiB, 17 * kMiB, 25 * kMiB}) {
    const auto disk = std::make_shared<MemoryDisk>();
    disk->tell_free();
    disk->set_limit(disk_size);
    Store store({.path = "j", .segment_bytes = 16 * kMiB, .disk = disk});
    Queue queue(store, kMiB / 2, 50'000);
    for (std::size_t sent = 0; sent < 2 * disk_size; sent += 50'000) REQUIRE(queue.push());

    CHECK(queue.refused == 0);
    CHECK(store.stats().disk_bytes < disk_size / 2 + kMiB);
    CHECK(store.damage().empty());
  }
}

TEST_CASE("a queue as long as its disk allows is held up, and goes on as its receiver does") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk->tell_free();
  disk->set_limit(6 * kMiB);
  Store store({.path = "j", .segment_bytes = 16 * kMiB, .disk = disk});
  Queue queue(store, 16 * kMiB, 50'000);

  for (std::size_t sent = 0; sent < 12 * kMiB; sent += 50'000) REQUIRE(queue.push());

  CHECK(queue.refused > 0);
  CHECK(disk->used() <= 6 * kMiB);
}

TEST_CASE(
    "a disk that somebody else fills leaves the reserve to what makes room, and takes values again later") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk->tell_free();
  disk->set_limit(64 * kMiB);
  JournalTxn changes;
  {
    Store store({.path = "j", .disk = disk});
    for (int i = 0; i < 20; ++i)
      REQUIRE(put(store, "s", std::to_string(i), std::string(100'000, 'x')) == Store::Flush::done);
    REQUIRE(disk->contents().contains("j/reserve"));

    disk->set_limit(disk->used());  // full, to the last byte
    for (int i = 0; i < 15; ++i) CHECK(erase(store, "s", std::to_string(i)) == Store::Flush::done);
    CHECK(!disk->contents().contains("j/reserve"));
    CHECK(store.durable() == store.submitted());
    // More than is left does not fit, however it is tried.
    changes.put("s", as_bytes("big"), as_bytes(std::string(4 * kMiB, 'b')));
    CHECK(store.submit(changes) == CommitStatus::full);
    CHECK(store.no_space());

    disk->set_limit(64 * kMiB);
    (void)store.flush();
    CHECK(store.submit(changes) == CommitStatus::ok);
    CHECK(store.flush() == Store::Flush::done);
    CHECK(!store.no_space());
    CHECK(disk->contents().contains("j/reserve"));
  }
  Store store({.path = "j", .disk = disk});
  CHECK(store.damage().empty());
  CHECK(store.count("s") == 6);
}

TEST_CASE("dead room is reclaimed on a full disk even where the segment is the one that is written") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk->tell_free();
  disk->set_limit(64 * kMiB);
  Store store({.path = "j", .disk = disk});
  for (int i = 0; i < 30; ++i)
    REQUIRE(put(store, "s", std::to_string(i), std::string(100'000, 'x')) == Store::Flush::done);
  REQUIRE(store.stats().segments == 1);
  disk->set_limit(disk->used());

  for (int i = 0; i < 30; ++i) CHECK(erase(store, "s", std::to_string(i)) == Store::Flush::done);
  CHECK(put(store, "s", "new", std::string(100'000, 'y')) == Store::Flush::done);
  CHECK(put(store, "s", "newer", std::string(100'000, 'y')) == Store::Flush::done);

  CHECK(store.stats().reclaimed_segments >= 1);
  CHECK(store.stats().disk_bytes < kMiB);
}
