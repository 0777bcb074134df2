#include <algorithm>
#include <random>
#include <set>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

#include "journal/format.hpp"
#include "journal/journal_support.hpp"
#include "journal/memory_disk.hpp"

using namespace weft;
using namespace weft::journal;
using namespace weft::journal::testing;

namespace {

const std::string kFirst = "/j/0000000000000001.segment";

struct Small {
  std::vector<std::byte> bytes;                       // of its only segment, without the zeros behind
  std::vector<std::size_t> ends;                      // of each entry
  std::vector<Content> states;                        // after 0, 1, 2, ... entries
  std::map<std::string, std::set<std::string>> ever;  // what each key has been
};

// Six entries: puts, a replacement, an erasure, and one with several changes.
Small small_journal() {
  const auto disk = std::make_shared<MemoryDisk>();
  Small out;
  {
    Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    out.states.emplace_back();
    const auto commit = [&](JournalTxn& changes) {
      const std::size_t size = changes.bytes();
      REQUIRE(store.submit(changes) == CommitStatus::ok);
      REQUIRE(store.flush() == Store::Flush::done);
      out.ends.push_back((out.ends.empty() ? kSegmentStart : out.ends.back()) + size);
      out.states.push_back(content_of(store));
      for (const auto& [key, value] : out.states.back()) out.ever[key].insert(value);
    };
    JournalTxn changes;
    changes.put("out", as_bytes("1"), as_bytes("first value"));
    commit(changes);
    changes.put("out", as_bytes("2"), as_bytes("second value"));
    changes.put("marks", as_bytes("peer"), as_bytes("17"));
    commit(changes);
    changes.put("out", as_bytes("3"), as_bytes("third value"));
    commit(changes);
    changes.erase("out", as_bytes("1"));
    changes.put("marks", as_bytes("peer"), as_bytes("18"));
    commit(changes);
    changes.put("out", as_bytes("2"), as_bytes("replaced"));
    commit(changes);
    changes.put("out", as_bytes("4"), as_bytes("fourth value"));
    commit(changes);
  }
  out.bytes = disk->contents().at(kFirst);
  out.bytes.resize(out.ends.back());
  return out;
}

struct Opened {
  Content content;
  std::vector<JournalDamage> damage;
};
Opened open_with(const std::vector<std::byte>& bytes) {
  const auto disk = std::make_shared<MemoryDisk>();
  disk->make_directory("/j");
  disk->put_file(kFirst, bytes);
  Opened out;
  {
    Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    out = {content_of(store), store.damage()};
    // It can be written on, and the result is sound.
    REQUIRE(put(store, "new", "k", "v") == Store::Flush::done);
  }
  Store again({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  Content expected = out.content;
  expected["new/k"] = "v";
  CHECK(content_of(again) == expected);
  return out;
}

// The entries that end at or before `offset`.
std::size_t entries_before(const Small& small, std::size_t offset) {
  return static_cast<std::size_t>(std::upper_bound(small.ends.begin(), small.ends.end(), offset) -
                                  small.ends.begin());
}

}  // namespace

TEST_CASE("cut at any byte, a journal holds exactly the entries before the cut") {
  const Small small = small_journal();

  for (std::size_t length = 0; length <= small.bytes.size(); ++length) {
    CAPTURE(length);
    const Opened opened =
        open_with({small.bytes.begin(), small.bytes.begin() + static_cast<std::ptrdiff_t>(length)});

    CHECK(opened.content == small.states[entries_before(small, length)]);
    const bool is_between = length == 0 || length == kSegmentStart ||
                            std::find(small.ends.begin(), small.ends.end(), length) != small.ends.end();
    CHECK(opened.damage.size() == (is_between ? 0 : 1));
    if (!opened.damage.empty()) CHECK(opened.damage[0].what.starts_with("torn tail"));
  }
}

TEST_CASE(
    "with any bit flipped, a journal names the damage, serves nothing wrong and loses nothing earlier or "
    "later") {
  const Small small = small_journal();

  for (std::size_t bit = 0; bit < small.bytes.size() * 8; ++bit) {
    CAPTURE(bit);
    std::vector<std::byte> bytes = small.bytes;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const Opened opened = open_with(bytes);
    const std::size_t hit = entries_before(small, bit / 8);

    CHECK(opened.damage.size() == 1);
    for (const auto& [key, value] : opened.content) CHECK(small.ever.at(key).contains(value));
    if (bit / 8 < kSegmentStart) {
      CHECK(opened.content == small.states.back());
      continue;
    }
    // Only what the damaged entry touched may differ from the last state.
    for (const auto& [key, value] : small.states.back()) {
      const auto before = small.states[hit].find(key);
      const bool is_untouched =
          small.states[hit + 1].contains(key) == (before != small.states[hit].end()) &&
          (before == small.states[hit].end() || before->second == small.states[hit + 1].at(key));
      if (is_untouched) {
        REQUIRE(opened.content.contains(key));
        CHECK(opened.content.at(key) == value);
      }
    }
  }
}

TEST_CASE("any bytes in the place of a segment are set aside or refused, and never crash") {
  const Small small = small_journal();
  std::mt19937 random(1);

  for (int i = 0; i < 2000; ++i) {
    CAPTURE(i);
    std::vector<std::byte> bytes = small.bytes;
    const int changes = 1 + static_cast<int>(random() % 8);
    for (int c = 0; c < changes; ++c) {
      const std::size_t at = random() % bytes.size();
      if (random() % 3 == 0) {
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), at + random() % 40)));
      } else {
        bytes[at] = static_cast<std::byte>(random());
      }
      if (bytes.empty()) break;
    }
    const Opened opened = open_with(bytes);
    for (const auto& [key, value] : opened.content) {
      if (key != "new/k") CHECK(small.ever.at(key).contains(value));
    }
  }
}

TEST_CASE("an entry that is not whole is set aside in a file of its own before it is cut") {
  const Small small = small_journal();
  const auto disk = std::make_shared<MemoryDisk>();
  disk->make_directory("/j");
  std::vector<std::byte> bytes = small.bytes;
  bytes.back() ^= std::byte{1};
  disk->put_file(kFirst, bytes);

  const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});

  const std::size_t from = small.ends[small.ends.size() - 2];
  const auto aside = disk->contents().at(format("{}.{}.damaged", kFirst, from));
  CHECK(aside == std::vector<std::byte>(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.end()));
  REQUIRE(store.damage().size() == 1);
  CHECK(store.damage()[0].file == kFirst);
  CHECK(store.damage()[0].offset == from);
  CHECK(store.damage()[0].bytes == bytes.size() - from);
}

TEST_CASE(
    "entries of one sync that reached the disk in another order are cut from the first that is missing") {
  const auto disk = std::make_shared<MemoryDisk>();
  const std::string value(2000, 'x');
  std::size_t size = 0;
  {
    Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    REQUIRE(put(store, "s", "durable", "1") == Store::Flush::done);
    for (const char* key : {"a", "b", "c"}) {
      JournalTxn changes;
      changes.put("s", as_bytes(key), as_bytes(value));
      size = changes.bytes();
      REQUIRE(store.submit(changes) == CommitStatus::ok);
    }
    REQUIRE(store.flush() == Store::Flush::done);
  }
  auto bytes = disk->contents().at(kFirst);
  // The sector in the middle of "a" never came.
  JournalTxn first;
  first.put("s", as_bytes("durable"), as_bytes("1"));
  const std::size_t sector = (kSegmentStart + first.bytes() + size / 2) / 512 * 512;
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(sector), 512, std::byte{0});
  disk->put_file(kFirst, bytes);

  const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});

  CHECK(content_of(store) == Content{{"s/durable", "1"}});
  REQUIRE(store.damage().size() == 1);
  CHECK(store.damage()[0].what.starts_with("torn tail"));
}

TEST_CASE("a value that holds the bytes of an entry brings nothing back to life") {
  const auto disk = std::make_shared<MemoryDisk>();
  const Small small = small_journal();
  const std::string stolen(reinterpret_cast<const char*>(small.bytes.data()), small.bytes.size());
  {
    (void)disk->random();  // another salt than that of the other journal
    Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    REQUIRE(put(store, "s", "k", "before") == Store::Flush::done);
    REQUIRE(put(store, "s", "big", stolen) == Store::Flush::done);
    REQUIRE(put(store, "s", "l", "behind") == Store::Flush::done);
  }
  auto bytes = disk->contents().at(kFirst);
  // Damage the header of the entry whose value looks like a journal.
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  bytes[text.find(stolen) - 60] ^= std::byte{4};
  disk->put_file(kFirst, bytes);

  const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});

  for (const auto& [key, value] : content_of(store)) CHECK((key == "s/k" || key == "s/l"));
  CHECK(store.damage().size() >= 1);
}

namespace {

std::shared_ptr<MemoryDisk> three_segments() {
  const auto disk = std::make_shared<MemoryDisk>();
  Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  for (int i = 0; i < 6; ++i)
    REQUIRE(put(store, "s", std::to_string(i), std::string(30000, 'a')) == Store::Flush::done);
  CHECK(store.stats().segments == 3);
  return disk;
}
const std::string kSecond = "/j/0000000000000002.segment";
const std::string kThird = "/j/0000000000000003.segment";

}  // namespace

TEST_CASE("a missing segment is named, and the others are read") {
  const auto disk = three_segments();
  SUBCASE("in the middle") {
    disk->remove(kSecond);
    const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    CHECK(store.count("s") == 4);
    REQUIRE(store.damage().size() == 1);
    CHECK(store.damage()[0].file == kSecond);
    CHECK(store.damage()[0].what == "the segment is missing");
  }
  SUBCASE("at the beginning") {
    disk->remove(kFirst);
    const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
    CHECK(store.count("s") == 4);
    REQUIRE(store.damage().size() == 1);
    CHECK(store.damage()[0].what.find("the segments before 0000000000000002.segment are missing") == 0);
  }
}

TEST_CASE("an empty, a foreign and a copied segment are named, and the others are read") {
  const auto disk = three_segments();
  std::string what;
  SUBCASE("empty") {
    disk->put_file(kSecond, {});
    what = "an empty file";
  }
  SUBCASE("foreign") {
    disk->put_file(kSecond, std::vector<std::byte>(5000, std::byte{'x'}));
    what = "no segment of a journal: neither of its headers is whole";
  }
  SUBCASE("copied") {
    disk->put_file(kSecond, disk->contents().at(kThird));
    what = "a copy of 0000000000000003.segment; not read";
  }

  Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});

  CHECK(store.count("s") == 4);
  REQUIRE(store.damage().size() == 1);
  CHECK(store.damage()[0].file == kSecond);
  CHECK(store.damage()[0].what == what);
  // It is kept when its place is reclaimed.
  for (int i = 0; i < 6; ++i) REQUIRE(erase(store, "s", std::to_string(i)) == Store::Flush::done);
  CHECK(store.stats().segments == 1);
  CHECK(disk->contents().contains(kSecond + ".damaged"));
  CHECK(!disk->contents().contains(kFirst));
}

TEST_CASE("a segment of a later version is refused, and left alone") {
  const auto disk = three_segments();
  auto bytes = disk->contents().at(kThird);
  encode_header({.version = 2, .number = 3, .first_entry = 5, .salt = 1}, bytes.data());
  disk->put_file(kThird, bytes);

  CHECK_THROWS_AS(Store({.path = "/j", .disk = disk}), Error);
  CHECK(disk->contents().at(kThird) == bytes);
}

TEST_CASE("a value that is damaged after it was read in is left out and named") {
  const auto disk = three_segments();
  const Store store({.path = "/j", .segment_bytes = 64 << 10, .disk = disk});
  auto bytes = disk->contents().at(kSecond);
  bytes[1000] ^= std::byte{1};
  disk->put_file(kSecond, bytes);

  int count = 0;
  store.for_each_from("s", {}, [&](Bytes, Bytes) { return ++count != 0; });

  CHECK(count == 5);
  REQUIRE(store.damage().size() == 1);
  CHECK(store.damage()[0].what == "a value was damaged after it had been written");
  CHECK(!store.read("s", as_bytes("2")));
  CHECK(store.damage().size() == 1);
}

TEST_CASE("read-only opening changes nothing, and is no owner") {
  const auto disk = std::make_shared<MemoryDisk>();
  const Small small = small_journal();
  disk->make_directory("/j");
  std::vector<std::byte> bytes = small.bytes;
  bytes.pop_back();
  disk->put_file(kFirst, bytes);
  const auto before = disk->contents();

  const Store store({.path = "/j", .disk = disk}, Store::Access::read_only);

  CHECK(content_of(store) == small.states[5]);
  CHECK(store.damage().size() == 1);
  CHECK(disk->contents() == before);
  CHECK_THROWS_AS(Store({.path = "/none", .disk = disk}, Store::Access::read_only), Error);
}
