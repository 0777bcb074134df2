#include <doctest/doctest.h>

#include "helpers.hpp"

using namespace weft;
using namespace weft::topology;
using namespace weft::topology::test;

namespace {

using Sets = std::vector<std::pair<std::string, std::string>>;

const std::string kFile = R"(weft: 1
name: t
params: {n: 2, data: "", rate: 0.5, flag: true, free: null}
nodes:
  a:
    run: weft-source
    replicas: ${n}
    with: {data: "${data}", rate: "${rate}", flag: "${flag}", text: "n=${n}, $${n}", free: "${free}"}
  b: {run: weft-sink}
links:
  - {from: a.out, to: b.in, pattern: push-pull}
)";

Plan with(const Sets& sets) {
  return load_text(kFile, "t.yaml", {sets, {}});
}

}  // namespace

TEST_CASE("a scalar that is exactly a param takes its type, quoted or not") {
  const Plan plan = with({});

  const Value& options = plan.nodes[0].options;
  CHECK(plan.nodes.size() == 3);
  CHECK(options.get("data") == Value(""));
  CHECK(options.get("rate") == Value(0.5));
  CHECK(options.get("flag") == Value(true));
  CHECK(options.get("free") == Value());
}

TEST_CASE("a param inside a text is written out, and a doubled dollar is the characters themselves") {
  CHECK(with({}).nodes[0].options.get("text") == Value("n=2, ${n}"));
}

TEST_CASE("a set without a dot changes a param and keeps its type") {
  const Plan plan = with({{"n", "3"}, {"data", "8"}, {"rate", "2"}, {"free", "x"}});

  const Value& options = plan.nodes[0].options;
  CHECK(plan.nodes.size() == 4);
  CHECK(options.get("data") == Value("8"));
  CHECK(options.get("rate") == Value(2));
  CHECK(options.get("free") == Value("x"));
}

TEST_CASE("a set that names no param or does not fit it is a problem") {
  CHECK(problem_of(kFile, {{{"dtaa", "x"}}, {}}) ==
        "--set: dtaa=\"x\" names no param of the file; did you mean \"data\"?");
  CHECK(problem_of(kFile, {{{"flag", "maybe"}}, {}}) ==
        "--set: flag=\"maybe\" does not fit the param, which is the boolean true in the file");
  CHECK(problem_of(two_nodes(), {{{"n", "1"}}, {}}).find("the file has no params") != std::string::npos);
}

TEST_CASE("a value that came from a set says so when it is refused") {
  CHECK(problem_of(kFile, {{{"n", "0"}}, {}}) ==
        "7:15: nodes.a.replicas must be a whole number from 1 to 10000, found the number 0 (from ${n}, --set "
        "n=0)");
}

TEST_CASE("a set with dots changes or makes a value of the file") {
  const Plan plan = with({{"nodes.b.replicas", "2"},
                          {"nodes.b.with.tables.weights.consistency", "bsp"},
                          {"nodes.b.env.LEVEL", "3"},
                          {"links.0.overflow", "fail"},
                          {"limits.drain", "3s"},
                          {"params.n", "1"}});

  REQUIRE(plan.nodes.size() == 3);
  CHECK(plan.nodes[1].options.get("tables").get("weights").get("consistency") == Value("bsp"));
  CHECK(plan.nodes[1].environment == std::vector<std::pair<std::string, std::string>>{{"LEVEL", "3"}});
  CHECK(plan.links[0].overflow == Overflow::fail);
  CHECK(plan.drain_limit == std::chrono::seconds(3));
}

TEST_CASE("a set whose path leads nowhere, or whose value is wrong, is a problem") {
  const auto problem = [](const std::string& key, const std::string& value) {
    return problem_of(kFile, {{{key, value}}, {}});
  };

  CHECK(problem("nodes.aa.replicas", "2").find("nodes has no key \"aa\"; did you mean \"a\"?") !=
        std::string::npos);
  CHECK(problem("nodse.a.replicas", "2").find("did you mean \"nodes\"?") != std::string::npos);
  CHECK(problem("name.x", "2").find("which has no keys inside") != std::string::npos);
  CHECK(problem("links.7.bind", "to").find("links is a list of 1") != std::string::npos);
  CHECK(problem("nodes..a", "2").find("an empty part between its dots") != std::string::npos);
  CHECK(problem("nodes.a.replica", "2")
            .find("unknown key \"replica\" in nodes.a; did you mean \"replicas\"?") != std::string::npos);
  CHECK(problem("nodes.b.replicas", "many").find("found text \"many\" (--set nodes.b.replicas=many)") !=
        std::string::npos);
  CHECK(problem("data", "\xff").find("is not UTF-8 text") != std::string::npos);
}

TEST_CASE("quotes in a set make a text") {
  CHECK(with({{"free", "\"8\""}}).nodes[0].options.get("free") == Value("8"));
  CHECK(with({{"free", "8"}}).nodes[0].options.get("free") == Value(8));
}

TEST_CASE("params that make the file explode are refused") {
  std::string text =
      two_nodes(", pattern: push-pull", ", args: [", "params: {big: " + std::string(400'000, 'x') + "}\n");
  std::string items = "\"${big}\"";
  for (int i = 0; i < 100; ++i) items += ", \"${big}\"";
  text.insert(text.find("args: [") + 7, items + "]");

  CHECK(problem_of(text).find("the params written out make more than 16777216 bytes") != std::string::npos);
}
