// The hash of the wire: XXH3-64, for seals and checksums of messages and for spreading keys over receivers.
#pragma once

#include <cstddef>
#include <cstdint>

#include <weft/core/bytes.hpp>

namespace weft::wire {

/// XXH3-64: the same number in every process and language.
std::uint64_t xxh3(Bytes bytes, std::uint64_t seed = 0);

/// The seal of a message says that it is as it was sent. It is the last option of the header, so that its
/// number is the last eight bytes there: XXH3-64 of all bytes of the header before them, and then, for each
/// further frame, XXH3-64 of that frame with the number so far as its seed.
inline constexpr std::size_t kSealBytes = 8;

/// True when the header ends with a seal.
bool ends_sealed(Bytes header);
/// The number for a header that ends with a seal, as far as the header itself goes. Each further frame turns
/// it into xxh3(frame, number).
std::uint64_t seal_of_header(Bytes header);
/// The number that the header has; and as the bytes that it has there.
std::uint64_t seal_in(Bytes header);
void store_seal(std::uint64_t number, std::byte* at);

}  // namespace weft::wire
