// What a best-effort receiver tells of records counts once, over connections that end and peers that are met
// anew.
#include <weft/blocks/pub.hpp>

#include "acknowledged.hpp"
#include "fates.hpp"
#include "proxy.hpp"

using namespace weft;
using namespace weft::conformance;
using fates::packed;
using fates::quiet;
using fates::Reading;

namespace {

/// A Push and a Pull that is paused, with a proxy between them, which takes their connection from them.
struct CutLine {
  bool push_binds;
  Loop loop;
  Place place{Place::Kind::tcp};
  std::unique_ptr<Push<>> push;
  std::unique_ptr<Pull<>> pull;
  std::unique_ptr<Proxy> proxy;

  CutLine(bool bound, std::uint64_t window_records) : push_binds(bound) {
    PortOptions in{.name = "in", .node = "pull/0", .window_records = window_records};
    PortOptions out{.name = "out", .node = "push/0"};
    in.heartbeat = out.heartbeat = 20ms;
    if (push_binds) {
      out.bind = place.endpoints();
      push = std::make_unique<Push<>>(loop, out);
      proxy = std::make_unique<Proxy>(loop, push->endpoints()[0]);
      in.connect = proxy->endpoints();
      pull = std::make_unique<Pull<>>(loop, in);
    } else {
      in.bind = place.endpoints();
      pull = std::make_unique<Pull<>>(loop, in);
      proxy = std::make_unique<Proxy>(loop, pull->endpoints()[0]);
      out.connect = proxy->endpoints();
      push = std::make_unique<Push<>>(loop, out);
    }
    pull->on_record([](const RawRecord&, const Meta&) {});
    pull->pause(true);
    REQUIRE(push->wait_for_peers(1, soon()));
  }
  /// Sends so many, which arrive as far as the receiver lets them, and breaks the connection.
  void send_and_cut(int records, std::uint64_t arrive) {
    send_numbers(*push, records);
    REQUIRE(eventually(loop, [&] { return push->stats().sent_records == arrive; }));
    REQUIRE(eventually(loop, [&] { return pull->stats().received_records == arrive; }));
    proxy->cut();
    const Block& meets = push_binds ? static_cast<const Block&>(*push) : *pull;
    REQUIRE(eventually(loop, [&] { return meets.stats().reconnects != 0 && push->peers_up() == 1; }));
  }
};

}  // namespace

TEST_CASE("told fates: a best-effort sender waits for what had arrived before its connection was replaced") {
  for (const bool push_binds : {false, true}) {
    CAPTURE(push_binds);
    CutLine line(push_binds, 0);
    line.send_and_cut(10, 10);

    CHECK(!line.push->settle(Deadline::after(50ms)));
    line.push->begin_drain();
    CHECK(!line.push->drained());
    line.pull->pause(false);
    CHECK(line.push->settle(soon()));
    CHECK(line.push->drained());

    line.push->close();
    CHECK(line.push->stats().processed_records == 10);
    CHECK(line.push->stats().lost_records == 0);
  }
}

TEST_CASE(
    "told fates: what had arrived before a reconnection counts against the receiver's bound of records") {
  for (const bool push_binds : {false, true}) {
    CAPTURE(push_binds);
    CutLine line(push_binds, 2);
    line.send_and_cut(10, 2);
    CHECK(line.push->stats().sent_records == 2);
    line.pull->pause(false);
    CHECK(line.push->settle(soon()));
    CHECK(line.push->stats().processed_records == 10);
  }
}

TEST_CASE("told fates: what was rejected before a peer was met anew is not counted again") {
  Loop loop;
  PortOptions in{.name = "in", .bind = {"tcp://127.0.0.1:*"}};
  in.log = quiet();
  Pull<Reading> pull(loop, in);
  pull.on_record([](Reading&, const Meta&) {});
  const std::string at = pull.endpoints()[0];
  Push<> push(loop, {.name = "out", .node = "push/0", .connect = {at}});
  const auto send = [&](bool good) {
    for (std::uint64_t n = 0; n < 3; ++n) {
      REQUIRE(push.send_packed(packed(n, good, 5).view(), soon()) == SendStatus::ok);
    }
    REQUIRE(push.settle(soon()));
  };
  send(false);
  push.disconnect(at);
  push.connect(at);
  REQUIRE(push.wait_for_peers(1, soon()));

  send(true);

  CHECK(push.stats().rejected_records == 3);
  CHECK(push.stats().processed_records == 3);
  send(false);
  CHECK(push.stats().rejected_records == 6);
}

TEST_CASE("told fates: a receiver that names more than it was sent says nothing of later records") {
  Loop loop;
  Push<> push(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .batch_records = 1});
  Stranger liar(loop, push.endpoints()[0], "liar/0");
  liar.hello("pull");
  REQUIRE(push.wait_for_peers(1, soon()));
  for (std::uint64_t seq = 1; seq <= 4; ++seq) {
    REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);
    REQUIRE(push.flush(soon()));
    liar.send(wire::Kind::ack, seq, [](wire::Options& o) {
      o.rejected_v = 1ULL << 60;
      o.mark(wire::Options::rejected);
    });
    REQUIRE(eventually(loop, [&] { return push.stats().outstanding_records == 0; }));
  }
  CHECK(push.stats().rejected_records == 1);
  CHECK(push.stats().processed_records == 3);
}

TEST_CASE("told fates: a peer that takes frames smaller than any port may is refused, and costs nothing") {
  Loop loop;
  PortOptions options{.name = "out", .bind = {"tcp://127.0.0.1:*"}};
  options.log = quiet();
  Pub<> pub(loop, options);
  Stranger tiny(loop, pub.endpoints()[0], "tiny/0");
  tiny.hello("sub", 1 << 20, [](wire::Options& o) {
    o.max_frame_v = 1;
    o.mark(wire::Options::max_frame);
  });
  REQUIRE(tiny.wait(wire::Kind::nack));
  CHECK(tiny.header().options.code_v == wire::Code::bad_request);
  CHECK(contains(tiny.header().options.text_v, "the least is 65536"));
  CHECK(pub.publish("a", as_bytes(kHundred)) == SendStatus::ok);
}

TEST_CASE("told fates: a peer of small frames that is gone holds nobody down to them") {
  Loop loop;
  PortOptions options{.name = "out", .bind = {"tcp://127.0.0.1:*"}, .heartbeat = 20ms, .dead_after = 10s};
  options.log = quiet();
  Pub<> pub(loop, options);
  const std::string large(100 << 10, 'l');
  Stranger small(loop, pub.endpoints()[0], "small/0");
  small.hello("sub", 1 << 20, [](wire::Options& o) {
    o.max_frame_v = kLeastFrameBytes;
    o.mark(wire::Options::max_frame);
  });
  REQUIRE(small.wait(wire::Kind::hello));
  CHECK(pub.publish("a", as_bytes(large)) == SendStatus::too_large);

  small.close();

  CHECK(eventually(loop, [&] { return pub.publish("a", as_bytes(large)) == SendStatus::ok; }));
}
