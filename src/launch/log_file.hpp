// LogFile: what a node writes, on disk: appended, bounded, and counted where it could not be written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <weft/topology/plan.hpp>

namespace weft::launch {

/// `path` is the present file, `path.1` the one before it, and so on. A file that was moved away or removed
/// is opened anew (look_again()), one that was cut goes on behind its new end. A line that finds no room on
/// the disk is lost and counted, and the file says so as soon as there is room again.
class LogFile {
 public:
  /// Throws Error{io} when the file cannot be opened.
  LogFile(std::string path, topology::LogBounds bounds);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// False: the line is lost, and why() says why.
  bool write(std::string_view line);
  /// Lines were lost before they came here: counted, and told in the file before the next one.
  void miss(std::uint64_t lines, std::string_view why);
  /// Tells in the file of what was lost, without a line to follow.
  void tell();
  /// To be called now and then: whether the path still names this file.
  void look_again();
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] const std::string& why() const { return why_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  bool open();
  void close();
  bool turn_over();
  bool append(std::string_view lines);
  bool put(std::string_view text);

  std::string path_;
  topology::LogBounds bounds_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t lost_ = 0;    // lines, in all
  std::uint64_t untold_ = 0;  // of them, those that the file does not speak of yet
  bool half_ = false;         // the file ends within a line
  std::string why_;
};

}  // namespace weft::launch
