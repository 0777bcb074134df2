#include "launch/test_node.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <unistd.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/node/control.hpp>
#include <weft/node/node.hpp>

namespace weft::test {
namespace {

struct Number {
  std::uint64_t n = 0;
  WEFT_RECORD(Number, n)
};

std::map<std::string, std::string> arguments(int argc, char** argv) {
  std::map<std::string, std::string> out;
  for (int i = 1; i + 1 < argc; i += 2) out[argv[i]] = argv[i + 1];
  return out;
}

topology::NodePlan read_plan(const std::string& path) {
  std::ifstream file(path);
  return topology::node_plan_from_value(parse_json(std::string{std::istreambuf_iterator<char>(file), {}}));
}

int last_word() {
  const char* const text = std::getenv("WEFT_LAST_WORD");
  return text ? std::atoi(text) : -1;
}

void send(Node& node, const std::string& what, std::int64_t count, std::uint64_t epoch) {
  auto* out = node.open<Push<>>("out");
  if (!out) return;
  const auto some = [&node, out, count] {
    for (std::int64_t i = 0; i < count; ++i) {
      if (out->send(as_bytes(format("{} {}", node.plan().id.text(), i))) != SendStatus::ok) return;
    }
  };
  if (what == "send") {
    node.on_start([&node, some, count] {
      some();
      Value result;
      result["sent"] = count;
      node.finish(result);
    });
  } else if (what == "patient") {
    node.on_peer([&node, some, ups = 0](std::string_view, const PeerEvent& event) mutable {
      if (event.what != PeerEvent::What::up) return;
      some();
      if (++ups == 2) node.finish();
    });
  } else if (what == "leave") {
    node.on_start([] { _exit(0); });
  } else if (what == "leave-word") {
    node.on_start([&node, epoch] {
      // As one does that takes its launcher for gone: it tells the pipe alone.
      Value last;
      last["node"] = node.plan().id.text();
      last["epoch"] = epoch;
      last["state"] = "stopped";
      last["result"]["said"] = "all";
      const wire::Buffer word = control::pack(last);
      if (write(last_word(), word.view().data(), word.view().size()) > 0) _exit(0);
    });
  } else {
    if (what == "endless") node.set_endless();
    node.on_start([&node, some] { node.loop().every(std::chrono::milliseconds(1), some); });
  }
}

void take(Node& node, const std::string& what, const std::string& directory) {
  if (what == "strict") {
    auto* typed = node.open<Pull<Number>>("in");
    return typed->on_record([](Number&, const Meta&) {});
  }
  auto* in = node.open<Pull<>>("in");
  if (!in) return;
  const std::string mark = format("{}/died-{}", directory, node.plan().id.replica);
  const bool die = what == "die" && !std::filesystem::exists(mark);
  in->on_record([&node, die, mark, taken = 0](const RawRecord&, const Meta&) mutable {
    if (die) {
      std::ofstream(mark) << "x";
      raise(SIGKILL);
    }
    Value result;
    result["taken"] = ++taken;
    node.set_result(result);
  });
}

}  // namespace

int run_node(int argc, char** argv) {
  auto given = arguments(argc, argv);
  topology::NodePlan plan = read_plan(given["--spec"]);
  const std::string what = plan.options.get("do").is_string() ? plan.options.get("do").as_string() : "take";
  const std::int64_t count = plan.options.get("count").is_int() ? plan.options.get("count").as_int() : 1;
  std::printf("%s says hello\n", plan.id.text().c_str());
  std::fflush(stdout);
  if (what == "mute") given["--control"] = "ipc://" + given["--run-directory"] + "/nobody";
  Loop loop;
  Node node(loop, std::move(plan),
            {.control = given["--control"],
             .run = given["--run"],
             .last_word = last_word(),
             .epoch = std::stoull(given["--epoch"]),
             .run_directory = given["--run-directory"],
             .log = Logger::to_stderr("node")});
  send(node, what, count, std::stoull(given["--epoch"]));
  take(node, what, given["--run-directory"]);
  if (what == "fail-late") node.on_drain([&node] { node.fail("cannot write what is left", 5); });
  const int code = node.run();
  if (what == "fail-late") raise(SIGTERM);  // it waits until the node lets signals through again
  return code;
}

}  // namespace weft::test
