// LineWriter: lines to a file or standard output, collected and written in large pieces.
#pragma once

#include <string>
#include <string_view>

namespace weft::sink {

/// Errors of the system throw Error{io} with the path and the system's reason.
class LineWriter {
 public:
  /// "-": standard output. A file is made anew, or continued with `append`, on a line of its own.
  LineWriter(std::string path, bool append);
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  void write(std::string_view line);
  void flush();
  /// A file: cut to `bytes`, and written from there on. Nothing for what is no file.
  void cut(std::uint64_t bytes);
  /// Flushes, and waits until a file is on its disk. Returns its size; 0 for what is no file.
  std::uint64_t sync();
  /// Flushes and closes: the last chance to hear of a full disk.
  void close();

 private:
  void end_torn_line();
  [[noreturn]] void fail(const char* what) const;
  std::string path_;
  int fd_ = -1;
  std::string buffer_;
};

}  // namespace weft::sink
