// Pub-sub as a log: a Pub with a journal.
#include <filesystem>
#include <map>
#include <memory>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/journal/journal.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

struct LogRig {
  Place place{Place::Kind::ipc};
  std::filesystem::path folder = std::filesystem::temp_directory_path() /
                                 ("weft-log-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  Loop loop;
  std::shared_ptr<Journal> journal;
  std::unique_ptr<Pub<>> pub;
  static inline int count = 0;

  ~LogRig() {
    pub.reset();
    journal.reset();
    std::filesystem::remove_all(folder);
  }
  void open(std::uint64_t retain = 16 << 20, bool keep_last = false) { open(place, retain, keep_last); }
  void open(const Place& at, std::uint64_t retain = 16 << 20, bool keep_last = false) {
    journal = Journal::open({.path = folder.string()});
    pub = take_over<Pub<>>(loop, {.name = "out",
                                  .node = "pub/0",
                                  .bind = at.endpoints(),
                                  .delivery = Delivery::at_least_once,
                                  .journal = journal,
                                  .retain_bytes = retain,
                                  .keep_last = keep_last});
  }
  void shut() {
    pub.reset();
    journal.reset();
  }
  void publish(int from, int to, const std::string& topic = "t") {
    for (int i = from; i < to; ++i) {
      REQUIRE(pub->publish(topic, as_bytes(std::to_string(i))) == SendStatus::ok);
      pub->flush();
    }
  }
  PortOptions subscriber(From from, std::uint64_t sequence = 0) {
    return {.name = "in",
            .node = "sub/0",
            .connect = place.endpoints(),
            .heartbeat = 20ms,
            .dead_after = 10s,
            .delivery = Delivery::at_least_once,
            .from = from,
            .from_sequence = sequence};
  }
};

struct Collected {
  std::map<std::string, std::vector<int>> values;
  std::uint64_t epoch = 0, resets = 0;
  explicit Collected(Sub<>& sub) {
    sub.on_record([this](const RawRecord& r, const Meta& meta) {
      values[std::string(meta.topic)].push_back(std::stoi(std::string(r.text())));
      epoch = meta.epoch;
      resets += meta.reset ? 1 : 0;
    });
  }
};

std::vector<int> range(int from, int to) {
  std::vector<int> out;
  for (int i = from; i < to; ++i) out.push_back(i);
  return out;
}

}  // namespace

TEST_CASE("a batch is published when its journal has it") {
  LogRig rig;
  rig.open();
  Sub<> sub(rig.loop, rig.subscriber(From::latest));
  const Collected got(sub);
  REQUIRE(rig.pub->wait_for_peers(1, soon()));

  rig.publish(0, 100);
  CHECK(rig.pub->sequence("t") == 0);  // nothing before a turn of the loop has heard of the sync
  REQUIRE(eventually(rig.loop, [&] { return got.values.contains("t") && got.values.at("t").size() == 100; }));

  CHECK(got.values.at("t") == range(0, 100));
  CHECK(rig.journal->count("log/out") == 100);
}

TEST_CASE(
    "a restarted publisher goes on with its epoch and the next sequence, and its subscriber sees no gap") {
  LogRig rig;
  rig.open();
  Sub<> sub(rig.loop, rig.subscriber(From::latest));
  const Collected got(sub);
  REQUIRE(rig.pub->wait_for_peers(1, soon()));
  rig.publish(0, 10);
  REQUIRE(eventually(rig.loop, [&] { return got.values.contains("t") && got.values.at("t").size() == 10; }));
  const std::uint64_t epoch = got.epoch;

  rig.shut();
  rig.open();
  rig.publish(10, 20);  // before it is back
  REQUIRE(eventually(rig.loop, [&] { return got.values.at("t").size() == 20; }));

  CHECK(got.values.at("t") == range(0, 20));
  CHECK(got.epoch == epoch);
  CHECK(got.resets == 0);
  CHECK(sub.stats().missed_batches == 0);
}

TEST_CASE("a subscriber follows a log to another address, whatever it began with") {
  for (const From from : {From::latest, From::earliest}) {
    LogRig rig;
    rig.open();
    Sub<> sub(rig.loop, rig.subscriber(from));
    const Collected got(sub);
    REQUIRE(rig.pub->wait_for_peers(1, soon()));
    rig.publish(0, 10);
    REQUIRE(
        eventually(rig.loop, [&] { return got.values.contains("t") && got.values.at("t").size() == 10; }));

    rig.shut();
    const Place other(Place::Kind::ipc);
    sub.disconnect(rig.place.endpoints().front());
    rig.open(other);
    rig.publish(10, 20);  // before it is back
    REQUIRE(eventually(rig.loop, [&] { return rig.pub->sequence("t") == 20; }));
    sub.connect(other.endpoints().front());
    rig.publish(20, 30);
    REQUIRE(eventually(rig.loop, [&] { return got.values.at("t").back() == 29; }));

    CHECK(got.values.at("t") == range(0, 30));
    CHECK(got.resets == 0);
    CHECK(sub.stats().missed_batches == 0);
    rig.shut();  // before its place
  }
}

TEST_CASE("a log knows how many records it was ever given") {
  LogRig rig;
  rig.open(20'000);
  rig.publish(0, 1000);
  rig.publish(0, 5, "u");
  REQUIRE(eventually(rig.loop, [&] { return rig.pub->accepted_total() == 1005; }));
  CHECK(rig.journal->count("log/out") < 200);

  rig.shut();
  rig.open(20'000);

  CHECK(rig.pub->accepted_total() == 1005);
}

TEST_CASE("a subscriber reads the log from its beginning or from a sequence, before what is live") {
  LogRig rig;
  rig.open();
  rig.publish(0, 2000);
  rig.publish(0, 5, "u");
  REQUIRE(eventually(rig.loop, [&] { return rig.pub->sequence("u") == 5; }));
  rig.shut();
  rig.open();
  auto options = rig.subscriber(From::earliest);
  options.window_bytes = 4096;  // many pages
  Sub<> earliest(rig.loop, options);
  auto behind_options = rig.subscriber(From::sequence, 1995);
  behind_options.node = "sub/1";
  Sub<> behind(rig.loop, behind_options);
  const Collected from_start(earliest);
  const Collected from_there(behind);
  REQUIRE(rig.pub->wait_for_peers(2, soon()));
  rig.publish(2000, 2010);
  const auto size = [](const Collected& got) {
    return got.values.contains("t") ? got.values.at("t").size() : 0;
  };
  REQUIRE(eventually(rig.loop, [&] { return size(from_start) == 2010 && size(from_there) == 15; }));

  CHECK(from_start.values.at("t") == range(0, 2010));
  CHECK(from_start.values.at("u") == range(0, 5));
  CHECK(from_there.values.at("t") == range(1995, 2010));
}

TEST_CASE("the oldest batches leave the log, and a quiet topic still knows its last sequence") {
  LogRig rig;
  rig.open(20'000);
  rig.publish(0, 3, "quiet");
  rig.publish(0, 1000);
  REQUIRE(eventually(rig.loop, [&] { return rig.pub->sequence("t") == 1000; }));
  CHECK(rig.journal->count("log/out") < 200);

  rig.shut();
  rig.open(20'000);
  CHECK(rig.pub->sequence("quiet") == 3);
  CHECK(rig.pub->sequence("t") == 1000);
  Sub<> sub(rig.loop, rig.subscriber(From::earliest));
  const Collected got(sub);
  rig.publish(3, 4, "quiet");
  REQUIRE(eventually(rig.loop, [&] {
    return got.values.contains("quiet") && got.values.contains("t") && got.values.at("t").back() == 999;
  }));

  CHECK(got.values.at("quiet") == std::vector<int>{3});
  CHECK(sub.stats().missed_batches == 0);
}

TEST_CASE("kept last values come back with the log") {
  LogRig rig;
  rig.open(16 << 20, true);
  rig.publish(0, 5, "a");
  rig.publish(0, 7, "b");
  REQUIRE(eventually(rig.loop, [&] { return rig.pub->sequence("b") == 7; }));
  rig.shut();
  rig.open(16 << 20, true);
  auto options = rig.subscriber(From::latest);
  options.keep_last = true;
  Sub<> sub(rig.loop, options);
  const Collected got(sub);
  REQUIRE(eventually(rig.loop, [&] { return got.values.size() == 2; }));

  CHECK(got.values.at("a") == std::vector<int>{4});
  CHECK(got.values.at("b") == std::vector<int>{6});
}

TEST_CASE("a publisher drains when its journal has everything and its subscribers as well") {
  LogRig rig;
  rig.open();
  Sub<> sub(rig.loop, rig.subscriber(From::latest));
  const Collected got(sub);
  REQUIRE(rig.pub->wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  rig.publish(0, 500);
  rig.pub->begin_drain();
  CHECK(!rig.pub->drained());
  REQUIRE(eventually(rig.loop, [&] { return rig.pub->drained(); }));

  CHECK(got.values.at("t") == range(0, 500));
}
