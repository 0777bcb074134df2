#include "shared_memory.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace weft::transport {
namespace {

constexpr int kListenBacklog = 64;
// <fcntl.h> of older C libraries lacks it; Linux has it since 5.1.
#ifdef F_SEAL_FUTURE_WRITE
constexpr int kSealFutureWrite = F_SEAL_FUTURE_WRITE;
#else
constexpr int kSealFutureWrite = 0x0010;
#endif
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// An abstract address: a zero byte, then the name. Returns its length; 0: the name is too long.
socklen_t address_of(const std::string& name, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (name.empty() || name.size() >= sizeof address.sun_path) return 0;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

Fd open_socket() {
  return Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

void Fd::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

std::optional<SharedMemory> SharedMemory::make(std::uint64_t bytes) {
  Fd fd(::memfd_create("weft", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return std::nullopt;
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return std::nullopt;
  SharedMemory made(std::move(fd), static_cast<std::byte*>(at), bytes);
  // A write seal proper would need this mapping to go; this one spares it and refuses all others.
  if (::fcntl(made.fd(), F_ADD_SEALS, kSealFutureWrite) != 0) return std::nullopt;
  if (::fcntl(made.fd(), F_ADD_SEALS, kSizeSeals) != 0) return std::nullopt;
  return made;
}

std::optional<SharedMemory> SharedMemory::map(Fd fd, std::uint64_t least, std::uint64_t most) {
  if (!fd) return std::nullopt;
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals) return std::nullopt;
  // Of huge pages there may be none when one is read, which would end this process.
  struct statfs system {};
  constexpr auto kTmpfs = 0x01021994;
  if (::fstatfs(fd.get(), &system) != 0 || system.f_type != kTmpfs) return std::nullopt;
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || status.st_size <= 0) return std::nullopt;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < least || size > most) return std::nullopt;
  void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return std::nullopt;
  return SharedMemory(std::move(fd), static_cast<std::byte*>(at), size);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this != &other) {
    if (data_) ::munmap(data_, size_);
    fd_ = std::move(other.fd_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_) ::munmap(data_, size_);
}

bool random_bytes(std::span<std::byte> out) {
  return ::getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size());
}

Fd listen_locally(const std::string& name) {
  sockaddr_un address;
  const socklen_t length = address_of(name, address);
  Fd fd = open_socket();
  if (length == 0 || !fd) return {};
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return {};
  if (::listen(fd.get(), kListenBacklog) != 0) return {};
  return fd;
}

Fd connect_locally(const std::string& name) {
  sockaddr_un address;
  const socklen_t length = address_of(name, address);
  Fd fd = open_socket();
  if (length == 0 || !fd) return {};
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) return {};
  return fd;
}

Fd accept_locally(int listener, bool& exhausted) {
  Fd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  exhausted = !fd && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
  return fd;
}

bool same_user(int fd) {
  ucred other{};
  socklen_t size = sizeof other;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &size) == 0 && other.uid == ::geteuid();
}

void shut_down(int fd) {
  (void)::shutdown(fd, SHUT_WR);
}

bool send_packet(int fd, Bytes bytes, int passed) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (passed >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &passed, sizeof passed);
  }
  return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

Packet receive_packet(int fd) {
  Packet out;
  iovec part{out.bytes, sizeof out.bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};  // what has no room the kernel closes
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) out.what = Packet::What::end;
    return out;
  }
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    // The room for one is padded, and so may hold two: each that came is ours to close.
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= head->cmsg_len; at += sizeof(int)) {
      int passed = -1;
      std::memcpy(&passed, CMSG_DATA(head) + at, sizeof passed);
      out.passed = Fd(passed);
    }
  }
  out.what = got == 0 ? Packet::What::end : Packet::What::data;
  out.size = static_cast<std::size_t>(got);
  return out;
}

}  // namespace weft::transport
