// A node and its launcher: what is reported, what is obeyed.
#include <fcntl.h>
#include <unistd.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/sub.hpp>

#include "node/support.hpp"

using namespace weft;
using namespace weft::test;

namespace {

struct Apple {
  int weight = 0;
  WEFT_RECORD(Apple, weight)
};
struct Pear {
  int weight = 0;
  WEFT_RECORD(Pear, weight)
};

const std::string kLink = "source.out>sink.in";

Value peers_at(const std::vector<std::string>& endpoints, bool go) {
  Value news;
  news["go"] = go;
  Value& list = news["peers"][kLink] = Value::list();
  for (const std::string& endpoint : endpoints) list.push_back(endpoint);
  return news;
}

/// A sink as the source of the pair knows it.
PortOptions sink_port(std::string endpoint, std::uint64_t epoch = 1) {
  return {.name = "in", .node = "sink/0", .scope = "pair-1", .bind = {std::move(endpoint)}, .epoch = epoch};
}

}  // namespace

TEST_CASE("a node reports where it is bound, and starts only when the launcher says go") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node sink(loop, node_of(plan, "sink"), launcher.options());
  (void)sink.open<Pull<>>("in");
  std::optional<Push<>> push;
  bool go = false;
  bool started_early = false;
  launcher.on_report = [&](const Value& report) {
    if (!push) {
      const std::string at = report.get("endpoints").get(kLink).as_string();
      push.emplace(loop, PortOptions{.name = "out", .node = "source/0", .scope = "pair-1", .connect = {at}});
    }
    if (report.get("state") == Value("ready") && !go) {
      go = true;
      launcher.tell(peers_at({}, true));
    }
  };
  launcher.tell(peers_at({}, false));
  sink.on_start([&] {
    started_early = !go;
    sink.drain();
  });

  CHECK(sink.run() == 0);

  CHECK(go);
  CHECK_FALSE(started_early);
  CHECK(launcher.reports.back().get("state") == Value("stopped"));
  CHECK(launcher.reports.back().get("node") == Value("sink/0"));
}

TEST_CASE("a node follows a peer that came back at another address") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node source(loop, node_of(plan, "source"), launcher.options());
  auto* out = source.open<Push<>>("out");
  Pull<> before(loop, sink_port("inproc://sink-before", 1));
  std::optional<Pull<>> after;
  std::vector<std::string> got;
  source.on_start([&] {
    before.close();
    after.emplace(loop, sink_port("inproc://sink-after", 2));
    after->on_record([&](const RawRecord& r, const Meta&) { got.emplace_back(r.text()); });
    launcher.tell(peers_at({"inproc://sink-after"}, true));
  });
  source.on_peer([&](std::string_view, const PeerEvent& event) {
    if (!after || event.what != PeerEvent::What::up) return;
    REQUIRE(out->send(as_bytes("found you")) == SendStatus::ok);
    source.finish();
  });
  launcher.tell(peers_at({"inproc://sink-before"}, true));

  CHECK(source.run() == 0);

  CHECK(got == std::vector<std::string>{"found you"});
}

TEST_CASE("a restarted node does not wait for peers that have ended") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node sink(loop, node_of(plan, "sink"), launcher.options());
  (void)sink.open<Pull<>>("in");
  Value news = peers_at({}, true);
  news["gone"][kLink] = 1;
  launcher.tell(news);
  sink.on_start([&] { sink.drain(); });

  CHECK(sink.run() == 0);
}

TEST_CASE("a node whose peer carries another type fails at once and names both types") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  const auto log = std::make_shared<Captured>();
  NodeOptions options = launcher.options();
  options.log = logger_of(log);
  Node source(loop, node_of(plan, "source"), options);
  (void)source.open<Push<Apple>>("out");
  Pull<Pear> pears(loop, sink_port("inproc://pears"));
  launcher.tell(peers_at({"inproc://pears"}, true));

  CHECK(source.run() == 1);

  CHECK(log->has("Apple"));
  CHECK(log->has("Pear"));
  CHECK(launcher.reports.back().get("state") == Value("failed"));
  CHECK(launcher.reports.back().get("reason").as_string().find("Pear") != std::string::npos);
}

TEST_CASE("a node says how it ended: result, progress and counts are in its last report") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node source(loop, node_of(plan, "source"), launcher.options());
  auto* out = source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  sink.on_record([](const RawRecord&, const Meta&) {});
  source.on_report([] {
    Value progress;
    progress["step"] = 3;
    return progress;
  });
  source.on_start([&] {
    REQUIRE(out->send(as_bytes("one")) == SendStatus::ok);
    Value result;
    result["answer"] = 42;
    source.finish(result);
  });
  launcher.tell(peers_at({"inproc://sink"}, true));

  CHECK(source.run() == 0);

  const Value& last = launcher.reports.back();
  CHECK(last.get("result").get("answer") == Value(42));
  CHECK(last.get("progress").get("step") == Value(3));
  CHECK(last.get("ports").get("out").get("sent_records") == Value(1));
}

TEST_CASE("a node whose launcher does not hear it leaves its last report in the pipe that it was given") {
  Loop loop;
  const auto plan = pair_plan();
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  {
    NodeOptions options{
        .control = "ipc://" + socket_path("nobody-listens"), .last_word = ends[1], .epoch = 7};
    options.start_limit = 100ms;
    Node source(loop, node_of(plan, "source"), std::move(options));
    auto* out = source.open<Push<>>("out");
    REQUIRE(out != nullptr);
    CHECK(source.run() == 3);
  }
  std::string word(64 * 1024, 0);
  const ssize_t got = read(ends[0], word.data(), word.size());
  REQUIRE(got > 0);
  const auto message =
      control::unpack(as_bytes(std::string_view(word).substr(0, static_cast<std::size_t>(got))));
  REQUIRE(message.has_value());
  CHECK(message->get("state") == Value("failed"));
  CHECK(message->get("epoch") == Value(7));
  CHECK(message->get("ports").get("out").is_map());
  for (const int fd : ends) close(fd);
}

TEST_CASE("a tapped port shows a copy of what passes, and nothing is taken away") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  const std::string folder = socket_path("tap");
  REQUIRE(::system(format("mkdir -p {}/s", folder).c_str()) == 0);
  NodeOptions options = launcher.options();
  options.run_directory = folder;
  Node source(loop, node_of(plan, "source"), options);
  auto* out = source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  int taken = 0;
  sink.on_record([&](const RawRecord&, const Meta&) { ++taken; });
  std::optional<Sub<>> watcher;
  std::string seen;
  launcher.on_report = [&](const Value& report) {
    const Value& at = report.get("ports").get("out").get("tap");
    if (!at.is_string() || watcher) return;
    watcher.emplace(loop, PortOptions{.name = "tap", .scope = "weft-control", .connect = {at.as_string()}});
    watcher->on_record([&](const RawRecord& r, const Meta&) {
      seen = r.text();
      source.finish();
    });
  };
  // Sends until the tap has shown one: only a tap with a subscriber copies.
  const auto sender = loop.every(1ms, [&] {
    if (seen.empty() && watcher) (void)out->send(as_bytes("look"));
  });
  Value news = peers_at({"inproc://sink"}, true);
  news["taps"] = Value::list();
  news["taps"].push_back("out");
  launcher.tell(news);

  CHECK(source.run() == 0);
  loop.cancel(sender);

  CHECK(seen == "look");
  CHECK(static_cast<std::uint64_t>(taken) == out->stats().sent_records);
  CHECK(::system(format("rm -rf {}", folder).c_str()) == 0);
}

TEST_CASE("a node connects a port to a guest while the launcher says so") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node source(loop, node_of(plan, "source"), launcher.options());
  (void)source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  Pull<> guest(loop, {.name = "guest", .node = "guest/1", .scope = "pair-1", .bind = {"inproc://guest"}});
  std::vector<std::string> events;
  source.on_peer([&](std::string_view, const PeerEvent& event) {
    if (event.node != "guest/1") return;
    events.emplace_back(to_string(event.what));
    if (event.what == PeerEvent::What::up) launcher.tell(peers_at({"inproc://sink"}, true));
    if (event.what == PeerEvent::What::dead) source.finish();
  });
  Value news = peers_at({"inproc://sink"}, true);
  news["extra"]["out"] = Value::list();
  news["extra"]["out"].push_back("inproc://guest");
  launcher.tell(news);

  CHECK(source.run() == 0);

  CHECK(events == std::vector<std::string>{"up", "dead"});
}

TEST_CASE("a node outlives its launcher and ends when its work is done") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node source(loop, node_of(plan, "source"), launcher.options());
  auto* out = source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  int taken = 0;
  sink.on_record([&](const RawRecord&, const Meta&) { ++taken; });
  source.on_start([&] {
    launcher.router.reset();
    REQUIRE(out->send(as_bytes("alone")) == SendStatus::ok);
    source.finish();
  });
  launcher.tell(peers_at({"inproc://sink"}, true));

  CHECK(source.run() == 0);

  CHECK(taken == 1);
}

TEST_CASE("what a handler threw is the last word that the launcher hears") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  Node source(loop, node_of(plan, "source"), launcher.options());
  (void)source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  source.on_start([] { throw Error(Errc::internal, "the handler broke"); });
  launcher.tell(peers_at({"inproc://sink"}, true));

  CHECK(source.run() == 1);

  REQUIRE_FALSE(launcher.reports.empty());
  CHECK(launcher.reports.back().get("state") == Value("failed"));
  CHECK(launcher.reports.back().get("reason") == Value("the handler broke"));
}

TEST_CASE("a guest that cannot be connected to does not end the node") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  const auto logged = std::make_shared<Captured>();
  NodeOptions options = launcher.options();
  options.log = logger_of(logged);
  Node source(loop, node_of(plan, "source"), options);
  (void)source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  source.on_start([&] { source.finish(); });
  Value news = peers_at({"inproc://sink"}, true);
  news["extra"]["out"] = Value::list();
  news["extra"]["out"].push_back("nowhere");
  launcher.tell(news);

  CHECK(source.run() == 0);

  CHECK(logged->has("nowhere"));
}

TEST_CASE("a port that cannot be looked at says so and goes on") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_plan();
  NodeOptions options = launcher.options();
  options.run_directory = "/tmp/" + std::string(120, 'x');  // no socket has so long a path
  Node source(loop, node_of(plan, "source"), options);
  (void)source.open<Push<>>("out");
  Pull<> sink(loop, sink_port("inproc://sink"));
  source.on_start([&] { source.finish(); });
  Value news = peers_at({"inproc://sink"}, true);
  news["taps"].push_back("out");
  launcher.tell(news);

  CHECK(source.run() == 0);

  CHECK(launcher.reports.back().get("ports").get("out").get("tap_error").is_string());
}
