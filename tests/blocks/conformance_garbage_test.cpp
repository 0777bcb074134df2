// Bytes that break the protocol, at every kind of bound socket.
#include <algorithm>
#include <memory>
#include <random>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// One of the six blocks, bound, as something that garbage can be thrown at.
using Bound = std::pair<std::unique_ptr<Block>, std::vector<std::string>>;
std::vector<Bound> bound_blocks(Loop& loop, const std::string& ip) {
  std::vector<Bound> all;
  const auto add = [&](std::unique_ptr<Block> block) {
    auto at = block->endpoints();
    all.emplace_back(std::move(block), std::move(at));
  };
  add(std::make_unique<Push<>>(loop, PortOptions{.name = "push", .bind = {ip}}));
  add(std::make_unique<Pull<>>(loop, PortOptions{.name = "pull", .bind = {ip}}));
  add(std::make_unique<Dealer<>>(loop, PortOptions{.name = "dealer", .bind = {ip}}));
  add(std::make_unique<Router<>>(loop, PortOptions{.name = "router", .bind = {ip}}));
  add(std::make_unique<Pull<>>(loop, PortOptions{.name = "native", .bind = {ip}, .native = true}));
  auto pub = std::make_unique<Pub<>>(loop, PortOptions{.name = "pub", .bind = {ip}});
  auto at = pub->endpoints();
  at.push_back(pub->data_endpoint());
  all.emplace_back(std::move(pub), std::move(at));
  return all;
}

}  // namespace

WEFT_CONFORMS("garbage: frames that break the protocol are counted by reason, and shut their peer out") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  const auto got = count(pull);
  Stranger bad(loop, pull.endpoints()[0], "bad/0");
  bad.hello("push");
  REQUIRE(bad.wait(wire::Kind::hello));
  const std::string magic("\x96\xCD\x57\x46", 4);
  bad.raw({"hello world"});
  bad.raw({magic + std::string(5000, 'x')});
  bad.raw({magic + "\x02"});
  bad.raw({magic + "\x02\xDB\xFF\xFF\xFF\xFF"});               // a string of 4 GiB
  bad.raw({magic + "\x02\xA1s\x01\x01\xDF\xFF\xFF\xFF\xFF"});  // a map of four billion options
  bad.data(1);
  bad.send(wire::Kind::data, 2,
           [](wire::Options& o) {
             o.count_v = 1'000'000;
             o.mark(wire::Options::count);
           },
           {as_bytes("\x01")});

  REQUIRE(eventually(loop, [&] { return pull.stats().rejected_messages == 6; }));
  CHECK(rejected(pull, wire::Rejection::bad_magic) == 1);
  CHECK(rejected(pull, wire::Rejection::long_header) == 1);
  CHECK(rejected(pull, wire::Rejection::bad_body) == 1);
  CHECK(*got == 1);
  for (int i = 0; i < 60; ++i) bad.raw({"again"});
  REQUIRE(bad.wait(wire::Kind::nack));
  CHECK(bad.header().options.code_v == wire::Code::denied);
  bad.hello("push");
  REQUIRE(bad.wait(wire::Kind::nack));
  CHECK(bad.header().options.code_v == wire::Code::denied);
  bad.epoch = 2000;  // a new incarnation may be a better one
  bad.hello("push");
  CHECK(bad.wait(wire::Kind::hello));
}

WEFT_CONFORMS("garbage: random frames at every bound block while records flow lose nothing") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .node = "push/0", .connect = pull.endpoints()});
  const Place other(place.kind());
  Router<> router(loop, {.name = "answers", .bind = other.endpoints()});
  const auto got = count(pull);
  REQUIRE(push.wait_for_peers(1, soon()));
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 20; ++i) {
    const auto& at = i % 2 == 0 ? pull.endpoints() : router.endpoints();
    strangers.push_back(std::make_unique<Stranger>(loop, at[0], "noise/" + std::to_string(i)));
    if (i % 4 < 2) strangers.back()->hello(i % 2 == 0 ? "push" : "dealer");
  }

  for (int round = 0; round < 50; ++round) {
    for (auto& stranger : strangers) {
      std::string head = random() % 2 == 0 ? std::string("\x96\xCD\x57\x46", 4) : std::string();
      for (auto n = random() % 60; n > 0; --n) head += static_cast<char>(random());
      stranger->raw({head, "body"});
      stranger->send(static_cast<wire::Kind>(1 + random() % 10), random() % 100);
    }
    for (int i = 0; i < 100; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(*got == 5000);
  CHECK(push.stats().lost_records == 0);
  CHECK(eventually(loop, [&] { return pull.stats().rejected_messages > 0; }));
  CHECK(eventually(loop, [&] { return router.stats().rejected_messages > 0; }));
}

TEST_CASE("garbage: 1,000 connections of random bytes against every kind of bound socket while data flows") {
  Loop loop;
  const auto blocks = bound_blocks(loop, "tcp://127.0.0.1:*");
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  const auto got = count(pull);
  std::vector<std::string> targets{pull.endpoints()[0]};
  for (const auto& [block, at] : blocks) targets.insert(targets.end(), at.begin(), at.end());
  std::mt19937 random(11);
  std::uint64_t made = 0;

  for (int i = 0; i < 1000; ++i) {
    const int fd = plain_tcp(targets[static_cast<std::size_t>(i) % targets.size()]);
    REQUIRE(fd >= 0);
    std::string bytes(10 + random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::close(fd);
    ++made;
    for (int n = 0; n < 10; ++n) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  }
  REQUIRE(push.settle(soon()));

  CHECK(*got == 10'000);
  CHECK(push.stats().lost_records + pull.stats().missed_batches == 0);
  const auto counted = [&] {
    std::uint64_t n = pull.stats().rejected_connections + pull.stats().rejected_messages;
    for (const auto& [block, at] : blocks)
      n += block->stats().rejected_connections + block->stats().rejected_messages;
    return n;
  };
  CHECK(eventually(loop, [&] { return counted() >= made; }));
}

TEST_CASE("garbage: half-open connections do not disturb those that are whole") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}});
  const auto got = count(pull);
  std::vector<int> open;
  for (int i = 0; i < 100; ++i) open.push_back(plain_tcp(pull.endpoints()[0]));  // and then say nothing
  REQUIRE(std::ranges::all_of(open, [](int fd) { return fd >= 0; }));
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});

  for (int i = 0; i < 1000; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(*got == 1000);
  for (const int fd : open) ::close(fd);
}
