// The one table of options: encoder and decoder visit it.
#pragma once

#include <limits>

#include <weft/wire/header.hpp>

namespace weft::wire {

inline constexpr unsigned kLastOption = Options::seal;
inline constexpr std::uint64_t kKnownOptions =
    ((std::uint64_t{1} << (kLastOption + 1)) - 1) & ~std::uint64_t{1};
inline constexpr std::size_t kTraceBytes = 25;

/// Calls the member of `v` that suits the form of the option `key` (1 to kLastOption):
///   number(field, most)     an unsigned integer up to `most`
///   text(string_view)       a str
///   binary(Bytes, exact)    a bin or str; `exact` bytes unless 0
///   pair(first, second)     an array of two unsigned integers
///   ranges(count, array)    a flat array of pairs
///   texts(Bytes), numbers(Bytes)   a packed array
template <class Opts, class Visitor>
bool visit_option(Opts& o, unsigned key, Visitor&& v) {
  constexpr std::uint64_t any = std::numeric_limits<std::uint64_t>::max();
  constexpr std::uint64_t any32 = std::numeric_limits<std::uint32_t>::max();
  switch (key) {
    case Options::count:
      return v.number(o.count_v, kMaxBatchRecords);
    case Options::wall_time:
      return v.number(o.wall_time_v, any);
    case Options::ttl:
      return v.number(o.ttl_v, kMaxMillis);
    case Options::not_before:
      return v.number(o.not_before_v, kMaxMillis);
    case Options::priority:
      return v.number(o.priority_v, 9);
    case Options::key:
      return v.binary(o.key_v, 0);
    case Options::correlation:
      return v.binary(o.correlation_v, 0);
    case Options::trace:
      return v.binary(o.trace_v, kTraceBytes);
    case Options::attempt:
      return v.number(o.attempt_v, any32);
    case Options::checksum:
      return v.number(o.checksum_v, any);
    case Options::ranges:
      return v.ranges(o.range_count, o.ranges_v);
    case Options::credit:
      return v.pair(o.credit_bytes, o.credit_batches);
    case Options::code:
      return v.number(o.code_v, 255);
    case Options::text:
      return v.text(o.text_v);
    case Options::group:
      return v.text(o.group_v);
    case Options::from:
      return v.text(o.from_v);
    case Options::flags:
      return v.number(o.flags_v, any32);
    case Options::chunk:
      return v.pair(o.chunk_index, o.chunk_count);
    case Options::name:
      return v.text(o.name_v);
    case Options::fingerprint:
      return v.number(o.fingerprint_v, any);
    case Options::heartbeat:
      return v.number(o.heartbeat_v, kMaxMillis);
    case Options::first_retained:
      return v.number(o.first_retained_v, any);
    case Options::version:
      return v.pair(o.version_low, o.version_high);
    case Options::node:
      return v.text(o.node_v);
    case Options::port:
      return v.text(o.port_v);
    case Options::deadline:
      return v.number(o.deadline_v, kMaxMillis);
    case Options::block:
      return v.text(o.block_v);
    case Options::data_endpoint:
      return v.text(o.data_endpoint_v);
    case Options::reply_name:
      return v.text(o.reply_name_v);
    case Options::reply_fingerprint:
      return v.number(o.reply_fingerprint_v, any);
    case Options::processed:
      return v.number(o.processed_v, any);
    case Options::oldest:
      return v.number(o.oldest_v, kMaxMillis);
    case Options::topics:
      return v.texts(o.topics_v);
    case Options::sequences:
      return v.numbers(o.sequences_v);
    case Options::scope:
      return v.text(o.scope_v);
    case Options::delivery:
      return v.number(o.delivery_v, 2);
    case Options::seen:
      return v.number(o.seen_v, any);
    case Options::missing:
      return v.ranges(o.missing_count, o.missing_v);
    case Options::stream_epoch:
      return v.number(o.stream_epoch_v, any);
    case Options::shared:
      return v.binary(o.shared_v, 0);
    case Options::rejected:
      return v.number(o.rejected_v, any);
    case Options::credit_records:
      return v.number(o.credit_records_v, any);
    case Options::max_frame:
      return v.number(o.max_frame_v, any);
    case Options::seal:
      return v.number(o.seal_v, any);
    default:
      return false;
  }
}

}  // namespace weft::wire
