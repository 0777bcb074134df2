#include <weft/protocol/choose.hpp>

namespace weft::protocol {
namespace {

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

std::optional<std::size_t> round_robin(std::span<const Candidate> all, std::size_t last) {
  for (std::size_t step = 1; step <= all.size(); ++step) {
    const std::size_t i = last < all.size() ? (last + step) % all.size() : step - 1;
    if (all[i].ready) return i;
  }
  return std::nullopt;
}

std::optional<std::size_t> most_room(std::span<const Candidate> all, std::size_t last) {
  std::optional<std::size_t> best;
  for (std::size_t step = 1; step <= all.size(); ++step) {
    const std::size_t i = last < all.size() ? (last + step) % all.size() : step - 1;
    if (all[i].ready && (!best || all[i].room > all[*best].room)) best = i;
  }
  return best;
}

std::optional<std::size_t> by_key(std::span<const Candidate> all, std::uint64_t key_hash) {
  std::optional<std::size_t> best;
  std::uint64_t best_weight = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::uint64_t weight = mix(all[i].id ^ key_hash);
    if (!best || weight > best_weight) {
      best = i;
      best_weight = weight;
    }
  }
  return best;
}

std::uint64_t name_hash(std::string_view name) {
  std::uint64_t h = 0xCBF29CE484222325ULL;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return mix(h);
}

}  // namespace weft::protocol
