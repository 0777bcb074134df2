// PortOptions: how a block meets its peers. One struct serves all six blocks; a field says where it applies.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <weft/core/log.hpp>
#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>

namespace weft {

class Journal;

/// Every port takes frames of so many bytes at least; a peer that says otherwise is refused.
inline constexpr std::uint64_t kLeastFrameBytes = 64 << 10;

struct PortOptions {
  /// Name of the port, unique in its node; part of the stream's name. 1-100 bytes of letters, digits, "_",
  /// "-", ".".
  std::string name = "port";
  /// Who owns the port, "worker/2". Empty: "<host process>/<pid>", unique on this machine.
  std::string node = {};
  /// Name of the topology or application; peers of another scope are refused.
  std::string scope = "local";
  /// Endpoints to bind: "tcp://127.0.0.1:*", "ipc:///path", "inproc://name". See Block::endpoints() for what
  /// they became.
  std::vector<std::string> bind = {};
  /// Pub: where the data socket binds. Empty: the interface of the first of `bind`, on a port of its own.
  std::string data_bind = {};
  /// Endpoints of peers to connect to; more can be added later by Block::connect().
  std::vector<std::string> connect = {};
  /// Epoch of the streams; a restarted port needs a higher one. 0: wall-clock microseconds.
  std::uint64_t epoch = 0;

  /// A PING leaves when nothing else did for so long. 10 ms - 1 h.
  Duration heartbeat = std::chrono::seconds(1);
  /// Silence after which a peer is dead. At least three heartbeats.
  Duration dead_after = std::chrono::seconds(10);

  /// A batch leaves when it holds so many bytes. 64 B - 64 MiB.
  std::uint64_t batch_bytes = 256 * 1024;
  /// ... or so many records. 1 - 1,048,576. Where several receivers share the work, each gets batches of what
  /// it has room for, see `window_records`.
  std::uint32_t batch_records = 65536;
  /// How long a batch that is not full waits for more once its sender has nothing else to do. 0: not at all.
  Duration linger = Duration::zero();
  /// Push, Dealer: bound of the bytes that wait here for a receiver's credit. 1 KiB - 64 GiB. An
  /// acknowledging Push counts 512 bytes for each batch beside its own, and what has not been processed yet.
  std::uint64_t capacity_bytes = 8ULL << 20;
  /// Push, Pub: what happens at that bound.
  Overflow overflow = Overflow::block;
  /// Push, Dealer: who gets the next batch or request.
  Distribute distribute = Distribute::balance;
  /// Receivers: bytes that each sender may have on their way here (credit). 4 KiB - 4 GiB. Of
  /// batches that are larger a Pull takes two, and of those in shared memory eight, as far as 8 MiB reach.
  /// With a journal, batches that have been handled do not count while their commit is on its way to the
  /// disk.
  std::uint64_t window_bytes = 2ULL << 20;
  /// Pull, Router: records that each sender may have here without their being handled. 1: one at a time, the
  /// next when that has been handled. 0: no bound but what the sender finds out: where it has several
  /// receivers, each holds about 30 ms of work by its own speed.
  std::uint64_t window_records = 0;
  /// Receivers: batches that each sender may have on their way here. 1 - 65,536.
  std::uint64_t window_batches = 1024;
  /// Largest frame that is taken from the network; a larger one closes its connection. kLeastFrameBytes -
  /// 4 GiB.
  std::uint64_t max_frame_bytes = 256ULL << 20;
  /// Peers at once at a bound port. 1 - 65,536.
  std::uint32_t max_peers = 16384;

  /// What is promised; both ends say it in HELLO and must agree.
  Delivery delivery = Delivery::best_effort;
  /// Makes the port durable (weft/journal/journal.hpp). Push: records that wait or are not yet processed;
  /// Pub: the log; Pull, Router: what has been processed, which exactly_once needs. Ports that share one
  /// journal commit together: what a handler sends is in one commit with the acknowledgement of what it was
  /// given.
  std::shared_ptr<Journal> journal = nullptr;
  /// Push: class of records that name none; higher ones leave first, lower ones do not starve. 0 - 9.
  std::uint8_t priority = 4;
  /// Push: how long a record may wait here for its first receiver; then it is expired. Zero: for ever. Up
  /// to a year.
  Duration ttl = Duration::zero();
  /// Push: how long a record waits before it may leave. Up to a year.
  Duration delay = Duration::zero();
  /// Push, Dealer: receivers that a record is tried at before it is a dead letter. 0: no bound.
  std::uint32_t max_attempts = 0;
  /// Push: bound of the records that wait here or are not yet processed. 0: no bound but `capacity_bytes`.
  /// Neither bound ends what a handler sends for one batch into the journal of its own port: it is one
  /// commit, however much it is.
  std::uint64_t capacity_records = 0;
  /// Dealer: an attempt without an answer has failed after so long; it is made again after `retry_first`,
  /// with back-off up to `retry_longest`. 10 ms - 1 h each, and 1 ms - 1 h for `retry_first`.
  Duration attempt_timeout = std::chrono::seconds(2);
  Duration retry_first = std::chrono::milliseconds(100);
  Duration retry_longest = std::chrono::seconds(5);
  /// Dealer, at_least_once: consecutive failures (no answer, or Code::failed) after which a router gets
  /// nothing but a probe after `circuit_first`, and after up to `circuit_longest` when probes fail. 0: never.
  std::uint32_t circuit_failures = 5;
  Duration circuit_first = std::chrono::seconds(1);
  Duration circuit_longest = std::chrono::seconds(30);
  /// Router: bounds of the replies that are kept for requests that come again. 1 KiB - 64 GiB; 1 -
  /// 16,777,216.
  std::uint64_t reply_window_bytes = 64ULL << 20;
  std::uint32_t reply_window = 65536;
  /// Pub: bytes of past batches that are retained for subscribers that missed some. 0 - 64 GiB.
  std::uint64_t retain_bytes = 16ULL << 20;
  /// Sub: where to begin; `from_sequence` is the number of From::sequence.
  From from = From::latest;
  std::uint64_t from_sequence = 0;

  /// Push, Pull, Dealer, Router: whether large frames go through memory that the two ends share when they are
  /// on one host.
  SharedMemory shared_memory = SharedMemory::off;
  /// Push, Dealer, Router: bound of that memory; pages that were never used cost nothing. What has no room in
  /// it goes through the socket. 64 KiB - 64 GiB.
  std::uint64_t shared_bytes = 64ULL << 20;
  /// Push, Dealer, Router: frames from this size on go that way. 1 KiB - 4 GiB.
  std::uint64_t shared_from = 16 << 10;

  /// Push, Pull: plain PUSH/PULL sockets without sessions; the sender connects, the receiver binds.
  bool native = false;
  /// Sub: topic prefixes; "" takes every topic. Segments end in "/": "orders/eu" becomes "orders/eu/".
  std::vector<std::string> topics = {""};
  /// Pub: keep the last record of each topic for late joiners; Sub: ask for them.
  bool keep_last = false;
  /// Pub: topics at once; Sub: topics at once. A further one is refused and counted. 1 - 1,048,576.
  std::uint32_t max_topics = 65536;
  /// How long close() may keep sending in the background.
  Duration close_linger = std::chrono::seconds(1);

  Logger log = {};

  /// Throws Error{invalid_argument} that names the field, its value and its bound.
  void check() const;
};

}  // namespace weft
