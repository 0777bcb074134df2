// What a link promises, as a node carries it to its blocks: options, journals, dead letters, and the news of
// peers.
#include <filesystem>
#include <fstream>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/journal/journal.hpp>

#include "node/support.hpp"

using namespace weft;
using namespace weft::test;
namespace fs = std::filesystem;

namespace {

/// A folder of its own for one test, gone afterwards.
class Folder {
 public:
  explicit Folder(std::string_view name) : path_(socket_path(name)) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }
  [[nodiscard]] std::string at(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

topology::Plan pair_with(const std::string& links) {
  return topology::load_text(
      "weft: 1\nname: pair\nnodes:\n  source: {run: a, lifetime: finite}\n  sink: {run: b, lifetime: "
      "service}\n"
      "  morgue: {run: c, lifetime: service}\nlinks:\n" +
          links,
      "pair.yaml");
}

const std::string kLetters =
    "  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once, dead-letter: "
    "morgue.in}\n";

PortOptions taker(const std::string& node, std::string_view endpoint, std::uint64_t epoch = 1) {
  return {.name = "in",
          .node = node,
          .scope = "pair-1",
          .bind = {std::string(endpoint)},
          .epoch = epoch,
          .delivery = Delivery::at_least_once};
}

Value peers_of_letters(std::string_view sink) {
  Value news;
  news["go"] = true;
  news["peers"]["source.out>sink.in"] = Value::List{Value(sink)};
  news["peers"]["source.out-dead>morgue.in"] = Value::List{Value("inproc://morgue")};
  return news;
}

}  // namespace

TEST_CASE("a port has the promises of its link") {
  const topology::Plan plan = pair_with(
      "  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once, priority: 8, ttl: "
      "5s,\n"
      "     delay: 2ms, max-attempts: 3, capacity: {bytes: 1MiB, records: 50}}\n"
      "  - {from: sink.log, to: morgue.log, pattern: pub-sub, delivery: at-least-once, retain: 2MiB,\n"
      "     journal: {from: unopened}, replay: 17}\n");
  Loop loop;
  const Node source(loop, node_of(plan, "source"), {});
  const Node morgue(loop, node_of(plan, "morgue"), {});

  const PortOptions out = source.port_options("out");
  const PortOptions log = morgue.port_options("log");

  CHECK(out.delivery == Delivery::at_least_once);
  CHECK(out.priority == 8);
  CHECK(out.ttl == 5s);
  CHECK(out.delay == 2ms);
  CHECK(out.max_attempts == 3);
  CHECK(out.capacity_bytes == 1ULL << 20);
  CHECK(out.capacity_records == 50);
  CHECK(out.journal == nullptr);
  CHECK(log.retain_bytes == 2ULL << 20);
  CHECK(log.from == From::sequence);
  CHECK(log.from_sequence == 17);
  CHECK(log.journal == nullptr);
}

TEST_CASE("ports that name one path share one journal, whose folder is made") {
  const Folder folder("journals");
  const std::string path = folder.at("deep/er/j");
  const std::string links =
      "  - {from: source.out, to: sink.in, pattern: push-pull, delivery: exactly-once, journal: {to: '" +
      path +
      "'}}\n  - {from: sink.out, to: morgue.in, pattern: push-pull, delivery: at-least-once, journal: {from: "
      "'" +
      folder.at("deep/./er/j/") + "'}}\n  - {from: sink.log, to: morgue.log, pattern: pub-sub, delivery: " +
      "at-least-once, journal: {from: '" + folder.at("other") + "'}}\n";
  const topology::Plan plan = pair_with(links);
  Loop loop;
  const Node sink(loop, node_of(plan, "sink"), {});

  const auto in = sink.port_options("in").journal;

  REQUIRE(in);
  CHECK(fs::path(in->path()) == fs::path(path));
  CHECK(fs::is_directory(folder.at("deep/er")));
  CHECK(sink.port_options("out").journal == in);
  CHECK(sink.port_options("in").journal == in);
  CHECK(sink.port_options("log").journal != in);
}

TEST_CASE("a journal that cannot be opened is named with its node and port") {
  const Folder folder("unopened");
  std::ofstream(folder.at("file")) << "in the way";
  const topology::Plan plan = pair_with(
      "  - {from: source.out, to: sink.in, pattern: push-pull, delivery: at-least-once, journal: {from: '" +
      folder.at("file/j") + "'}}\n  - {from: sink.log, to: morgue.log, pattern: pub-sub}\n");
  Loop loop;
  Node source(loop, node_of(plan, "source"), {});

  CHECK_THROWS_WITH_AS((void)source.open<Push<>>("out"),
                       doctest::Contains("node source/0: port out: cannot open the journal"), Error);
}

TEST_CASE("a node opens the port of its dead letters itself, and meets who takes them") {
  Loop loop;
  FakeLauncher launcher(loop);
  const topology::Plan plan = pair_with(kLetters);
  Pull<> sink(loop, taker("sink/0", "inproc://sink"));
  Pull<> morgue(loop, taker("morgue/0", "inproc://morgue"));
  for (Pull<>* pull : {&sink, &morgue}) pull->on_record([](const RawRecord&, const Meta&) {});
  Node source(loop, node_of(plan, "source"), launcher.options());
  (void)source.open<Push<>>("out");
  std::vector<std::string> told;
  source.on_peer([&](std::string_view port, const PeerEvent&) { told.emplace_back(port); });
  bool met = false;
  source.on_start([&] {
    met = morgue.peers_up() == 1;
    source.finish();
  });
  launcher.tell(peers_of_letters("inproc://sink"));

  CHECK(source.run() == 0);

  CHECK(met);
  CHECK(source.ports() == std::vector<std::string>{"out"});
  CHECK_FALSE(source.linked("out-dead"));
  CHECK(std::ranges::count(told, "out-dead") == 0);
  CHECK(launcher.reports.back().get("ports").find("out-dead") != nullptr);
}

TEST_CASE("the death of a peer and its return are told and counted") {
  Loop loop;
  FakeLauncher launcher(loop);
  const auto log = std::make_shared<Captured>();
  const topology::Plan plan = pair_plan();
  NodeOptions options = launcher.options();
  options.log = logger_of(log);
  Node source(loop, node_of(plan, "source"), options);
  (void)source.open<Push<>>("out");
  const auto take = [&](std::uint64_t epoch) {
    PortOptions port = taker("sink/0", format("inproc://sink-{}", epoch), epoch);
    port.delivery = Delivery::best_effort;
    return port;
  };
  const auto news = [](std::string_view endpoint) {
    Value out;
    out["go"] = true;
    out["peers"]["source.out>sink.in"] = Value::List{Value(endpoint)};
    return out;
  };
  Pull<> before(loop, take(1));
  Pull<> after(loop, take(2));
  source.on_start([&] { launcher.tell(news("inproc://sink-2")); });
  source.on_peer([&](std::string_view, const PeerEvent& event) {
    if (event.what == PeerEvent::What::up && event.epoch == 2) source.finish();
  });
  launcher.tell(news("inproc://sink-1"));

  CHECK(source.run() == 0);

  CHECK(log->has("port out: sink/0 is dead (its process has ended)"));
  CHECK(log->has("port out: sink/0 is back"));
  CHECK(launcher.reports.back().get("ports").get("out").get("returns") == Value(1));
}
