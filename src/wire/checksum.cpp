#include <weft/wire/checksum.hpp>

#include <xxhash.h>

namespace weft::wire {

std::uint64_t xxh3(Bytes bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace weft::wire
