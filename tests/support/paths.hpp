// Where a test finds what it reads: the source tree, the built programs, the real data sets.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace weft::test {

/// The top of the source tree.
inline std::filesystem::path source_dir() {
  return WEFT_TEST_SOURCE_DIR;
}

/// The folder of the built programs; they exist only where programs are built.
inline std::filesystem::path bin_dir() {
  return WEFT_TEST_BIN_DIR;
}

/// The folder of the real data sets: $WEFT_DATA_DIR, else ../shared/data beside the source tree. May not
/// exist: a test that needs it then says MESSAGE("skipped: ...") and returns, and ctest reports it as
/// skipped.
inline std::filesystem::path data_dir() {
  if (const char* named = std::getenv("WEFT_DATA_DIR")) return named;
  return source_dir() / ".." / "shared" / "data";
}

}  // namespace weft::test
