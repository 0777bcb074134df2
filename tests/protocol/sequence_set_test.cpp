#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <set>

#include <weft/protocol/sequence_set.hpp>

using namespace weft::protocol;

TEST_CASE("a set that grows in order is one number") {
  SequenceSet set;

  for (std::uint64_t seq = 1; seq <= 1000; ++seq) CHECK(set.add(seq));

  CHECK(set.upto() == 1000);
  CHECK(set.beyond().empty());
  CHECK(set.highest() == 1000);
}

TEST_CASE("what comes before its turn is a range beyond, until the hole is filled") {
  SequenceSet set;

  CHECK(set.add(3));
  CHECK(set.add(4));
  CHECK(set.add(6));
  CHECK(set.upto() == 0);
  CHECK(set.beyond().size() == 2);
  CHECK(set.add(5));
  CHECK(set.beyond().size() == 1);
  set.add_upto(2);

  CHECK(set.upto() == 6);
  CHECK(set.beyond().empty());
}

TEST_CASE("zero and what is in already are not added") {
  SequenceSet set;
  set.add_upto(5);
  set.add(8);

  CHECK(!set.add(0));
  CHECK(!set.add(1));
  CHECK(!set.add(5));
  CHECK(!set.add(8));
  CHECK(!set.contains(0));
  CHECK(!set.contains(6));
}

TEST_CASE("a set holds the largest numbers there are") {
  constexpr std::uint64_t kLast = UINT64_MAX;
  SequenceSet set;

  CHECK(set.add(kLast));
  CHECK(set.add(kLast - 1));
  set.add_range(kLast - 3, kLast);
  CHECK(set.beyond().size() == 1);
  set.add_upto(kLast);
  set.add_range(1, kLast);
  set.add_upto(7);

  CHECK(set.upto() == kLast);
  CHECK(set.beyond().empty());
  CHECK(!set.add(kLast));
}

TEST_CASE("a sequence set behaves as a set of numbers does") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    SequenceSet set;
    std::set<std::uint64_t> model;
    for (int step = 0; step < 60; ++step) {
      const std::uint64_t first = 1 + random() % 40;
      const std::uint64_t last = first + random() % 6;
      if (random() % 2 == 0) {
        CHECK(set.add(first) == model.insert(first).second);
      } else {
        set.add_range(first, last);
        for (std::uint64_t seq = first; seq <= last; ++seq) model.insert(seq);
      }
      std::uint64_t upto = 0;
      while (model.contains(upto + 1)) ++upto;
      REQUIRE(set.upto() == upto);
      REQUIRE(set.highest() == *model.rbegin());
      std::uint64_t before = upto;
      for (const auto& [from, to] : set.beyond()) {
        REQUIRE(from > before + 1);
        before = to;
      }
      for (std::uint64_t seq = 0; seq <= 50; ++seq) REQUIRE(set.contains(seq) == model.contains(seq));
    }
  }
}
