#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>
#include <weft/protocol/retry.hpp>
#include <weft/protocol/session.hpp>

namespace weft {
namespace {

constexpr Duration kLongestStay = std::chrono::hours(24 * 365);

void check_range(std::string_view field, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value >= low && value <= high) return;
  throw Error(Errc::invalid_argument, format("{} is {}: it must be from {} to {}", field, value, low, high));
}

void check_span(std::string_view field, Duration value, Duration low, Duration high) {
  if (value >= low && value <= high) return;
  throw Error(Errc::invalid_argument,
              format("{} is {}: it must be from {} to {}", field, format_duration(value),
                     format_duration(low), format_duration(high)));
}

void check_name(std::string_view field, std::string_view text, std::string_view extra) {
  const auto good = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || extra.find(c) != std::string_view::npos;
  };
  bool ok = !text.empty() && text.size() <= 100;
  for (const char c : text) ok = ok && good(c);
  if (ok) return;
  throw Error(Errc::invalid_argument,
              format("{} is {}: it must be 1 to 100 letters, digits, \"_\", \"-\" or \".\"{}", field,
                     weft::quoted(text), extra.empty() ? "" : " (\"/\" before the replica)"));
}

}  // namespace

void PortOptions::check() const {
  check_name("name", name, "");
  if (!node.empty()) check_name("node", node, "/");
  check_name("scope", scope, "");
  protocol::SessionOptions{.heartbeat = heartbeat, .dead_after = dead_after}.check();
  check_range("batch_bytes", batch_bytes, 64, 64ULL << 20);
  check_range("batch_records", batch_records, 1, 1 << 20);
  check_range("capacity_bytes", capacity_bytes, 1 << 10, 64ULL << 30);
  check_range("window_bytes", window_bytes, 4 << 10, 4ULL << 30);
  check_range("window_batches", window_batches, 1, 65536);
  check_range("window_records", window_records, 0, 1'000'000'000);
  check_range("shared_bytes", shared_bytes, 64 << 10, 64ULL << 30);
  check_range("shared_from", shared_from, 1 << 10, 4ULL << 30);
  check_range("max_frame_bytes", max_frame_bytes, kLeastFrameBytes, 4ULL << 30);
  check_range("max_peers", max_peers, 1, 65536);
  check_range("max_topics", max_topics, 1, 1 << 20);
  check_range("reply_window_bytes", reply_window_bytes, 1 << 10, 64ULL << 30);
  check_range("reply_window", reply_window, 1, 1 << 24);
  protocol::RetryOptions{.first = retry_first, .longest = retry_longest}.check();
  protocol::RetryOptions{.first = circuit_first, .longest = circuit_longest}.check();
  check_span("attempt_timeout", attempt_timeout, std::chrono::milliseconds(10), std::chrono::hours(1));
  check_span("linger", linger, Duration::zero(), std::chrono::hours(1));
  check_range("priority", priority, 0, 9);
  check_span("ttl", ttl, Duration::zero(), kLongestStay);
  check_span("delay", delay, Duration::zero(), kLongestStay);
  if (ttl != Duration::zero() && ttl <= delay) {
    throw Error(Errc::invalid_argument,
                format("ttl is {} and delay is {}: every record would expire before it may leave; give a ttl "
                       "that is longer than the delay",
                       format_duration(ttl), format_duration(delay)));
  }
  check_range("retain_bytes", retain_bytes, 0, 64ULL << 30);
}

std::string_view to_string(PeerEvent::What what) {
  switch (what) {
    case PeerEvent::What::up:
      return "up";
    case PeerEvent::What::suspect:
      return "suspect";
    case PeerEvent::What::dead:
      return "dead";
    case PeerEvent::What::finished:
      return "finished";
    case PeerEvent::What::draining:
      return "draining";
    case PeerEvent::What::restarted:
      return "restarted";
    case PeerEvent::What::refused:
      return "refused";
    case PeerEvent::What::unreachable:
      return "unreachable";
  }
  return "unknown";
}

std::string_view to_string(SendStatus status) {
  switch (status) {
    case SendStatus::ok:
      return "ok";
    case SendStatus::would_block:
      return "would block";
    case SendStatus::dropped:
      return "dropped";
    case SendStatus::full:
      return "full";
    case SendStatus::timed_out:
      return "timed out";
    case SendStatus::no_peer:
      return "no peer";
    case SendStatus::too_large:
      return "too large";
    case SendStatus::no_space:
      return "no space in the journal";
    case SendStatus::failed:
      return "the journal has failed";
    case SendStatus::closed:
      return "closed";
    case SendStatus::too_deep:
      return "it is nested deeper than 32 levels";
    case SendStatus::malformed:
      return "it is not exactly one MessagePack object";
    case SendStatus::bad_topic:
      return "its topic is longer than 190 bytes, is not UTF-8, or begins with a zero byte";
    case SendStatus::refused:
      return "its only peers have refused this port for good";
  }
  return "unknown";
}

SendStatus sendable(Bytes record) {
  static_assert(wire::kMaxRecordDepth == 32, "to_string() says so");
  switch (wire::check_record(record)) {
    case wire::Rejection::none:
      return SendStatus::ok;
    case wire::Rejection::too_deep:
      return SendStatus::too_deep;
    default:
      return SendStatus::malformed;
  }
}

std::string_view to_string(RecordFate fate) {
  switch (fate) {
    case RecordFate::processed:
      return "processed";
    case RecordFate::expired:
      return "expired";
    case RecordFate::dead_lettered:
      return "dead-lettered";
    case RecordFate::dropped:
      return "dropped";
  }
  return "unknown";
}

}  // namespace weft
