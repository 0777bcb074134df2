#include <weft/program/line_reader.hpp>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::program {
namespace {

constexpr std::size_t kReadPiece = 256UL << 10;

}  // namespace

LineReader::LineReader(std::string path) : path_(std::move(path)) {
  if (path_ == "-") {
    fd_ = ::dup(STDIN_FILENO);
  } else {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  }
  if (fd_ < 0) {
    throw Error(errno == ENOENT ? Errc::not_found : Errc::io,
                format("cannot read {}: {}; paths are relative to the folder in which the run was started",
                       name(), std::strerror(errno)));
  }
  struct stat about {};
  ::fstat(fd_, &about);
  regular_ = S_ISREG(about.st_mode);
  if (S_ISDIR(about.st_mode) || (regular_ && about.st_size == 0)) {
    ::close(fd_);
    throw Error(Errc::invalid_file, S_ISDIR(about.st_mode)
                                        ? format("{} is a folder; expected a file of lines", name())
                                        : format("{} is empty; expected at least one line", name()));
  }
}

LineReader::~LineReader() {
  ::close(fd_);
}

bool LineReader::readable() const {
  if (regular_) return true;
  pollfd poll{fd_, POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0;
}

bool LineReader::fill() {
  if (!readable()) return false;
  buffer_.erase(0, at_);
  searched_ -= at_;
  at_ = 0;
  const std::size_t before = buffer_.size();
  if (before > kLongest) {
    throw Error(Errc::invalid_file, format("{}:{}: this line is longer than {} bytes; is it a file of lines?",
                                           name(), number_ + 1, kLongest));
  }
  buffer_.resize(before + kReadPiece);
  const ssize_t got = ::read(fd_, buffer_.data() + before, kReadPiece);
  buffer_.resize(before + static_cast<std::size_t>(got > 0 ? got : 0));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0)
    throw Error(Errc::io, format("cannot read {} after line {}: {}", name(), number_, std::strerror(errno)));
  if (got == 0) ended_ = true;
  return true;
}

LineReader::Next LineReader::next(std::string_view& line) {
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched_);
    if (end != std::string::npos) {
      line = std::string_view(buffer_).substr(at_, end - at_);
      at_ = searched_ = end + 1;
      ++number_;
      return Next::line;
    }
    searched_ = buffer_.size();
    if (ended_) break;
    if (!fill()) return Next::wait;
  }
  if (at_ == buffer_.size()) return Next::end;
  line = std::string_view(buffer_).substr(at_);
  at_ = searched_ = buffer_.size();
  unfinished_ = true;
  ++number_;
  return Next::line;
}

bool LineReader::rewind() {
  if (!regular_ || ::lseek(fd_, 0, SEEK_SET) < 0) return false;
  buffer_.clear();
  at_ = searched_ = number_ = 0;
  ended_ = unfinished_ = false;
  return true;
}

}  // namespace weft::program
