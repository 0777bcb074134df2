// Request and Reply: what clients and shards say to each other.
//
// On the wire (protocol kinds REQUEST and REPLY of docs/reference/wire.md) each is one record. Request: `[op,
// table, worker, epoch, seq, clock, number, keys, values]`, seven unsigned integers, then keys (U64) and
// values (F32), each a bin of little-endian numbers or a tensor, which is a raw frame; an absent one is an
// empty span, trailing ones are left out. Reply: `[status, text, clock, min_clock, info, values]` with info
// null or a map and values F32, when there are any. Frames are borrowed while a request is handled.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/core/value.hpp>
#include <weft/wire/tensor.hpp>

namespace weft::ps {

enum class Op : std::uint8_t {
  join =
      1,  ///< worker, epoch; the reply's info tells tables, shards, workers, barrier; clock is where to start
  pull,   ///< table, clock, keys -> values
  push,   ///< table, seq, clock, keys, values (gradients)
  push_pull,  ///< push, then pull of the same keys
  assign,     ///< table, seq, keys, values (weights)
  clock,      ///< clock: the clocks that the worker has finished
  barrier,    ///< number: parked until every worker that has not stopped has sent this number or a higher one
  stats,      ///< info: ShardStats
  finish,     ///< the worker pushes no more; it may still pull and use barriers
  leave,      ///< the worker is going away
};
inline constexpr std::uint8_t kLastOp = static_cast<std::uint8_t>(Op::leave);

std::string_view to_string(Op op);

enum class Status : std::uint8_t {
  ok = 0,
  bad_request = 1,  ///< lengths, keys or values that cannot be; a defect of the asker
  unknown_table = 2,
  not_joined = 3,   ///< the worker is unknown, dead or gone: it must join first
  fenced = 4,       ///< a newer epoch of this worker has joined: stop
  finished = 5,     ///< the worker has said that it pushes no more
  full = 6,         ///< a bound is reached: parked requests, buffered pushes or rows; the text says which
  unreachable = 7,  ///< never on the wire: the client got no answer, or one that cannot be
  unusable = 8,     ///< never on the wire: a server has lost its rows, or the servers do not fit together
};
inline constexpr std::uint8_t kLastStatus = static_cast<std::uint8_t>(Status::full);  ///< on the wire

std::string_view to_string(Status status);

/// Asks without being a worker (an inference node, a tool): may pull and ask for stats, never waits.
inline constexpr std::uint32_t kObserver = UINT32_MAX;

/// Values that a client is given to send: borrowed numbers, or those of a tensor, whose owner it shares until
/// they are out. A tensor of another type than F32 has none.
struct Values {
  std::span<const float> numbers = {};
  std::shared_ptr<const void> owner = {};

  Values() = default;
  template <class Range>
  requires std::convertible_to<const Range&, std::span<const float>> Values(const Range& range)
      : numbers(range) {}
  Values(const Tensor& tensor) : numbers(tensor.as<float>()), owner(tensor.owner) {}
};

/// Borrows keys and values. values[i * width + k] belongs to keys[i].
struct Request {
  Op op = Op::pull;
  std::uint32_t table = 0;  ///< position in the tables of the join reply
  std::uint32_t worker = kObserver;
  std::uint64_t epoch = 0;  ///< of the worker's process: a restarted one has a higher one
  std::uint64_t seq = 0;    ///< of push, push_pull, assign: rises by worker and shard; makes retries harmless
  std::uint64_t clock = 0;  ///< clocks that the worker has finished when it sends this
  /// Of a barrier. Of everything else: the incarnation of the server as the join told it; 0: not known.
  std::uint64_t number = 0;
  std::span<const std::uint64_t> keys = {};
  std::span<const float> values = {};
};

/// Keys or values of fewer bytes travel inside the record, as a bin, so that many requests share one message;
/// others are frames of their own. Both ends take either at any size.
inline constexpr std::size_t kFrameFrom = 16 * 1024;

/// The answer to one request. Owns its values, which are in `values`, or in `frame` where they are many.
struct Reply {
  std::uint64_t ticket = 0;  ///< what on_request() was given; not on the wire
  Status status = Status::ok;
  std::string text = {};        ///< unless ok: a sentence for a person
  std::uint64_t clock = 0;      ///< the worker's clock as the shard knows it
  std::uint64_t min_clock = 0;  ///< the lowest clock of the workers that have not stopped
  std::vector<float> values = {};
  Tensor frame = {};  ///< F32; without an owner: none
  Value info = {};

  [[nodiscard]] Bytes numbers() const {
    return frame.owner ? frame.data : bytes_of(std::span<const float>(values));
  }
};

}  // namespace weft::ps
