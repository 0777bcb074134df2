#include <array>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>
#include <weft/wire/limits.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace {

// One endpoint a transport, so that each contract below runs over all of them.
struct Endpoints {
  Folder folder;
  std::array<std::string, 3> all{"inproc://contract", "tcp://127.0.0.1:*", "ipc://" + folder.file("s")};
};

// Binds `bound`, connects `connecting`.
void join(Socket& bound, Socket& connecting, const std::string& endpoint) {
  connecting.connect(bound.bind(endpoint));
}

}  // namespace

TEST_CASE("a dealer and a router exchange messages of several frames over each transport") {
  Endpoints endpoints;
  for (const auto& endpoint : endpoints.all) {
    CAPTURE(endpoint);
    Loop loop;
    Socket router(loop.context(), SocketType::router);
    Socket dealer(loop.context(), SocketType::dealer);
    join(router, dealer, endpoint);

    auto question = frames({"header", "", "body"});
    REQUIRE(dealer.send(question) == SendStatus::sent);
    const auto arrived = receive(loop, router);
    REQUIRE(arrived.size() == 4);
    auto answer = frames({"back", "again"});
    REQUIRE(router.send_to(as_bytes(arrived[0]), answer) == SendStatus::sent);
    const auto reply = receive(loop, dealer);

    CHECK(Strings(arrived.begin() + 1, arrived.end()) == Strings{"header", "", "body"});
    CHECK(reply == Strings{"back", "again"});
  }
}

TEST_CASE("a push reaches its pull over each transport") {
  Endpoints endpoints;
  for (const auto& endpoint : endpoints.all) {
    CAPTURE(endpoint);
    Loop loop;
    Socket pull(loop.context(), SocketType::pull);
    Socket push(loop.context(), SocketType::push);
    join(pull, push, endpoint);

    REQUIRE(push.send(text("one")) == SendStatus::sent);
    REQUIRE(push.send(text("two")) == SendStatus::sent);

    CHECK(receive(loop, pull) == Strings{"one"});
    CHECK(receive(loop, pull) == Strings{"two"});
  }
}

TEST_CASE("a subscriber gets what its prefix asks for, once the publisher has seen its subscription") {
  Endpoints endpoints;
  for (const auto& endpoint : endpoints.all) {
    CAPTURE(endpoint);
    Loop loop;
    Socket xpub(loop.context(), SocketType::xpub);
    Socket sub(loop.context(), SocketType::sub);
    join(xpub, sub, endpoint);
    sub.subscribe(as_bytes("orders/"));

    REQUIRE(receive(loop, xpub) == Strings{std::string("\x01") + "orders/"});
    auto other = frames({"prices/", "no"});
    auto wanted = frames({"orders/eu/", "yes"});
    REQUIRE(xpub.send(other) == SendStatus::sent);
    REQUIRE(xpub.send(wanted) == SendStatus::sent);

    CHECK(receive(loop, sub) == Strings{"orders/eu/", "yes"});
    sub.unsubscribe(as_bytes("orders/"));
    CHECK(receive(loop, xpub) == Strings{std::string("\0", 1) + "orders/"});
  }
}

TEST_CASE("two pairs talk both ways over each transport") {
  Endpoints endpoints;
  for (const auto& endpoint : endpoints.all) {
    CAPTURE(endpoint);
    Loop loop;
    Socket left(loop.context(), SocketType::pair);
    Socket right(loop.context(), SocketType::pair);
    join(left, right, endpoint);

    REQUIRE(right.send(text("ping")) == SendStatus::sent);
    CHECK(receive(loop, left) == Strings{"ping"});
    REQUIRE(left.send(text("pong")) == SendStatus::sent);
    CHECK(receive(loop, right) == Strings{"pong"});
  }
}

TEST_CASE("connecting before anybody is bound is no error, and the message arrives when somebody is") {
  Folder folder;
  Loop loop;
  const auto endpoint = "ipc://" + folder.file("late");
  Socket push(loop.context(), SocketType::push);
  push.connect(endpoint);
  REQUIRE(push.send(text("early")) == SendStatus::sent);

  Socket pull(loop.context(), SocketType::pull);
  pull.bind(endpoint);

  CHECK(receive(loop, pull) == Strings{"early"});
}

TEST_CASE("a wildcard bind returns the real port, and two never get the same") {
  Context context;
  Socket first(context, SocketType::router);
  Socket second(context, SocketType::router);

  const auto one = first.bind("tcp://127.0.0.1:*");
  const auto two = second.bind("tcp://127.0.0.1:*");

  CHECK(one.starts_with("tcp://127.0.0.1:"));
  CHECK(std::stoi(one.substr(one.rfind(':') + 1)) > 0);
  CHECK(one != two);
}

TEST_CASE("binding works on all interfaces and by host name") {
  Loop loop;
  Socket any(loop.context(), SocketType::pull);
  Socket named(loop.context(), SocketType::pull);

  const auto everywhere = any.bind("tcp://*:*");
  const auto local = named.bind("tcp://localhost:*");

  CHECK(everywhere.starts_with("tcp://0.0.0.0:"));
  CHECK(local.starts_with("tcp://127."));
  Socket push(loop.context(), SocketType::push);
  push.connect("tcp://localhost:" + everywhere.substr(everywhere.rfind(':') + 1));
  REQUIRE(push.send(text("hello")) == SendStatus::sent);
  CHECK(receive(loop, any) == Strings{"hello"});
}

TEST_CASE("binding an endpoint that is taken names it and says what to do") {
  Context context;
  Socket first(context, SocketType::router);
  Socket second(context, SocketType::router);
  const auto taken = first.bind("tcp://127.0.0.1:*");

  const auto error = error_of([&] { second.bind(taken); });

  CHECK(error.code() == Errc::address_in_use);
  CHECK(contains(error.what(), taken));
  CHECK(contains(error.what(), "choose another"));
  first.bind("inproc://taken");
  CHECK(error_of([&] { second.bind("inproc://taken"); }).code() == Errc::address_in_use);
}

TEST_CASE("binding to an address that this machine does not have is a bad endpoint") {
  Context context;
  Socket socket(context, SocketType::router);

  const auto error = error_of([&] { socket.bind("tcp://192.0.2.1:*"); });  // TEST-NET-1

  CHECK(error.code() == Errc::bad_endpoint);
  CHECK(contains(error.what(), "192.0.2.1"));
}

TEST_CASE("a router reports a peer that it does not know as unroutable and leaves the frames alone") {
  Loop loop;
  Socket router(loop.context(), SocketType::router);
  router.bind("inproc://router");
  auto message = frames({"a", "b"});

  CHECK(router.send_to(as_bytes("nobody"), message) == SendStatus::unroutable);

  CHECK(as_text(message[0].view()) == "a");
  CHECK(as_text(message[1].view()) == "b");
}

TEST_CASE("a router reports a peer that has gone as unroutable") {
  Loop loop;
  Socket router(loop.context(), SocketType::router);
  Socket dealer(loop.context(), SocketType::dealer);
  join(router, dealer, "tcp://127.0.0.1:*");
  REQUIRE(dealer.send(text("hello")) == SendStatus::sent);
  const auto hello = receive(loop, router);
  REQUIRE(hello.size() == 2);

  dealer.close();

  CHECK_FALSE(dealer.open());
  CHECK(eventually(loop, [&] {
    auto message = frames({"x"});
    return router.send_to(as_bytes(hello[0]), message) == SendStatus::unroutable;
  }));
}

TEST_CASE("a full socket reports would-block and leaves the frames alone, and takes them later") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull, {.receive_high_water = 2});
  Socket push(loop.context(), SocketType::push, {.send_high_water = 2});
  join(pull, push, "inproc://small");
  int taken = 0;
  while (taken < 100 && push.send(text("x")) == SendStatus::sent) ++taken;

  auto message = frames({"kept", "whole"});
  const auto full = push.send(message);

  CHECK(taken == 4);
  REQUIRE(full == SendStatus::would_block);
  CHECK_FALSE(push.writable());
  CHECK(as_text(message[0].view()) == "kept");
  CHECK(as_text(message[1].view()) == "whole");
  for (int i = 0; i < taken; ++i) CHECK(receive(loop, pull) == Strings{"x"});
  REQUIRE(eventually(loop, [&] { return push.send(message) == SendStatus::sent; }));
  CHECK(receive(loop, pull) == Strings{"kept", "whole"});
}

TEST_CASE("a router without room for one peer still serves the others") {
  Loop loop;
  Socket router(loop.context(), SocketType::router, {.send_high_water = 1});
  const auto endpoint = router.bind("inproc://hub");
  Socket slow(loop.context(), SocketType::dealer, {.receive_high_water = 1});
  Socket fast(loop.context(), SocketType::dealer);
  slow.connect(endpoint);
  fast.connect(endpoint);
  REQUIRE(slow.send(text("slow")) == SendStatus::sent);
  REQUIRE(fast.send(text("fast")) == SendStatus::sent);
  std::string slow_id;
  std::string fast_id;
  for (int i = 0; i < 2; ++i) {
    const auto hello = receive(loop, router);
    REQUIRE(hello.size() == 2);
    (hello[1] == "slow" ? slow_id : fast_id) = hello[0];
  }
  const auto send_to = [&](const std::string& id) {
    auto message = frames({"m"});
    return router.send_to(as_bytes(id), message);
  };

  int taken = 0;
  while (taken < 100 && send_to(slow_id) == SendStatus::sent) ++taken;

  CHECK(taken == 2);
  CHECK(send_to(slow_id) == SendStatus::would_block);
  CHECK(send_to(fast_id) == SendStatus::sent);
  CHECK(receive(loop, fast) == Strings{"m"});
}

TEST_CASE("a message of more frames than the protocol allows is cut, marked and drained") {
  Loop loop;
  Socket left(loop.context(), SocketType::pair);
  Socket right(loop.context(), SocketType::pair);
  join(left, right, "inproc://many");
  auto flood = frames(Strings(wire::kMaxFrames + 50, "f"));
  auto whole = frames(Strings(wire::kMaxFrames + 2, "g"));
  REQUIRE(right.send(flood) == SendStatus::sent);
  REQUIRE(right.send(whole) == SendStatus::sent);
  REQUIRE(right.send(text("next")) == SendStatus::sent);

  Message message;
  REQUIRE(left.receive(message));
  CHECK(message.oversize());
  CHECK(message.size() == wire::kMaxFrames + 2);

  REQUIRE(left.receive(message));
  CHECK_FALSE(message.oversize());
  CHECK(message.size() == wire::kMaxFrames + 2);

  REQUIRE(left.receive(message));
  REQUIRE(message.size() == 1);
  CHECK(as_text(message[0].view()) == "next");
}

TEST_CASE("receiving from an empty socket returns at once and clears the message") {
  Context context;
  Socket pull(context, SocketType::pull);
  pull.bind("inproc://empty");
  Message message;
  message.push_back(text("old"));

  CHECK_FALSE(pull.receive(message));
  CHECK(message.empty());
  CHECK_FALSE(pull.readable());
}

TEST_CASE("a frame above the receiver's limit ends the connection, and a smaller one comes through later") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull, {.max_frame_bytes = 1000});
  Socket push(loop.context(), SocketType::push);
  join(pull, push, "tcp://127.0.0.1:*");
  REQUIRE(push.send(text(std::string(1001, 'x'))) == SendStatus::sent);

  Message message;
  std::size_t got = 0;
  CHECK(eventually(loop, [&] {
    push.send(text("small"));  // those in flight are lost with the connection
    if (pull.receive(message)) got = message[0].size();
    return got != 0;
  }));
  CHECK(got == 5);
}

TEST_CASE("a disconnected socket no longer reaches its peer") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);
  Socket push(loop.context(), SocketType::push);
  const auto endpoint = pull.bind("tcp://127.0.0.1:*");
  push.connect(endpoint);
  REQUIRE(push.send(text("first")) == SendStatus::sent);
  REQUIRE(receive(loop, pull) == Strings{"first"});

  push.disconnect(endpoint);
  push.disconnect(endpoint);  // again is no error

  CHECK(eventually(loop, [&] { return push.send(text("nobody there")) == SendStatus::would_block; }));
}

TEST_CASE("a moved socket keeps working, and closing twice does no harm") {
  Loop loop;
  Socket first(loop.context(), SocketType::pull);
  const auto endpoint = first.bind("inproc://moved");
  Socket second = std::move(first);
  Socket push(loop.context(), SocketType::push);
  push.connect(endpoint);
  REQUIRE(push.send(text("x")) == SendStatus::sent);

  CHECK(receive(loop, second) == Strings{"x"});
  CHECK_FALSE(first.open());  // NOLINT(bugprone-use-after-move): what it promises
  second.close();
  second.close();
  CHECK_FALSE(second.open());
}

TEST_CASE("what was sent before close still arrives within the linger") {
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);
  const auto endpoint = pull.bind("tcp://127.0.0.1:*");
  {
    Socket push(loop.context(), SocketType::push, {.linger = 30s});
    push.connect(endpoint);
    REQUIRE(push.send(text("last words")) == SendStatus::sent);
  }

  CHECK(receive(loop, pull) == Strings{"last words"});
}

TEST_CASE("options out of their range are refused by name, value and bound") {
  Context context;
  const auto make = [&](SocketOptions options) {
    return std::string(error_of([&] { Socket socket(context, SocketType::pull, options); }).what());
  };

  CHECK(make({.send_high_water = -1}) ==
        "SocketOptions::send_high_water is -1; it must be 0 or more messages");
  CHECK(contains(make({.receive_high_water = -2}), "receive_high_water is -2"));
  CHECK(contains(make({.linger = -1ns}), "linger is -1"));
  CHECK(contains(make({.max_frame_bytes = 0}), "max_frame_bytes is 0"));
  CHECK(contains(make({.send_buffer_bytes = -1}), "send_buffer_bytes is -1"));
  CHECK(contains(make({.receive_buffer_bytes = -1}), "receive_buffer_bytes is -1"));
  CHECK(contains(error_of([] { Context bad({.io_threads = 0}); }).what(), "io_threads is 0"));
  CHECK(contains(error_of([] { Context bad({.max_sockets = 7}); }).what(), "max_sockets is 7"));
}

TEST_CASE(
    "a context opens as many sockets as it was told, bound ones included, and says so when asked for more") {
  Context context({.max_sockets = 8});
  std::vector<Socket> sockets;
  for (int i = 0; i < 8; ++i) {
    sockets.emplace_back(context, SocketType::router);
    sockets.back().bind("tcp://127.0.0.1:*");
  }

  const auto error = error_of([&] { Socket one_more(context, SocketType::router); });

  CHECK(error.code() == Errc::io);
  CHECK(contains(error.what(), "max_sockets is 8"));
  sockets.pop_back();
  CHECK_NOTHROW(Socket(context, SocketType::router));
}

TEST_CASE("with immediate, nothing is queued for a peer that is not connected") {
  Loop loop;
  Socket probe(loop.context(), SocketType::pull);
  const auto endpoint = probe.bind("tcp://127.0.0.1:*");
  Socket push(loop.context(), SocketType::push, {.immediate = true});
  push.connect(endpoint);
  REQUIRE(eventually(loop, [&] { return push.send(text("up")) == SendStatus::sent; }));
  CHECK(receive(loop, probe) == Strings{"up"});

  probe.close();

  CHECK(eventually(loop, [&] { return push.send(text("down")) == SendStatus::would_block; }));
}
