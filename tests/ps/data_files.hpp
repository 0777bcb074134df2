// Where the tests find real data, and how they say that there is none.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include <doctest/doctest.h>

namespace weft::ps::test {

/// The path of a file of real data, from WEFT_DATA_DIR or the folder `shared/data` beside the source tree;
/// nullopt, with a message, when it is absent.
inline std::optional<std::string> data_file(const std::string& name) {
  const char* given = std::getenv("WEFT_DATA_DIR");
  const auto source = std::filesystem::path(WEFT_TEST_SOURCE_DIR);
  const auto folder = given ? std::filesystem::path(given) : source.parent_path() / "shared" / "data";
  std::error_code code;
  if (std::filesystem::exists(folder / name, code)) return (folder / name).string();
  MESSAGE("skipped: there is no " << (folder / name).string()
                                  << "; set WEFT_DATA_DIR to the folder of the data");
  return std::nullopt;
}

}  // namespace weft::ps::test
