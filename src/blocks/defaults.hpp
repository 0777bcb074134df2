// What every block does with its options before it begins.
#pragma once

#include <algorithm>
#include <span>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/wire/batch.hpp>

namespace weft::blocks {

/// Checks the options and fills in a node name that is unique on this machine.
void fill_defaults(PortOptions& options);

/// Whether the record that was added to a batch since `mark` can be sent: it is one that receivers take, and
/// fits the frames of one message, together with what a batch of less than `batch_bytes` may hold already.
[[nodiscard]] SendStatus judge(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark,
                               std::uint64_t batch_bytes, std::uint64_t max_frame_bytes);
/// The part of it that is about sizes.
[[nodiscard]] bool fits(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark,
                        std::uint64_t batch_bytes, std::uint64_t max_frame_bytes);
[[nodiscard]] std::uint64_t largest_frame(Bytes body, std::span<const Tensor> tensors);
/// Bytes at which a batch for frames of that size is full.
[[nodiscard]] inline std::uint64_t batch_for(const PortOptions& options, std::uint64_t max_frame_bytes) {
  return std::max<std::uint64_t>(1, std::min(options.batch_bytes, max_frame_bytes / 2));
}

}  // namespace weft::blocks
