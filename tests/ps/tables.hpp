// Tables, patience and reference values that several tests of the parameter server use.
#pragma once

#include <array>
#include <chrono>
#include <string>

#include <weft/core/json.hpp>
#include <weft/core/time.hpp>
#include <weft/ps/table_spec.hpp>

namespace weft::ps::test {

inline TableSpec table_of(const std::string& json) {
  return TableSpec::parse("weights", parse_json(json), "tables.weights");
}

/// The beginning of a table whose pushes add up and are subtracted.
inline const std::string kSumSgd = R"({"aggregate": "sum", "optimizer": {"name": "sgd", "learning_rate": 1})";

/// For tests that keep their one thread busy.
inline constexpr Duration kPatient = std::chrono::minutes(1);

/// From the public test of dmlc/difacto: 20 losses before each update.
inline constexpr std::array<double, 20> kGoldenTrace{69.314718, 69.314718, 67.151912, 61.414778, 56.244989,
                                                     53.218700, 51.248737, 49.846688, 48.650164, 47.698351,
                                                     46.924038, 46.388223, 45.970721, 45.499307, 45.102245,
                                                     44.798413, 44.565211, 44.386417, 44.240657, 44.109764};

}  // namespace weft::ps::test
