// Pub-sub without gaps: the contract of `delivery = at_least_once`.
#include <map>
#include <memory>
#include <set>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

constexpr auto kReliable = Delivery::at_least_once;

/// Follows topics whose records are their own numbers, 0, 1, 2, ...: each record continues the one before, is
/// a snapshot, or says that it does not.
struct Follower {
  std::map<std::string, std::uint64_t> last;
  std::map<std::string, std::uint64_t> first;
  std::uint64_t records = 0, silent_gaps = 0, resets = 0, snapshots = 0;

  /// UINT64_MAX: nothing has come.
  [[nodiscard]] std::uint64_t at(const std::string& topic) const {
    const auto found = last.find(topic);
    return found == last.end() ? UINT64_MAX : found->second;
  }

  explicit Follower(Sub<>& sub) {
    sub.on_record([this](const RawRecord& r, const Meta& meta) {
      const std::string topic(meta.topic);
      const std::uint64_t value = std::stoull(std::string(r.text()));
      const auto at = last.find(topic);
      if (at == last.end()) first[topic] = value;
      resets += meta.reset ? 1 : 0;
      snapshots += meta.snapshot ? 1 : 0;
      const bool follows =
          at == last.end() || value == at->second + 1 || (meta.snapshot && value >= at->second);
      if (!follows && !meta.reset) ++silent_gaps;
      last[topic] = value;
      ++records;
    });
  }
};

// Far beyond what high-water marks and the kernel hold.
#ifdef WEFT_TEST_SANITIZED
constexpr std::uint64_t kMany = 8'000;
#else
constexpr std::uint64_t kMany = 20'000;
#endif

void number(Pub<>& pub, std::uint64_t from, std::uint64_t to, std::size_t padding = 0,
            std::string_view topic = "t") {
  for (std::uint64_t i = from; i < to; ++i) {
    std::string text = std::to_string(i);
    if (text.size() < padding) text.insert(0, padding - text.size(), '0');
    REQUIRE(pub.publish(topic, as_bytes(text)) == SendStatus::ok);
    pub.flush();
  }
}

}  // namespace

WEFT_CONFORMS("replay: what a slow subscriber missed it fetches, and gets every record in order") {
  Loop loop;
  Pub<> pub(loop, {.name = "out",
                   .bind = place.endpoints(),
                   .heartbeat = 20ms,
                   .dead_after = 10s,
                   .delivery = kReliable,
                   .retain_bytes = 128 << 20});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable});
  Follower follower(sub);
  REQUIRE(pub.wait_for_peers(1, soon()));

  sub.pause(true);
  const std::uint64_t sent = kMany;
  number(pub, 0, sent, 2000);
  sub.pause(false);
  REQUIRE(eventually(loop, [&] { return follower.records == sent; }));

  CHECK(follower.silent_gaps == 0);
  CHECK(follower.resets == 0);
  CHECK(sub.stats().missed_batches == 0);
  CHECK(sub.stats().replayed_batches > 0);
  CHECK(sub.stats().gaps_filled > 0);
  CHECK(pub.stats().replayed_batches >= sub.stats().replayed_batches);
}

WEFT_CONFORMS("replay: many topics lose batches, and every subscriber ends with the same state") {
  Loop loop;
  Pub<> pub(loop, {.name = "out",
                   .bind = place.endpoints(),
                   .heartbeat = 20ms,
                   .dead_after = 10s,
                   .delivery = kReliable,
                   .retain_bytes = 128 << 20});
  Sub<> a(loop, {.name = "in", .node = "a/0", .connect = pub.endpoints(), .delivery = kReliable});
  Sub<> b(loop, {.name = "in", .node = "b/0", .connect = pub.endpoints(), .delivery = kReliable});
  Follower at_a(a);
  Follower at_b(b);
  REQUIRE(pub.wait_for_peers(2, soon()));

  b.pause(true);
  std::map<std::string, std::uint64_t> sent;
  for (std::uint64_t i = 0; i < kMany; ++i) {
    const std::string topic = "t/" + std::to_string(i * 7919 % 300);
    const std::uint64_t next = sent[topic]++;
    number(pub, next, next + 1, 1000, topic);
    if (i % 200 == 0) (void)loop.run_once(Deadline::at(TimePoint::min()));
  }
  b.pause(false);
  const auto whole = [&](const Follower& follower) {
    return follower.last.size() == sent.size() && std::ranges::all_of(sent, [&](const auto& entry) {
             return follower.last.at(entry.first) + 1 == entry.second;
           });
  };
  // Counts first: the states are compared once, not in every turn.
  REQUIRE(eventually(loop, [&] { return at_a.records >= kMany && at_b.records >= kMany; }));

  CHECK(whole(at_a));
  CHECK(whole(at_b));
  CHECK(at_a.silent_gaps + at_b.silent_gaps == 0);
  CHECK(at_a.records == kMany);
  CHECK(at_b.records == kMany);
  CHECK(b.stats().replayed_batches > 0);
}

WEFT_CONFORMS("replay: what is no longer retained is counted to the batch, and marked") {
  Loop loop;
  Pub<> pub(loop, {.name = "out",
                   .bind = place.endpoints(),
                   .heartbeat = 20ms,
                   .dead_after = 10s,
                   .delivery = kReliable,
                   .retain_bytes = 1 << 20});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable});
  Follower follower(sub);
  REQUIRE(pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  number(pub, 0, 1);
  REQUIRE(eventually(loop, [&] { return follower.records == 1; }));

  sub.pause(true);
  const std::uint64_t sent = 20'000;
  number(pub, 1, sent, 2000);
  sub.pause(false);
  REQUIRE(eventually(loop, [&] { return follower.at("t") == sent - 1; }));

  CHECK(follower.records + sub.stats().missed_batches == sent);
  CHECK(sub.stats().missed_batches > 0);
  CHECK(follower.silent_gaps == 0);
  CHECK(follower.resets > 0);
}

WEFT_CONFORMS("replay: what lies in a hole is not missed by a subscriber that leaves a living publisher") {
  Context context;
  Loop here(context), there(context);
  Pub<> pub(here,
            {.name = "out", .bind = place.endpoints(), .delivery = kReliable, .retain_bytes = 128 << 20});
  Sub<> sub(there, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable});
  Follower follower(sub);
  const Deadline limit = soon();
  std::uint64_t sent = 0, before = UINT64_MAX;
  while (follower.records == 0 && !limit.passed(Clock::now())) {
    for (Loop* loop : {&here, &there}) (void)loop->run_once(Deadline::after(1ms));
    if (sent == 0 && pub.peers_up() == 1 && sub.peers_up() == 1) number(pub, 0, ++sent);
  }
  REQUIRE(follower.records == 1);

  // More than is on its way at once, and nobody answers questions: what comes next lies behind a hole.
  number(pub, 1, sent = kMany, 2000);
  while (follower.records != before && !limit.passed(Clock::now())) {
    before = follower.records;
    (void)there.run_until([] { return false; }, Deadline::after(50ms));
    number(pub, sent, sent + 1, 2000);
    ++sent;
  }
  sub.begin_drain();
  REQUIRE(there.run_until([&] { return sub.drained(); }, soon()));

  CHECK(follower.records < sent);
  CHECK(follower.silent_gaps == 0);
  CHECK(sub.stats().missed_batches == 0);
}

WEFT_CONFORMS("replay: a snapshot replaces what is no longer retained") {
  Loop loop;
  Pub<> pub(loop, {.name = "out",
                   .bind = place.endpoints(),
                   .heartbeat = 20ms,
                   .dead_after = 10s,
                   .delivery = kReliable,
                   .retain_bytes = 1 << 20,
                   .keep_last = true});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable, .keep_last = true});
  Follower follower(sub);
  REQUIRE(pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  number(pub, 0, 1);
  REQUIRE(eventually(loop, [&] { return follower.records == 1; }));

  sub.pause(true);
  const std::uint64_t sent = 20'000;
  number(pub, 1, sent, 2000);
  sub.pause(false);
  REQUIRE(eventually(loop, [&] { return follower.at("t") == sent - 1; }));

  CHECK(follower.snapshots > 0);
  CHECK(follower.resets > 0);
  CHECK(follower.silent_gaps == 0);
  CHECK(sub.stats().missed_batches == 0);
}

WEFT_CONFORMS(
    "replay: the earliest that is retained, a sequence, or the latest is where a subscriber begins") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .delivery = kReliable});
  number(pub, 0, 1000);
  number(pub, 0, 10, 0, "u");
  const auto options = [&](const char* node, From from, std::uint64_t sequence = 0) {
    return PortOptions{.name = "in",
                       .node = node,
                       .connect = pub.endpoints(),
                       .delivery = kReliable,
                       .from = from,
                       .from_sequence = sequence,
                       .topics = {"t"}};
  };
  Sub<> earliest(loop, options("a/0", From::earliest));
  Sub<> behind(loop, options("b/0", From::sequence, 990));
  Sub<> ahead(loop, options("c/0", From::sequence, 1005));
  Sub<> latest(loop, options("d/0", From::latest));
  Follower at_earliest(earliest);
  Follower at_behind(behind);
  Follower at_ahead(ahead);
  Follower at_latest(latest);
  REQUIRE(pub.wait_for_peers(4, soon()));

  number(pub, 1000, 1010);
  REQUIRE(eventually(loop, [&] {
    return at_earliest.at("t") == 1009 && at_behind.at("t") == 1009 && at_ahead.at("t") == 1009 &&
           at_latest.at("t") == 1009;
  }));

  CHECK(at_earliest.records == 1010);
  CHECK(at_behind.first["t"] == 990);
  CHECK(at_ahead.first["t"] == 1005);
  CHECK(at_latest.first["t"] == 1000);
  CHECK(earliest.stats().missed_batches + behind.stats().missed_batches == 0);
  CHECK(at_earliest.last.size() == 1);
}

WEFT_CONFORMS("replay: beginning at the earliest misses nothing by what had left before") {
  Loop loop;
  Pub<> pub(loop,
            {.name = "out", .bind = place.endpoints(), .delivery = kReliable, .retain_bytes = 100 << 10});
  number(pub, 0, 1000, 1000);
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable, .from = From::earliest});
  Follower follower(sub);
  REQUIRE(eventually(loop, [&] { return follower.at("t") == 999; }));

  CHECK(follower.first["t"] > 800);
  CHECK(follower.silent_gaps + follower.resets == 0);
  CHECK(sub.stats().missed_batches == 0);
}

WEFT_CONFORMS("replay: a hundred joins amid a stream, each without a silent gap") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .heartbeat = 50ms, .delivery = kReliable});
  std::map<std::string, std::uint64_t> sent;
  const auto publish = [&] {
    for (int i = 0; i < 100; ++i) {
      const std::string topic = "t/" + std::to_string(i % 10);
      (void)pub.publish(topic, as_bytes(std::to_string(sent[topic]++)));
    }
    pub.flush();
  };
  std::uint64_t silent = 0, resets = 0, joined = 0;
  for (int join = 0; join < 100; ++join) {
    Sub<> sub(loop, {.name = "in",
                     .node = "sub/" + std::to_string(join),
                     .connect = pub.endpoints(),
                     .delivery = kReliable});
    Follower follower(sub);
    const auto stream = loop.every(1ms, publish);
    REQUIRE(eventually(loop, [&] { return follower.last.size() == 10 && follower.records > 300; }));
    loop.cancel(stream);
    REQUIRE(eventually(loop, [&] {
      return std::ranges::all_of(
          sent, [&](const auto& entry) { return follower.at(entry.first) + 1 == entry.second; });
    }));
    silent += follower.silent_gaps;
    resets += follower.resets + sub.stats().missed_batches;
    ++joined;
  }

  CHECK(joined == 100);
  CHECK(silent == 0);
  CHECK(resets == 0);
}

WEFT_CONFORMS("replay: a late joiner's snapshot and live stream meet without a gap") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .delivery = kReliable, .keep_last = true});
  for (int t = 0; t < 500; ++t) number(pub, 0, 3, 0, "t/" + std::to_string(t));
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable, .keep_last = true});
  Follower follower(sub);
  std::uint64_t next = 3;
  REQUIRE(eventually(loop, [&] {
    number(pub, next, next + 1, 0, "t/7");
    ++next;
    return follower.last.size() == 500 && follower.at("t/7") != UINT64_MAX && follower.at("t/7") > 20;
  }));

  CHECK(follower.snapshots == 500);
  CHECK(follower.silent_gaps == 0);
  CHECK(follower.at("t/8") == 2);
  CHECK(sub.stats().missed_batches == 0);
}

WEFT_CONFORMS("replay: the application's own snapshot comes first, then what it does not cover") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .delivery = kReliable});
  std::vector<std::string> asked;
  pub.on_snapshot([&](std::string_view prefix, const Pub<>::Snapshot& into) {
    asked.emplace_back(prefix);
    for (int i = 0; i < 3; ++i) CHECK(into.put("book/eu", as_bytes("state" + std::to_string(i))));
    CHECK(!into.put("other", as_bytes("not asked for")));
  });
  for (int i = 0; i < 5; ++i) (void)pub.publish("book/eu", as_bytes("old" + std::to_string(i)));
  pub.flush();
  CHECK(pub.sequence("book/eu") == 1);
  Sub<> sub(loop, {.name = "in",
                   .connect = pub.endpoints(),
                   .delivery = kReliable,
                   .topics = {"book", "book/eu"},
                   .keep_last = true});
  std::vector<std::string> got;
  sub.on_record([&](const RawRecord& r, const Meta& meta) {
    got.push_back((meta.snapshot ? "s:" : "l:") + std::string(r.text()));
  });
  REQUIRE(eventually(loop, [&] { return got.size() == 3; }));
  (void)pub.publish("book/eu", as_bytes("new"));
  REQUIRE(eventually(loop, [&] { return got.size() == 4; }));

  CHECK(got == std::vector<std::string>{"s:state0", "s:state1", "s:state2", "l:new"});
  CHECK(asked == std::vector<std::string>{"book"});
}

WEFT_CONFORMS("replay: of a publisher that restarts everything new is taken, and marked as new") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  const auto options = [&](std::uint64_t epoch, const std::vector<std::string>& at) {
    return PortOptions{.name = "out", .node = "pub/0", .bind = at, .epoch = epoch, .delivery = kReliable};
  };
  auto pub = std::make_unique<Pub<>>(loop, options(1, place.endpoints()));
  const auto at = pub->endpoints();
  Sub<> sub(loop, {.name = "in", .connect = at, .heartbeat = 20ms, .dead_after = 10s, .delivery = kReliable});
  Follower follower(sub);
  REQUIRE(pub->wait_for_peers(1, soon()));
  number(*pub, 0, 5);
  REQUIRE(eventually(loop, [&] { return follower.at("t") == 4; }));

  pub.reset();
  pub = take_over<Pub<>>(loop, options(2, at));
  number(*pub, 100, 200);  // nobody has come yet
  REQUIRE(eventually(loop, [&] { return follower.at("t") == 199; }));

  CHECK(follower.records == 105);
  CHECK(follower.resets == 1);
  CHECK(follower.silent_gaps == 0);
}

WEFT_CONFORMS("replay: a publisher that drains waits until its subscribers have everything") {
  Loop loop;
  Pub<> pub(loop, {.name = "out",
                   .bind = place.endpoints(),
                   .heartbeat = 20ms,
                   .dead_after = 10s,
                   .delivery = kReliable,
                   .retain_bytes = 128 << 20});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .delivery = kReliable});
  Follower follower(sub);
  const Events events(sub);
  REQUIRE(pub.wait_for_peers(1, soon()));
  number(pub, 0, 1);
  REQUIRE(eventually(loop, [&] { return follower.records == 1; }));
  sub.pause(true);
  number(pub, 1, 20'000, 2000);

  pub.begin_drain();
  CHECK(!pub.drained());
  sub.pause(false);
  REQUIRE(eventually(loop, [&] { return pub.drained(); }));

  CHECK(follower.records == 20'000);
  CHECK(eventually(loop, [&] { return events.count(PeerEvent::What::finished) == 1; }));
}

WEFT_CONFORMS("replay: a subscriber that is gone does not hold up the drain of its publisher") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .delivery = kReliable});
  auto sub = std::make_unique<Sub<>>(
      loop, PortOptions{.name = "in", .connect = pub.endpoints(), .delivery = kReliable});
  auto follower = std::make_unique<Follower>(*sub);
  REQUIRE(pub.wait_for_peers(1, soon()));
  number(pub, 0, 10);
  REQUIRE(eventually(loop, [&] { return follower->records == 10; }));

  sub->begin_drain();
  pub.begin_drain();

  CHECK(eventually(loop, [&] { return pub.drained(); }));
}

WEFT_CONFORMS("replay: best effort and without gaps can be had of one publisher") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .delivery = kReliable, .keep_last = true});
  number(pub, 0, 5);
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .keep_last = true});
  Follower follower(sub);
  REQUIRE(eventually(loop, [&] { return follower.records == 1; }));
  number(pub, 5, 8);
  REQUIRE(eventually(loop, [&] { return follower.records == 4; }));

  CHECK(follower.snapshots == 1);
  CHECK(follower.silent_gaps == 0);
}
