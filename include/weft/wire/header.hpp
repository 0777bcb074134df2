// The header frame: what every message of protocol 1 starts with (docs/reference/wire.md).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <weft/core/bytes.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/limits.hpp>

namespace weft::wire {

enum class Kind : std::uint8_t { hello = 1, data, ack, nack, sync, ping, bye, request, reply, cancel };
std::string_view to_string(Kind kind);

/// What a NACK, or a REPLY that is an error, says went wrong. Numbers are the wire's.
enum class Code : std::uint8_t {
  none = 0,
  fenced = 1,  ///< the epoch is old
  gone = 2,    ///< the range asked for is no longer retained
  too_large = 3,
  unsupported = 4,  ///< no common version, or an option that must be understood and is not
  type_mismatch = 5,
  full = 6,
  denied = 7,
  retry = 8,  ///< say HELLO (again), then go on
  dead = 9,
  bad_request = 10,  ///< the handler refused the request; text says why
  failed = 11,       ///< the handler failed; text says why
  timed_out = 12,
  not_found = 13,
  outcome_unknown = 14,  ///< it may have been done, or not: nobody can tell
};
std::string_view to_string(Code code);

enum Flag : std::uint32_t {
  kSnapshot = 1,       ///< DATA: last values, not live
  kEndOfSnapshot = 2,  ///< DATA without records: the snapshot is complete
  kTombstone = 4,
  kLast = 8,       ///< BYE: nothing will follow on this stream; DATA: last batch
  kDraining = 16,  ///< BYE from a receiver: send nothing new, answer with BYE after what is on its way
  kReplay = 32,    ///< SYNC: the subscriber wants no gaps; DATA on a publisher's session: an answer to that
  kShared = 64,   ///< DATA, REQUEST, REPLY: a frame behind the header says which frames lie in shared memory,
                  ///< and where
  kReport = 128,  ///< DATA, REQUEST: acknowledge as soon as all of it has been handled
};

/// Why bytes were refused. Each is counted by name.
enum class Rejection : std::uint8_t {
  none = 0,
  bad_frame_count,
  bad_magic,
  long_header,
  malformed,  ///< not msgpack, cut short, or not the shape of a header
  too_deep,
  long_string,
  bad_utf8,  ///< the stream name
  bad_kind,
  bad_option,       ///< an option of the wrong type or range
  must_understand,  ///< a negative option key that this version does not know
  unsorted_ranges,
  trailing_bytes,
  bad_topic,
  bad_body,    ///< the records do not fill the body as the count says
  bad_tensor,  ///< a tensor reference without its frame, or sizes that do not agree
  bad_shared,  ///< a place in shared memory that is not lent, or not there
  unexpected,  ///< a kind that the state does not allow
  wrong_type,  ///< a record of another type
  too_large,
  bad_checksum,  ///< the bytes are not those that were sent: see Options::seal
  count_         // number of entries
};
std::string_view to_string(Rejection why);

/// Optional fields. `has(key)` tells which are present; strings view the frame they came from.
struct Options {
  enum Key : std::uint8_t {
    count = 1,               // uint: records in the body
    wall_time = 2,           // uint: microseconds since 1970, information only
    ttl = 3,                 // uint: milliseconds left to live
    not_before = 4,          // uint: milliseconds to wait
    priority = 5,            // uint: 0-9
    key = 6,                 // str or bin
    correlation = 7,         // str or bin
    trace = 8,               // bin of 25 bytes: W3C trace context
    attempt = 9,             // uint
    checksum = 10,           // uint: XXH3-64 of the body
    ranges = 11,             // flat array first, last, first, last, ...
    credit = 12,             // array [bytes, batches], absolute from `seq`
    code = 13,               // uint
    text = 14,               // str
    group = 15,              // str
    from = 16,               // str
    flags = 17,              // uint
    chunk = 18,              // array [index, count]
    name = 19,               // str: name of the record type
    fingerprint = 20,        // uint
    heartbeat = 21,          // uint: milliseconds
    first_retained = 22,     // uint
    version = 23,            // array [lowest, highest]
    node = 24,               // str: "worker/2"
    port = 25,               // str: "updates"
    deadline = 26,           // uint: milliseconds left
    block = 27,              // str: "push", "pull", "pub", "sub", "dealer", "router"
    data_endpoint = 28,      // str: where a publisher's XPUB is bound
    reply_name = 29,         // str: name of the reply's type
    reply_fingerprint = 30,  // uint
    processed = 31,          // uint: last sequence processed
    oldest = 32,             // uint: milliseconds that the oldest unprocessed record waits
    topics = 33,             // array of str (SYNC: prefixes; PING: lanes)
    sequences = 34,          // array of uint, parallel to topics
    scope = 35,              // str: name of the topology
    delivery = 36,           // uint: 0 best-effort, 1 at-least-once, 2 exactly-once
    seen = 37,               // uint: highest sequence that has arrived
    missing = 38,            // flat array first, last, ...: below `seen`, and has not arrived
    stream_epoch = 39,       // uint: epoch of the stream that is spoken of
    shared = 40,             // bin: where the sender lends its memory to peers of its host
    rejected = 41,           // uint: records of the stream that could not be taken
    credit_records = 42,     // uint: records that may be on their way, 0: no bound; its sender heeds kReport
    max_frame = 43,          // uint: bytes of the largest frame that I take
    seal = 44,               // uint, 9 bytes, the last option: hash of the message (weft/wire/checksum.hpp)
  };

  std::uint64_t present = 0;
  [[nodiscard]] bool has(Key k) const { return (present >> k & 1U) != 0; }
  void mark(Key k) { present |= std::uint64_t{1} << k; }

  std::uint64_t count_v, wall_time_v, ttl_v, not_before_v, checksum_v, fingerprint_v, first_retained_v,
      deadline_v, reply_fingerprint_v, processed_v, oldest_v, heartbeat_v, credit_bytes, credit_batches;
  std::uint32_t flags_v, attempt_v, chunk_index, chunk_count, version_low, version_high;
  std::uint64_t seen_v, stream_epoch_v, rejected_v, credit_records_v, max_frame_v, seal_v;
  std::uint8_t priority_v, delivery_v;
  Code code_v;
  Bytes key_v, correlation_v, trace_v, shared_v;
  std::string_view text_v, group_v, from_v, name_v, node_v, port_v, block_v, data_endpoint_v, reply_name_v,
      scope_v;
  Bytes topics_v;               ///< the packed array, checked; read with Unpack
  Bytes sequences_v;            ///< the packed array, checked
  std::size_t range_count = 0;  ///< pairs in `ranges_v`
  std::array<std::uint64_t, 2 * kMaxRanges> ranges_v;
  std::size_t missing_count = 0;  ///< pairs in `missing_v`
  std::array<std::uint64_t, 2 * kMaxRanges> missing_v;

  // Setters for what is sent; the strings must live until the header is encoded.
  Options() {}  // fields are only defined when marked
};

struct Header {
  Kind kind = Kind::data;
  std::string_view stream;
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  Options options;
};

/// Appends the header to `out`: never more than kMaxHeaderBytes, and never what `decode` would refuse. `text`
/// is cut to kMaxTextBytes. False when something else was cut or left out because it was beyond its bound or
/// did not fit: a stream name that is too long is cut, an option is left out, whole. `sealed`: with room for
/// the seal at its end, which seal() fills in.
bool encode(const Header& header, Buffer& out, bool sealed = false);

/// Reads one header frame. On rejection `out` is unspecified. Never throws, never allocates.
[[nodiscard]] Rejection decode(Bytes frame, Header& out);

/// True when the first four bytes are the magic: one comparison before anything else is looked at.
bool has_magic(Bytes frame);

/// The part of a DATA header that is the same for every batch of a lane, encoded once.
class DataHeader {
 public:
  DataHeader() = default;
  /// Kind DATA, REQUEST or REPLY. `sealed`: as encode() has it.
  DataHeader(Kind kind, std::string_view stream, std::uint64_t epoch, bool sealed = false);
  /// Appends a whole header with sequence, record count and, when not 0, the flags, the fingerprint and the
  /// last sequence of the other direction that has been processed.
  void encode(std::uint64_t seq, std::uint64_t count, Buffer& out, std::uint64_t fingerprint = 0,
              std::uint32_t flags = 0, std::uint64_t processed = 0) const;

 private:
  Buffer prefix_;
  bool sealed_ = false;
};

}  // namespace weft::wire
