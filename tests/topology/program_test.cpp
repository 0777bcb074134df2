#include <doctest/doctest.h>

#include <weft/core/format.hpp>

#include "helpers.hpp"

using namespace weft;
using namespace weft::topology;
using namespace weft::topology::test;

namespace {

OptionDescription option(std::string name, OptionType type) {
  OptionDescription o;
  o.name = std::move(name);
  o.type = type;
  return o;
}

ProgramDescription source() {
  ProgramDescription d;
  d.program = "weft-source";
  d.finite = true;
  d.ports = {{"out", BlockKind::push, "Line", 7, false, ""}, {"news", BlockKind::pub, "any", 0, false, ""}};
  d.options = {option("file", OptionType::text),      option("rate", OptionType::integer),
               option("share", OptionType::number),   option("loop", OptionType::boolean),
               option("every", OptionType::duration), option("chunk", OptionType::size),
               option("mode", OptionType::choice),    option("names", OptionType::list),
               option("tables", OptionType::map),     option("model", OptionType::record),
               option("extra", OptionType::any)};
  d.options[1].unit = "records a second";
  d.options[1].minimum = 1;
  d.options[1].maximum = 1000;
  d.options[4].minimum = 0.5;
  d.options[5].maximum = 1024;
  d.options[6].choices = {"lines", "json"};
  d.options[7].fields = {option("", OptionType::text)};
  OptionDescription width = option("width", OptionType::integer);
  width.required = true;
  OptionDescription table = option("", OptionType::record);
  table.fields = {width, option("kind", OptionType::text)};
  d.options[8].fields = {table};
  d.options[9].fields = {option("rate", OptionType::number)};
  return d;
}

ProgramDescription sink() {
  ProgramDescription d;
  d.program = "weft-sink";
  d.ports = {{"in", BlockKind::pull, "Line", 7, true, "what to write"},
             {"feed", BlockKind::any, "any", 0, false, ""}};
  return d;
}

LoadOptions with_programs() {
  LoadOptions options;
  options.describe = [](const std::string& program, const std::string&) -> std::optional<ProgramDescription> {
    if (program == "weft-source") return source();
    if (program == "weft-sink") return sink();
    if (program == "./script.sh") return std::nullopt;
    throw Error(Errc::not_found, "there is no program \"" + program + "\"; did you mean \"weft-source\"?");
  };
  return options;
}

std::string problem_with(const std::string& options_of_source) {
  return problem_of(two_nodes(", pattern: push-pull", ", with: {" + options_of_source + "}"),
                    with_programs());
}

}  // namespace

TEST_CASE("a program that is not there is a problem at its run key") {
  std::string text = two_nodes();
  text.replace(text.find("weft-source"), 11, "weft-sorce");

  CHECK(problem_of(text, with_programs()) ==
        "4:12: nodes.a.run: there is no program \"weft-sorce\"; did you mean \"weft-source\"?");
}

TEST_CASE("each program is asked once, with the directory of the file") {
  std::vector<std::string> asked;
  LoadOptions options;
  options.describe = [&](const std::string& program, const std::string& directory) {
    asked.push_back(program + " in " + directory);
    return std::nullopt;
  };
  std::string text = two_nodes();
  text.replace(text.find("weft-sink"), 9, "weft-source");

  load_text(text, "some/dir/t.yaml", options);

  CHECK(asked == std::vector<std::string>{"weft-source in some/dir"});
}

TEST_CASE("every kind of option takes what fits it") {
  CHECK(problem_with(
            "file: x, rate: 10, share: 0.5, loop: true, every: 1s, chunk: 1KiB, mode: json, names: [a, b], "
            "tables: {t: {width: 1, kind: sparse}}, model: {rate: 1}, extra: [1, {a: b}]") == "");
}

TEST_CASE("every kind of option refuses what does not fit it, all in one go") {
  const auto problems = problems_of(two_nodes(", pattern: push-pull",
                                              ", with: {file: 5, rate: 0, share: x, loop: yes, every: 100ms, "
                                              "chunk: 2KiB, mode: jsno, names: [a, 1], "
                                              "tables: {t: {kind: x}}, model: {rat: 1}, fiel: x}"),
                                    with_programs());

  const std::vector<std::string> expected{
      "nodes.a.with.file must be text (in quotes: \"5\"), found the number 5",
      "nodes.a.with.rate must be at least 1 records a second, found 0",
      "nodes.a.with.share must be a number, found text \"x\"",
      "nodes.a.with.loop must be true or false, found text \"yes\"",
      "nodes.a.with.every must be at least 0.5 seconds, found 100ms",
      "nodes.a.with.chunk must be at most 1024 bytes, found 2KiB",
      "nodes.a.with.mode must be \"lines\" or \"json\", found text \"jsno\"; did you mean \"json\"?",
      "nodes.a.with.names[1] must be text (in quotes: \"1\"), found the number 1",
      "nodes.a.with.tables.t needs the option \"width\"",
      "nodes.a.with.model has no option \"rat\"; did you mean \"rate\"?",
      "\"weft-source\" has no option \"fiel\"; did you mean \"file\"?"};
  REQUIRE(problems.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(problems[i]);
    CHECK(problems[i].ends_with(expected[i]));
  }
}

TEST_CASE("a bound holds at its value and not beyond") {
  CHECK(problem_with("rate: 1000") == "");
  CHECK(problem_with("rate: 1001").find("at most 1000 records a second") != std::string::npos);
  CHECK(problem_with("rate: 1.5").find("must be a whole number (records a second)") != std::string::npos);
  CHECK(problem_with("share: .nan").find("must be a number") != std::string::npos);
}

TEST_CASE("an option that is needed and missing is named") {
  LoadOptions options;
  options.describe = [](const std::string& program, const std::string&) -> std::optional<ProgramDescription> {
    if (program != "weft-source") return std::nullopt;
    ProgramDescription d = source();
    d.options[0].required = true;
    d.options[0].help = "what to read";
    return d;
  };

  CHECK(problem_of(two_nodes(), options) == "4:3: \"weft-source\" needs the option \"file\" (what to read)");
}

TEST_CASE("a port that the program does not have is named with those it has") {
  std::string text = two_nodes();
  text.replace(text.find("a.out"), 5, "a.uot");

  CHECK(problem_of(text, with_programs()) ==
        "7:12: \"weft-source\" has no port \"uot\"; did you mean \"out\"?");
}

TEST_CASE("a port of another block than the pattern's is refused, any is taken") {
  std::string text = two_nodes(", pattern: pub-sub");
  CHECK(
      problem_of(text, with_programs())
          .find(
              "\"a.out\" of \"weft-source\" opens a push, but at this end of a pub-sub link stands a pub") !=
      std::string::npos);

  text = two_nodes() + "  - {from: a.news, to: b.feed, pattern: pub-sub}\n";
  CHECK(problem_of(text, with_programs()) == "");
}

TEST_CASE("open ports take any name and block") {
  LoadOptions options;
  options.describe = [](const std::string&, const std::string&) {
    ProgramDescription d;
    d.open_ports = true;
    return std::optional(d);
  };

  CHECK(problem_of(two_nodes(), options) == "");
}

TEST_CASE("ends that carry records of different types are refused with both types") {
  const auto problem = [](const std::string& record, std::uint64_t fingerprint) {
    LoadOptions options;
    options.describe = [=](const std::string& program, const std::string&) {
      ProgramDescription d = program == "weft-source" ? source() : sink();
      if (program == "weft-sink") {
        d.ports[0].record = record;
        d.ports[0].fingerprint = fingerprint;
      }
      return std::optional(d);
    };
    return problem_of(two_nodes(), options);
  };

  CHECK(problem("Line", 7) == "");
  CHECK(problem("any", 0) == "");
  CHECK(problem("Line", 0) == "");
  CHECK(problem("Update", 9)
            .find("\"a.out\" of \"weft-source\" sends \"Line\" and \"b.in\" of \"weft-sink\" takes "
                  "\"Update\"") != std::string::npos);
  CHECK(problem("Line", 8).find("fingerprints 0000000000000007 and 0000000000000008") != std::string::npos);
}

TEST_CASE("a port that the program needs must be linked") {
  const std::string text =
      "weft: 1\nname: t\nnodes: {a: {run: weft-source}, b: {run: weft-sink}}\nlinks:\n"
      "  - {from: a.news, to: b.feed, pattern: pub-sub}\n";

  CHECK(problem_of(text, with_programs()) ==
        "3:32: the node \"b\" runs \"weft-sink\", which needs its port \"in\" to be linked (what to write)");
}

TEST_CASE("options of a file that do not go together are refused with their places") {
  LoadOptions options;
  options.describe = [](const std::string& program, const std::string&) {
    if (program == "weft-sink") return std::optional(sink());
    ProgramDescription d = source();
    d.options[0].excludes = {"names"};
    d.options[4].needs = {"chunk"};
    d.options[6].default_value = "lines";
    d.options[2].required = true;
    d.options[2].when = OptionCondition{"mode", {"json"}};
    return std::optional(d);
  };
  const auto problem = [&](const std::string& with) {
    return problem_of(two_nodes(", pattern: push-pull", ", with: {" + with + "}"), options);
  };
  CHECK(problem("file: x") == "");
  CHECK(problem("mode: json, share: 1") == "");
  CHECK(problem("file: x, names: [a]").find("file cannot stand beside \"names\"") != std::string::npos);
  CHECK(problem("every: 1s").find("every needs chunk beside it") != std::string::npos);
  CHECK(problem("share: 1").find("share goes with mode: json, not with lines") != std::string::npos);
  CHECK(problem("mode: json").find("needs the option \"share\"") != std::string::npos);
}

TEST_CASE("arguments are for programs that describe nothing") {
  const auto text = [](const std::string& program) {
    std::string t = two_nodes(", pattern: push-pull", ", args: [x]");
    return t.replace(t.find("weft-source"), 11, program);
  };

  CHECK(problem_of(text("./script.sh"), with_programs()) == "");
  CHECK(problem_of(text("weft-source"), with_programs())
            .find("describes its options, so write them under \"with:\"") != std::string::npos);
}

TEST_CASE("a finite program that is always restarted would never end") {
  CHECK(problem_of(two_nodes(", pattern: push-pull", ", restart: always"), with_programs())
            .find("ends by itself and would then never end") != std::string::npos);
  CHECK(problem_of(two_nodes(", pattern: push-pull", ", restart: always, lifetime: service"),
                   with_programs()) == "");
}
