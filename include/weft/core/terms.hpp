// Words of a link that several layers share.
#pragma once

namespace weft {

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

}  // namespace weft
