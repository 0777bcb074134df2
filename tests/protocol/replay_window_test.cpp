#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/replay_window.hpp>

using namespace weft::protocol;

namespace {

using Window = ReplayWindow<std::string>;
constexpr std::uint64_t kEach = 10 + Window::kOverhead;

}  // namespace

TEST_CASE("a replay window finds batches by topic and sequence") {
  Window window(1 << 20);
  window.add(0, 1, 10, "a1");
  window.add(1, 1, 10, "b1");
  window.add(0, 2, 10, "a2");

  REQUIRE(window.find(0, 2) != nullptr);
  CHECK(window.find(0, 2)->payload == "a2");
  CHECK(window.find(1, 1)->payload == "b1");
  CHECK(window.find(1, 2) == nullptr);
  CHECK(window.find(7, 1) == nullptr);
  CHECK(window.last(0) == 2);
  CHECK(window.first_retained(0) == 1);
}

TEST_CASE("a full replay window forgets the oldest batch, whichever topic it is of") {
  Window window(3 * kEach);
  std::vector<std::string> gone;
  window.on_evict = [&](std::uint32_t topic, const Window::Batch& batch) {
    gone.push_back(std::to_string(topic) + ":" + batch.payload);
  };
  window.add(0, 1, 10, "a1");
  window.add(1, 1, 10, "b1");
  window.add(0, 2, 10, "a2");
  window.add(0, 3, 10, "a3");
  window.add(0, 4, 10, "a4");

  CHECK(gone == std::vector<std::string>{"0:a1", "1:b1"});
  CHECK(window.first_retained(0) == 2);
  CHECK(window.first_retained(1) == 2);  // nothing: the next one
  CHECK(window.find(0, 1) == nullptr);
  CHECK(window.bytes() <= 3 * kEach);
}

TEST_CASE("a batch larger than the replay window leaves nothing behind") {
  Window window(100);
  window.add(0, 1, 1000, "large");

  CHECK(window.batches() == 0);
  CHECK(window.bytes() == 0);
  CHECK(window.last(0) == 1);
  CHECK(window.first_retained(0) == 2);
}

TEST_CASE("a replay window tells where a topic stood when so many batches had been published") {
  Window window(1 << 20);
  window.add(0, 1, 10, "");  // number 1
  window.add(1, 1, 10, "");
  window.add(0, 2, 10, "");
  window.add(0, 3, 10, "");  // number 4

  CHECK(window.position_at(0, 0) == 0);
  CHECK(window.position_at(0, 1) == 1);
  CHECK(window.position_at(0, 2) == 1);
  CHECK(window.position_at(0, 3) == 2);
  CHECK(window.position_at(0, 9) == 3);
  CHECK(window.position_at(1, 1) == 0);
  CHECK(window.position_at(1, 2) == 1);
  CHECK(window.position_at(5, 2) == 0);
}

TEST_CASE("a position whose batches have left lies below what is retained") {
  Window window(2 * kEach);
  for (std::uint64_t seq = 1; seq <= 10; ++seq) window.add(0, seq, 10, "");

  CHECK(window.first_retained(0) == 9);
  CHECK(window.position_at(0, 3) < 8);
  CHECK(window.position_at(0, 8) == 8);
}

TEST_CASE("a resumed topic goes on with its sequence and retains nothing from before") {
  Window window(1 << 20);
  window.resume(0, 41, 100);
  window.add(0, 42, 10, "x");

  CHECK(window.first_retained(0) == 42);
  CHECK(window.number() == 101);
  CHECK(window.position_at(0, 100) == 41);
  CHECK(window.position_at(0, 50) < 41);
}

TEST_CASE("who joins gets a place in each topic, or its kept value where something was sent before") {
  Window window(1 << 20);
  window.add(0, 1, 10, "a1");
  window.add(0, 2, 10, "a2");
  window.add(1, 1, 10, "b1");

  CHECK(window.place_at(0, 1, false).position == 1);
  CHECK_FALSE(window.place_at(0, 1, false).snapshot);
  CHECK(window.place_at(0, 1, false).more);
  CHECK(window.place_at(0, 1, true).snapshot);
  CHECK_FALSE(window.place_at(0, 3, false).more);
  CHECK(window.place_at(1, 1, true).position == 0);
  CHECK_FALSE(window.place_at(1, 1, true).snapshot);  // it began later, and is whole
}

TEST_CASE("a topic that may have begun later gives its kept value when some of it has left") {
  Window window(2 * kEach);
  for (std::uint64_t seq = 1; seq <= 5; ++seq) window.add(0, seq, 10, "a");

  const auto place = window.place_at(0, 0, true);

  CHECK(place.position == 0);
  CHECK(place.snapshot);
}

TEST_CASE("ranges are given in order, as far as the room goes") {
  Window window(1 << 20);
  for (std::uint64_t seq = 1; seq <= 9; ++seq) window.add(0, seq, 10, std::to_string(seq));
  std::string given;
  const auto give = [&](const Window::Batch& batch) {
    given += batch.payload;
    return batch.seq != 5;
  };
  const std::vector<Range> ranges{{2, 3}, {5, 6}, {8, 9}};

  CHECK_FALSE(window.replay(0, ranges, 1 << 20, give).gone);
  CHECK(given == "23589");  // nothing more of a range that ends early
  given.clear();
  (void)window.replay(0, ranges, 2, give);
  CHECK(given == "2");
}

TEST_CASE("what begins before the window is gone, and nothing of it is given") {
  Window window(2 * kEach);
  for (std::uint64_t seq = 1; seq <= 5; ++seq) window.add(0, seq, 10, "a");
  const std::vector<Range> ranges{{2, 5}};

  const auto replayed = window.replay(0, ranges, 1 << 20, [](const Window::Batch&) -> bool {
    FAIL("it gave something");
    return false;
  });

  CHECK(replayed.gone);
  CHECK(replayed.first_retained == 4);
}
