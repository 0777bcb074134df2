#include <doctest/doctest.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <weft/protocol/reply_book.hpp>

using namespace weft::protocol;

namespace {

struct Reply {
  std::string text;
  std::uint64_t commit = 0;
  [[nodiscard]] std::uint64_t bytes() const { return text.size(); }
};
using Book = ReplyBook<Reply>;

/// Keeps what was committed; durable is what `durable_to` says.
struct Store final : ReplyStore<Reply> {
  std::map<std::tuple<std::string, std::uint64_t, std::uint64_t>, std::string> replies;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> floors;
  std::uint64_t commits = 0, durable_to = 0;

  void restore(const Floor& floor, const Kept& reply) const override {
    for (const auto& [client, at] : floors) floor(client, at.first, at.second);
    for (const auto& [at, text] : replies)
      reply(std::get<0>(at), std::get<1>(at), std::get<2>(at), {text, 0});
  }
  void put(std::string_view client, std::uint64_t epoch, std::uint64_t number, Reply& reply) override {
    replies[{std::string(client), epoch, number}] = reply.text;
    reply.commit = commits + 1;
  }
  void erase(std::string_view client, std::uint64_t epoch, std::uint64_t number) override {
    replies.erase({std::string(client), epoch, number});
  }
  void floor(std::string_view client, std::uint64_t epoch, std::uint64_t floor) override {
    floors[std::string(client)] = {epoch, floor};
  }
  void commit() override { ++commits; }
  [[nodiscard]] bool durable(std::uint64_t commit) const override { return commit <= durable_to; }
};

}  // namespace

TEST_CASE("without a store a reply may leave at once, and again") {
  Book book({}, nullptr);
  REQUIRE(book.arrive("a", 1, 1).verdict == Book::Verdict::fresh);

  const Reply* reply = book.answer(5, "a", 1, 1, {"yes"});

  REQUIRE(reply);
  CHECK(reply->text == "yes");
  CHECK(book.arrive("a", 1, 1).verdict == Book::Verdict::replied);
}

TEST_CASE("a reply leaves when it is durable; until then its request is being handled") {
  Store store;
  Book book({}, &store);
  (void)book.arrive("a", 1, 1);
  CHECK(book.answer(5, "a", 1, 1, {"yes"}) == nullptr);
  CHECK(book.arrive("a", 1, 1).verdict == Book::Verdict::handling);
  std::vector<std::string> left;
  const auto deliver = [&](std::uint64_t owner, std::uint64_t, std::uint64_t number, const Reply& reply) {
    left.push_back(std::to_string(owner) + " " + std::to_string(number) + " " + reply.text);
  };
  book.on_durable(deliver);
  CHECK(left.empty());
  CHECK(book.pending() == 1);

  store.durable_to = 1;
  book.on_durable(deliver);

  CHECK(left == std::vector<std::string>{"5 1 yes"});
  CHECK(book.arrive("a", 1, 1).verdict == Book::Verdict::replied);
}

TEST_CASE("the next life knows the replies and what is gone") {
  Store store;
  {
    Book book({.max_entries = 2}, &store);
    for (std::uint64_t number = 1; number <= 3; ++number) {
      (void)book.arrive("a", 1, number);
      (void)book.answer(5, "a", 1, number, {"yes"});
      store.durable_to = store.commits;
      book.on_durable([](auto&&...) {});
    }
  }

  Book book({.max_entries = 2}, &store);

  CHECK(book.arrive("a", 1, 1).verdict == Book::Verdict::gone);
  CHECK(book.arrive("a", 1, 2).verdict == Book::Verdict::replied);
  CHECK(book.arrive("a", 1, 4).verdict == Book::Verdict::fresh);
}

TEST_CASE("what is not durable is not forgotten, and counts as a request in hand") {
  Store store;
  Book book({.max_bytes = 3, .max_entries = 2}, &store);
  std::vector<std::uint64_t> left;
  const auto deliver = [&](std::uint64_t, std::uint64_t, std::uint64_t number, const Reply&) {
    left.push_back(number);
  };
  for (const std::uint64_t number : {1, 2}) {
    REQUIRE(book.arrive("a", 1, number).verdict == Book::Verdict::fresh);
    CHECK(book.answer(5, "a", 1, number, {"yes"}) == nullptr);
  }
  CHECK(book.arrive("a", 1, 3).verdict == Book::Verdict::full);
  CHECK(store.replies.size() == 2);

  store.durable_to = store.commits;
  book.on_durable(deliver);

  CHECK(left == std::vector<std::uint64_t>{1, 2});
  CHECK(book.cache().entries() == 1);  // the bound of bytes holds again
  CHECK(store.replies.size() == 1);
  CHECK(book.arrive("a", 1, 3).verdict == Book::Verdict::fresh);
}

TEST_CASE("a reply that its asker settled before it was durable is not given, and leaves the store") {
  Store store;
  Book book({}, &store);
  (void)book.arrive("a", 1, 1);
  (void)book.answer(5, "a", 1, 1, {"yes"});
  book.settled_below("a", 1, 2);
  store.durable_to = store.commits;
  int given = 0;

  book.on_durable([&](auto&&...) { ++given; });

  CHECK(given == 0);
  CHECK(store.replies.empty());
  CHECK(book.pending() == 0);
  CHECK(book.cache().handling() == 0);
}

TEST_CASE("a later epoch takes what was not durable of the one before with it") {
  Store store;
  Book book({}, &store);
  (void)book.arrive("a", 1, 1);
  (void)book.answer(5, "a", 1, 1, {"yes"});

  CHECK(book.arrive("a", 2, 1).verdict == Book::Verdict::fresh);

  CHECK(store.replies.empty());
  CHECK(book.cache().handling() == 1);
  store.durable_to = store.commits;
  book.on_durable([](auto&&...) { FAIL("nobody asks for it any more"); });
}

TEST_CASE("a reply to an epoch that is over is not kept") {
  Store store;
  Book book({}, &store);
  (void)book.arrive("a", 1, 1);
  (void)book.arrive("a", 2, 1);

  CHECK(book.answer(5, "a", 1, 1, {"yes"}) == nullptr);

  CHECK(store.replies.empty());
  CHECK(book.pending() == 0);
}
