// weft send: puts records into a receiving port of a live run, as one more peer.
#include <algorithm>
#include <cstdio>

#include <weft/blocks/pub.hpp>
#include <weft/blocks/push.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/program/line_reader.hpp>
#include <weft/program/records.hpp>

#include "guest.hpp"
#include "verbs.hpp"

namespace weft::cli {
namespace {

constexpr std::size_t kMostRequests = 256;   // on their way at once
constexpr std::size_t kShown = 80;           // bytes of an offending line
constexpr int kBySignal = 128;               // an exit code
constexpr std::uint64_t kRecordsALook = 64;  // records, where none of them has to wait

/// The records to send, one after another: --text, or JSON lines.
class Records {
 public:
  Records(const Send& send, Loop& loop, const Guest& guest, Deadline deadline)
      : send_(send), loop_(loop), guest_(guest), deadline_(deadline) {
    if (send.texts.empty()) lines_.emplace("-");
  }

  /// False: there are no more. Throws Error{invalid_argument, timed_out}, Interrupted.
  bool next(wire::Buffer& out) {
    if (given_ % kRecordsALook == 0) look();
    if (send_.count != 0 && given_ >= send_.count) return false;
    out.clear();
    if (!lines_) {
      if (given_ >= send_.texts.size()) return false;
      wire::Pack(out).str(send_.texts[given_++]);
      return true;
    }
    std::string_view line;
    while (next_line(line)) {
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      std::string why;
      if (!program::pack_json(line, out, why)) {
        throw Error(
            Errc::invalid_argument,
            format(
                "standard input:{}: expected one JSON value a line, found {} ({}); --text sends plain text",
                lines_->number(), weft::quoted(line, kShown), why));
      }
      ++given_;
      return true;
    }
    return false;
  }

 private:
  bool next_line(std::string_view& line) {
    for (;;) {
      switch (lines_->next(line)) {
        case program::LineReader::Next::line:
          return true;
        case program::LineReader::Next::end:
          return false;
        case program::LineReader::Next::wait:
          wait_for_input();
      }
    }
  }

  // Input that never ends, into a port that takes all of it, waits for nothing.
  void look() {
    (void)loop_.run_once(Deadline::at(TimePoint::min()));
    guest_.check_signals();
    if (deadline_.passed(Clock::now())) not_ended();
  }

  void wait_for_input() {
    bool readable = false;
    const auto watch = loop_.watch_fd(lines_->fd(), [&] { readable = true; });
    (void)loop_.run_until([&] { return readable || guest_.stopped(); }, deadline_);
    loop_.unwatch(watch);
    guest_.check_signals();
    if (!readable) not_ended();
  }

  [[noreturn]] static void not_ended() {
    throw Error(Errc::timed_out, "standard input did not end in time; --for sets how long it may take");
  }

  const Send& send_;
  Loop& loop_;
  const Guest& guest_;
  Deadline deadline_;
  std::optional<program::LineReader> lines_;
  std::uint64_t given_ = 0;
};

std::string names(const Guest& guest) {
  std::vector<std::string> list;
  for (const GuestPeer& peer : guest.peers()) list.push_back(peer.node + "." + peer.port);
  return join_words(list);
}

[[noreturn]] void not_in_time(const Guest& guest, std::string_view what) {
  guest.check_signals();
  throw Error(Errc::timed_out, format("{} {}; --for sets how long it may take", names(guest), what));
}

template <class B>
void meet(B& block, Guest& guest, Deadline deadline) {
  if (!block.endpoints().empty()) guest.attach(block.endpoints(), deadline);
  if (!block.wait_for_peers(guest.peers().size(), deadline))
    not_in_time(guest, "did not meet this peer in time");
}

const char* plural(std::uint64_t count) {
  return count == 1 ? "" : "s";
}

/// What the receivers said, and why, when they could not take all.
int say_fates(const PortStats& stats, std::uint64_t sent, const Guest& guest, const std::string& why) {
  std::string text = format("sent {}", sent);
  const auto add = [&](std::uint64_t count, std::string_view what) {
    if (count != 0) text += format(", {} {}", count, what);
  };
  const bool best_effort = guest.delivery() == Delivery::best_effort;
  add(stats.processed_records, best_effort ? "taken" : "processed");
  add(stats.rejected_records, "rejected");
  add(stats.dead_lettered_records, "rejected");
  add(stats.expired_records, "expired");
  add(stats.lost_records, "lost");
  add(stats.dropped_records, "dropped");
  std::fprintf(stderr, "%s\n", text.c_str());
  if (stats.processed_records == sent) return kOk;
  const std::uint64_t refused = stats.rejected_records + stats.dead_lettered_records;
  const std::string reason = why.empty() ? "not what it takes; its log names the type" : why;
  if (refused != 0) {
    std::fprintf(stderr, "weft: %s rejected %llu record%s: %s\n", names(guest).c_str(),
                 static_cast<unsigned long long>(refused), plural(refused), reason.c_str());
  } else {
    const std::uint64_t open = sent - std::min(sent, stats.processed_records);
    std::fprintf(stderr, "weft: %s did not say that it has %llu of the records\n", names(guest).c_str(),
                 static_cast<unsigned long long>(open));
  }
  return kFailed;
}

int by_push(Loop& loop, Guest& guest, Records& records, Deadline deadline) {
  // What its handlers see outlives the block: it calls them when it is closed, too.
  std::string why;  // the receiver's words
  bool denied = false;
  Push<Raw> push(loop, guest.options("send"));
  push.on_dead_letter([&why](const DeadLetter& letter) {
    why = letter.reason;
    return SendStatus::ok;
  });
  // A receiver that shuts this peer out says why, and takes nothing more.
  push.on_peer([&](const PeerEvent& event) {
    if (event.what != PeerEvent::What::refused) return;
    denied = true;
    why = event.text;
  });
  meet(push, guest, deadline);
  wire::Buffer record;
  std::uint64_t sent = 0;
  while (!denied && records.next(record)) {
    const auto status = push.send_packed(record.view(), deadline);
    if (status == SendStatus::refused) break;
    if (status == SendStatus::timed_out) not_in_time(guest, "has no room");
    if (status != SendStatus::ok) {
      throw Error(Errc::io, format("record {} cannot be sent: {}", sent + 1, to_string(status)));
    }
    ++sent;
  }
  if (!push.settle(deadline) && push.stats().lost_records == 0 && !denied) {
    not_in_time(guest, "did not acknowledge all records in time");
  }
  push.begin_drain();
  (void)loop.run_until([&] { return push.drained(); }, deadline);
  return say_fates(push.stats(), sent, guest, why);
}

int by_pub(Loop& loop, Guest& guest, Records& records, const std::string& topic, Deadline deadline) {
  program::TopicTemplate filled(topic);
  PortOptions options = guest.options("send");
  Pub<Raw> pub(loop, std::move(options));
  meet(pub, guest, deadline);
  wire::Buffer record;
  std::uint64_t sent = 0;
  while (records.next(record)) {
    std::string missing;
    const auto at = topic.empty() ? std::optional<std::string_view>("") : filled.of(record.view(), &missing);
    if (!at) {
      throw Error(Errc::invalid_argument,
                  format("record {} has no field {}, which --topic names", sent + 1, weft::quoted(missing)));
    }
    const SendStatus status = pub.publish_packed(*at, record.view());
    if (status == SendStatus::bad_topic) {
      throw Error(
          Errc::invalid_argument,
          format("record {} cannot be published: {} is no topic (at most {} bytes of UTF-8 without a zero "
                 "byte in front)",
                 sent + 1, weft::quoted(*at, kShown), wire::kMaxTopicBytes - 1));
    }
    if (status != SendStatus::ok) {
      throw Error(Errc::io, format("record {} cannot be published: {}", sent + 1, to_string(status)));
    }
    ++sent;
  }
  pub.flush();
  pub.begin_drain();
  if (!loop.run_until([&] { return pub.drained(); }, deadline))
    not_in_time(guest, "did not take all records in time");
  std::fprintf(stderr, "published %llu; subscribers do not say what they took\n",
               static_cast<unsigned long long>(sent));
  return kOk;
}

int by_requests(Loop& loop, Guest& guest, Records& records, Deadline deadline) {
  std::uint64_t sent = 0, failed = 0;
  const auto on_reply = [&failed](Reply<RawRecord>& reply) {
    if (reply.ok()) {
      std::printf("%s\n", program::record_to_json(reply.record->view()).c_str());
    } else {
      ++failed;
      std::fprintf(stderr, "weft: %s%s%s\n", reply.peer.c_str(), reply.peer.empty() ? "" : ": ",
                   reply.text.empty() ? std::string(to_string(reply.outcome)).c_str() : reply.text.c_str());
    }
  };
  Dealer<> dealer(loop, guest.options("send"));
  meet(dealer, guest, deadline);
  wire::Buffer record;
  while (records.next(record)) {
    if (!loop.run_until([&] { return dealer.open_requests() < kMostRequests; }, deadline))
      not_in_time(guest, "did not reply in time");
    dealer.request_packed(record.view(), deadline, on_reply);
    ++sent;
  }
  (void)loop.run_until([&] { return dealer.open_requests() == 0; }, deadline);
  guest.check_signals();
  dealer.begin_drain();
  (void)loop.run_until([&] { return dealer.drained(); }, deadline);
  std::fflush(stdout);
  std::fprintf(stderr, "asked %llu, %llu without a reply\n", static_cast<unsigned long long>(sent),
               static_cast<unsigned long long>(failed));
  return failed == 0 ? kOk : kFailed;
}

int send_to_target(const Send& send) {
  const Target target = find_target(send.words);
  const Deadline deadline = Deadline::after(send.for_);
  Loop loop;
  Guest guest(loop, target, deadline, Guest::Signals::end_waits);
  if (guest.sends()) {
    throw Error(
        Errc::invalid_argument,
        format("{}.{} sends records; weft recv takes them, weft tap watches them", target.node, target.port));
  }
  Records records(send, loop, guest, deadline);
  if (guest.pattern() == "pub-sub") return by_pub(loop, guest, records, send.topic, deadline);
  if (guest.pattern() == "dealer-router") return by_requests(loop, guest, records, deadline);
  return by_push(loop, guest, records, deadline);
}

}  // namespace

int run_verb(const Send& send) {
  try {
    return send_to_target(send);
  } catch (const Interrupted& by) {
    std::fprintf(stderr, "weft: interrupted before all was sent and answered for\n");
    return kBySignal + by.signal;
  }
}

}  // namespace weft::cli
