#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/choose.hpp>

using namespace weft::protocol;

namespace {

std::vector<Candidate> named(int count, int without = -1) {
  std::vector<Candidate> out;
  for (int i = 0; i < count; ++i) {
    if (i != without)
      out.push_back({.id = name_hash("server/" + std::to_string(i)), .ready = true, .room = 1});
  }
  return out;
}

std::uint64_t owner(const std::vector<Candidate>& all, int key) {
  return all[*by_key(all, name_hash("key" + std::to_string(key)))].id;
}

}  // namespace

TEST_CASE("round-robin begins with the first and goes on with the next that is ready") {
  std::vector<Candidate> all = named(4);
  all[1].ready = false;

  CHECK(round_robin(all, SIZE_MAX) == 0);
  CHECK(round_robin(all, 0) == 2);
  CHECK(round_robin(all, 3) == 0);
  CHECK(round_robin(all, 99) == 0);
}

TEST_CASE("nobody is chosen where nobody is ready") {
  std::vector<Candidate> all = named(2);
  for (auto& one : all) one.ready = false;

  CHECK(!round_robin(all, 0));
  CHECK(!most_room(all, 0));
  CHECK(!round_robin({}, 0));
  CHECK(!most_room({}, 0));
  CHECK(!by_key({}, 1));
}

TEST_CASE("the one with the most room is chosen, and equal ones take turns") {
  std::vector<Candidate> all = named(3);
  all[1].room = 5;
  CHECK(most_room(all, SIZE_MAX) == 1);
  all[1].ready = false;
  CHECK(most_room(all, SIZE_MAX) == 0);
  CHECK(most_room(all, 0) == 2);
  CHECK(most_room(all, 2) == 0);
}

TEST_CASE("the owner of a key does not depend on the order of the candidates or their room") {
  std::vector<Candidate> all = named(5);
  std::vector<Candidate> turned(all.rbegin(), all.rend());
  for (auto& one : turned) one.ready = false;

  for (int key = 0; key < 100; ++key) CHECK(owner(all, key) == owner(turned, key));
}

TEST_CASE("keys spread evenly over their owners") {
  const auto all = named(8);
  std::map<std::uint64_t, int> keys_of;
  for (int key = 0; key < 8000; ++key) ++keys_of[owner(all, key)];

  CHECK(keys_of.size() == 8);
  for (const auto& [id, count] : keys_of) {
    CHECK(count > 850);
    CHECK(count < 1150);
  }
}

TEST_CASE("an owner that goes takes only its own keys with it") {
  const auto before = named(8);
  const auto after = named(8, 3);
  const std::uint64_t gone = before[3].id;
  int moved = 0;
  for (int key = 0; key < 8000; ++key) {
    const std::uint64_t was = owner(before, key);
    if (was == gone) {
      ++moved;
    } else {
      CHECK(owner(after, key) == was);
    }
  }

  CHECK(moved > 850);
  CHECK(moved < 1150);
}

TEST_CASE("the hash of a name is the same on every machine") {
  CHECK(name_hash("") == name_hash(std::string_view()));
  CHECK(name_hash("server/0") != name_hash("server/1"));
  CHECK(name_hash("server/0") == name_hash(std::string("server/") + "0"));
}
