#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/reply_cache.hpp>

using namespace weft;
using namespace weft::protocol;

namespace {

using Cache = ReplyCache<std::string>;
using Arrival = Cache::Verdict;

}  // namespace

TEST_CASE("a request that is being handled, or has been, is not fresh again") {
  Cache cache({});

  CHECK(cache.arrive("a", 1, 7).verdict == Arrival::fresh);
  CHECK(cache.arrive("a", 1, 7).verdict == Arrival::handling);
  CHECK(cache.arrive("a", 1, 8).verdict == Arrival::fresh);
  CHECK(cache.arrive("b", 1, 7).verdict == Arrival::fresh);
  CHECK(cache.answer("a", 1, 7, "seven", 5));

  const auto again = cache.arrive("a", 1, 7);
  CHECK(again.verdict == Arrival::replied);
  CHECK(*again.reply == "seven");
  CHECK(cache.handling() == 2);
  CHECK(cache.bytes() == 5);
}

TEST_CASE("a request can only be answered once") {
  Cache cache({});
  (void)cache.arrive("a", 1, 7);

  CHECK(cache.answer("a", 1, 7, "one", 3));
  CHECK(!cache.answer("a", 1, 7, "two", 3));
  CHECK(!cache.answer("a", 1, 8, "never asked", 3));
  CHECK(!cache.answer("b", 1, 7, "never met", 3));
  CHECK(*cache.arrive("a", 1, 7).reply == "one");
}

TEST_CASE("what a client has settled is forgotten and refused from then on") {
  Cache cache({});
  std::vector<std::uint64_t> forgotten;
  cache.on_forget([&](std::string_view, std::uint64_t, std::uint64_t n) { forgotten.push_back(n); });
  for (std::uint64_t n = 1; n <= 4; ++n) (void)cache.arrive("a", 1, n);
  for (std::uint64_t n = 1; n <= 3; ++n) cache.answer("a", 1, n, "x", 1);

  cache.settled_below("a", 1, 3);

  CHECK(forgotten == std::vector<std::uint64_t>{1, 2});
  CHECK(cache.arrive("a", 1, 2).verdict == Arrival::gone);
  CHECK(cache.arrive("a", 1, 3).verdict == Arrival::replied);
  CHECK(cache.arrive("a", 1, 4).verdict == Arrival::handling);
}

TEST_CASE("a request that is settled while it is handled leaves nothing behind") {
  Cache cache({});
  (void)cache.arrive("a", 1, 1);
  cache.settled_below("a", 1, 2);

  CHECK(cache.answer("a", 1, 1, "late", 4));

  CHECK(cache.entries() == 0);
  CHECK(cache.bytes() == 0);
  CHECK(cache.arrive("a", 1, 1).verdict == Arrival::gone);
}

TEST_CASE("beyond its bound in entries the oldest reply goes, and is never done again") {
  Cache cache({.max_entries = 3});
  for (std::uint64_t n = 1; n <= 5; ++n) {
    REQUIRE(cache.arrive("a", 1, n).verdict == Arrival::fresh);
    cache.answer("a", 1, n, "x", 1);
  }

  CHECK(cache.entries() == 3);
  CHECK(cache.arrive("a", 1, 1).verdict == Arrival::gone);
  CHECK(cache.arrive("a", 1, 2).verdict == Arrival::gone);
  CHECK(cache.arrive("a", 1, 3).verdict == Arrival::replied);
}

TEST_CASE("beyond its bound in bytes the oldest replies go; a single large one stays") {
  Cache cache({.max_bytes = 100});
  for (std::uint64_t n = 1; n <= 10; ++n) {
    (void)cache.arrive("a", 1, n);
    cache.answer("a", 1, n, "x", 30);
    CHECK(cache.bytes() <= 100);
  }
  (void)cache.arrive("a", 1, 11);
  cache.answer("a", 1, 11, "large", 1000);

  CHECK(cache.entries() == 1);
  CHECK(*cache.arrive("a", 1, 11).reply == "large");
  CHECK(cache.arrive("a", 1, 10).verdict == Arrival::gone);
}

TEST_CASE("a request that was refused before it was done is fresh when it comes again") {
  Cache cache({.max_entries = 1});
  (void)cache.arrive("a", 1, 1);
  CHECK(cache.arrive("a", 1, 2).verdict == Arrival::full);

  cache.withdraw("a", 1, 1);

  CHECK(cache.arrive("a", 1, 2).verdict == Arrival::fresh);
  cache.withdraw("a", 1, 2);
  CHECK(cache.arrive("a", 1, 1).verdict == Arrival::fresh);
}

TEST_CASE("a later epoch of a client begins anew and fences the one before") {
  Cache cache({});
  (void)cache.arrive("a", 5, 1);
  (void)cache.arrive("a", 5, 2);
  cache.answer("a", 5, 2, "old", 3);

  CHECK(cache.arrive("a", 6, 1).verdict == Arrival::fresh);

  CHECK(cache.arrive("a", 5, 2).verdict == Arrival::fenced);
  CHECK(!cache.answer("a", 5, 1, "of a former life", 3));
  CHECK(cache.handling() == 1);
  CHECK(cache.bytes() == 0);
}

TEST_CASE("clients are bounded: who was silent for longest goes first, unless it waits for a reply") {
  Cache cache({.max_clients = 2});
  (void)cache.arrive("waits", 1, 1);
  (void)cache.arrive("old", 1, 1);
  cache.answer("old", 1, 1, "x", 1);

  CHECK(cache.arrive("new", 1, 1).verdict == Arrival::fresh);
  CHECK(cache.clients() == 2);
  CHECK(cache.bytes() == 0);
  CHECK(cache.arrive("waits", 1, 1).verdict == Arrival::handling);
  CHECK(cache.arrive("one too many", 1, 1).verdict == Arrival::full);
}

TEST_CASE("what a journal remembers is there after a restart") {
  Cache cache({});
  cache.restore_floor("a", 3, 10);
  cache.restore("a", 3, 12, "twelve", 6);

  CHECK(cache.arrive("a", 3, 9).verdict == Arrival::gone);
  CHECK(*cache.arrive("a", 3, 12).reply == "twelve");
  CHECK(cache.arrive("a", 3, 11).verdict == Arrival::fresh);
  CHECK(cache.floor("a", 3) == 10);
}
