#include <string>

#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/program/options.hpp>

using namespace weft;
using program::Options;
using topology::OptionDescription;
using topology::OptionType;

namespace {

std::vector<OptionDescription> known() {
  return {{.name = "input", .type = OptionType::text},
          {.name = "count",
           .type = OptionType::integer,
           .unit = "records",
           .default_value = 7,
           .minimum = 0,
           .maximum = 10},
          {.name = "rate", .type = OptionType::number, .default_value = 1.5},
          {.name = "quiet", .type = OptionType::boolean, .default_value = false},
          {.name = "timeout", .type = OptionType::duration, .default_value = "10s", .minimum = 0.001},
          {.name = "size", .type = OptionType::size, .default_value = "1KiB"},
          {.name = "mode", .type = OptionType::choice, .default_value = "a", .choices = {"a", "b"}},
          {.name = "topics", .type = OptionType::list, .fields = {{.name = "topic"}}},
          {.name = "tables",
           .type = OptionType::map,
           .fields = {{.name = "table",
                       .type = OptionType::record,
                       .fields = {{.name = "width", .type = OptionType::integer, .default_value = 1},
                                  {.name = "kind", .required = true}}}}}};
}

std::string refusal(const std::string& json) {
  try {
    Options("prog", known(), parse_json(json));
  } catch (const Error& e) {
    CHECK(e.code() == Errc::invalid_argument);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("options that are not given take their defaults") {
  const Options options("prog", known(), Value());

  CHECK(options.integer("count") == 7);
  CHECK(options.number("rate") == 1.5);
  CHECK_FALSE(options.boolean("quiet"));
  CHECK(options.duration("timeout") == std::chrono::seconds(10));
  CHECK(options.size("size") == 1024);
  CHECK(options.text("mode") == "a");
  CHECK_FALSE(options.has("input"));
  CHECK(options.text("input").empty());
  CHECK(options.texts("topics").empty());
}

TEST_CASE("given options replace defaults, at every depth") {
  const Options options(
      "prog", known(),
      parse_json(R"({"count": 3, "topics": ["x", "y"], "tables": {"w": {"kind": "dense"}}})"));

  CHECK(options.integer("count") == 3);
  CHECK(options.texts("topics") == std::vector<std::string>{"x", "y"});
  CHECK(options.value("tables").get("w").get("width").as_int() == 1);
}

TEST_CASE("each wrong option is named with its value and what was expected") {
  CHECK(refusal(R"({"count": 11})") ==
        "prog: count: expected a whole number, from 0 to 10 (records), found 11");
  CHECK(refusal(R"({"timeout": 5})") ==
        "prog: timeout: expected a time with its unit, like 250ms or 10s, at least 0.001 seconds, found 5");
  CHECK(refusal(R"({"mode": "c"})") == "prog: mode: expected a or b, found \"c\"");
  CHECK(refusal(R"({"topics": "x"})") == "prog: topics: expected a list, found \"x\"");
  CHECK(refusal(R"({"topics": ["x", 1]})") == "prog: topics[1]: expected text, found 1");
  CHECK(refusal(R"({"tables": {"w": {}}})") == "prog: tables.w.kind is missing: expected text");
}

TEST_CASE("an unknown option is refused with the nearest known one") {
  CHECK(refusal(R"({"cuont": 1})") == "prog: there is no option \"cuont\"; did you mean \"count\"?");
}

TEST_CASE("all wrong options are named at once") {
  CHECK(refusal(R"({"count": "x", "quiet": 1})") ==
        "prog: count: expected a whole number, from 0 to 10 (records), found \"x\"\n"
        "prog: quiet: expected true or false, found 1");
}

TEST_CASE("asking for an option that is not described is a defect of the program") {
  const Options options("prog", known(), Value());

  CHECK_THROWS_WITH_AS((void)options.text("output"),
                       "prog asks for its option \"output\" and does not describe it", Error);
}

TEST_CASE("an option on the command line is read by its type") {
  const auto options = known();

  CHECK(program::parse_option_text("prog", options[0], "17") == Value("17"));
  CHECK(program::parse_option_text("prog", options[1], "17") == Value(17));
  CHECK(program::parse_option_text("prog", options[7], "[\"a\"]").as_list().size() == 1);
  CHECK_THROWS_AS((void)program::parse_option_text("prog", options[1], "many"), Error);
}

TEST_CASE("options that do not go together are refused by name, and asked for where they do") {
  const std::vector<OptionDescription> known{
      {.name = "input"},
      {.name = "kind", .type = OptionType::choice, .default_value = "a", .choices = {"a", "b"}},
      {.name = "made", .type = OptionType::any, .excludes = {"input"}},
      {.name = "folder", .needs = {"input", "made"}},
      {.name = "depth",
       .type = OptionType::integer,
       .required = true,
       .when = topology::OptionCondition{"kind", {"b"}}}};
  const auto said = [&](const std::string& json) -> std::string {
    try {
      Options("prog", known, parse_json(json));
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(said("{}").empty());
  CHECK(said(R"({"input": "x", "folder": "f"})").empty());
  CHECK(said(R"({"kind": "b", "depth": 1, "folder": ""})").empty());
  CHECK(said(R"({"input": "x", "made": {}})") ==
        "prog: made: cannot stand beside \"input\"; take one of them");
  CHECK(said(R"({"folder": "f"})") == "prog: folder: needs input or made beside it");
  CHECK(said(R"({"depth": 1})") == "prog: depth: goes with kind: b, not with a");
  CHECK(said(R"({"kind": "b"})").find("prog: depth is missing") == 0);
  const topology::ProgramDescription description{.program = "prog", .options = known};
  const auto back = topology::description_from_value(topology::to_value(description));
  CHECK(back.options.at(2).excludes == std::vector<std::string>{"input"});
  CHECK(back.options.at(3).needs.size() == 2);
  REQUIRE(back.options.at(4).when);
  CHECK(back.options.at(4).when->values == std::vector<std::string>{"b"});
}
