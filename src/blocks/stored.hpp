// Stored: one record that is kept to be sent again, with its tensors.
#pragma once

#include <cstddef>
#include <vector>

#include <weft/wire/batch.hpp>

#include "blocks/hub.hpp"

namespace weft::blocks {

struct Stored {
  std::vector<std::byte> packed;  // one msgpack object
  std::vector<Tensor> tensors;    // that its references count from 0
  std::size_t bytes = 0;          // both together

  Stored() = default;
  /// The only record of the batch.
  explicit Stored(wire::BatchBuilder::Batch batch);
  void add_to(wire::BatchBuilder& batch) const;
};

/// Sends a batch with a header that says more than its count. False: it could not be sent now; the batch is
/// spent either way.
bool send_batch_with(Hub& hub, Peer& peer, const wire::Header& header, wire::BatchBuilder::Batch batch);

}  // namespace weft::blocks
