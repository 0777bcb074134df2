// ReaderWatch: whether whoever reads this process's standard output is still there.
#pragma once

namespace weft::cli {

/// For a verb that waits for something to print: `weft logs --follow | head -1` is to end with its head, and
/// not with the next line. A file has no reader that could go away. Of one thread.
class ReaderWatch {
 public:
  ReaderWatch();
  ~ReaderWatch();
  ReaderWatch(const ReaderWatch&) = delete;
  ReaderWatch& operator=(const ReaderWatch&) = delete;

  /// Becomes readable when the reader is gone. Never invalid.
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool gone() const;

 private:
  int fd_ = -1;
};

}  // namespace weft::cli
