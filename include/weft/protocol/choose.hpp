// Who gets the next batch: round-robin, most credit first, or by key.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weft::protocol {

/// One possible receiver as the choosers see it.
struct Candidate {
  std::uint64_t id = 0;    ///< hash of its name, for `by_key`
  bool ready = false;      ///< up, and its credit admits a batch
  std::uint64_t room = 0;  ///< bytes of credit left
};

/// The next ready one after `last` (an index, or npos at first).
std::optional<std::size_t> round_robin(std::span<const Candidate> all, std::size_t last);
/// The ready one with the most room; ties go to the next after `last`.
std::optional<std::size_t> most_room(std::span<const Candidate> all, std::size_t last);
/// The one that owns the key, ready or not: the same for the same set of names, and adding or removing one
/// moves only its own keys. Source: rendezvous hashing, Thaler and Ravishankar 1998.
std::optional<std::size_t> by_key(std::span<const Candidate> all, std::uint64_t key_hash);

/// A fast mixing hash of bytes, stable over processes (FNV-1a, then the splitmix64 finaliser).
std::uint64_t name_hash(std::string_view name);

}  // namespace weft::protocol
