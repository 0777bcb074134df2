#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/slot_book.hpp>

using weft::protocol::SlotBook;

namespace {

constexpr std::uint64_t kGrain = SlotBook::kGrain;

}  // namespace

TEST_CASE("the lowest free place of a segment is taken first") {
  SlotBook book(10 * kGrain);

  const auto first = book.take(1);
  const auto second = book.take(2 * kGrain);
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  CHECK(first->offset == 0);
  CHECK(first->capacity == kGrain);
  CHECK(second->offset == kGrain);
  CHECK(second->capacity == 2 * kGrain);
  CHECK(book.used() == 3 * kGrain);

  CHECK(book.release(first->number));
  const auto again = book.take(kGrain);
  REQUIRE(again.has_value());
  CHECK(again->offset == first->offset);
  CHECK(again->number != first->number);
}

TEST_CASE("a full segment, and a slot that could never fit, give nothing") {
  SlotBook book(4 * kGrain);

  CHECK_FALSE(book.take(4 * kGrain + 1).has_value());
  CHECK_FALSE(book.take(~std::uint64_t{0}).has_value());
  const auto whole = book.take(4 * kGrain);
  REQUIRE(whole.has_value());
  CHECK_FALSE(book.take(1).has_value());
  CHECK(book.release(whole->number));
  CHECK(book.take(4 * kGrain).has_value());
  CHECK_FALSE(SlotBook(0).take(1).has_value());
}

TEST_CASE("slots at once are bounded, however small they are") {
  SlotBook book(std::uint64_t{1} << 30);

  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < SlotBook::kMostSlots; ++i) last = book.take(1)->number;
  CHECK_FALSE(book.take(1).has_value());
  CHECK(book.release(last));
  CHECK(book.take(1).has_value());
}

TEST_CASE("a slot is free when neither its owner nor a borrower holds it") {
  SlotBook book(4 * kGrain);
  const auto slot = book.take(4 * kGrain);
  REQUIRE(slot.has_value());

  CHECK(book.lend(slot->number, 1));
  CHECK(book.lend(slot->number, 1));
  CHECK(book.lend(slot->number, 2));
  CHECK(book.lent(1) == 2);
  CHECK(book.release(slot->number));
  CHECK(book.give_back(slot->number, 1));
  CHECK(book.give_back(slot->number, 2));
  CHECK(book.used() != 0);
  CHECK(book.give_back(slot->number, 1));
  CHECK(book.used() == 0);
  CHECK(book.lent(1) == 0);
}

TEST_CASE("what a borrower does not hold it cannot give back") {
  SlotBook book(16 * kGrain);
  const auto slot = book.take(kGrain);
  REQUIRE(slot.has_value());
  CHECK(book.lend(slot->number, 1));

  CHECK_FALSE(book.give_back(slot->number, 2));
  CHECK_FALSE(book.give_back(slot->number + 1, 1));
  CHECK_FALSE(book.give_back(slot->number + SlotBook::kMostSlots, 1));  // a later use of the same slot
  CHECK_FALSE(book.give_back(0, 1));
  CHECK_FALSE(book.give_back(~std::uint64_t{0}, 1));
  CHECK(book.give_back(slot->number, 1));
  CHECK_FALSE(book.give_back(slot->number, 1));
  CHECK(book.release(slot->number));
  CHECK_FALSE(book.release(slot->number));
  CHECK_FALSE(book.lend(slot->number, 1));
}

TEST_CASE("a number of an earlier use means nothing to the next one") {
  SlotBook book(4 * kGrain);
  const auto old = book.take(4 * kGrain);
  REQUIRE(old.has_value());
  CHECK(book.lend(old->number, 1));
  CHECK(book.release(old->number));
  CHECK(book.give_back(old->number, 1));

  const auto young = book.take(4 * kGrain);
  REQUIRE(young.has_value());
  CHECK(book.lend(young->number, 1));
  CHECK_FALSE(book.give_back(old->number, 1));
  CHECK(book.lent(1) == 1);
}

TEST_CASE("a borrower that is gone holds nothing, and the others what they held") {
  SlotBook book(64 * kGrain);
  const auto both = book.take(kGrain), one = book.take(kGrain);
  REQUIRE(one.has_value());
  CHECK(book.lend(both->number, 1));
  CHECK(book.lend(both->number, 2));
  CHECK(book.lend(one->number, 1));
  CHECK(book.release(both->number));
  CHECK(book.release(one->number));

  book.forget(1);

  CHECK(book.lent(1) == 0);
  CHECK(book.slots() == 1);
  CHECK(book.find(both->offset, 1).has_value());
  CHECK(book.give_back(both->number, 2));
  CHECK(book.used() == 0);
}

TEST_CASE("bytes are found in their slot, and bytes beyond one are not") {
  SlotBook book(16 * kGrain);
  REQUIRE(book.take(kGrain).has_value());
  const auto slot = book.take(2 * kGrain);
  REQUIRE(slot.has_value());

  CHECK_FALSE(book.find(slot->offset - 1, 2).has_value());
  CHECK(book.find(slot->offset, 2 * kGrain)->number == slot->number);
  CHECK(book.find(slot->offset + 5, 7)->number == slot->number);
  CHECK_FALSE(book.find(slot->offset + 1, 2 * kGrain).has_value());
  CHECK_FALSE(book.find(slot->offset, ~std::uint64_t{0}).has_value());
  CHECK_FALSE(book.find(10 * kGrain, 1).has_value());
}

TEST_CASE("whatever the order of taking and giving back, slots never overlap and all bytes come home") {
  SlotBook book(1 << 16);
  std::mt19937_64 random(7);
  std::map<std::uint64_t, std::uint64_t> ends;  // start of a slot, and where it ends
  std::vector<SlotBook::Slot> held;
  std::uint64_t used = 0;

  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0) {
      const auto slot = book.take(random() % 4000);
      if (!slot) continue;
      const std::uint64_t start = slot->offset, end = slot->offset + slot->capacity;
      const auto after = ends.lower_bound(start);
      REQUIRE((after == ends.end() || after->first >= end));
      REQUIRE((after == ends.begin() || std::prev(after)->second <= start));
      REQUIRE(end <= book.size());
      ends[start] = end;
      held.push_back(*slot);
      used += end - start;
    } else if (!held.empty()) {
      const std::size_t at = random() % held.size();
      const auto slot = held[at];
      held[at] = held.back();
      held.pop_back();
      ends.erase(slot.offset);
      used -= slot.capacity;
      REQUIRE(book.release(slot.number));
    }
    REQUIRE(book.used() == used);
  }
  for (const auto& slot : held) REQUIRE(book.release(slot.number));

  CHECK(book.used() == 0);
  CHECK(book.take(1 << 16).has_value());  // one gap again
}
