#include "launch/log_file.hpp"

#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::launch {

LogFile::LogFile(std::string path, topology::LogBounds bounds) : path_(std::move(path)), bounds_(bounds) {
  if (!open()) throw Error(Errc::io, format("cannot write {}: {}", path_, why_));
}

LogFile::~LogFile() {
  close();
}

bool LogFile::open() {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat found {};
  if (fd_ < 0 || ::fstat(fd_, &found) != 0) {
    why_ = std::generic_category().message(errno);
    close();
    return false;
  }
  size_ = static_cast<std::uint64_t>(found.st_size);
  return true;
}

void LogFile::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void LogFile::look_again() {
  struct stat named {
  }, ours{};
  if (fd_ >= 0 && ::fstat(fd_, &ours) == 0 && ::stat(path_.c_str(), &named) == 0 &&
      named.st_dev == ours.st_dev && named.st_ino == ours.st_ino) {
    size_ = static_cast<std::uint64_t>(ours.st_size);  // somebody may have cut it
    return;
  }
  close();
  half_ = false;
  (void)open();
}

// The present file becomes the first of those before it, and the last of them goes. False: it cannot, and has
// no room for more.
bool LogFile::turn_over() {
  if (bounds_.keep == 0) {
    if (::ftruncate(fd_, 0) == 0) size_ = 0;
    return true;
  }
  std::string to = format("{}.{}", path_, bounds_.keep);
  for (unsigned number = bounds_.keep; number > 0; --number) {
    const std::string from = number > 1 ? format("{}.{}", path_, number - 1) : path_;
    if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      why_ = std::generic_category().message(errno);
      return false;
    }
    to = from;
  }
  close();
  return open();
}

bool LogFile::put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      why_ = std::generic_category().message(errno);
      return false;
    }
    size_ += static_cast<std::uint64_t>(written);
    half_ = text[static_cast<std::size_t>(written) - 1] != '\n';
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void LogFile::miss(std::uint64_t lines, std::string_view why) {
  lost_ += lines;
  untold_ += lines;
  why_ = why;
}

void LogFile::tell() {
  if (untold_ != 0) (void)append({});
}

bool LogFile::write(std::string_view line) {
  if (append(std::string(line) + '\n')) return true;
  ++lost_;
  ++untold_;
  return false;
}

/// `lines`: whole ones, behind what is to be said of those that are missing.
bool LogFile::append(std::string_view lines) {
  std::string text;
  if (half_) text += '\n';
  if (untold_ != 0) text += format("weft: {} lines are missing here: {}\n", untold_, why_);
  text += lines;
  if (fd_ < 0) (void)open();
  if (fd_ >= 0 && size_ != 0 && size_ + text.size() > bounds_.max_bytes && !turn_over()) return false;
  if (fd_ >= 0 && put(text)) {
    untold_ = 0;
    return true;
  }
  return false;
}

}  // namespace weft::launch
