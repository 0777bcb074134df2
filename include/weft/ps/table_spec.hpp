// TableSpec: what a topology file says about one table of the parameter server.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/value.hpp>
#include <weft/ps/optimizer.hpp>
#include <weft/topology/description.hpp>

namespace weft::ps {

enum class TableKind { dense, sparse };
enum class Consistency { bsp, ssp, asp };
enum class Aggregate { mean, sum };
enum class InitializerKind { zeros, uniform, normal };

std::string_view to_string(TableKind kind);
std::string_view to_string(Consistency consistency);
std::string_view to_string(Aggregate aggregate);
std::string_view to_string(InitializerKind kind);

/// The values of a row that no push or assign has touched. They depend on seed, key and column only: not on
/// the number of shards, nor on the order of requests.
struct InitializerSpec {
  InitializerKind kind = InitializerKind::zeros;
  float scale = 0.01F;  ///< uniform: values in [-scale, scale); normal: the standard deviation; >= 0
  std::uint64_t seed = 1;

  /// Writes the initial values of row `key` to out[0 .. out.size()).
  void fill(std::uint64_t key, std::span<float> out) const;
};

struct TableSpec {
  static constexpr std::uint32_t kMaxWidth = 65'536;
  static constexpr std::uint64_t kMaxRows = 4'000'000'000;  ///< rows of one shard are numbered by 32 bits
  static constexpr std::uint32_t kMaxStaleness = 1'000'000;

  std::string name;
  TableKind kind = TableKind::sparse;
  std::uint64_t rows = 0;                ///< dense: rows over all shards, keys are 0 .. rows-1; sparse: 0
  std::uint64_t max_rows = 100'000'000;  ///< sparse: most rows that one shard makes, then pushes are refused
  std::uint32_t width = 1;               ///< floats a row, 1 .. kMaxWidth
  OptimizerSpec optimizer = {};
  Consistency consistency = Consistency::asp;
  std::uint32_t staleness = 3;            ///< ssp only: how many clocks a worker may be ahead of the slowest
  Aggregate aggregate = Aggregate::mean;  ///< how the gradients of several workers are joined
  InitializerSpec initializer = {};

  /// The clocks a pull may be ahead of the slowest worker: 0 for bsp, staleness for ssp, no bound for asp.
  [[nodiscard]] std::uint64_t bound() const;

  /// From `{kind: sparse, width: 1, optimizer: {...}, consistency: ssp, staleness: 3, ...}`; `where` opens
  /// error sentences, e.g. "tables.weights". Throws Error{invalid_argument} that names field, value and
  /// bound.
  static TableSpec parse(std::string name, const Value& value, const std::string& where);
  [[nodiscard]] Value to_value() const;
};

/// The `tables:` option: a map from name to table. The position in the result is the table's id on the wire.
/// Throws Error{invalid_argument}; an empty map is refused.
std::vector<TableSpec> parse_tables(const Value& value);

/// The `tables` option for `--describe`, so that `weft check` finds mistakes before anything starts.
topology::OptionDescription tables_option();

}  // namespace weft::ps
