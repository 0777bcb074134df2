// `weft bench`: Weft and plain libzmq doing the same work, in pairs.
#pragma once

#include <cstdint>
#include <string>

namespace weft::cli {

struct BenchOptions {
  std::string benchmark;          ///< "throughput" or "latency"
  std::uint64_t size = 100;       ///< bytes a record
  std::string transport = "tcp";  ///< "tcp" or "ipc"
  std::uint64_t count = 0;        ///< records or round trips a run; 0: by size
  unsigned runs = 5;              ///< pairs, 1-100
  bool json = false;
  std::string program;            ///< path of this `weft`, which is also the Weft end of the benchmarks
};

/// Prints a table, or one JSON object. Returns the exit code.
int bench(const BenchOptions& options);

/// One end of a benchmark in a process of its own: what `bench` starts. `role` is push, pull, dealer or router.
int bench_peer(const std::string& role, const std::string& endpoint, std::uint64_t size, std::uint64_t count);

}  // namespace weft::cli
