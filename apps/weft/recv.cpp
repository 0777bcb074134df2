// weft recv: takes records from a sending port of a live run, as one more peer. weft tap: watches a port.
#include <cstdio>
#include <set>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/sub.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>
#include <weft/node/control.hpp>
#include <weft/program/records.hpp>

#include "guest.hpp"
#include "reader_watch.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr Duration kMeet = std::chrono::seconds(10);
constexpr Duration kDrain = std::chrono::seconds(5);
constexpr Duration kCounted = std::chrono::seconds(30);  // with --count and without --for
constexpr std::uint64_t kWindow = 1ULL << 30;
constexpr Duration kStoppedEvery = std::chrono::milliseconds(50);

/// Prints records until there were enough.
class Printer {
 public:
  Printer(std::uint64_t count, bool with_origin) : count_(count), with_origin_(with_origin) {}

  void take(const RawRecord& record, const Meta& meta) {
    if (enough()) {
      ++extra_;
      return;
    }
    ++taken_;
    if (with_origin_) {
      Value line = Value::map();
      line["from"] = meta.peer;
      if (!meta.topic.empty()) line["topic"] = meta.topic;
      line["record"] = program::record_to_value(record.view());
      std::printf("%s\n", to_json(line).c_str());
    } else {
      std::printf("%s\n", program::record_to_json(record.view()).c_str());
    }
    if (std::fflush(stdout) != 0) broken_ = true;
  }

  [[nodiscard]] bool enough() const { return (count_ != 0 && taken_ >= count_) || broken_; }

  /// Nobody reads what it prints.
  void end() { broken_ = true; }

  [[nodiscard]] bool counts() const { return count_ != 0; }
  /// 0: as many as were asked for, or any; else 3.
  [[nodiscard]] int result(bool takes_away) const {
    if (takes_away && extra_ != 0) {
      std::fprintf(stderr, "weft: %llu more records came in the same batch; they are taken and not shown\n",
                   static_cast<unsigned long long>(extra_));
    }
    if (count_ != 0 && taken_ < count_) {
      std::fprintf(stderr, "weft: %llu of %llu records came\n", static_cast<unsigned long long>(taken_),
                   static_cast<unsigned long long>(count_));
      return kNotFound;
    }
    return taken_ == 0 ? kNotFound : kOk;
  }

 private:
  std::uint64_t count_;
  bool with_origin_;
  std::uint64_t taken_ = 0;
  std::uint64_t extra_ = 0;
  bool broken_ = false;
};

/// Runs until there is enough, all peers have ended, a signal came or time is over; then lets go of the
/// peers.
template <class B>
void collect(Loop& loop, Guest& guest, B& block, Printer& printer, Duration span) {
  if (span == Duration::zero() && printer.counts()) span = kCounted;
  const Deadline deadline = span == Duration::zero() ? Deadline::never() : Deadline::after(span);
  std::set<std::string> ended;
  block.on_peer([&](const PeerEvent& event) {
    using What = PeerEvent::What;
    if (event.what == What::finished || event.what == What::dead) ended.insert(event.node);
    if (event.what == What::up) ended.erase(event.node);
  });
  block.on_record([&](const RawRecord& record, const Meta& meta) { printer.take(record, meta); });
  const ReaderWatch whoever_reads;
  const auto watch = loop.watch_fd(whoever_reads.fd(), [&] {
    if (whoever_reads.gone()) printer.end();
  });
  (void)loop.run_until(
      [&] { return printer.enough() || guest.stopped() || ended.size() >= guest.peers().size(); }, deadline);
  loop.unwatch(watch);
  block.begin_drain();
  (void)loop.run_until([&] { return block.drained(); }, Deadline::after(kDrain));
}

std::string tap_endpoint(const Value& state, const GuestPeer& peer) {
  if (!state.get("nodes").is_list()) return "";
  for (const Value& node : state.get("nodes").as_list()) {
    if (node.get("name") != Value(peer.node)) continue;
    const Value& tap = node.get("ports").get(peer.port).get("tap");
    if (tap.is_string()) return tap.as_string();
  }
  return "";
}

Value question(const char* op, const GuestPeer& peer) {
  Value message = Value::map();
  message["op"] = op;
  message["node"] = peer.node;
  message["port"] = peer.port;
  return message;
}

// Each node publishes a copy as long as it is told to; where, stands in the launcher's state.
std::vector<std::string> open_taps(Loop& loop, Guest& guest, Deadline deadline) {
  for (const GuestPeer& peer : guest.peers()) (void)guest.ask(question("tap", peer), deadline);
  Value state_question = Value::map();
  state_question["op"] = "state";
  for (;;) {
    std::vector<std::string> endpoints;
    const Value state = guest.ask(state_question, deadline);
    for (const GuestPeer& peer : guest.peers()) {
      const std::string endpoint = tap_endpoint(state, peer);
      if (!endpoint.empty()) endpoints.push_back(endpoint);
    }
    if (endpoints.size() == guest.peers().size()) return endpoints;
    (void)loop.run_until([&] { return guest.stopped(); }, Deadline::after(kStoppedEvery));
    if (deadline.passed(Clock::now()) || guest.stopped()) {
      throw Error(Errc::timed_out, "the nodes did not open their taps in time");
    }
  }
}

}  // namespace

int run_verb(const Recv& recv) {
  const Target target = find_target(recv.words);
  const Deadline meeting = Deadline::after(kMeet);
  Loop loop;
  Guest guest(loop, target, meeting);
  if (!guest.sends() || guest.pattern() == "dealer-router") {
    throw Error(Errc::invalid_argument,
                format("{}.{} {}; weft tap watches it", target.node, target.port,
                       guest.sends() ? "asks, and its requests need a real answer" : "receives records"));
  }
  if (guest.delivery() == Delivery::exactly_once) {
    throw Error(
        Errc::invalid_argument,
        format("{}.{} delivers exactly once, so each of its receivers needs a journal, and weft recv has "
               "none; weft tap watches it",
               target.node, target.port));
  }
  Printer printer(recv.count, recv.with_origin);
  PortOptions options = guest.options("recv");
  // One batch at a time, so that little more is taken away than is shown; and more room than any other
  // receiver offers, because a balanced link gives each batch to the one with most.
  options.window_batches = 1;
  options.window_bytes = kWindow;
  if (guest.pattern() == "pub-sub") {
    options.window_batches = PortOptions{}.window_batches;
    options.window_bytes = PortOptions{}.window_bytes;
    if (!recv.topics.empty()) options.topics = recv.topics;
    Sub<Raw> sub(loop, std::move(options));
    collect(loop, guest, sub, printer, recv.for_);
  } else {
    Pull<Raw> pull(loop, std::move(options));
    if (!pull.endpoints().empty()) guest.attach(pull.endpoints(), meeting);
    collect(loop, guest, pull, printer, recv.for_);
  }
  return printer.result(guest.pattern() == "push-pull");
}

int run_verb(const Tap& tap) {
  const Target target = find_target(tap.words);
  const Deadline meeting = Deadline::after(kMeet);
  Loop loop;
  Guest guest(loop, target, meeting);
  PortOptions options{.name = "tap", .scope = std::string(control::kScope)};
  options.connect = open_taps(loop, guest, meeting);
  Printer printer(tap.count, false);
  {
    Sub<Raw> sub(loop, std::move(options));
    collect(loop, guest, sub, printer, tap.for_);
  }
  try {
    for (const GuestPeer& peer : guest.peers())
      (void)guest.ask(question("untap", peer), Deadline::after(kDrain));
  } catch (const Error&) {
    // The run is over, and the taps with it.
  }
  return printer.result(false);
}

}  // namespace weft::cli
