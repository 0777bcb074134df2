#include "ps/file_bytes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <zlib.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::ps {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using Handle = std::unique_ptr<std::FILE, CloseFile>;

constexpr std::string_view kGzipMark = "\x1f\x8b";

// The file in pieces; what a piece holds beyond a gzip member is the beginning of what follows.
class Pieces {
 public:
  explicit Pieces(const std::string& path) : path_(path), buffer_(1U << 17U) {
    errno = 0;
    file_.reset(std::fopen(path.c_str(), "rbe"));
    if (!file_) throw Error(Errc::io, format("{}: cannot be opened: {}", path, std::strerror(errno)));
  }
  /// What has not been taken; empty: the file has ended. At least `least` bytes before that.
  std::string_view look(std::size_t least = 1) {
    if (end_ - begin_ < least) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= std::exchange(begin_, 0);
      end_ += std::fread(buffer_.data() + end_, 1, buffer_.size() - end_, file_.get());
      if (std::ferror(file_.get()) != 0)
        throw Error(Errc::io, format("{}: cannot be read: {}", path_, std::strerror(errno)));
    }
    return {buffer_.data() + begin_, end_ - begin_};
  }
  void take(std::size_t bytes) {
    begin_ += bytes;
    taken_ += bytes;
  }
  [[nodiscard]] std::uint64_t taken() const { return taken_; }

 private:
  const std::string& path_;
  Handle file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t taken_ = 0;
};

// Growing by what was really there: a small file that claims to be large costs nothing.
class Output {
 public:
  Output(const std::string& path, std::size_t limit) : path_(path), limit_(limit) {}
  std::span<char> room() {
    if (filled_ == bytes_.size()) bytes_.resize(std::max<std::size_t>(1U << 16U, filled_ * 2));
    return std::span(bytes_).subspan(filled_, std::min<std::size_t>(bytes_.size() - filled_, 1U << 30U));
  }
  void grow(std::size_t bytes) {
    filled_ += bytes;
    if (filled_ > limit_)
      throw Error(Errc::invalid_file, format("{}: holds more than {} bytes", path_, limit_));
  }
  std::string finish() {
    bytes_.resize(filled_);
    return std::move(bytes_);
  }

 private:
  const std::string& path_;
  std::size_t limit_;
  std::string bytes_;
  std::size_t filled_ = 0;
};

class Inflater {
 public:
  explicit Inflater(const std::string& path) : path_(path) {
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK)
      throw Error(Errc::io, format("{}: there is no memory to unpack it", path));
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  void member(Pieces& from, Output& to) {
    inflateReset(&stream_);
    for (int code = Z_OK; code != Z_STREAM_END;) {
      const std::string_view in = from.look();
      if (in.empty()) fail("cut short");
      const std::span<char> out = to.room();
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
      stream_.avail_in = static_cast<uInt>(in.size());
      stream_.next_out = reinterpret_cast<Bytef*>(out.data());
      stream_.avail_out = static_cast<uInt>(out.size());
      code = inflate(&stream_, Z_NO_FLUSH);
      from.take(in.size() - stream_.avail_in);
      to.grow(out.size() - stream_.avail_out);
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        fail(format("damaged ({})", stream_.msg ? stream_.msg : "it cannot be unpacked"));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& how) const {
    throw Error(Errc::invalid_file, format("{}: the gzip file is {}; get it again", path_, how));
  }
  const std::string& path_;
  z_stream stream_{};
};

// Tapes and archives pad with zeros. Anything else that is no further member was meant to be read.
void require_end(const std::string& path, Pieces& from) {
  const std::uint64_t begin = from.taken();
  for (std::string_view rest = from.look(); !rest.empty(); rest = from.look()) {
    const std::size_t zeros = std::min(rest.find_first_not_of('\0'), rest.size());
    from.take(zeros);
    if (zeros == rest.size()) continue;
    throw Error(
        Errc::invalid_file,
        format("{}: its gzip data ends at byte {}, and what stands at byte {} is neither more of it nor "
               "padding: a part was damaged or put behind it wrongly; get it again, or join the parts "
               "unpacked",
               path, begin, from.taken()));
  }
}

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
  Pieces from(path);
  Output to(path, limit);
  if (!from.look(2).starts_with(kGzipMark)) {
    for (std::string_view piece = from.look(); !piece.empty(); piece = from.look()) {
      const std::span<char> room = to.room();
      const std::size_t count = std::min(room.size(), piece.size());
      std::memcpy(room.data(), piece.data(), count);
      from.take(count);
      to.grow(count);
    }
    return to.finish();
  }
  Inflater inflater(path);
  while (from.look(2).starts_with(kGzipMark)) inflater.member(from, to);
  require_end(path, from);
  return to.finish();
}

std::string_view known_format(std::string_view bytes) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kMagics{{
      {"\xff\xfe", "UTF-16 text"},
      {"\xfe\xff", "UTF-16 text"},
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
