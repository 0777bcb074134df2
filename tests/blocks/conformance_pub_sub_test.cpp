#include <map>
#include <memory>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/sub.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

struct Price {
  double value = 0;
  WEFT_RECORD(Price, value)
};
struct Order {
  int count = 0;
  WEFT_RECORD(Order, count)
};

/// Collects "topic=text" of each record.
std::shared_ptr<std::vector<std::string>> collect(Sub<>& sub) {
  auto into = std::make_shared<std::vector<std::string>>();
  sub.on_record([into](const RawRecord& r, const Meta& meta) {
    into->push_back(std::string(meta.topic) + "=" + std::string(r.text()));
  });
  return into;
}

}  // namespace

WEFT_CONFORMS("pub-sub: a subscriber that is counted gets every record from the first one on, in order") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .node = "pub/0", .bind = place.endpoints()});
  Sub<> a(loop, {.name = "in", .node = "sub/0", .connect = pub.endpoints()});
  Sub<> b(loop, {.name = "in", .node = "sub/1", .connect = pub.endpoints()});
  const auto at_a = collect(a);
  const auto at_b = collect(b);
  REQUIRE(pub.wait_for_peers(2, soon()));

  for (int i = 0; i < 1000; ++i) REQUIRE(pub.publish("t", as_bytes(std::to_string(i))) == SendStatus::ok);
  REQUIRE(eventually(loop, [&] { return at_a->size() == 1000 && at_b->size() == 1000; }));

  CHECK(at_a->front() == "t=0");
  CHECK(at_a->back() == "t=999");
  CHECK(*at_a == *at_b);
  CHECK(a.stats().missed_batches + b.stats().missed_batches == 0);
}

WEFT_CONFORMS("pub-sub: prefixes choose whole segments, and the empty one everything") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints()});
  Sub<> eu(loop,
           {.name = "in", .node = "sub/0", .connect = pub.endpoints(), .topics = {"orders/eu", "news"}});
  Sub<> all(loop, {.name = "in", .node = "sub/1", .connect = pub.endpoints()});
  const auto at_eu = collect(eu);
  const auto at_all = collect(all);
  REQUIRE(pub.wait_for_peers(2, soon()));

  for (const auto* topic : {"orders/europe", "orders/eu", "orders/eu/fr", "news", "other", ""}) {
    CHECK(pub.publish(topic, as_bytes("x")) == SendStatus::ok);
  }
  REQUIRE(eventually(loop, [&] { return at_all->size() == 6 && at_eu->size() == 3; }));

  CHECK(std::map<std::string, int>{{"news=x", 1}, {"orders/eu/fr=x", 1}, {"orders/eu=x", 1}} == [&] {
    std::map<std::string, int> counted;
    for (const auto& text : *at_eu) ++counted[text];
    return counted;
  }());
}

WEFT_CONFORMS("pub-sub: subscribers are counted as they come and go, equal ones too") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints()});
  auto a = std::make_unique<Sub<>>(
      loop, PortOptions{.name = "in", .node = "a/0", .connect = pub.endpoints(), .topics = {"t"}});
  Sub<> b(loop, {.name = "in", .node = "b/0", .connect = pub.endpoints(), .topics = {"t"}});
  REQUIRE(pub.wait_for_peers(2, soon()));
  REQUIRE(b.wait_for_peers(1, soon()));

  a.reset();

  CHECK(eventually(loop, [&] { return pub.peers_up() == 1; }));
}

WEFT_CONFORMS("pub-sub: topics that are too many are dropped and counted, and what is none is refused") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .max_topics = 2});

  CHECK(pub.publish("a", as_bytes("x")) == SendStatus::ok);
  CHECK(pub.publish("b", as_bytes("x")) == SendStatus::ok);
  CHECK(pub.publish("c", as_bytes("x")) == SendStatus::dropped);
  CHECK(pub.publish(std::string(300, 'l'), as_bytes("x")) == SendStatus::bad_topic);
  CHECK(pub.publish(std::string_view("\0weft/all", 9), as_bytes("x")) == SendStatus::bad_topic);
  CHECK(pub.publish("\xFF", as_bytes("x")) == SendStatus::bad_topic);

  CHECK(pub.stats().dropped_records == 1);
}

WEFT_CONFORMS("pub-sub: what a slow subscriber loses is counted to the batch") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .heartbeat = 20ms, .dead_after = 10s});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints()});
  std::uint64_t got = 0;
  sub.on_record([&](const RawRecord&, const Meta&) { ++got; });
  REQUIRE(pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  (void)pub.publish("t", as_bytes("first"));
  REQUIRE(eventually(loop, [&] { return got == 1; }));

  sub.pause(true);
  const std::string record(2000, 'r');
  const std::uint64_t sent = 20'000;  // far beyond what high-water marks and kernel hold
  for (std::uint64_t i = 0; i < sent; ++i) {
    (void)pub.publish("t", as_bytes(record));
    pub.flush();
  }
  sub.pause(false);

  REQUIRE(eventually(loop, [&] { return got - 1 + sub.stats().missed_batches == sent; }));
  CHECK(sub.stats().missed_batches > 0);
}

WEFT_CONFORMS(
    "pub-sub: a late joiner gets the last value of each of its topics, then what is live, in order") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .keep_last = true});
  for (int i = 0; i < 10; ++i) {
    for (const std::string topic : {"a", "b", "c"}) {
      (void)pub.publish(topic, as_bytes(std::to_string(i)));
    }
  }
  pub.flush();
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .topics = {"a", "b"}, .keep_last = true});
  std::map<std::string, std::vector<int>> seen;
  int snapshots = 0;
  sub.on_record([&](const RawRecord& r, const Meta& meta) {
    seen[std::string(meta.topic)].push_back(std::stoi(std::string(r.text())));
    snapshots += meta.snapshot ? 1 : 0;
  });

  int next = 10;
  REQUIRE(eventually(loop, [&] {  // goes on while the other joins
    (void)pub.publish("a", as_bytes(std::to_string(next++)));
    return seen["a"].size() > 20 && !seen["b"].empty();
  }));

  CHECK(seen["b"] == std::vector<int>{9});
  CHECK(std::is_sorted(seen["a"].begin(), seen["a"].end()));
  CHECK(seen["a"].back() - seen["a"].front() == static_cast<int>(seen["a"].size()) - 1);
  CHECK(seen.count("c") == 0);
  CHECK(snapshots >= 1);
  CHECK(sub.stats().missed_batches == 0);
}

WEFT_CONFORMS("pub-sub: a record that is refused leaves the last value of its topic as it was") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints(), .max_frame_bytes = 64 << 10, .keep_last = true});
  const std::string large(65 << 10, 'l');
  CHECK(pub.publish("a", as_bytes("last")) == SendStatus::ok);
  CHECK(pub.publish("a", as_bytes(large)) == SendStatus::too_large);
  pub.flush();
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .topics = {"a"}, .keep_last = true});
  std::vector<std::string> seen;
  sub.on_record([&](const RawRecord& r, const Meta&) { seen.emplace_back(r.text()); });

  REQUIRE(eventually(loop, [&] { return !seen.empty() || sub.stats().rejected_messages != 0; }));

  CHECK(seen == std::vector<std::string>{"last"});
  CHECK(sub.stats().rejected_messages == 0);
}

WEFT_CONFORMS("pub-sub: a publisher that restarts is followed") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  auto pub = std::make_unique<Pub<>>(
      loop, PortOptions{.name = "out", .node = "pub/0", .bind = place.endpoints(), .epoch = 1});
  const auto at = pub->endpoints();
  Sub<> sub(loop, {.name = "in", .connect = at, .heartbeat = 20ms, .dead_after = 10s});
  const auto got = collect(sub);
  REQUIRE(pub->wait_for_peers(1, soon()));
  (void)pub->publish("t", as_bytes("1"));
  REQUIRE(eventually(loop, [&] { return got->size() == 1; }));

  pub.reset();
  pub = take_over<Pub<>>(loop, {.name = "out", .node = "pub/0", .bind = at, .epoch = 2});
  REQUIRE(pub->wait_for_peers(1, soon()));
  (void)pub->publish("t", as_bytes("2"));
  REQUIRE(eventually(loop, [&] { return got->size() == 2; }));

  CHECK(got->back() == "t=2");
  CHECK(sub.stats().missed_batches == 0);
  CHECK(eventually(loop, [&] { return sub.peers_up() == 1; }));
}

WEFT_CONFORMS("pub-sub: a publisher that was silent for long is confirmed again when it is back") {
  Loop loop;
  Loop other(loop.context());
  Pub<> pub(other, {.name = "out", .bind = place.endpoints(), .heartbeat = 20ms, .dead_after = 60ms});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints(), .heartbeat = 20ms, .dead_after = 60ms});
  const Events events(sub);
  const auto both = [&](const std::function<bool()>& done) {
    return eventually(loop, [&] {
      (void)other.run_once(Deadline::at(TimePoint::min()));
      return done();
    });
  };
  REQUIRE(both([&] { return sub.peers_up() == 1; }));

  REQUIRE(
      eventually(loop, [&] { return events.count(PeerEvent::What::dead) == 1; }));  // the other loop stands
  CHECK(sub.peers_up() == 0);

  CHECK(both([&] { return sub.peers_up() == 1; }));
}

WEFT_CONFORMS("pub-sub: a subscriber of another type is refused on both sides by name") {
  Loop loop;
  Pub<Price> pub(loop, {.name = "out", .bind = place.endpoints()});
  Sub<Order> sub(loop, {.name = "in", .connect = pub.endpoints()});
  const Events at_pub(pub);
  const Events at_sub(sub);

  REQUIRE(eventually(loop, [&] { return at_sub.count(PeerEvent::What::refused) == 1; }));

  for (const std::string& text :
       {at_pub.text(PeerEvent::What::refused), at_sub.text(PeerEvent::What::refused)}) {
    CHECK(contains(text, "Order"));
    CHECK(contains(text, "Price"));
  }
  CHECK(pub.peers_up() == 0);
}

WEFT_CONFORMS("pub-sub: receive without a handler, tensors, and a pause") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints()});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints()});
  REQUIRE(pub.wait_for_peers(1, soon()));
  const std::string data = "payload";
  const Tensor tensor{DType::u8, {7}, as_bytes(data), nullptr};

  CHECK(!sub.receive(Deadline::after(1ms)));
  CHECK(pub.publish("t", as_bytes("x"), {&tensor, 1}) == SendStatus::ok);
  const auto got = sub.receive(soon());

  REQUIRE(got);
  CHECK(got->topic == "t");
  REQUIRE(got->record.tensors().size() == 1);
  CHECK(as_text(got->record.tensors()[0].data) == "payload");
}

WEFT_CONFORMS("pub-sub: a drained publisher tells its subscribers behind its last record") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints()});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints()});
  const auto got = collect(sub);
  const Events events(sub);
  REQUIRE(pub.wait_for_peers(1, soon()));
  REQUIRE(sub.wait_for_peers(1, soon()));
  for (int i = 0; i < 100; ++i) (void)pub.publish("t", as_bytes("x"));

  pub.begin_drain();
  CHECK(pub.publish("t", as_bytes("late")) == SendStatus::closed);
  REQUIRE(
      eventually(loop, [&] { return got->size() == 100 && events.count(PeerEvent::What::finished) == 1; }));
  sub.begin_drain();

  CHECK(pub.drained());
  CHECK(sub.peers_up() == 0);
  CHECK(eventually(loop, [&] { return sub.drained(); }));
}

WEFT_CONFORMS("pub-sub: a Sub may be closed by its own handler") {
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints()});
  Sub<> sub(loop, {.name = "in", .connect = pub.endpoints()});
  int got = 0;
  sub.on_record([&](const RawRecord& r, const Meta& meta) {
    sub.close();
    CHECK(r.text() == "x");
    CHECK(meta.topic == "t");
    ++got;
  });
  REQUIRE(pub.wait_for_peers(1, soon()));

  for (int i = 0; i < 10; ++i) (void)pub.publish("t", as_bytes("x"));
  REQUIRE(eventually(loop, [&] { return pub.peers_up() == 0; }));

  CHECK(got == 1);
}

WEFT_CONFORMS(
    "pub-sub: a subscriber that joins anew counts once, also while its earlier subscription is there") {
  using namespace std::string_literals;
  Loop loop;
  Pub<> pub(loop, {.name = "out", .bind = place.endpoints()});
  transport::Socket raw(loop.context(), transport::SocketType::sub, {});
  raw.connect(pub.data_endpoint());

  raw.subscribe(as_bytes("\0weft/sub/a/0.in/7.1"s));
  raw.subscribe(as_bytes("\0weft/sub/a/0.in/7.2"s));
  raw.subscribe(as_bytes("\0weft/sub/b/0.in/7.1"s));

  REQUIRE(eventually(loop, [&] { return pub.peers_up() == 2; }));  // b's is the last to arrive
  raw.unsubscribe(as_bytes("\0weft/sub/b/0.in/7.1"s));
  CHECK(eventually(loop, [&] { return pub.peers_up() == 1; }));
}
