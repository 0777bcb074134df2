// What every block does with its options before it begins.
#pragma once

#include <weft/blocks/options.hpp>
#include <weft/wire/batch.hpp>

namespace weft::blocks {

/// Checks the options and fills in a node name that is unique on this machine.
void fill_defaults(PortOptions& options);

[[nodiscard]] bool tensors_fit(const wire::BatchBuilder& batch, std::size_t from,
                               std::uint64_t max_frame_bytes);

/// The record that was added to a batch since `mark` fits the frames of one message, together with what a
/// batch of less than `batch_bytes` may hold already.
[[nodiscard]] inline bool fits(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark,
                               std::uint64_t batch_bytes, std::uint64_t max_frame_bytes) {
  if (batch.body().size() - mark.body > max_frame_bytes - batch_bytes) return false;
  return batch.tensors().empty() || tensors_fit(batch, mark.tensors, max_frame_bytes);
}

}  // namespace weft::blocks
