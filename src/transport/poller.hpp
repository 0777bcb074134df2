// Poller: which of many sockets and descriptors are ready, at a cost that grows with those, not with all.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/transport/socket.hpp>

namespace weft::transport {

/// zmq_poll asks every socket in every turn, with a system call each. Here only those are asked that may have
/// changed: ZMQ_FD becomes readable when libzmq has news for a socket that was found at rest, and any call on
/// a socket may eat that news, so each call marks the socket as touched (Socket::Impl::touched) and it is
/// asked again before the next wait. A socket that was ready stays touched until it is found at rest. One
/// thread.
class Poller {
 public:
  /// One socket or descriptor. Belongs to the caller; lives from add() to remove().
  struct Entry {
    std::uint64_t id = 0;            // unique for all time
    Socket::Impl* socket = nullptr;  // null: a plain descriptor, watched for reading
    int fd = -1;                     // of a socket: its ZMQ_FD
    bool want_read = false;
    bool want_write = false;
    bool running = false;  // its handler is on the stack: not reported, ends no wait
    bool queued = false;   // Poller's own
    bool parked = false;   // Poller's own
  };
  struct Ready {
    Entry* entry;
    bool readable;
    bool writable;
  };

  Poller();  ///< Throws Error{io} when no descriptor is left.
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  /// Throws Error{invalid_argument} for a descriptor that is watched already or that cannot be waited for.
  void add(Entry& entry);
  void remove(Entry& entry);
  /// Its socket was used, or what it wants has changed.
  void touch(Entry& entry);
  /// Its handler has returned.
  void released(Entry& entry);

  /// Appends what is ready to `ready`; waits until then, or the given time, while there is nothing. May
  /// return early without anything. False: the context of a socket has been shut down, so nothing will ever
  /// come.
  [[nodiscard]] bool wait(TimePoint until, std::vector<Ready>& ready);

 private:
  bool ask(Entry& entry, std::vector<Ready>& ready);
  bool ask_touched(std::vector<Ready>& ready);
  bool enlist(const Entry& entry) const;
  bool alarm(TimePoint until);
  void close() const;

  int epoll_;
  int alarm_;                              // a timerfd, in epoll_
  TimePoint alarm_at_ = TimePoint::max();  // when it rings
  bool precise_ = true;                    // the system can wait to the nanosecond
  std::unordered_map<std::uint64_t, Entry*> entries_;
  std::vector<Entry*> touched_;
  std::vector<Entry*> asking_;  // memory of ask_touched()
};

}  // namespace weft::transport
