#include <doctest/doctest.h>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>

#include "helpers.hpp"

using namespace weft;
using namespace weft::topology;
using namespace weft::topology::test;

namespace {

std::string sizes(unsigned from, unsigned to, const std::string& link) {
  return "weft: 1\nname: t\nnodes:\n  a: {run: x, replicas: " + std::to_string(from) +
         "}\n  b: {run: x, replicas: " + std::to_string(to) + "}\nlinks:\n  - {from: a.o, to: b.i, " + link +
         "}\n";
}

const std::string kCluster = R"(weft: 1
name: t
nodes:
  server: {run: x, replicas: 2}
  worker: {run: x, replicas: 4}
  view: {run: x}
links:
  - {from: worker.params, to: server.params, pattern: dealer-router}
  - {from: server.weights, to: view.in, pattern: pub-sub, keep: last}
  - {from: server.log, to: view.log, pattern: push-pull, bind: from}
hosts: {server: [h0:5000, "10.0.0.7:6000"]}
)";

}  // namespace

TEST_CASE("a plan has every replica with its ends and peers") {
  const Plan plan = plan_of(kCluster);

  CHECK(plan.nodes.size() == 7);
  CHECK(plan.links.size() == 3);
  CHECK(plan.links[0].id == "worker.params>server.params");
  const EndPlan& worker = end_of(plan, "worker/3", "params");
  CHECK(worker.sender);
  CHECK_FALSE(worker.binds);
  REQUIRE(worker.peers.size() == 2);
  CHECK(worker.peers[1].node == NodeId{"server", 1});
  CHECK(worker.peers[1].port == "params");
  const EndPlan& server = end_of(plan, "server/0", "params");
  CHECK_FALSE(server.sender);
  CHECK(server.binds);
  CHECK(server.peers.size() == 4);
  CHECK(plan.nodes[0].links.size() == 3);
  CHECK(plan.nodes[2].links.size() == 1);
}

TEST_CASE("what the file leaves out has its documented default") {
  const Plan plan = plan_of(two_nodes());

  const NodePlan& node = plan.nodes[0];
  CHECK(node.replicas == 1);
  CHECK(node.finite);
  CHECK(node.main);
  CHECK(node.restart == Restart::never);
  CHECK(node.max_restarts == 5);
  CHECK(node.grace == std::chrono::seconds(10));
  CHECK(node.options == Value::map());
  CHECK(plan.start_limit == std::chrono::seconds(20));
  CHECK(plan.drain_limit == std::chrono::seconds(10));
  const LinkPlan& link = plan.links[0];
  CHECK(link.delivery == Delivery::best_effort);
  CHECK(link.distribute == Distribute::balance);
  CHECK(link.overflow == Overflow::block);
  CHECK(link.transport == Transport::automatic);
  CHECK(link.capacity_bytes == 64ULL << 20);
  CHECK(link.prefetch_bytes == 4ULL << 20);
  CHECK(link.dead_after == std::chrono::seconds(10));
  CHECK(plan_of(two_nodes(", pattern: pub-sub")).links[0].overflow == Overflow::drop_newest);
}

TEST_CASE("the end with fewer replicas binds, then to, unless the file or the pattern says") {
  const auto from_binds = [](unsigned from, unsigned to, const std::string& link) {
    return plan_of(sizes(from, to, link)).links[0].from_binds;
  };

  CHECK(from_binds(1, 2, "pattern: push-pull"));
  CHECK_FALSE(from_binds(2, 1, "pattern: push-pull"));
  CHECK_FALSE(from_binds(2, 2, "pattern: push-pull"));
  CHECK(from_binds(2, 1, "pattern: push-pull, bind: from"));
  CHECK_FALSE(from_binds(1, 2, "pattern: dealer-router, bind: to"));
  CHECK(from_binds(2, 1, "pattern: pub-sub"));
  CHECK_FALSE(from_binds(1, 2, "pattern: push-pull, wire: native"));
}

TEST_CASE("native wire is round-robin") {
  CHECK(plan_of(sizes(1, 2, "pattern: push-pull, wire: native")).links[0].distribute ==
        Distribute::round_robin);
}

TEST_CASE("hosts give consecutive ports to the links that a node binds, two to a publisher") {
  const Plan plan = plan_of(kCluster);

  CHECK(end_of(plan, "server/0", "params").endpoint == "tcp://*:5000");
  CHECK(end_of(plan, "server/0", "weights").endpoint == "tcp://*:5001");
  CHECK(end_of(plan, "server/0", "weights").data_endpoint == "tcp://*:5002");
  CHECK(end_of(plan, "server/0", "log").endpoint == "tcp://*:5003");
  CHECK(end_of(plan, "server/1", "params").endpoint == "tcp://10.0.0.7:6000");
  CHECK(end_of(plan, "worker/0", "params").peers[0].endpoint == "tcp://h0:5000");
  CHECK(end_of(plan, "view/0", "in").peers[1].endpoint == "tcp://10.0.0.7:6001");
  CHECK(end_of(plan, "view/0", "log").peers[0].endpoint == "tcp://h0:5003");
  CHECK(end_of(plan, "view/0", "log").endpoint == "");
  CHECK(end_of(plan, "server/0", "params").peers[0].endpoint == "");
}

TEST_CASE("an endpoint of a link replaces its share of hosts") {
  std::string text = kCluster;
  text.replace(text.find("keep: last"), 10, "endpoint: [ipc:///tmp/w0, 'tcp://localhost:7000']");
  const Plan plan = plan_of(text);

  CHECK(end_of(plan, "server/0", "weights").endpoint == "ipc:///tmp/w0");
  CHECK(end_of(plan, "server/0", "weights").data_endpoint == "ipc:///tmp/w0.data");
  CHECK(end_of(plan, "server/1", "weights").endpoint == "tcp://127.0.0.1:7000");
  CHECK(end_of(plan, "view/0", "in").peers[1].endpoint == "tcp://localhost:7000");
  CHECK(end_of(plan, "server/0", "log").endpoint == "tcp://*:5001");
}

TEST_CASE("lifetime comes from the file, then the program, then the restart rule") {
  const auto finite = [](const std::string& keys, std::optional<bool> described) {
    LoadOptions options;
    options.describe = [=](const std::string&, const std::string&) -> std::optional<ProgramDescription> {
      if (!described) return std::nullopt;
      ProgramDescription d;
      d.open_ports = true;
      d.finite = *described;
      return d;
    };
    return load_text(two_nodes(", pattern: push-pull", keys), "t.yaml", options).nodes[0].finite;
  };

  CHECK(finite("", true));
  CHECK_FALSE(finite("", false));
  CHECK(finite("", std::nullopt));
  CHECK_FALSE(finite(", restart: always", std::nullopt));
  CHECK(finite(", restart: on-failure", std::nullopt));
  CHECK(finite(", lifetime: finite", false));
  CHECK_FALSE(finite(", lifetime: service", true));
}

TEST_CASE("all finite nodes are main unless the file names some") {
  const auto mains = [](const std::string& keys) {
    const Plan plan = plan_of(two_nodes(", pattern: push-pull", keys));
    return std::pair(plan.nodes[0].main, plan.nodes[1].main);
  };

  CHECK(mains("") == std::pair(true, true));
  CHECK(mains(", lifetime: service") == std::pair(false, true));
  CHECK(mains(", main: true") == std::pair(true, false));
  CHECK(mains(", main: false") == std::pair(false, true));
}

TEST_CASE("a node that is linked to itself has both ends, and every replica as peer") {
  const Plan plan = plan_of(
      "weft: 1\nname: t\nnodes: {a: {run: x, replicas: 3}}\nlinks: [{from: a.say, to: a.hear, pattern: "
      "pub-sub}]\n");

  REQUIRE(plan.nodes[0].ends.size() == 2);
  CHECK(plan.nodes[0].links.size() == 1);
  CHECK(plan.nodes[0].ends[0].sender);
  CHECK(plan.nodes[0].ends[1].peers.size() == 3);
}

TEST_CASE("${node} and ${replica} are those of each process, unless they are params") {
  const auto node_of = [](const std::string& params) {
    return plan_of("weft: 1\nname: t\n" + params +
                   "nodes:\n  a: {run: x, replicas: 2, args: ['${node}-${replica}', '$${node}'], env: {N: "
                   "'${replica}'}, "
                   "with: {seed: '${replica}', file: 'out-${replica}.${node}$${x}'}}\n"
                   "links: [{from: a.say, to: a.hear, pattern: pub-sub}]\n")
        .nodes[1];
  };
  const NodePlan node = node_of("");
  CHECK(node.arguments == std::vector<std::string>{"a-1", "${node}"});
  CHECK(node.environment.at(0).second == "1");
  CHECK(node.options.get("seed") == Value(1));
  CHECK(node.options.get("file") == Value("out-1.a${x}"));
  CHECK(node_of("params: {replica: 7}\n").options.get("seed") == Value(7));
}

TEST_CASE("a node says when it hangs and how much of its log is kept") {
  const auto node_of = [](const std::string& keys) {
    return plan_of("weft: 1\nname: t\nnodes: {a: {run: x" + keys +
                   "}}\nlinks: [{from: a.say, to: a.hear, pattern: pub-sub}]\n")
        .nodes[0];
  };
  CHECK(node_of("").hang_after == Duration::zero());
  const NodePlan node = node_of(", hang-after: 30s, log: {max: 1MiB, keep: 3}");
  CHECK(node.hang_after == std::chrono::seconds(30));
  CHECK(node.log.max_bytes == 1 << 20);
  CHECK(node.log.keep == 3);
  const NodePlan back = node_plan_from_value(parse_json(to_json(to_value(node))));
  CHECK(back.hang_after == node.hang_after);
  CHECK(back.log.max_bytes == node.log.max_bytes);
  CHECK_THROWS_AS(node_of(", hang-after: 1s"), InvalidTopology);
  CHECK_THROWS_AS(node_of(", log: {max: 1KiB}"), InvalidTopology);
}

TEST_CASE("a node has the time that draining may take, unless its grace says less") {
  const auto grace_of = [](const std::string& node, const std::string& limits) {
    return plan_of(two_nodes(", pattern: push-pull", node, "limits: " + limits + "\n")).nodes[0].grace;
  };

  CHECK(grace_of("", "{drain: 60s}") == std::chrono::seconds(75));
  CHECK(grace_of("", "{drain: 2s}") == std::chrono::seconds(10));
  CHECK(grace_of("", "{start: 60s}") == std::chrono::seconds(10));
  CHECK(grace_of(", grace: 3s", "{drain: 60s}") == std::chrono::seconds(3));
}

TEST_CASE("a limit beyond a year is refused, for it would be over at once") {
  const auto file = [](const std::string& node, const std::string& limits) {
    return two_nodes(", pattern: push-pull", node, "limits: " + limits + "\n");
  };

  CHECK(plan_of(file("", "{drain: 8760h}")).drain_limit == std::chrono::hours(8760));
  CHECK(problem_of(file(", grace: 9000h", "{}")) ==
        R"(4:32: nodes.a.grace must be from 0s to 8760h, found "9000h")");
  CHECK(problem_of(file("", "{start: 9000h}")) ==
        R"(8:17: limits.start must be from 0s to 8760h, found "9000h")");
  CHECK(problem_of(file("", "{drain: 2000000h}")) ==
        R"(8:17: limits.drain must be from 0s to 8760h, found "2000000h")");
}

TEST_CASE("a node's plan reads back from its JSON as it was") {
  std::string text = kCluster;
  text.replace(
      text.find("view: {run: x}"), 14,
      "view: {run: ./v.sh, args: [a, '2'], env: {A: b}, with: {x: [1, null, {y: 2.5}]}, grace: 250ms}");

  for (const NodePlan& node : plan_of(text).nodes) {
    const NodePlan back = node_plan_from_value(parse_json(to_json(to_value(node))));
    CHECK(to_json(to_value(back)) == to_json(to_value(node)));
    CHECK(back.id == node.id);
    CHECK(back.ends.size() == node.ends.size());
    CHECK(back.grace == node.grace);
    CHECK(back.options == node.options);
    CHECK(back.environment == node.environment);
    CHECK(back.arguments == node.arguments);
  }
}

TEST_CASE("a broken node plan is refused by the name of the member") {
  const Value good = to_value(plan_of(kCluster).nodes[0]);
  const auto refused = [&](auto change, const std::string& sentence) {
    Value bad = good;
    change(bad);
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(node_plan_from_value(bad), doctest::Contains(sentence.c_str()), Error);
  };

  refused([](Value& v) { v = 3; }, "the plan must be an object, found integer");
  refused([](Value& v) { v["node"] = nullptr; }, "the plan.node must be text, found null");
  refused([](Value& v) { v["replica"] = -1; }, "the plan.replica must be a whole number");
  refused([](Value& v) { v["grace"] = "10"; }, "the plan.grace must be a time with its unit");
  refused([](Value& v) { v["restart"] = "often"; }, "the plan.restart must be never, on-failure or always");
  refused([](Value& v) { v["ends"].as_list()[0]["peers"].as_list()[1]["port"] = true; },
          "the plan.ends[0].peers[1].port must be text, found boolean");
  refused([](Value& v) { v["ends"].as_list()[0]["link"] = "x"; }, "no link has the id \"x\"");
}

TEST_CASE("a description reads back from its JSON as it was") {
  ProgramDescription d;
  d.program = "weft-x";
  d.help = "does x";
  d.version = "1.2";
  d.finite = true;
  d.open_ports = true;
  d.ports = {{"out", BlockKind::dealer, "Ask", 0xfedcba9876543210ULL, true, "asks"}};
  OptionDescription inner;
  inner.name = "mode";
  inner.type = OptionType::choice;
  inner.choices = {"a", "b"};
  OptionDescription outer;
  outer.name = "model";
  outer.type = OptionType::record;
  outer.unit = "rows";
  outer.help = "the model";
  outer.default_value = 5;
  outer.required = true;
  outer.minimum = -0.5;
  outer.maximum = 7;
  outer.fields = {inner};
  d.options = {outer};

  const ProgramDescription back = description_from_value(parse_json(to_json(to_value(d))));

  CHECK(to_json(to_value(back)) == to_json(to_value(d)));
  CHECK(back.ports[0].fingerprint == 0xfedcba9876543210ULL);
  CHECK(back.ports[0].block == BlockKind::dealer);
  CHECK(back.options[0].fields[0].choices == inner.choices);
  CHECK(back.options[0].minimum == -0.5);
  CHECK(back.options[0].default_value == Value(5));
  CHECK(back.finite);
}

TEST_CASE("a description that is none is refused by the name of the member") {
  const auto refused = [](const std::string& json, const std::string& sentence) {
    CAPTURE(json);
    CHECK_THROWS_WITH_AS(description_from_value(parse_json(json)), doctest::Contains(sentence.c_str()),
                         Error);
  };
  std::string deep = R"({"type": "any"})";
  for (int i = 0; i < 20; ++i) deep = R"({"type": "list", "fields": [)" + deep + "]}";

  CHECK(description_from_value(parse_json(R"({"program": "x", "later": 1})")).program == "x");
  refused("[]", "the description must be an object, found list");
  refused("{}", "the description.program must be text, found null");
  refused(R"({"program": "x", "ports": [{"name": "a", "block": "pish"}]})",
          "ports[0].block must be push, pull, pub");
  refused(R"({"program": "x", "ports": [{"name": "a", "block": "push", "fingerprint": "xyz"}]})",
          "hexadecimal");
  refused(R"({"program": "x", "options": [{"name": "a", "type": "int"}]})",
          "options[0].type must be text, integer");
  refused(R"({"program": "x", "options": [)" + deep + "]}", "nested deeper");
}

TEST_CASE("every word of the file reads back") {
  for (const BlockKind kind : {BlockKind::push, BlockKind::pull, BlockKind::pub, BlockKind::sub,
                               BlockKind::dealer, BlockKind::router, BlockKind::any}) {
    CHECK(parse_block_kind(to_string(kind)) == kind);
  }
  CHECK_FALSE(parse_block_kind("pish"));
  CHECK(to_string(Distribute::explicit_) == "explicit");
  CHECK(to_string(Transport::automatic) == "auto");
  CHECK(to_string(Restart::on_failure) == "on-failure");
}
