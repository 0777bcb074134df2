#include <memory>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <weft/protocol/requests.hpp>

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

namespace {

const TimePoint kFirstAsk{1000h};

Deadline in(Duration span) {
  return Deadline::after(span, kFirstAsk);
}

}  // namespace

TEST_CASE("a request is answered once, and nothing else is taken for it") {
  RequestBook<std::string> book;
  const auto one = book.open(in(1s), "one");

  CHECK(one != 0);
  CHECK(!book.answer(0));
  CHECK(!book.answer(one + 1));
  CHECK(book.contains(one));
  CHECK(book.answer(one) == "one");
  CHECK(!book.answer(one));
  CHECK(book.size() == 0);
  CHECK(!book.next_deadline());

  const auto two = book.open(in(1s), "two");
  CHECK(!book.contains(one));
  CHECK(!book.answer(one));
  CHECK(book.answer(two) == "two");
}

TEST_CASE("requests expire at their deadlines, the earliest first, and of one deadline the oldest first") {
  RequestBook<std::string> book;
  const auto three = book.open(in(3s), "three");
  const auto gone = book.open(in(1s), "gone");
  (void)book.open(Deadline::never(), "never");
  (void)book.answer(gone);
  const auto one = book.open(in(1s), "one");  // in the place of the one that is gone
  const auto also_three = book.open(in(3s), "also three");

  CHECK(book.next_deadline() == kFirstAsk + 1s);
  CHECK(book.expire(kFirstAsk + 999ms).empty());
  const auto expired = book.expire(kFirstAsk + 3s);

  using Expired = std::pair<std::uint64_t, std::string>;
  CHECK(expired == std::vector<Expired>{{one, "one"}, {three, "three"}, {also_three, "also three"}});
  CHECK(book.size() == 1);
  CHECK(book.expire(TimePoint::max()).size() == 1);
}

TEST_CASE("tickets rise and are never used again, whichever order requests end in") {
  RequestBook<int> book;
  std::vector<std::uint64_t> open;
  std::uint64_t last = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto ticket = book.open(in(std::chrono::seconds(i % 7)), i);
    REQUIRE(ticket > last);
    last = ticket;
    open.push_back(ticket);
    if (i % 3 == 0) continue;
    const std::size_t at = static_cast<std::size_t>(i) * 7919 % open.size();
    REQUIRE(book.answer(open[at]));
    REQUIRE(!book.answer(open[at]));
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
  }

  CHECK(book.size() == open.size());
  std::set<std::uint64_t> left;
  for (const auto& [ticket, payload] : book.expire(TimePoint::max())) left.insert(ticket);
  CHECK(left == std::set<std::uint64_t>(open.begin(), open.end()));
  CHECK(book.size() == 0);
}

TEST_CASE("a book holds payloads that can only be moved") {
  RequestBook<std::unique_ptr<int>> book;
  const auto ticket = book.open(in(1s), std::make_unique<int>(5));

  const auto payload = book.answer(ticket);

  REQUIRE(payload);
  CHECK(**payload == 5);
}
