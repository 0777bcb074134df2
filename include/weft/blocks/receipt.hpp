// Receipt: names a record, or a request, whose handler has returned before it was done with it.
#pragma once

#include <cstdint>
#include <string>

namespace weft {

/// From PullBase::defer() or RouterBase::defer(), for settle() of the same block. A value; nothing to free.
struct Receipt {
  std::string stream;  ///< acknowledged deliveries of push-pull
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  std::uint32_t index = 0;
};

}  // namespace weft
