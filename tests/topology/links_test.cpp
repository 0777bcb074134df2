#include <doctest/doctest.h>

#include "helpers.hpp"

using namespace weft::topology;
using namespace weft::topology::test;

TEST_CASE("a circle of pushes that wait is refused, and one drop in it makes it good") {
  const std::string three = R"(weft: 1
name: t
nodes: {a: {run: x}, b: {run: x}, c: {run: x}}
links:
  - {from: a.o, to: b.i, pattern: push-pull}
  - {from: b.o, to: c.i, pattern: push-pull}
  - {from: c.o, to: a.i, pattern: push-pull)";

  CHECK(problem_of(three + "}\n")
            .starts_with("7:5: this link closes a circle in which every sender waits when its queue is full: "
                         "a -> b -> c -> a;"));
  CHECK(problem_of(three + ", overflow: drop-oldest}\n") == "");
  CHECK(problem_of(three + ", overflow: fail}\n") == "");
}

TEST_CASE("two circles are two problems") {
  const auto problems = problems_of(R"(weft: 1
name: t
nodes: {a: {run: x}, b: {run: x}, c: {run: x}}
links:
  - {from: a.o, to: a.i, pattern: push-pull}
  - {from: b.o, to: c.i, pattern: push-pull}
  - {from: c.o, to: b.i, pattern: push-pull}
)");

  REQUIRE(problems.size() == 2);
  CHECK(problems[0].starts_with("5:5:"));
  CHECK(problems[1].starts_with("7:5:"));
}

TEST_CASE("a push or dealer port has one link, other ports may have more") {
  CHECK(problem_of(two_nodes() + "  - {from: a.out, to: b.more, pattern: push-pull}\n") ==
        "8:12: the push port \"a.out\" has a link on line 7 already; it deals out over one link's peers, so "
        "use a second "
        "port, or one node with replicas at the other end");
  CHECK(problem_of(two_nodes(", pattern: dealer-router") +
                   "  - {from: a.out, to: b.more, pattern: dealer-router}\n")
            .starts_with("8:12: the dealer port \"a.out\" has a link"));
  CHECK(problem_of(two_nodes(", pattern: pub-sub") + "  - {from: a.out, to: b.more, pattern: pub-sub}\n") ==
        "");
  CHECK(problem_of(two_nodes() + "  - {from: a.more, to: b.in, pattern: push-pull}\n") == "");
}

TEST_CASE("a port opens one block") {
  CHECK(
      problem_of(two_nodes() + "  - {from: a.more, to: b.in, pattern: pub-sub}\n") ==
      "8:24: the port \"b.in\" is a sub here and a pull on line 7; a port opens one block, so use two ports");
}

TEST_CASE("a slip in a link's node is one problem and not two") {
  const std::string text =
      "weft: 1\nname: t\nnodes: {source: {run: x}, sink: {run: x}}\nlinks:\n"
      "  - {from: source.out, to: snik.in, pattern: push-pull}\n";

  CHECK(problem_of(text) ==
        "5:28: \"snik.in\" leads to nowhere: there is no node \"snik\"; did you mean \"sink\"?");
}

TEST_CASE("settings that a pattern cannot honour are refused with the reason") {
  const auto refused = [](const std::string& keys, const std::string& reason) {
    CAPTURE(keys);
    CHECK(problem_of(two_nodes(keys)).find(reason) != std::string::npos);
  };
  refused(", pattern: pub-sub, bind: to", "the publisher always binds");
  refused(", pattern: pub-sub, distribute: hash", "every subscriber of a topic gets each record");
  refused(", pattern: pub-sub, prefetch: 1MiB", "there is no credit");
  refused(", pattern: dealer-router, batch: {linger: 5ms}", "a request leaves when it is made");
  refused(", pattern: push-pull, keep: last", "the pattern must be pub-sub");
  refused(", pattern: dealer-router, overflow: drop-oldest", "would never be answered");
  refused(", pattern: dealer-router, wire: native", "the pattern must be push-pull");
  refused(", pattern: push-pull, wire: native, distribute: hash", "so it is round-robin");
  refused(", pattern: push-pull, wire: native, bind: from", "the pulling end binds");
  refused(", pattern: push-pull, wire: native, dead-after: 1s", "no heartbeats");
  refused(", pattern: push-pull, transport: inproc", "nodes are processes of their own");
  refused(", pattern: pub-sub, transport: shm", "a receiver that it knows");
  refused(", pattern: push-pull, wire: native, transport: shm", "wire: native has none");
}

TEST_CASE("a path of a unix socket may have 107 bytes, five fewer for a publisher") {
  const auto with_path = [](const std::string& pattern, std::size_t bytes) {
    return problem_of(
        two_nodes(", pattern: " + pattern + ", endpoint: 'ipc://" + std::string(bytes, 'x') + "'"));
  };

  CHECK(with_path("push-pull", 107) == "");
  CHECK(with_path("push-pull", 108).find("the path has 108 bytes and the system allows 107") !=
        std::string::npos);
  CHECK(with_path("pub-sub", 102) == "");
  CHECK(with_path("pub-sub", 103).find("the system allows 102") != std::string::npos);
}

TEST_CASE("malformed addresses are refused with what is wrong in them") {
  const auto problem = [](const std::string& endpoint) {
    return problem_of(two_nodes(", pattern: push-pull, endpoint: '" + endpoint + "'"));
  };
  CHECK(problem("tcp://h:5000") == "");
  CHECK(problem("tcp://[fe80::1%eth0]:5000") == "");
  CHECK(problem("tcp://[fe80::1]:5000") == "");
  CHECK(problem("tcp://[fe80::g]:5000").find("'[fe80::g]' is no IPv6 address") != std::string::npos);
  CHECK(problem("tcp://::1:5000").find("write tcp://[::1]:port") != std::string::npos);
  CHECK(problem("tcp://[::]:5000").find("only works for binding") != std::string::npos);
  CHECK(problem("tcp://h:0").find("the port 0 is out of range; write 1 to 65535") != std::string::npos);
  CHECK(problem("tcp://h:65536").find("the port 65536 is out of range") != std::string::npos);
  CHECK(problem("tcp://h:x").find("the port 'x' is no number") != std::string::npos);
  CHECK(problem("tcp://:5000").find("the host is missing") != std::string::npos);
  CHECK(problem("tcp://*:5000").find("name the host to connect to") != std::string::npos);
  CHECK(problem("tpc://h:5000").find("did you mean tcp?") != std::string::npos);
  CHECK(problem("h:5000").find("the transport is missing") != std::string::npos);
  CHECK(problem("ipc://").find("the path is missing") != std::string::npos);
  CHECK(problem("ipc://@abstract").find("abstract socket names are not supported") != std::string::npos);
  CHECK(problem("ipc:///tmp/").find("the path names a directory") != std::string::npos);
  CHECK(problem("inproc://x").find("threads of one program") != std::string::npos);
}

TEST_CASE("an address is bound once, data sockets counted") {
  const std::string text = R"(weft: 1
name: t
nodes: {a: {run: x}, b: {run: x}, c: {run: x}}
links:
  - {from: a.o, to: b.i, pattern: pub-sub, endpoint: tcp://h:5000}
  - {from: c.o, to: b.j, pattern: push-pull, endpoint: tcp://h:5001}
)";

  CHECK(problem_of(text) ==
        "6:56: tcp://h:5001 would be bound twice: by a/0.o (data) and by b/0.j; give each its own");
}
