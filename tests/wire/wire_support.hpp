// Small helpers of the wire tests: bytes from hex and from literals, packed headers by hand, a seeded
// mutator.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/bytes.hpp>
#include <weft/wire/buffer.hpp>
#include <weft/wire/codec.hpp>
#include <weft/wire/pack.hpp>

namespace weft::wire::test {

/// A record type whose fingerprint the wire reference states.
struct Point {
  std::int32_t x = 0;
  std::int32_t y = 0;
  WEFT_RECORD(Point, x, y)
};

/// "96 CD 57" or "96cd57" to bytes; blanks and line ends do not matter.
inline std::string from_hex(std::string_view hex) {
  std::string out;
  int high = -1;
  for (const char c : hex) {
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) continue;
    if (high < 0) {
      high = digit;
    } else {
      out += static_cast<char>(high * 16 + digit);
      high = -1;
    }
  }
  return out;
}

inline std::string to_hex(Bytes bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += digits[static_cast<std::size_t>(b) >> 4];
    out += digits[static_cast<std::size_t>(b) & 15];
  }
  return out;
}

/// What `write(Pack&)` packs.
template <class Write>
std::string packed(Write&& write) {
  Buffer out;
  Pack pack(out);
  write(pack);
  return std::string(as_text(out.view()));
}

/// A DATA header of stream "s", epoch 1, sequence 2 whose options map is `pairs` pairs of the bytes
/// `options`.
inline std::string header_with(std::size_t pairs, std::string_view options) {
  return from_hex("96cd5746 02 a173 01 02") + packed([&](Pack& p) { p.map(pairs); }) + std::string(options);
}

/// Changes, drops, repeats or inserts a few bytes.
inline std::string mutated(std::string bytes, std::mt19937_64& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
    const std::size_t at = below(bytes.size());
    switch (below(5)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2:
        bytes.erase(at, 1 + below(4));
        break;
      case 3:
        bytes.insert(at, 1, static_cast<char>(random()));
        break;
      default:
        bytes.insert(at, bytes.substr(at, 1 + below(8)));
        break;
    }
  }
  return bytes;
}

}  // namespace weft::wire::test
