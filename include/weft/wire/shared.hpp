// Shared frames: the list in place of frames whose bytes lie in memory that sender and receiver share
// (docs/reference/wire.md, "Shared memory").
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/wire/buffer.hpp>

namespace weft::wire {

/// A lent place. Nothing in it is believed before it was held against the segment.
struct SharedRef {
  std::uint64_t segment = 0;
  std::uint64_t slot = 0;    ///< number of the slot's present use; never used again in its segment
  std::uint64_t offset = 0;  ///< of the bytes, from the start of the segment
  std::uint64_t length = 0;
  bool operator==(const SharedRef&) const = default;
};

/// One entry a frame behind the header; nullopt: the frame itself follows.
using SharedList = std::vector<std::optional<SharedRef>>;

void encode_shared(const SharedList& list, Buffer& out);
/// False: not such a list, or one of more than kMaxFrames entries. `out` is then unspecified.
[[nodiscard]] bool decode_shared(Bytes frame, SharedList& out);

}  // namespace weft::wire
