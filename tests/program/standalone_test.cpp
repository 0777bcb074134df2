#include "program/standalone.hpp"

#include <string>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>

using namespace weft;
using program::About;
using program::Arguments;
using topology::BlockKind;

namespace {

About about_by_hand() {
  return {.description = {.program = "prog",
                          .ports = {{.name = "in", .block = BlockKind::any, .required = true},
                                    {.name = "fixed", .block = BlockKind::router}},
                          .options = {{.name = "count", .type = topology::OptionType::integer}}},
          .standalone = {{"in", BlockKind::pull}}};
}

std::string refusal_by_hand(const Arguments& arguments) {
  try {
    (void)program::plan_by_hand(arguments, about_by_hand());
  } catch (const Error& e) {
    CHECK(e.code() == Errc::invalid_argument);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a bound port becomes an end that binds and waits for its peers") {
  Arguments arguments;
  arguments.binds = {"in=tcp://127.0.0.1:*"};
  arguments.peers = {"in=3"};
  arguments.withs = {"count=5"};

  const auto plan = program::plan_by_hand(arguments, about_by_hand());

  REQUIRE(plan.ends.size() == 1);
  CHECK(plan.ends[0].binds);
  CHECK_FALSE(plan.ends[0].sender);
  CHECK(plan.ends[0].endpoint == "tcp://127.0.0.1:*");
  CHECK(plan.ends[0].peers.size() == 3);
  CHECK(plan.links[0].pattern == topology::Pattern::push_pull);
  CHECK(plan.options.get("count").as_int() == 5);
}

TEST_CASE("a connected port becomes an end with one peer for each endpoint") {
  Arguments arguments;
  arguments.connects = {"in=ipc:///a", "in=ipc:///b"};
  arguments.blocks = {"in=dealer"};
  arguments.node = "asker/2";

  const auto plan = program::plan_by_hand(arguments, about_by_hand());

  REQUIRE(plan.ends.size() == 1);
  CHECK_FALSE(plan.ends[0].binds);
  CHECK(plan.ends[0].sender);
  REQUIRE(plan.ends[0].peers.size() == 2);
  CHECK(plan.ends[0].peers[1].endpoint == "ipc:///b");
  CHECK(plan.links[0].pattern == topology::Pattern::dealer_router);
  CHECK(plan.id.text() == "asker/2");
}

TEST_CASE("a wrong command line names the argument") {
  CHECK(refusal_by_hand({.binds = {"in"}}) == "--bind \"in\": expected PORT=ENDPOINT");
  CHECK(refusal_by_hand({.binds = {"out=x"}}) ==
        "--bind: there is no port \"out\"; its ports are in and fixed");
  CHECK(refusal_by_hand({.binds = {"in=a"}, .connects = {"in=b"}}) ==
        "the port \"in\" needs --bind or --connect, and not both");
  CHECK(refusal_by_hand({.binds = {"in=a"}, .blocks = {"in=plug"}}) ==
        "--block in: expected push, pull, pub, sub, dealer or router, found \"plug\"");
  CHECK(refusal_by_hand({.binds = {"in=a"}, .blocks = {"fixed=push"}}) ==
        "--block fixed: this port is always a router");
  CHECK(refusal_by_hand({.binds = {"in=a"}, .peers = {"in=many"}}) ==
        "--peers in: expected a whole number from 0 to 65536, found \"many\"");
}

TEST_CASE("a port that must be linked is asked for") {
  CHECK(refusal_by_hand({}) ==
        "its port \"in\" needs a peer: add --bind in=ENDPOINT or --connect in=ENDPOINT");
}
