// IpcListener: a listening AF_UNIX socket at a path that no other live process holds.
#pragma once

#include <string>

namespace weft::transport {

/// libzmq by itself removes whatever is at the path, also the socket of a live process, and removes it again
/// some time after close. So the path is ours: "<path>.lock" is locked first, a stale socket file is removed,
/// the socket is bound here and handed to libzmq (ZMQ_USE_FD), and both files go when this object does. The
/// kernel drops the lock with the process, so nothing is left to clean up after a crash.
class IpcListener {
 public:
  /// Throws Error{address_in_use, io}.
  explicit IpcListener(std::string path);
  ~IpcListener();
  IpcListener(const IpcListener&) = delete;
  IpcListener& operator=(const IpcListener&) = delete;

  /// The listening descriptor; the caller closes it. Once.
  int release_fd();

 private:
  void lock();
  bool try_lock();
  void remove_stale_socket() const;
  void listen();
  void clean_up();

  std::string path_;
  std::string lock_path_;
  int lock_fd_ = -1;
  int fd_ = -1;
  bool bound_ = false;
};

}  // namespace weft::transport
