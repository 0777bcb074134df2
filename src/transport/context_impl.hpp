// Context::Impl: the ZeroMQ context and its one service thread, which answers ZAP and counts monitor events.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <zmq.hpp>

#include <weft/transport/context.hpp>

#include "connection_count.hpp"

namespace weft {

inline constexpr const char* kZapDomain = "weft";

/// What a bound socket and the service thread share.
struct Monitored {
  transport::ConnectionCount count;   // fed by the service thread only
  std::atomic<bool> finished{false};  // set by the socket when its monitor is stopped
};

struct Context::Impl {
  explicit Impl(const ContextOptions& options);
  ~Impl();

  /// Hands the connected end of a socket monitor to the service thread. From any thread.
  void monitor(zmq::socket_t pair, std::shared_ptr<Monitored> monitored);
  /// Has the service thread look for finished monitors.
  void wake();

  ContextOptions options;
  zmq::context_t context;
  std::atomic<int> open_sockets{0};
  std::atomic<std::uint64_t> next_name{0};  // of monitor endpoints

 private:
  struct Watched {
    zmq::socket_t pair;
    std::shared_ptr<Monitored> monitored;
  };
  void serve();
  bool serve_once();
  void take_new();
  void answer_zap();
  static bool drain(Watched& watched);

  zmq::socket_t zap_;
  int wake_fd_ = -1;
  std::mutex mutex_;
  std::vector<Watched> new_;      // guarded by mutex_
  std::vector<Watched> watched_;  // service thread only
  std::vector<zmq_pollitem_t> items_;
  std::thread thread_;
};

}  // namespace weft
