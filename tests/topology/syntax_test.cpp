#include <doctest/doctest.h>

#include "helpers.hpp"

using namespace weft;
using namespace weft::topology;
using namespace weft::topology::test;

TEST_CASE("ten different mistakes in one file are all named with their places") {
  const std::string text = R"(weft: 1
name: ten
nodez: 3
params: {workers: 4}
nodes:
  source: {run: weft-source, replicas: 0}
  worker:
    run: weft-relay
    replicas: ${wrokers}
    restart: onfailure
    run: again
  sink: {run: weft-sink, grace: 10}
  lonely: {run: x}
links:
  - {from: source.out, to: wroker.in, pattern: push-pull}
  - {from: worker.out, to: sink.in, pattern: pushpull}
  - {from: worker.more, to: sink.in2, pattern: pub-sub, bind: to}
)";

  const auto problems = problems_of(text);

  const std::vector<std::string> expected{
      R"(3:1: unknown key "nodez"; did you mean "nodes"?)",
      "6:40: nodes.source.replicas must be a whole number from 1 to 10000, found the number 0",
      R"(9:15: ${wrokers} names no param; did you mean "workers"?)",
      R"(10:14: nodes.worker.restart must be "never", "on-failure" or "always", found text "onfailure"; did you mean "on-failure"?)",
      R"(11:5: the key "run" stands twice in this map, first on line 8; keep one of them)",
      R"(12:33: nodes.sink.grace must be a time with its unit (ns, us, ms, s, m or h), such as "10s" or "250ms", found the number 10; a bare number has no unit, did you mean "10s"?)",
      R"(13:3: the node "lonely" has no link, so it can take no part; give it one, or remove it)",
      R"(15:28: "wroker.in" leads to nowhere: there is no node "wroker"; did you mean "worker"?)",
      R"(16:46: links[1].pattern must be "push-pull", "pub-sub" or "dealer-router", found text "pushpull"; did you mean "push-pull"?)",
      R"(17:63: links[2].bind does not fit here: the publisher always binds, since each subscriber also opens a side channel to every publisher; leave the key out)"};
  CHECK(problems == expected);
}

TEST_CASE("one sentence a line is what the exception says") {
  try {
    load_text("weft: 1\nname: t\nnodes: 1\nlinks: 1\n", "dir/t.yaml");
    FAIL("the file is bad");
  } catch (const InvalidTopology& invalid) {
    CHECK(invalid.code() == Errc::invalid_file);
    CHECK(std::string(invalid.what()) ==
          "dir/t.yaml:3:8: nodes must be a map of keys and values, found the number 1\n"
          "dir/t.yaml:4:8: links must be a list, found the number 1");
  }
}

TEST_CASE("broken YAML is told with its place and the line") {
  CHECK(
      problem_of("a: b: c\n").starts_with("1:5: this is not valid YAML: a \":\" stands where no value can"));
  CHECK(problem_of("a: {b: c\nd: e\n").find("a \"{\" and \"}\" do not match") != std::string::npos);
  CHECK(problem_of("a: [1, 2\nb: 3\n").find("a \"[\" and \"]\" do not match") != std::string::npos);
  CHECK(problem_of("a: \"x\nb: c\n") == "1:4: a quote is opened here and never closed: \"x b: c \"");
  CHECK(problem_of("a: 'x\n").find("never closed") != std::string::npos);
  CHECK(problem_of("a: *b\n").find("names an anchor") != std::string::npos);
  CHECK(problem_of("n: {replicas: ${x}, b: c}\n").find("needs quotes") != std::string::npos);
}

TEST_CASE("a quote that YAML closes is not taken for an open one") {
  const std::string text =
      "weft: 1\nname: &n \"t\"\ndescription: 'it''s \"fine\"'\nnodes: {a: {run: \"x\\\"\"}, b: "
      "{run: !!str 'y'}}\nlinks: [{from: \"a.x\", to: 'b.x', pattern: push-pull}]";

  CHECK(problem_of(text) == "");
  CHECK(load_text(text, "t.yaml").description == "it's \"fine\"");
}

TEST_CASE("a tab for indentation is named as such") {
  CHECK(problem_of("nodes:\n\ta: 1\n") == "2:1: this line is indented with a tab; YAML wants spaces");
  CHECK(problem_of("a: b\n\tc: d\n").find("indented with a tab") != std::string::npos);
}

TEST_CASE("an empty file, a list, a bare word and a second document are refused") {
  CHECK(problem_of("") == "1:1: the file is empty; a topology starts with \"weft: 1\"");
  CHECK(problem_of("# nothing\n") == "1:1: the file is empty; a topology starts with \"weft: 1\"");
  CHECK(problem_of("- a\n").find("a topology is a map of keys") != std::string::npos);
  CHECK(problem_of("word\n").find("found text \"word\"") != std::string::npos);
  CHECK(problem_of(two_nodes() + "---\nweft: 1\n").starts_with("8:1: a second YAML document starts here"));
}

TEST_CASE("bytes that are no text are refused before they are parsed") {
  CHECK(problem_of("a: b\nc: \xff\xfe\n").starts_with("2:1: the line \"c: \\xff\\xfe\" is not UTF-8"));
  CHECK(problem_of(std::string("a: \x04\n", 5)).find("control character") != std::string::npos);
  CHECK(problem_of(std::string("a\0b", 3)).find("control character") != std::string::npos);
  CHECK(problem_of(two_nodes(", pattern: push-pull", ", with: {x: \"a\\0b\"}")).find("zero byte") !=
        std::string::npos);
  CHECK(problem_of("\xEF\xBB\xBF" + two_nodes()) == "");
}

TEST_CASE("columns count characters and not bytes") {
  CHECK(problem_of(two_nodes(", pattern: push-pull", ", with: {name: h\xc3\xa9}, graze: 1s"))
            .starts_with("4:43: unknown key \"graze\" in nodes.a; did you mean \"grace\"?"));
}

TEST_CASE("size, depth and aliases have bounds") {
  CHECK(problem_of(std::string((1 << 20) + 1, '#')).find("a topology file may have 1048576") !=
        std::string::npos);
  CHECK(problem_of(std::string(100'000, '[')).find("nested more than 32 deep") != std::string::npos);
  CHECK(problem_of(std::string(100'000, '{')).find("nested more than 32 deep") != std::string::npos);
  CHECK(problem_of("a: &x [*x]\n").find("inside the value that it names") != std::string::npos);

  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string n = std::to_string(i), p = std::to_string(i - 1);
    laughs += "a" + n + ": &a" + n + " [*a" + p + ", *a" + p + ", *a" + p + ", *a" + p + ", *a" + p + ", *a" +
              p + ", *a" + p + ", *a" + p + ", *a" + p + ", *a" + p + "]\n";
  }
  CHECK(problem_of(laughs).find("more than 100000 values") != std::string::npos);
}

TEST_CASE("many mistakes are cut after two hundred") {
  std::string text = two_nodes();
  for (int i = 0; i < 500; ++i) text += "k" + std::to_string(i) + ": 1\n";

  const auto problems = problems_of(text);

  REQUIRE(problems.size() == 201);
  CHECK(problems.back() == " only the first 200 problems are shown; there may be more");
}

TEST_CASE("merge keys, tags and keys that are no words are refused") {
  CHECK(problem_of("base: &b {x: 1}\nc: {<<: *b}\n").find("merge keys") != std::string::npos);
  CHECK(problem_of("a: !!binary aGk=\n").find("the tag \"tag:yaml.org,2002:binary\" is not supported") !=
        std::string::npos);
  CHECK(problem_of("[a]: b\n").find("a key must be a word, found a list") != std::string::npos);
  CHECK(problem_of("? {a: b}\n: c\n").find("a key must be a word, found a map") != std::string::npos);
}

TEST_CASE("a file that is not there or no regular file is a problem and no hang") {
  CHECK_THROWS_WITH_AS(load("/nowhere/x.yaml"), "/nowhere/x.yaml: there is no file \"/nowhere/x.yaml\"",
                       InvalidTopology);
  CHECK_THROWS_WITH_AS(load("/dev/zero"), doctest::Contains("is no regular file"), InvalidTopology);
  CHECK_THROWS_WITH_AS(load("/tmp"), doctest::Contains("is no regular file"), InvalidTopology);
}
