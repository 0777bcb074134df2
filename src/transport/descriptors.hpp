// Descriptors: looks at descriptors that libzmq owns, ends the connections behind them, and keeps a reserve.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace weft::transport {

/// libzmq closes its descriptors on threads of its own, and the system gives their numbers to whoever asks
/// next. So nothing is judged or ended by its number: what stands behind it is first held under a number that
/// is ours (dup3() onto it, which needs no free descriptor), and only what is held there is looked at and
/// shut down. libzmq then reads the end of the connection and closes it. Any thread.
class Descriptors {
 public:
  /// `idle` is held when nothing else is: any descriptor that outlives this object.
  explicit Descriptors(int idle) : idle_(idle) {}
  ~Descriptors();
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;

  /// Takes the descriptors that it needs, as far as there are any; idempotent.
  void open();
  /// What tells this socket from every other one of the machine (its inode), if `fd` is a connection that was
  /// accepted at `endpoint` ("tcp://10.0.0.1:5555", "ipc:///path"; of tcp, the port counts).
  std::optional<std::uint64_t> connection(int fd, std::string_view endpoint);
  /// Ends the connection, if `fd` still is that socket.
  bool end(int fd, std::uint64_t inode);

  /// Leaves its reserve to those who find no descriptor.
  void lend_reserve();
  /// False: there are not enough free ones yet.
  bool restore_reserve();

 private:
  static constexpr std::size_t kReserve = 3;
  static constexpr std::size_t kSpare = 2;  // free ones beside the reserve: else it is lent again at once

  [[gnu::noinline]] bool hold(int fd);  // tests/support/tsan.supp knows it by its name
  void let_go();
  bool take(int& fd) const;

  const int idle_;
  std::mutex mutex_;  // guards what follows
  int held_ = -1;
  std::array<int, kReserve> reserve_{-1, -1, -1};
};

/// The inode of the socket behind a descriptor; nullopt when there is none.
std::optional<std::uint64_t> socket_inode(int fd);

}  // namespace weft::transport
