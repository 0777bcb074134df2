#include "blocks/defaults.hpp"

#include <algorithm>
#include <atomic>
#include <span>

#include <unistd.h>

#include <weft/core/format.hpp>

namespace weft::blocks {

void fill_defaults(PortOptions& options) {
  if (options.node.empty()) {
    // Two unnamed ports of one process must not take each other for a restart.
    static std::atomic<unsigned> unnamed{0};
    options.node = format("process-{}/{}", getpid(), unnamed++);
  }
  options.check();
}

bool fits(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark, std::uint64_t batch_bytes,
          std::uint64_t max_frame_bytes) {
  const std::uint64_t room = max_frame_bytes - std::min(batch_bytes, max_frame_bytes);
  if (batch.body().size() - mark.body > room) return false;
  if (batch.tensors().size() > wire::kMaxTensors) return false;
  return std::ranges::all_of(std::span(batch.tensors()).subspan(mark.tensors),
                             [&](const Tensor& t) { return t.data.size() <= max_frame_bytes; });
}

std::uint64_t largest_frame(Bytes body, std::span<const Tensor> tensors) {
  std::uint64_t largest = body.size();
  for (const Tensor& tensor : tensors) largest = std::max<std::uint64_t>(largest, tensor.data.size());
  return largest;
}

SendStatus judge(wire::BatchBuilder& batch, const wire::BatchBuilder::Mark& mark, std::uint64_t batch_bytes,
                 std::uint64_t max_frame_bytes) {
  if (!fits(batch, mark, batch_bytes, max_frame_bytes)) return SendStatus::too_large;
  return sendable(batch.body().view().subspan(mark.body));
}

}  // namespace weft::blocks
