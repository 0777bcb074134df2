// What the node tests share: plans, what was logged, and a launcher that does what the test says.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <weft/blocks/router.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/node/control.hpp>
#include <weft/node/node.hpp>
#include <weft/topology/topology.hpp>

namespace weft::test {

using namespace std::chrono_literals;

/// Long enough for a loaded machine: only a failing test ever waits for it.
inline Deadline soon() {
  return Deadline::after(30s);
}

/// Keeps what was logged.
class Captured final : public Logger::Sink {
 public:
  void write(LogLevel, std::string_view, std::string_view message) override {
    text.append(message).append("\n");
  }
  [[nodiscard]] bool has(std::string_view part) const { return text.find(part) != std::string::npos; }
  std::string text;
};

inline Logger logger_of(const std::shared_ptr<Captured>& sink) {
  return {sink, "node", LogLevel::debug};
}

/// The peer of a node under test, on its loop.
inline PortOptions sink_at(const std::string& socket) {
  return {.name = "in", .node = "sink/0", .scope = "pair", .bind = {"ipc://" + socket}};
}

/// source.out > sink.in. `more` goes into the link.
inline topology::Plan pair_plan(const std::string& more = "") {
  return topology::load_text(R"(
weft: 1
name: pair
nodes:
  source: {run: a, lifetime: finite}
  sink: {run: b, lifetime: service}
links:
  - {from: source.out, to: sink.in, pattern: push-pull)" +
                                 (more.empty() ? "" : ", " + more) + "}\n",
                             "pair.yaml");
}

inline std::string socket_path(std::string_view name) {
  return format("/tmp/weft-node-test-{}-{}", getpid(), name);
}

inline const topology::NodePlan& node_of(const topology::Plan& plan, std::string_view name) {
  for (const auto& node : plan.nodes) {
    if (node.id.name == name) return node;
  }
  throw Error(Errc::not_found, "no such node");
}

/// The launcher's end of the control link, on the loop of the node.
class FakeLauncher {
 public:
  static constexpr const char* kEndpoint = "inproc://control-of-test";

  explicit FakeLauncher(Loop& loop) {
    router.emplace(loop, PortOptions{.name = "control", .scope = "weft-control", .bind = {kEndpoint}});
    router->on_request([this](const RawRecord& record, Responder<Raw> respond) {
      const auto message = control::unpack(record);
      REQUIRE(message);
      if (message->get("op") == Value("report")) {
        reports.push_back(*message);
        respond.reply_packed(control::pack(Value::map()).view());
        if (on_report) on_report(reports.back());
        return;
      }
      REQUIRE(message->get("op") == Value("watch"));
      told = message->get("version").as_uint();
      parked.emplace(std::move(respond));
      answer();
    });
  }

  /// What the node hears as the answer to its present or next question.
  void tell(Value what) {
    news = std::move(what);
    news["version"] = ++version;
    answer();
  }

  [[nodiscard]] NodeOptions options() const {
    return {.control = kEndpoint, .run = "pair-1", .epoch = 7, .report_every = 20ms};
  }

  std::optional<Router<>> router;
  std::vector<Value> reports;
  std::function<void(const Value& report)> on_report;

 private:
  void answer() {
    if (!parked || told >= version) return;
    parked->reply_packed(control::pack(news).view());
    parked.reset();
  }

  Value news;
  std::uint64_t version = 0;
  std::uint64_t told = 0;
  std::optional<Responder<Raw>> parked;
};

}  // namespace weft::test
