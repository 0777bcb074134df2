// Words of a link that several layers share.
#pragma once

namespace weft {

/// What a link promises (docs/guide/delivery.md).
enum class Delivery {
  best_effort,    ///< one attempt; what is lost is counted
  at_least_once,  ///< retried until a receiver has processed it
  exactly_once,   ///< the receiver's journal commits it once, however often it comes
};

/// Where a subscriber of a journaled publisher begins.
enum class From {
  latest,    ///< with what comes next (after the kept values, where it asked for them)
  earliest,  ///< with the oldest batch that the publisher retains
  sequence,  ///< behind a given sequence number, in each topic
};

/// Which receiver gets a batch (push-pull) or a request (dealer-router).
enum class Distribute {
  round_robin,  ///< one batch each, in turn
  hash,         ///< by key: the same key goes to the same receiver, in order
  balance,      ///< to the receiver with the most credit left
  explicit_,    ///< the sender names the receiver with every record
};

/// What a full sender does with the next record.
enum class Overflow {
  block,        ///< says would_block (or waits, where a deadline was given)
  drop_oldest,  ///< forgets the oldest waiting batch, counted
  drop_newest,  ///< forgets the new record, counted
  fail,         ///< says full
};

/// Whether a port shares memory with peers of its host and user. Nothing else of a link changes, and peers
/// elsewhere, or that know nothing of it, get everything through the socket.
enum class SharedMemory {
  off,        ///< everything goes through the socket
  automatic,  ///< shared where both ends can
  on,         ///< the same, and a host that cannot do it is an error when the port is opened
};

}  // namespace weft
