// Whole files: extends, expansion, drawing, and the JSON Schema.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/core/json.hpp>

#include "helpers.hpp"

using namespace weft;
using namespace weft::topology;
using namespace weft::topology::test;
namespace fs = std::filesystem;

namespace {

const fs::path kFiles = fs::path(WEFT_TEST_SOURCE_DIR) / "tests/topology/files";
const fs::path kSchema = fs::path(WEFT_TEST_SOURCE_DIR) / "docs/reference/topology.schema.json";

std::string slurp(const fs::path& path) {
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

// A directory of its own for one test, gone afterwards.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "weft-topology-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }

  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }

 private:
  fs::path path_;
};

std::string plan_text(const Plan& plan) {
  std::string out = plan.name + plan.description + std::to_string(plan.start_limit.count()) + "/" +
                    std::to_string(plan.drain_limit.count());
  for (const NodePlan& node : plan.nodes) out += "\n" + to_json(to_value(node));
  return out;
}

std::vector<fs::path> yaml_files(const fs::path& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") out.push_back(entry.path());
  }
  return out;
}

struct Output {
  int code = -1;
  std::string text;
};

Output run(const std::string& command) {
  Output output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return output;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    output.text.append(buffer.data(), n);
  const int status = pclose(pipe);
  output.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return output;
}

// What each file's first line says of the schema: that it accepts a file in spite of the mistake, or refuses
// it.
std::string expected_of_schema(const fs::path& path) {
  if (path.parent_path().filename() == "good") return "accepts";
  return slurp(path).starts_with("# schema: accepts") ? "accepts" : "refuses";
}

}  // namespace

TEST_CASE("every good file loads and every bad one is refused with a place") {
  for (const fs::path& path : yaml_files(kFiles / "good")) {
    CAPTURE(path.string());
    CHECK_NOTHROW(load(path.string()));
    CHECK(check_text(slurp(path), path.string()).empty());
  }
  for (const fs::path& path : yaml_files(kFiles / "bad")) {
    CAPTURE(path.string());
    const auto problems = check_text(slurp(path), path.string());
    REQUIRE_FALSE(problems.empty());
    CHECK(problems.front().line > 0);
  }
}

TEST_CASE("the first example of the reference loads") {
  const std::string page = slurp(kSchema.parent_path() / "topology.md");
  const std::size_t start = page.find("```yaml\n") + 8;

  const Plan plan = load_text(page.substr(start, page.find("```", start) - start), "topology.md");

  CHECK(plan.name == "train-async");
  CHECK(plan.nodes.size() == 7);
}

TEST_CASE("schema and parser accept and refuse the same files") {
  const Output output = run("/usr/bin/python3 '" + (kFiles.parent_path() / "schema_check.py").string() +
                            "' '" + kSchema.string() + "' '" + (kFiles / "good").string() + "' '" +
                            (kFiles / "bad").string() + "' 2>&1");
  if (output.code == 77 || output.code == 127) {
    MESSAGE("skipped: the schema check needs python3-jsonschema and python3-yaml: ", output.text);
    return;
  }
  REQUIRE_MESSAGE(output.code == 0, output.text);

  std::map<std::string, std::string> said;
  std::istringstream lines(output.text);
  for (std::string path, verdict; lines >> path >> verdict;) said[path] = verdict;

  CHECK(said.size() >= 52);
  CHECK(said.size() == yaml_files(kFiles / "good").size() + yaml_files(kFiles / "bad").size());
  for (const auto& entry : said) {
    CAPTURE(entry.first);
    CHECK(entry.second == expected_of_schema(entry.first));
  }
}

TEST_CASE("extends merges maps deeply and replaces scalars and lists") {
  const Folder folder;
  folder.write("base.yaml", two_nodes(", pattern: push-pull", ", with: {x: 1, y: [1, 2]}, replicas: 2") +
                                "limits: {start: 1s, drain: 2s}\n");
  const std::string top = folder.write("top.yaml", R"(weft: 1
extends: base.yaml
nodes: {a: {with: {y: [3], z: 4}}}
links: [{from: a.out, to: b.in, pattern: pub-sub}]
limits: {start: 5s}
)");

  const Plan plan = load(top);

  CHECK(plan.name == "t");
  CHECK(plan.nodes.size() == 3);
  CHECK(to_json(plan.nodes[0].options) == R"({"x":1,"y":[3],"z":4})");
  CHECK(plan.links.size() == 1);
  CHECK(plan.links[0].pattern == Pattern::pub_sub);
  CHECK(plan.start_limit == std::chrono::seconds(5));
  CHECK(plan.drain_limit == std::chrono::seconds(2));
}

TEST_CASE("problems of a base file carry its name, and its place") {
  const Folder folder;
  const std::string base = folder.write("base/base.yaml", two_nodes(", pattern: push-pull", ", grace: 10"));
  const std::string top =
      folder.write("top.yaml", "weft: 1\nextends: base/base.yaml\nnodes: {b: {grace: 5}}\n");

  std::vector<Problem> problems;
  try {
    load(top);
  } catch (const InvalidTopology& invalid) {
    problems = invalid.problems();
  }

  REQUIRE(problems.size() == 2);
  CHECK(problems[0].file == base);
  CHECK(problems[0].line == 4);
  CHECK(problems[1].file == top);
  CHECK(problems[1].line == 3);
}

TEST_CASE("a circle of files and a base without its version are refused") {
  const Folder folder;
  folder.write("a.yaml", "weft: 1\nextends: b.yaml\n");
  const std::string b = folder.write("b.yaml", "weft: 1\nextends: ./a.yaml\n");
  folder.write("old.yaml", "name: t\n");
  const std::string young = folder.write("young.yaml", "weft: 1\nextends: old.yaml\n");

  CHECK_THROWS_WITH_AS(load(b), doctest::Contains("closes a circle of files"), InvalidTopology);
  CHECK_THROWS_WITH_AS(load(young), doctest::Contains("old.yaml:1:1: the key \"weft\" is missing"),
                       InvalidTopology);
}

TEST_CASE("a program path of a base file stays relative to that file") {
  const Folder folder;
  std::string base = two_nodes();
  base.replace(base.find("weft-source"), 11, "./tools/a.sh");
  folder.write("lib/base.yaml", base);
  const std::string top = folder.write("top.yaml", "weft: 1\nextends: lib/base.yaml\n");

  const Plan plan = load(top);

  CHECK(plan.nodes[0].program == "lib/tools/a.sh");
  CHECK(plan.nodes[1].program == "weft-sink");
}

TEST_CASE("the expanded file loads to the same plan") {
  const Folder folder;
  for (const fs::path& path : yaml_files(kFiles / "good")) {
    CAPTURE(path.string());
    const LoadOptions options{{{"nodes.b.max-restarts", "7"}}, {}};
    const bool has_b = slurp(path).find("\n  b:") != std::string::npos;

    const std::string expanded = expand_yaml(path.string(), has_b ? options : LoadOptions{});

    CAPTURE(expanded);
    CHECK(expanded.find("extends") == std::string::npos);
    CHECK(expanded.find("params:") == std::string::npos);
    CHECK(plan_text(load(folder.write("expanded.yaml", expanded))) ==
          plan_text(load(path.string(), has_b ? options : LoadOptions{})));
  }
}

TEST_CASE("expansion keeps texts that look like something else") {
  const Folder folder;
  const std::string path = folder.write(
      "t.yaml", two_nodes(", pattern: push-pull",
                          R"(, with: {a: "8", b: "true", c: "", d: "x: y # z", e: "$${p}", f: "null",
   g: "line\nnext\ttab \\ \" \x01", "key: odd": [[1, [2]], {h: []}, {}], i: "1e3", j: -0.5, k: 0x10, l: "-", m: "h\u00e9", n: ~}, args: ["$$${x}"])"));

  const Plan plan = load(path);
  const Plan again = load_text(expand_yaml(path), path);

  CHECK(plan.nodes[0].options.get("e") == Value("${p}"));
  CHECK(plan.nodes[0].options.get("k") == Value(16));
  CHECK(to_json(again.nodes[0].options) == to_json(plan.nodes[0].options));
  CHECK(again.nodes[0].arguments == std::vector<std::string>{"$${x}"});
}

TEST_CASE("a plan is drawn in Mermaid, dot and text") {
  const Plan plan = load((kFiles / "good" / "train.yaml").string());

  const std::string mermaid = draw(plan, GraphFormat::mermaid);
  CHECK(mermaid.starts_with("flowchart LR\n  n0[\"server x2<br/>weft-server\"]\n"));
  CHECK(mermaid.find("  n1 <-->|\"params to params<br/>dealer-router, best-effort, balance\"| n0\n") !=
        std::string::npos);
  CHECK(mermaid.find("  n0 -.->|\"weights to records<br/>pub-sub, best-effort, keep last\"| n2\n") !=
        std::string::npos);

  const std::string dot = draw(plan, GraphFormat::dot);
  CHECK(dot.starts_with("digraph \"train-async\" {\n"));
  CHECK(dot.find("\"worker\" [label=\"worker x4\\nweft-worker\"];") != std::string::npos);
  CHECK(dot.find("\"server\" -> \"reader\" [label=\"weights to records\\npub-sub, best-effort, keep last\", "
                 "style=dashed];") != std::string::npos);

  CHECK(draw(plan, GraphFormat::ascii) == R"(train-async: 3 nodes, 7 processes, 2 links

[server x2]  weft-server, finite
   .weights -.-> reader.records     pub-sub, best-effort, keep last

[worker x4]  weft-worker, finite, main
   .params  <--> server.params x2   dealer-router, best-effort, balance

[reader]  weft-sink, service

---> pushes to one   -.-> publishes to all   <--> asks and is answered
)");
}

TEST_CASE("names cannot break out of a drawing") {
  std::string text = two_nodes();
  text.replace(text.find("weft-source"), 11, "'./a\"]; b|<x>&#'");
  const Plan plan = load_text(text, "t.yaml");

  CHECK(draw(plan, GraphFormat::mermaid).find("n0[\"a<br/>./a#34;]; b#124;#60;x#62;#38;#35;\"]") !=
        std::string::npos);
  CHECK(draw(plan, GraphFormat::dot).find("label=\"a\\n./a\\\"]; b|<x>&#\"") != std::string::npos);
}
