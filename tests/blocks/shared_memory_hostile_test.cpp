// Peers that know nothing of shared memory, cannot reach it, or abuse it.
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/transport/shared.hpp>
#include <weft/wire/shared.hpp>

#include "sharing.hpp"

using namespace weft;
using namespace weft::conformance;

WEFT_CONFORMS("a receiver that knows nothing of shared memory is sent whole frames") {
  Loop loop;
  PortOptions out = sharing("out");
  out.bind = place.endpoints();
  Push<> push(loop, out);
  Stranger peer(loop, push.endpoints()[0], "py/0");
  peer.hello("pull");
  REQUIRE(peer.wait(wire::Kind::hello));
  CHECK(peer.header().options.has(wire::Options::shared));

  REQUIRE(push.send(as_bytes(std::string(50'000, 'w')), soon()) == SendStatus::ok);
  REQUIRE(peer.wait(wire::Kind::data));

  CHECK_FALSE(peer.header().options.has(wire::Options::flags));
  REQUIRE(peer.message().size() == 2);
  CHECK(peer.message()[1].size() > 50'000);
}

WEFT_CONFORMS("places in memory that was not shared are refused and counted, and who goes on is shut out") {
  Loop loop;
  Pull<> pull(loop, pull_options(place));
  std::uint64_t got = 0;
  pull.on_record([&](const RawRecord&, const Meta&) { ++got; });
  Stranger peer(loop, pull.endpoints()[0], "evil/0");
  peer.hello("push");
  REQUIRE(peer.wait(wire::Kind::hello));
  const auto head = [](wire::Options& o) {
    o.count_v = 1;
    o.mark(wire::Options::count);
    o.flags_v = wire::kShared;
    o.mark(wire::Options::flags);
  };
  wire::Buffer list;
  wire::encode_shared({wire::SharedRef{1, 4097, 32768, 100}}, list);

  peer.send(wire::Kind::data, 1, head);
  peer.send(wire::Kind::data, 1, head, {as_bytes("garbage")});
  peer.send(wire::Kind::data, 1, head, {list.view()});
  REQUIRE(eventually(loop, [&] { return rejected(pull, wire::Rejection::bad_shared) == 3; }));
  for (int i = 0; i < 61; ++i) peer.send(wire::Kind::data, 1, head, {list.view()});

  REQUIRE(peer.wait(wire::Kind::nack));
  CHECK(peer.header().options.code_v == wire::Code::denied);
  CHECK(got == 0);
}

WEFT_CONFORMS("a sender that lends its memory and then points elsewhere is refused") {
  Loop loop;
  Pull<> pull(loop, pull_options(place));
  std::uint64_t got = 0;
  pull.on_record([&](const RawRecord&, const Meta&) { ++got; });
  const auto lender = transport::Lender::make(loop, 1 << 20);
  REQUIRE(lender != nullptr);
  const std::string offer = lender->offer(1);
  Stranger peer(loop, pull.endpoints()[0], "evil/0");
  peer.hello("push", 1 << 20, [&](wire::Options& o) {
    o.shared_v = as_bytes(offer);
    o.mark(wire::Options::shared);
  });
  REQUIRE(peer.wait(wire::Kind::hello));
  const std::uint64_t epoch = peer.header().epoch;
  REQUIRE(eventually(loop, [&] { return lender->lends_to(1, epoch); }));
  const std::string body = "\xA3one";
  const auto good = lender->lend(1, epoch, as_bytes(body));
  REQUIRE(good.has_value());
  std::uint64_t seq = 0;
  const auto say = [&](const wire::SharedList& places, const std::vector<Bytes>& more = {}) {
    wire::Buffer list;
    wire::encode_shared(places, list);
    std::vector<Bytes> frames{list.view()};
    frames.insert(frames.end(), more.begin(), more.end());
    peer.send(
        wire::Kind::data, ++seq,
        [](wire::Options& o) {
          o.count_v = 1;
          o.mark(wire::Options::count);
          o.flags_v = wire::kShared;
          o.mark(wire::Options::flags);
        },
        frames);
  };
  const auto changed = [&](auto change) {
    wire::SharedRef ref = *good;
    change(ref);
    return wire::SharedList{ref};
  };

  say(changed([](auto& r) { ++r.segment; }));
  say(changed([](auto& r) { r.slot += 4096; }));
  say(changed([](auto& r) { r.offset = 0; }));
  say(changed([](auto& r) { r.length = ~std::uint64_t{0}; }));
  say(changed([](auto& r) { r.length = 1ULL << 40; }));
  say(changed([](auto& r) { r.offset = ~std::uint64_t{0}, r.length = 2; }));
  say({*good, std::nullopt});        // a frame that is not there
  say({*good}, {as_bytes("more")});  // and one that is too many
  say({*good, *good});               // two frames, of which the second is no tensor of the record: taken
  REQUIRE(eventually(loop, [&] { return rejected(pull, wire::Rejection::bad_shared) == 8 && got == 1; }));
  say({});  // no body
  REQUIRE(eventually(loop, [&] { return pull.stats().rejected_messages == 9; }));

  CHECK(got == 1);
}

WEFT_CONFORMS("an offer that leads nowhere, as one from another host does, leaves the session as it was") {
  Loop loop;
  Pull<> pull(loop, pull_options(place));
  std::uint64_t got = 0;
  pull.on_record([&](const RawRecord&, const Meta&) { ++got; });
  Stranger peer(loop, pull.endpoints()[0], "far/0");
  const std::string offer = std::string(16, 't') + "weft-0123456789abcdef0123456789abcdef";

  peer.hello("push", 1 << 20, [&](wire::Options& o) {
    o.shared_v = as_bytes(offer);
    o.mark(wire::Options::shared);
  });
  REQUIRE(peer.wait(wire::Kind::hello));
  peer.data(1, 3);

  REQUIRE(eventually(loop, [&] { return got == 3; }));
  CHECK(pull.stats().rejected_messages == 0);
}
