#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <weft/protocol/requests.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

const TimePoint kStart{1000h};

Deadline in(Duration span) {
  return Deadline::after(span, kStart);
}

}  // namespace

TEST_CASE("a request is answered once, and only by the peer that it was sent to") {
  RequestBook<std::string> book;
  book.open(1, 7, in(1s), "one");

  CHECK(!book.answer(1, 8));
  CHECK(!book.answer(2, 7));
  CHECK(book.contains(1));
  CHECK(book.answer(1, 7) == "one");
  CHECK(!book.answer(1, 7));
  CHECK(book.size() == 0);
  CHECK(!book.next_deadline());
}

TEST_CASE("requests expire at their deadlines, the earliest first") {
  RequestBook<std::string> book;
  book.open(1, 7, in(3s), "three");
  book.open(2, 7, in(1s), "one");
  book.open(3, 7, Deadline::never(), "never");

  CHECK(book.next_deadline() == kStart + 1s);
  CHECK(book.expire(kStart + 999ms).empty());
  const auto expired = book.expire(kStart + 3s);

  REQUIRE(expired.size() == 2);
  CHECK(expired[0] == std::pair<std::uint64_t, std::string>{2, "one"});
  CHECK(expired[1].second == "three");
  CHECK(book.size() == 1);
}

TEST_CASE("what was sent to a peer that is gone fails, oldest first; the rest stays") {
  RequestBook<std::string> book;
  for (std::uint64_t i = 10; i > 0; --i) book.open(i, i % 2, in(1s), std::to_string(i));

  CHECK(book.size(1) == 5);
  const auto failed = book.fail(1);

  REQUIRE(failed.size() == 5);
  CHECK(failed[0].second == "1");
  CHECK(failed[4].second == "9");
  CHECK(book.size() == 5);
  CHECK(book.size(1) == 0);
  CHECK(book.expire(kStart + 1s).size() == 5);
}

TEST_CASE("a book holds payloads that can only be moved") {
  RequestBook<std::unique_ptr<int>> book;
  book.open(1, 7, in(1s), std::make_unique<int>(5));

  const auto payload = book.answer(1, 7);

  REQUIRE(payload);
  CHECK(**payload == 5);
}
