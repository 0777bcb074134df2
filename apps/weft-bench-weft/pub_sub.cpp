// One to many. A Pub never waits for its subscribers; here no record may be lost, so they tell how far they
// are, and the publisher stays within a window of the slowest.
#include <algorithm>
#include <map>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/sub.hpp>

#include "ends.hpp"

namespace weft::bench_ends {
namespace {

constexpr std::uint64_t kAhead = 16ULL << 20;  // bytes that the publisher may be ahead of the slowest

std::uint64_t records_ahead(const Work& work) {
  return std::max<std::uint64_t>(4, kAhead / work.size);
}

struct Progress {
  std::uint64_t index = 0;
  std::uint64_t received = 0;
  WEFT_RECORD(Progress, index, received)
};

/// The two endpoints of the publisher travel as one word.
std::pair<std::string, std::string> split(const std::string& both) {
  const std::size_t at = both.find(',');
  ::bench::require(at != std::string::npos, "a publisher has two endpoints");
  return {both.substr(0, at), both.substr(at + 1)};
}

Figures publish(Context& context, const Work& work, const Say& say) {
  Loop loop(context);
  const auto [data, back] = split(work.endpoint);
  Work one = work;
  one.endpoint = data;
  Pub<> pub(loop, bound_port(one, "out"));
  one.endpoint = back;
  Pull<Progress> progress(loop, bound_port(one, "progress"));
  std::vector<std::uint64_t> received(work.peers);
  std::uint64_t slowest = 0;
  progress.on_record([&](const Progress& p, const Meta&) {
    if (p.index < received.size()) received[p.index] = p.received;
    slowest = *std::ranges::min_element(received);
  });
  say(pub.endpoints().at(0) + "," + progress.endpoints().at(0));
  ::bench::require(pub.wait_for_peers(work.peers, patience()), "not all subscribers came");

  Figures figures;
  std::vector<std::byte> record(work.size);
  const std::uint64_t ahead = records_ahead(work);
  for (std::uint64_t i = 0; i < work.count; ++i) {
    if (i - slowest >= ahead) {
      ::bench::require(loop.run_until([&] { return i - slowest < ahead; }, patience()),
                       "a subscriber fell silent");
    }
    figures.written += ::bench::fill(record.data(), work.size, i);
    ::bench::require(pub.publish("bench", record) == SendStatus::ok, "the publisher takes no more");
  }
  pub.flush();
  run_to(loop, slowest, work.count, "a subscriber fell silent");
  drain(loop, pub);
  drain(loop, progress);
  return figures;
}

Figures subscribe(Context& context, const Work& work) {
  Loop loop(context);
  const auto [data, back] = split(work.endpoint);
  Work one = work;
  one.endpoint = back;
  PortOptions telling = connected_port(one, "progress");
  Push<Progress> progress(loop, telling);
  one.endpoint = data;
  Sub<> sub(loop, connected_port(one, "in"));
  const std::uint64_t every = std::max<std::uint64_t>(1, records_ahead(work) / 16);

  Figures figures;
  std::uint64_t got = 0;
  TimePoint start;
  TimePoint end;
  sub.on_record([&](const RawRecord& record, const Meta&) {
    if (got == 0) start = Clock::now();
    figures.read += ::bench::sum(record.bytes().data(), record.bytes().size());
    if (++got == work.count) end = Clock::now();
    if (got % every == 0 || got == work.count) (void)progress.send({work.index, got});
  });
  run_to(loop, got, work.count, "the publisher fell silent, or lost records");
  ::bench::require(progress.settle(patience()), "the publisher did not acknowledge");
  figures.seconds = std::chrono::duration<double>(end - start).count();
  drain(loop, progress);
  drain(loop, sub);
  return figures;
}

}  // namespace

void add_pub_sub(Roles& roles, Context& context) {
  roles["pub"] = [&](const Work& work, const Say& say) { return publish(context, work, say); };
  roles["sub"] = [&](const Work& work, const Say&) { return subscribe(context, work); };
}

}  // namespace weft::bench_ends
