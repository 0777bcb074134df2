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

bool tensors_fit(const wire::BatchBuilder& batch, std::size_t from, std::uint64_t max_frame_bytes) {
  if (batch.tensors().size() > wire::kMaxTensors) return false;
  return std::ranges::all_of(std::span(batch.tensors()).subspan(from),
                             [&](const Tensor& t) { return t.data.size() <= max_frame_bytes; });
}

}  // namespace weft::blocks
