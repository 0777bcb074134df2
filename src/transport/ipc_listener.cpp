#include "ipc_listener.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft::transport {
namespace {

constexpr int kBacklog = 128;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());  // its length was checked with the endpoint
  return address;
}

// Whether somebody who does not know our lock files (a plain ZeroMQ program) listens at the path.
bool somebody_listens(const std::string& path) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const auto address = address_of(path);
  const bool refused = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
                       (errno == ECONNREFUSED || errno == ENOENT);
  ::close(probe);
  return !refused;
}

std::string holder_of(int lock_fd) {
  char text[32] = {};
  const auto got = ::pread(lock_fd, text, sizeof text - 1, 0);
  std::string pid(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "another process" : "process " + pid;
}

[[noreturn]] void fail(Errc code, const std::string& path, const std::string& why) {
  throw Error(code, format("cannot bind ipc://{}: {}", path, why));
}

}  // namespace

IpcListener::IpcListener(std::string path) : path_(std::move(path)), lock_path_(path_ + ".lock") {
  try {
    lock();
    remove_stale_socket();
    listen();
  } catch (...) {
    clean_up();
    throw;
  }
}

IpcListener::~IpcListener() {
  clean_up();
}

void IpcListener::clean_up() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  if (std::exchange(bound_, false)) ::unlink(path_.c_str());
  if (lock_fd_ >= 0) {
    ::unlink(
        lock_path_.c_str());  // before the lock goes, so that nobody holds a lock on a file without a name
    ::close(std::exchange(lock_fd_, -1));
  }
}

int IpcListener::release_fd() {
  return std::exchange(fd_, -1);
}

void IpcListener::lock() {
  // A holder that ends removes the file, possibly between our open and flock; then there is a new file to
  // lock.
  constexpr int kAttempts = 100;
  for (int i = 0; i < kAttempts; ++i) {
    if (try_lock()) return;
  }
  fail(Errc::address_in_use, path_,
       format("the lock file {} keeps changing hands; choose another path", lock_path_));
}

bool IpcListener::try_lock() {
  const int fd = ::open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    fail(Errc::io, path_,
         format("the lock file {} cannot be opened ({}); the directory must exist and be yours to write",
                lock_path_, std::strerror(errno)));
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int number = errno;
    const auto holder = holder_of(fd);
    ::close(fd);
    if (number == EINTR) return false;
    if (number != EWOULDBLOCK)
      fail(Errc::io, path_, format("flock {}: {}", lock_path_, std::strerror(number)));
    fail(Errc::address_in_use, path_,
         format("{} is bound to it; stop that process or choose another path", holder));
  }
  struct stat ours {};
  struct stat named {};
  if (::fstat(fd, &ours) != 0 || ::stat(lock_path_.c_str(), &named) != 0 || ours.st_ino != named.st_ino ||
      ours.st_dev != named.st_dev) {
    ::close(fd);
    return false;
  }
  lock_fd_ = fd;
  const auto pid = format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) == 0) {
    [[maybe_unused]] const auto written = ::pwrite(fd, pid.data(), pid.size(), 0);  // for people only
  }
  return true;
}

void IpcListener::remove_stale_socket() const {
  struct stat found {};
  if (::lstat(path_.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode)) {
    fail(Errc::address_in_use, path_, "a file that is no socket is there; remove it or choose another path");
  }
  if (somebody_listens(path_)) {
    fail(Errc::address_in_use, path_, "a process listens there; stop it or choose another path");
  }
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    fail(Errc::io, path_, format("the stale socket file cannot be removed ({})", std::strerror(errno)));
  }
}

void IpcListener::listen() {
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) fail(Errc::io, path_, std::strerror(errno));
  const auto address = address_of(path_);
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int number = errno;
    fail(number == EADDRINUSE ? Errc::address_in_use : Errc::io, path_, std::strerror(number));
  }
  bound_ = true;
  if (::listen(fd_, kBacklog) != 0) fail(Errc::io, path_, std::strerror(errno));
}

}  // namespace weft::transport
