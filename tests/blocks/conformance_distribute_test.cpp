// Who gets a record, and what travels with it: distributions, tensors, forwarding.
#include <cstring>
#include <map>
#include <numeric>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "conformance.hpp"

using namespace weft;
using namespace weft::conformance;

WEFT_CONFORMS("push-pull: round-robin gives receivers that are equally fast about the same") {
  Loop loop;
  Push<> push(
      loop,
      {.name = "out", .bind = place.endpoints(), .batch_records = 1, .distribute = Distribute::round_robin});
  Pull<> a(loop, {.name = "in", .node = "pull/0", .connect = push.endpoints()});
  Pull<> b(loop, {.name = "in", .node = "pull/1", .connect = push.endpoints()});
  const Collector at_a(a);
  const Collector at_b(b);
  REQUIRE(push.wait_for_peers(2, soon()));

  for (int i = 0; i < 500; ++i) REQUIRE(push.send(as_bytes("x"), soon()) == SendStatus::ok);
  REQUIRE(push.settle(soon()));

  CHECK(at_a.texts.size() + at_b.texts.size() == 500);
  CHECK(at_a.texts.size() >= 200);
  CHECK(at_b.texts.size() >= 200);
}

WEFT_CONFORMS("push-pull: balance does not wait for a receiver that stands still") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints(), .batch_bytes = 1000});
  Pull<> idle(loop, {.name = "in", .node = "pull/0", .connect = push.endpoints(), .window_bytes = 4096});
  Pull<> busy(loop, {.name = "in", .node = "pull/1", .connect = push.endpoints(), .window_bytes = 4096});
  const Collector at_idle(idle);
  const Collector at_busy(busy);
  idle.pause(true);
  REQUIRE(push.wait_for_peers(2, soon()));

  for (int i = 0; i < 5000; ++i) REQUIRE(push.send(as_bytes(kHundred), soon()) == SendStatus::ok);
  REQUIRE(push.flush(soon()));

  CHECK(at_idle.texts.empty());
  CHECK(eventually(loop, [&] { return at_busy.texts.size() >= 4900; }));
  idle.pause(false);
  REQUIRE(push.settle(soon()));
  CHECK(at_idle.texts.size() + at_busy.texts.size() == 5000);
}

WEFT_CONFORMS("push-pull: hash sends a key to one receiver, in order") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints(), .distribute = Distribute::hash});
  std::vector<std::unique_ptr<Pull<>>> pulls;
  std::map<std::string, std::string> owner;
  std::map<std::string, int> last;
  bool good = true;
  for (int i = 0; i < 3; ++i) {
    const std::string node = "pull/" + std::to_string(i);
    pulls.push_back(
        std::make_unique<Pull<>>(loop, PortOptions{.name = "in", .node = node, .connect = push.endpoints()}));
    pulls.back()->on_record([&, node](const RawRecord& r, const Meta&) {
      const std::string text(r.text());
      const std::string key = text.substr(0, text.find(' '));
      good = good && owner.emplace(key, node).first->second == node &&
             ++last[key] == std::stoi(text.substr(text.find(' ')));
    });
  }
  REQUIRE(push.wait_for_peers(3, soon()));

  for (int n = 1; n <= 20; ++n) {
    for (int k = 0; k < 50; ++k) {
      const std::string key = "key" + std::to_string(k);
      REQUIRE(push.send(as_bytes(key + " " + std::to_string(n)), PushBase::To::with_key(key), soon()) ==
              SendStatus::ok);
    }
  }
  REQUIRE(push.settle(soon()));

  CHECK(good);
  CHECK(owner.size() == 50);
  std::map<std::string, int> keys_of;
  for (const auto& [key, node] : owner) ++keys_of[node];
  CHECK(keys_of.size() == 3);
}

WEFT_CONFORMS("push-pull: hash without a receiver would block, and says when there is one") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints(), .distribute = Distribute::hash});
  bool room = false;
  push.on_room([&] { room = true; });

  CHECK(push.send(as_bytes("x"), PushBase::To::with_key("k")) == SendStatus::would_block);
  CHECK(push.send(as_bytes("x"), PushBase::To::with_key("k"), Deadline::after(10ms)) ==
        SendStatus::timed_out);
  Pull<> pull(loop, {.name = "in", .connect = push.endpoints()});

  CHECK(eventually(loop, [&] { return room; }));
  CHECK(push.send(as_bytes("x"), PushBase::To::with_key("k")) == SendStatus::ok);
}

WEFT_CONFORMS("push-pull: explicit reaches the peer that is named, and names the one that is not there") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = place.endpoints(), .distribute = Distribute::explicit_});
  Pull<> a(loop, {.name = "in", .node = "pull/0", .connect = push.endpoints()});
  Pull<> b(loop, {.name = "in", .node = "pull/1", .connect = push.endpoints()});
  const Collector at_a(a);
  const Collector at_b(b);
  REQUIRE(push.wait_for_peers(2, soon()));

  CHECK(push.send(as_bytes("one"), PushBase::To::with_peer("pull/1")) == SendStatus::ok);
  CHECK(push.send(as_bytes("two"), PushBase::To::with_peer("pull/2")) == SendStatus::no_peer);
  REQUIRE(push.settle(soon()));

  CHECK(at_a.texts.empty());
  CHECK(at_b.texts == std::vector<std::string>{"one"});
}

WEFT_CONFORMS("push-pull: tensors travel as frames, are released by the sender, and may be kept") {
  Loop loop;
  Pull<> pull(loop, {.name = "in", .bind = place.endpoints()});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  auto values = std::make_shared<std::vector<float>>(10'000);
  std::iota(values->begin(), values->end(), 0.0F);
  std::vector<Tensor> kept;
  pull.on_record([&](const RawRecord& r, const Meta&) {
    CHECK(r.text() == "weights");
    for (auto& tensor : r.tensors()) kept.push_back(tensor);
  });

  const std::vector<Tensor> tensors{{DType::f32, {100, 100}, std::as_bytes(std::span(*values)), values}};
  REQUIRE(push.send(as_bytes("weights"), tensors) == SendStatus::ok);
  CHECK(push.stats().queued_bytes < 40'000 + 100);
  REQUIRE(push.settle(soon()));

  REQUIRE(kept.size() == 1);
  CHECK(kept[0].dtype == DType::f32);
  CHECK(kept[0].shape == std::vector<std::int64_t>{100, 100});
  float last = 0;
  std::memcpy(&last, kept[0].data.data() + 4 * 9999, 4);
  CHECK(last == 9999);
  std::weak_ptr<std::vector<float>> watch = values;
  values.reset();
  const_cast<std::vector<Tensor>&>(tensors).clear();
  if (place.kind() == Place::Kind::inproc) kept.clear();  // there the receiver shares the sender's memory
  CHECK(eventually(loop, [&] { return watch.expired(); }));
}

WEFT_CONFORMS("push-pull: a relay forwards records with their tensors") {
  Loop loop;
  const Place second(place.kind());
  Pull<> in(loop, {.name = "in", .bind = place.endpoints()});
  Pull<> sink(loop, {.name = "sink", .bind = second.endpoints()});
  Push<> source(loop, {.name = "source", .connect = in.endpoints()});
  Push<> out(loop, {.name = "out", .connect = sink.endpoints()});
  in.on_record([&](const RawRecord& r, const Meta&) { CHECK(out.forward(r) == SendStatus::ok); });
  std::vector<std::string> got;
  sink.on_record([&](const RawRecord& r, const Meta&) {
    for (const auto& tensor : r.tensors())
      got.push_back(std::string(r.text()) + "=" + std::string(as_text(tensor.data)));
  });

  for (int i = 0; i < 100; ++i) {
    const std::string text = "tensor" + std::to_string(i);
    const Tensor tensor{DType::u8, {static_cast<std::int64_t>(text.size())}, as_bytes(text), nullptr};
    REQUIRE(source.send(as_bytes(std::to_string(i)), {&tensor, 1}, soon()) == SendStatus::ok);
  }
  REQUIRE(eventually(loop, [&] { return got.size() == 100; }));

  CHECK(got[42] == "42=tensor42");
}
