#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include <weft/ps/shard_map.hpp>

#include "ps/random.hpp"

using namespace weft::ps;

TEST_CASE("dense ranges are contiguous, cover all rows and differ by at most one") {
  for (const std::uint64_t rows : {1, 2, 7, 10, 785, 1000}) {
    for (const std::uint32_t shards : {1U, 2U, 3U, 7U, 16U}) {
      CAPTURE(rows);
      CAPTURE(shards);
      std::uint64_t next = 0;
      for (std::uint32_t shard = 0; shard < shards; ++shard) {
        const RowRange range = dense_range(rows, shards, shard);
        CHECK(range.begin == next);
        CHECK(range.end - range.begin >= rows / shards);
        CHECK(range.end - range.begin <= rows / shards + 1);
        for (std::uint64_t row = range.begin; row < range.end; ++row)
          REQUIRE(dense_shard(rows, shards, row) == shard);
        next = range.end;
      }
      CHECK(next == rows);
    }
  }
}

TEST_CASE("jump hash gives the published values") {
  // Values of the reference code in the paper, as other implementations test them.
  CHECK(jump_hash(1, 1) == 0);
  CHECK(jump_hash(42, 57) == 43);
  CHECK(jump_hash(0xDEAD10CC, 1) == 0);
  CHECK(jump_hash(0xDEAD10CC, 666) == 361);
  CHECK(jump_hash(256, 1024) == 520);
}

TEST_CASE("jump hash is balanced also for neighbouring keys") {
  for (const std::uint32_t shards : {2U, 3U, 8U}) {
    std::vector<double> held(shards);
    const int keys = 30'000;
    for (int key = 0; key < keys; ++key) ++held[jump_hash(static_cast<std::uint64_t>(key), shards)];
    for (const double count : held)
      CHECK(count == doctest::Approx(keys / static_cast<double>(shards)).epsilon(0.05));
  }
}

TEST_CASE("one more shard moves only keys to the new shard, and a fair part of them") {
  const int keys = 20'000;
  for (std::uint32_t shards = 1; shards < 10; ++shards) {
    int moved = 0;
    for (std::uint64_t key = 0; key < keys; ++key) {
      const std::uint32_t before = jump_hash(key, shards);
      const std::uint32_t after = jump_hash(key, shards + 1);
      if (before == after) continue;
      ++moved;
      REQUIRE(after == shards);
    }
    CHECK(moved == doctest::Approx(keys / static_cast<double>(shards + 1)).epsilon(0.06));
  }
}

TEST_CASE("splitting by shard keeps the order, and placing the parts gives the whole again") {
  Random random(11);
  KeySplit split;
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    TableSpec table;
    table.kind = round % 2 == 0 ? TableKind::dense : TableKind::sparse;
    table.rows = 1 + random.below(100);
    table.width = 1 + static_cast<std::uint32_t>(random.below(4));
    const auto shards = 1 + static_cast<std::uint32_t>(random.below(6));
    std::vector<std::uint64_t> keys(random.below(60));
    for (std::uint64_t& key : keys)
      key = table.kind == TableKind::dense ? random.below(table.rows) : random.next();
    std::vector<float> values(keys.size() * table.width);
    for (float& value : values) value = static_cast<float>(random.uniform());

    split.split(table, shards, keys);
    std::vector<float> grouped(values.size());
    split.group_rows(values, table.width, grouped);
    std::vector<float> whole(values.size(), -1.0F);
    std::size_t total = 0;
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      const auto part = split.keys(shard);
      auto at = keys.begin();
      for (const std::uint64_t key : part) {
        const std::uint32_t owner =
            table.kind == TableKind::dense ? dense_shard(table.rows, shards, key) : jump_hash(key, shards);
        REQUIRE(owner == shard);
        at = std::find(at, keys.end(), key);  // in the order of the input
        REQUIRE(at != keys.end());
        ++at;
      }
      const std::span<const float> rows(grouped.data() + split.offset(shard) * table.width,
                                        part.size() * table.width);
      const std::size_t half = part.size() / 2;  // a shard's rows may come in pieces
      split.place_rows(shard, half, weft::bytes_of(rows.subspan(half * table.width)), table.width, whole);
      split.place_rows(shard, 0, weft::bytes_of(rows.first(half * table.width)), table.width, whole);
      total += part.size();
    }
    CHECK(total == keys.size());
    CHECK(whole == values);
  }
}
