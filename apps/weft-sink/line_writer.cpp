#include "line_writer.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::sink {
namespace {

constexpr std::size_t kPiece = 256UL << 10;
constexpr int kMode = 0644;

}  // namespace

LineWriter::LineWriter(std::string path, bool append) : path_(std::move(path)) {
  if (path_ == "-") {
    path_ = "standard output";
    fd_ = ::dup(STDOUT_FILENO);
  } else {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), kMode);
  }
  if (fd_ < 0) fail("open");
  if (append) end_torn_line();
}

// Whoever wrote before may have been killed amid a line, or had no room for the rest of it.
void LineWriter::end_torn_line() {
  struct stat status {};
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  char last = '\n';
  if (fd >= 0 && ::pread(fd, &last, 1, status.st_size - 1) == 1 && last != '\n') buffer_ = '\n';
  if (fd >= 0) ::close(fd);
}

LineWriter::~LineWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void LineWriter::fail(const char* what) const {
  throw Error(Errc::io, format("cannot {} {}: {}", what, path_, std::strerror(errno)));
}

void LineWriter::write(std::string_view line) {
  buffer_ += line;
  buffer_ += '\n';
  if (buffer_.size() >= kPiece) flush();
}

void LineWriter::flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n >= 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      // A reader that shares the other end made it non-blocking.
      pollfd poll{fd_, POLLOUT, 0};
      ::poll(&poll, 1, -1);
    } else if (errno != EINTR) {
      const int why = errno;
      buffer_.clear();
      errno = why;
      fail("write to");
    }
  }
  buffer_.clear();
}

void LineWriter::cut(std::uint64_t bytes) {
  struct stat status {};
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (static_cast<std::uint64_t>(status.st_size) < bytes) {
    throw Error(
        Errc::io,
        format("{} has {} bytes, but {} were committed: it was changed by somebody else; put it back, "
               "or purge the sink's journal and begin anew",
               path_, status.st_size, bytes));
  }
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) fail("cut");
  if (::lseek(fd_, 0, SEEK_END) < 0) fail("seek in");
  buffer_.clear();  // what was committed ends with a whole line
}

std::uint64_t LineWriter::sync() {
  flush();
  struct stat status {};
  if (fd_ < 0 || ::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  if (::fdatasync(fd_) != 0) fail("sync");
  return static_cast<std::uint64_t>(status.st_size);
}

void LineWriter::close() {
  if (fd_ < 0) return;
  flush();
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) fail("close");
}

}  // namespace weft::sink
