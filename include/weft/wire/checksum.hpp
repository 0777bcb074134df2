// The hash of the wire: XXH3-64, for the checksum option and for spreading keys over receivers.
#pragma once

#include <cstdint>

#include <weft/core/bytes.hpp>

namespace weft::wire {

/// XXH3-64 with seed 0: the same number in every process and language.
std::uint64_t xxh3(Bytes bytes);

}  // namespace weft::wire
