#include "sim/node_journal.hpp"

namespace weft::sim {

std::vector<std::byte> pack_numbers(const std::vector<std::uint64_t>& numbers) {
  std::vector<std::byte> out;
  out.reserve(numbers.size() * 8);
  for (const std::uint64_t number : numbers) {
    for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(number >> shift));
  }
  return out;
}

std::vector<std::uint64_t> unpack_numbers(Bytes bytes) {
  std::vector<std::uint64_t> out;
  for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < 8; ++i) number = number << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
    out.push_back(number);
  }
  return out;
}

}  // namespace weft::sim
