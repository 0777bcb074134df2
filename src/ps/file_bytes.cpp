#include "ps/file_bytes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include <zlib.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::ps {
namespace {

struct CloseGzip {
  void operator()(gzFile file) const { gzclose_r(file); }
};
using Gzip = std::unique_ptr<gzFile_s, CloseGzip>;

void require_file(const std::string& path) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  if (!std::filesystem::exists(status)) {
    throw Error(Errc::not_found,
                format("{}: no such file; check the path (it is relative to where weft was started)", path));
  }
  if (std::filesystem::is_directory(status)) {
    throw Error(Errc::invalid_file, format("{}: is a folder, expected a file", path));
  }
}

}  // namespace

std::string read_file_bytes(const std::string& path, std::size_t limit) {
  require_file(path);
  errno = 0;
  const Gzip file(gzopen(path.c_str(), "rb"));
  if (!file) throw Error(Errc::io, format("{}: cannot be opened: {}", path, std::strerror(errno)));
  gzbuffer(file.get(), 1U << 17U);
  std::string bytes;
  std::size_t filled = 0;
  for (;;) {
    // Growing by what was really there: a small file that claims to be large costs nothing.
    bytes.resize(std::max<std::size_t>(1U << 16U, filled * 2));
    const auto room = static_cast<unsigned>(std::min<std::size_t>(bytes.size() - filled, 1U << 30U));
    const int got = gzread(file.get(), bytes.data() + filled, room);
    int code = Z_OK;
    const char* reason = gzerror(file.get(), &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      if (code == Z_ERRNO)
        throw Error(Errc::io, format("{}: cannot be read: {}", path, std::strerror(errno)));
      throw Error(Errc::invalid_file,
                  format("{}: the gzip file is {}; get it again", path,
                         code == Z_BUF_ERROR ? std::string("cut short") : format("damaged ({})", reason)));
    }
    filled += static_cast<std::size_t>(got);
    if (filled > limit) {
      throw Error(Errc::invalid_file, format("{}: holds more than {} bytes", path, limit));
    }
    if (got == 0) break;
  }
  bytes.resize(filled);
  return bytes;
}

std::string_view known_format(std::string_view bytes) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kMagics{{
      {"\x1f\x8b", "gzip"},
      {"PK\x03\x04", "a zip archive"},
      {"BZh", "bzip2"},
      {"\xfd"
       "7zXZ",
       "xz"},
      {"\x28\xb5\x2f\xfd", "zstd"},
      {"PAR1", "Parquet"},
      {"\x93NUMPY", "a NumPy array"},
      {"\x89HDF", "HDF5"},
      {"\x7f"
       "ELF",
       "a program"},
      {"%PDF", "PDF"},
      {"<!DOCTYPE", "an HTML page"},
  }};
  for (const auto& [magic, name] : kMagics) {
    if (bytes.starts_with(magic)) return name;
  }
  if (bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 8) return "IDX";
  return {};
}

}  // namespace weft::ps
