// SharedMemory: memory that two processes map, and the socket by which its descriptor goes from one to the
// other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <weft/core/bytes.hpp>

namespace weft::transport {

/// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { close(); }
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

/// A memfd that nobody can make smaller or larger, mapped. It has no name: it is gone with its last mapping
/// and descriptor, however a process ends.
class SharedMemory {
 public:
  /// Made here and written here; whoever else gets the descriptor can only read. nullopt: the system cannot.
  static std::optional<SharedMemory> make(std::uint64_t bytes);
  /// Of another process, to be read. nullopt: it could shrink (reading what is cut off would end this
  /// process), it is smaller than `least`, larger than `most`, or no plain memfd.
  static std::optional<SharedMemory> map(Fd fd, std::uint64_t least, std::uint64_t most);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] const std::byte* data() const { return data_; }
  /// Of memory that was made here.
  [[nodiscard]] std::byte* writable() { return data_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The mapping stays.
  void close_fd() { fd_.close(); }

 private:
  SharedMemory(Fd fd, std::byte* data, std::uint64_t size) : fd_(std::move(fd)), data_(data), size_(size) {}
  Fd fd_;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

/// Fills `out` with random bytes; false: there are none.
bool random_bytes(std::span<std::byte> out);

// ---- the socket: SOCK_SEQPACKET in the abstract namespace, which leaves no file behind ----

/// Listens under a name of its own. An empty Fd: the system cannot.
Fd listen_locally(const std::string& name);
/// An empty Fd: nobody listens there, or not in this network namespace.
Fd connect_locally(const std::string& name);
/// The next connection; an empty Fd: none waits. `exhausted`: one waits, and there is no descriptor for it.
Fd accept_locally(int listener, bool& exhausted);
/// True when the process at the other end is of this one's user.
bool same_user(int fd);

/// The other end hears that nothing more comes; we still hear when it ends.
void shut_down(int fd);
/// Sends one packet with at most one descriptor (-1: none). False: it could not be sent.
bool send_packet(int fd, Bytes bytes, int passed = -1);
struct Packet {
  enum class What { none, data, end } what = What::none;  ///< none: nothing is there yet
  std::byte bytes[64] = {};
  std::size_t size = 0;
  Fd passed;
};
Packet receive_packet(int fd);

}  // namespace weft::transport
