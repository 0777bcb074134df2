#include <weft/wire/checksum.hpp>

#include <xxhash.h>

#include <weft/wire/header.hpp>
#include <weft/wire/pack.hpp>

namespace weft::wire {
namespace {

constexpr std::size_t kOptionBytes = 2 + kSealBytes;  // key, lead byte, number

}  // namespace

std::uint64_t xxh3(Bytes bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

bool ends_sealed(Bytes header) {
  if (header.size() < kOptionBytes) return false;
  const std::byte* const at = header.data() + header.size() - kOptionBytes;
  return at[0] == std::byte{Options::seal} && at[1] == std::byte{0xCF};
}

std::uint64_t seal_of_header(Bytes header) {
  return xxh3(header.first(header.size() - kSealBytes));
}

std::uint64_t seal_in(Bytes header) {
  return detail::load<std::uint64_t>(header.data() + header.size() - kSealBytes);
}

void store_seal(std::uint64_t number, std::byte* at) {
  number = detail::big_endian(number);
  std::memcpy(at, &number, sizeof number);
}

}  // namespace weft::wire
