// Whole files in memory, plain or gzip.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weft::ps {

/// The bytes of the file, unpacked when it is gzip. Throws Error{not_found}, Error{io}, or
/// Error{invalid_file} when a gzip file is cut, damaged, has something else than members and zeros behind its
/// first member, or unpacks to more than `limit` bytes.
std::string read_file_bytes(const std::string& path, std::size_t limit = std::size_t{8} << 30U);

/// The format that the first bytes betray ("gzip", "a zip archive", "IDX", ...), or empty when nothing is
/// recognised.
std::string_view known_format(std::string_view bytes);

}  // namespace weft::ps
