// ShardStats: what one shard has done and holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::ps {

struct TableStats {
  std::string name;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::uint64_t updates = 0;  ///< rows updated or assigned
  std::uint64_t keys_pulled = 0;
  std::uint64_t keys_pushed = 0;
  std::uint64_t max_gap = 0;  ///< largest (worker's clock - minimum clock) at which a pull was answered
};

struct ShardStats {
  std::uint32_t shard = 0;
  std::uint64_t pulls = 0;
  std::uint64_t pushes = 0;
  std::uint64_t assigns = 0;
  std::uint64_t duplicates = 0;  ///< pushes and assigns that came again and were not applied again
  std::uint64_t refused = 0;     ///< requests answered with an error
  std::uint64_t late_pushes =
      0;  ///< pushes of a clock that the worker had finished; counted to its present clock
  std::uint64_t discarded_pushes =
      0;                     ///< bsp: buffered pushes of a worker that died before it finished the clock
  std::uint64_t waited = 0;  ///< requests that were parked
  std::uint64_t parked = 0;  ///< now
  std::uint64_t most_parked = 0;
  std::uint64_t min_clock = 0;
  std::uint64_t max_clock = 0;
  std::uint64_t max_gap = 0;  ///< of all tables
  std::uint64_t barrier = 0;  ///< highest barrier that has opened
  std::uint32_t workers_running = 0;
  std::uint32_t workers_expected = 0;  ///< not joined yet
  std::uint32_t workers_finished = 0;  ///< finished or left
  std::uint32_t workers_dead = 0;
  std::vector<TableStats> tables;

  [[nodiscard]] Value to_value() const;
};

}  // namespace weft::ps
