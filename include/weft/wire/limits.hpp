// The bounds of protocol 1. Every one is enforced on receipt; docs/reference/wire.md states them for other
// peers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::wire {

inline constexpr std::size_t kMaxHeaderBytes = 4096;
inline constexpr std::size_t kMaxTopicBytes = 200;
inline constexpr std::size_t kMaxStringBytes = 1024;  ///< any string in a header
inline constexpr std::size_t kMaxHeaderDepth = 3;     ///< nesting of arrays and maps in a header
inline constexpr std::size_t kMaxRecordDepth = 32;    ///< nesting inside one record
inline constexpr std::size_t kMaxFrames = 256;        ///< of one message, without the routing id
inline constexpr std::size_t kMaxTensors =
    kMaxFrames - 3;                                ///< of one batch: topic, header and body are frames too
inline constexpr std::size_t kMaxOptions = 64;     ///< options of one header, known or not
inline constexpr std::size_t kMaxTextBytes = 512;  ///< `text` is cut to this when a header is encoded
inline constexpr std::uint64_t kMaxMillis = std::uint64_t{1}
                                            << 40;  ///< any span in a header (34 years): no clock overflows
inline constexpr std::size_t kMaxRanges = 32;       ///< selective ranges of one ACK
inline constexpr std::size_t kMaxBatchRecords = 1 << 20;
inline constexpr std::size_t kMaxFrameBytes = 256ULL << 20;  ///< default of a socket's largest frame
inline constexpr std::uint32_t kMagic = 0x96CD5746;          ///< first four bytes of every header, big-endian
inline constexpr unsigned kVersion = 1;

}  // namespace weft::wire
