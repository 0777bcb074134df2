#include "descriptors.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace weft::transport {
namespace {

constexpr std::string_view kIpc = "ipc://";

std::string path_of(const sockaddr_storage& address, socklen_t size) {
  const auto* const local = reinterpret_cast<const sockaddr_un*>(&address);
  constexpr auto before = offsetof(sockaddr_un, sun_path);
  if (size <= before) return {};
  std::string path(local->sun_path, size - before);
  if (path[0] != '\0') return path.substr(0, path.find('\0'));
  path[0] = '@';  // as libzmq writes abstract names
  return path;
}

bool stands_at(int fd, std::string_view endpoint) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_UNIX) {
    return endpoint.starts_with(kIpc) && endpoint.substr(kIpc.size()) == path_of(address, size);
  }
  in_port_t port = 0;
  if (address.ss_family == AF_INET) port = reinterpret_cast<const sockaddr_in*>(&address)->sin_port;
  if (address.ss_family == AF_INET6) port = reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port;
  return port != 0 && endpoint.ends_with(":" + std::to_string(ntohs(port)));
}

bool listens(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening != 0;
}

}  // namespace

std::optional<std::uint64_t> socket_inode(int fd) {
  struct stat found {};
  if (::fstat(fd, &found) != 0 || !S_ISSOCK(found.st_mode)) return std::nullopt;
  return found.st_ino;
}

Descriptors::~Descriptors() {
  lend_reserve();
  if (held_ >= 0) ::close(held_);
}

bool Descriptors::take(int& fd) const {
  if (fd < 0) fd = ::fcntl(idle_, F_DUPFD_CLOEXEC, 0);
  return fd >= 0;
}

void Descriptors::open() {
  const std::lock_guard lock(mutex_);
  (void)take(held_);
  for (int& fd : reserve_) (void)take(fd);
}

bool Descriptors::hold(int fd) {
  return held_ >= 0 && fd >= 0 && ::dup3(fd, held_, O_CLOEXEC) >= 0;
}

void Descriptors::let_go() {
  (void)::dup3(idle_, held_, O_CLOEXEC);
}

std::optional<std::uint64_t> Descriptors::connection(int fd, std::string_view endpoint) {
  const std::lock_guard lock(mutex_);
  if (!hold(fd)) return std::nullopt;
  auto inode = socket_inode(held_);
  if (inode && (listens(held_) || !stands_at(held_, endpoint))) inode.reset();
  let_go();
  return inode;
}

bool Descriptors::end(int fd, std::uint64_t inode) {
  const std::lock_guard lock(mutex_);
  if (!hold(fd)) return false;
  const bool same = socket_inode(held_) == inode;
  if (same) (void)::shutdown(held_, SHUT_RDWR);  // fails when its peer was faster
  let_go();
  return same;
}

void Descriptors::lend_reserve() {
  const std::lock_guard lock(mutex_);
  for (int& fd : reserve_) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
}

bool Descriptors::restore_reserve() {
  const std::lock_guard lock(mutex_);
  std::array<int, kSpare> spare{-1, -1};
  bool enough = std::ranges::all_of(reserve_, [this](int& fd) { return take(fd); });
  enough = enough && std::ranges::all_of(spare, [this](int& fd) { return take(fd); });
  for (const int fd : spare) {
    if (fd >= 0) ::close(fd);
  }
  if (enough) return true;
  for (int& fd : reserve_) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  return false;
}

}  // namespace weft::transport
