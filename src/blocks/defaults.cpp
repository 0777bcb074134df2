#include "blocks/defaults.hpp"

#include <atomic>

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

}  // namespace weft::blocks
