// A bench for tests of the outbox: one sender whose receivers are the test itself.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <weft/protocol/outbox.hpp>

namespace outbox_bench {

using namespace weft;
using namespace weft::protocol;
using namespace std::chrono_literals;

using Sent = std::pair<std::uint64_t, std::uint64_t>;  // id, sequence
using Fates = std::map<std::uint64_t, Fate>;

inline AckView view_of(std::uint64_t processed, std::uint64_t seen, std::vector<AckView::Range> missing = {},
                       std::vector<AckView::Range> beyond = {}) {
  AckView view;
  view.seq = processed;
  view.seen = seen;
  for (const auto& range : missing) view.missing[view.missing_count++] = range;
  for (const auto& range : beyond) view.processed[view.processed_count++] = range;
  return view;
}

struct Bench {
  explicit Bench(OutboxOptions options = {}) : outbox(options) {}

  std::uint32_t join(const std::string& name, Credit credit = {.bytes = 1000, .batches = 10}) {
    const std::uint32_t lane = outbox.lane(name);
    CHECK(outbox.meet(lane, 1, {}, credit, now) == Outbox::Ack::ok);
    return lane;
  }
  std::uint64_t accept(OutboxEntry entry = {.bytes = 10, .records = 1}) { return outbox.accept(entry); }
  std::uint64_t accept_bound(std::uint32_t lane) {
    return outbox.accept({.bytes = 10, .records = 1, .lane = lane});
  }
  void assign() {
    while (outbox.assign(now)) {
    }
  }
  std::vector<Sent> send(std::uint32_t lane) {
    std::vector<Sent> out;
    assign();
    while (const auto departure = outbox.departure(lane)) {
      out.emplace_back(departure->id, departure->seq);
      outbox.departed(lane, departure->seq, now);
    }
    return out;
  }
  Outbox::Ack acknowledge(std::uint32_t lane, const AckView& view,
                          std::optional<std::uint32_t> probe = std::nullopt) {
    return outbox.acknowledge(lane, view, std::nullopt, probe, now);
  }
  Fates fates() {
    Fates out;
    for (const auto& done : outbox.take_done()) CHECK(out.emplace(done.entry.id, done.fate).second);
    return out;
  }

  TimePoint now = TimePoint{} + 1h;
  Outbox outbox;
};

inline OutboxOptions exactly_once() {
  return {.delivery = Delivery::exactly_once};
}

}  // namespace outbox_bench
