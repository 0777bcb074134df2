// LineReader: the lines of a file, pipe or terminal, without ever waiting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weft::program {

/// Lines end in "\n"; the last one may lack it. A line is at most kLongest bytes.
class LineReader {
 public:
  static constexpr std::size_t kLongest = 16UL << 20;
  enum class Next { line, wait, end };

  /// "-": standard input. Throws Error{not_found, io, invalid_file}: no such file, a folder, an empty file.
  explicit LineReader(std::string path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// `line` is a view that is valid until the next call. Throws Error{io, invalid_file}.
  Next next(std::string_view& line);
  bool rewind();
  /// Number of the line that came last, from 1.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  /// The last line had no "\n": the file may have been cut.
  [[nodiscard]] bool unfinished() const { return unfinished_; }
  [[nodiscard]] int fd() const { return fd_; }
  /// For errors: the path, or "standard input".
  [[nodiscard]] std::string name() const { return path_ == "-" ? "standard input" : path_; }

 private:
  bool readable() const;
  /// False: nothing to read now.
  bool fill();

  std::string path_;
  int fd_ = -1;
  bool regular_ = false;
  bool ended_ = false;
  bool unfinished_ = false;
  std::string buffer_;
  std::size_t at_ = 0;        // start of the next line in buffer_
  std::size_t searched_ = 0;  // no line end before this
  std::uint64_t number_ = 0;
};

}  // namespace weft::program
