#include <doctest/doctest.h>

#include <cstdint>

#include <weft/protocol/inbound.hpp>

using namespace weft::protocol;
using Verdict = InboundStream::Verdict;

namespace {

constexpr std::uint64_t kEpoch = 7;

InboundStream begun(InboundStream::Limits limits = {.held_bytes = 100, .held_batches = 4}) {
  InboundStream stream(limits);
  bool restarted = false;
  CHECK(stream.begin(kEpoch, 1, restarted));
  CHECK(!restarted);
  return stream;
}

void process(InboundStream& stream, std::uint64_t seq) {
  CHECK(stream.settle(stream.epoch(), seq));
  stream.publish(stream.epoch(), seq);
}

}  // namespace

TEST_CASE("batches in order are handed out as they come") {
  InboundStream stream = begun();

  CHECK(stream.arrive(kEpoch, 1, 10).verdict == Verdict::deliver);
  CHECK(stream.arrive(kEpoch, 2, 10).verdict == Verdict::deliver);

  CHECK(!stream.due());
  CHECK(stream.held() == 0);
}

TEST_CASE("a batch before its turn is held and follows the missing one") {
  InboundStream stream = begun();

  const auto third = stream.arrive(kEpoch, 3, 10);
  const auto second = stream.arrive(kEpoch, 2, 10);
  CHECK(third.verdict == Verdict::hold);
  CHECK(third.gap);
  CHECK(second.verdict == Verdict::hold);
  CHECK(stream.held_bytes() == 20);
  const auto first = stream.arrive(kEpoch, 1, 10);

  CHECK(first.verdict == Verdict::deliver);
  CHECK(!first.gap);
  CHECK(stream.due() == 2);
  CHECK(stream.due() == 3);
  CHECK(!stream.due());
  CHECK(stream.held_bytes() == 0);
}

TEST_CASE("a copy is a duplicate, whether its first was held, handed out or processed") {
  InboundStream stream = begun();
  stream.arrive(kEpoch, 1, 10);
  stream.arrive(kEpoch, 3, 10);

  CHECK(stream.arrive(kEpoch, 1, 10).verdict == Verdict::duplicate);
  CHECK(stream.arrive(kEpoch, 3, 10).verdict == Verdict::duplicate);
  process(stream, 1);
  CHECK(stream.arrive(kEpoch, 1, 10).verdict == Verdict::duplicate);
  CHECK(stream.arrive(kEpoch, 0, 10).verdict == Verdict::duplicate);
}

TEST_CASE("what waits is bounded in bytes and batches") {
  InboundStream by_batches = begun({.held_bytes = 1000, .held_batches = 2});
  InboundStream by_bytes = begun({.held_bytes = 25, .held_batches = 100});
  for (InboundStream* stream : {&by_batches, &by_bytes}) {
    CHECK(stream->arrive(kEpoch, 2, 10).verdict == Verdict::hold);
    CHECK(stream->arrive(kEpoch, 3, 10).verdict == Verdict::hold);

    CHECK(stream->arrive(kEpoch, 4, 10).verdict == Verdict::no_room);

    CHECK(stream->ack().seen == 3);
    CHECK(stream->arrive(kEpoch, 1, 10).verdict == Verdict::deliver);
  }
}

TEST_CASE("an epoch before the present one is fenced, and a later one begins anew") {
  InboundStream stream = begun();
  stream.arrive(kEpoch, 1, 10);
  stream.arrive(kEpoch, 3, 10);

  CHECK(stream.arrive(kEpoch - 1, 1, 10).verdict == Verdict::fenced);
  const auto next = stream.arrive(kEpoch + 1, 1, 10);

  CHECK(next.verdict == Verdict::deliver);
  CHECK(next.restarted);
  CHECK(stream.held_bytes() == 0);
  CHECK(!stream.settle(kEpoch, 1));
  bool restarted = false;
  CHECK(!stream.begin(kEpoch, 1, restarted));
  CHECK(stream.begin(kEpoch + 2, 1, restarted));
  CHECK(restarted);
}

TEST_CASE("an acknowledgement says what is published and what has arrived, and no more") {
  InboundStream stream = begun();
  for (const std::uint64_t seq : {1, 2, 4}) stream.arrive(kEpoch, seq, 10);
  CHECK(stream.settle(kEpoch, 1));
  process(stream, 2);

  const AckView ack = stream.ack();

  CHECK(ack.seq == 0);
  REQUIRE(ack.processed_count == 1);
  CHECK(ack.processed[0].first == 2);
  CHECK(ack.processed[0].last == 2);
  CHECK(ack.seen == 4);
  REQUIRE(ack.missing_count == 1);
  CHECK(ack.missing[0].first == 3);
  CHECK(ack.missing[0].last == 3);
  stream.publish(kEpoch, 1);
  CHECK(stream.ack().seq == 2);
}

TEST_CASE("with more holes than fit, nothing is said of what lies behind them") {
  InboundStream stream = begun({.held_bytes = 1000, .held_batches = 1000});
  for (std::uint64_t seq = 2; seq <= 80; seq += 2) stream.arrive(kEpoch, seq, 1);

  const AckView ack = stream.ack();

  CHECK(ack.missing_count == AckView::kMostRanges);
  CHECK(ack.missing[31].first == 63);
  CHECK(ack.seen == 64);
}

TEST_CASE("settling counts once, and only what has arrived in the present epoch") {
  InboundStream stream = begun();
  stream.arrive(kEpoch, 1, 10);

  CHECK(stream.settle(kEpoch, 1));
  CHECK(!stream.settle(kEpoch, 1));
  CHECK(!stream.settle(kEpoch, 2));
  CHECK(!stream.settle(kEpoch - 1, 1));
  stream.publish(kEpoch, 2);
  CHECK(stream.ack().seq == 0);
}

TEST_CASE("what the sender retains no more is not waited for") {
  InboundStream stream = begun();
  stream.arrive(kEpoch, 1, 10);
  stream.arrive(kEpoch, 3, 10);
  stream.arrive(kEpoch, 6, 10);
  bool restarted = false;

  CHECK(stream.begin(kEpoch, 5, restarted));

  CHECK(!restarted);
  CHECK(stream.held_bytes() == 10);
  CHECK(!stream.due());
  CHECK(stream.ack().seq == 4);
  CHECK(!stream.settle(kEpoch, 1));
  CHECK(stream.arrive(kEpoch, 5, 10).verdict == Verdict::deliver);
  CHECK(stream.due() == 6);
}

TEST_CASE("a held batch that ended elsewhere is passed over") {
  InboundStream stream = begun();
  stream.arrive(kEpoch, 2, 10);
  stream.arrive(kEpoch, 3, 10);

  CHECK(stream.settle(kEpoch, 2));
  CHECK(stream.held_bytes() == 10);
  CHECK(stream.arrive(kEpoch, 1, 10).verdict == Verdict::deliver);

  CHECK(stream.due() == 3);
  CHECK(stream.held_bytes() == 0);
}

TEST_CASE("a restored stream hands out what it had not processed, and nothing else") {
  InboundStream before = begun();
  for (const std::uint64_t seq : {1, 2, 3, 4}) before.arrive(kEpoch, seq, 10);
  process(before, 1);
  process(before, 3);
  const auto marks = encode_marks(before.epoch(), before.processed());
  std::uint64_t epoch = 0;
  SequenceSet processed;
  REQUIRE(decode_marks(marks, epoch, processed));

  InboundStream stream({.held_bytes = 100, .held_batches = 4});
  stream.restore(epoch, processed);

  const AckView ack = stream.ack();
  CHECK(ack.seq == 1);
  CHECK(ack.seen == 3);
  CHECK(stream.arrive(kEpoch, 4, 10).verdict == Verdict::hold);
  CHECK(stream.arrive(kEpoch, 3, 10).verdict == Verdict::duplicate);
  CHECK(stream.arrive(kEpoch, 2, 10).verdict == Verdict::deliver);
  CHECK(stream.due() == 4);
}

TEST_CASE("marks that are cut, unsorted or upside down are refused") {
  SequenceSet set;
  set.add_upto(3);
  set.add_range(6, 9);
  const auto good = encode_marks(kEpoch, set);
  std::uint64_t epoch = 0;
  SequenceSet out;
  REQUIRE(decode_marks(good, epoch, out));
  CHECK(epoch == kEpoch);
  CHECK(out == set);

  for (std::size_t size = 0; size < good.size(); ++size) {
    if (size != 16) CHECK(!decode_marks(weft::Bytes(good).first(size), epoch, out));
  }
  auto upside_down = good;
  std::swap(upside_down[16], upside_down[24]);
  CHECK(!decode_marks(upside_down, epoch, out));
  auto overlapping = good;
  overlapping[8] = std::byte{6};
  CHECK(!decode_marks(overlapping, epoch, out));
}

TEST_CASE("sequence numbers at the end of their range do no harm") {
  InboundStream stream = begun();

  CHECK(stream.arrive(kEpoch, UINT64_MAX, 10).verdict == Verdict::hold);
  CHECK(stream.ack().missing[0].last == UINT64_MAX - 1);
  bool restarted = false;
  CHECK(stream.begin(kEpoch, UINT64_MAX, restarted));

  CHECK(stream.due() == UINT64_MAX);
  CHECK(!stream.due());
  CHECK(stream.arrive(kEpoch, UINT64_MAX, 10).verdict == Verdict::duplicate);
}
