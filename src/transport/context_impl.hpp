// Context::Impl: the ZeroMQ context and its one service thread, which counts monitor events
// and sees to it that connections are accepted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include <weft/core/time.hpp>
#include <weft/transport/context.hpp>

#include "accepted.hpp"
#include "connection_count.hpp"
#include "descriptors.hpp"

namespace weft {

/// With any ZAP domain, libzmq refuses peers of ZMTP 1 and 2, which are known by next to nothing: without
/// one, a quarter of the connections that send random bytes become messages. Nobody answers ZAP, and then
/// libzmq lets every peer of the right mechanism in. A handler would only say the same, and what it costs is
/// worse: libzmq aborts the process when a socket is closed amid a second handshake of its connection
/// (zap_client.cpp, write_zap_msg), because the pipe to the handler is being taken down by then.
inline constexpr const char* kZapDomain = "weft";

/// What a bound socket and the service thread share.
struct Monitored {
  Monitored(transport::Descriptors& descriptors, bool expected, std::function<void()> on_news)
      : accepted(descriptors, expected, std::move(on_news)) {}
  transport::ConnectionCount count;  // fed by the service thread only
  transport::Accepted accepted;
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
  std::unique_ptr<transport::Descriptors> descriptors;
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
  bool drain(Watched& watched);
  void book(Watched& watched, std::uint16_t event, std::int32_t value, std::string_view endpoint);
  void exhausted(Watched& watched, std::string_view endpoint);
  void look_for_relief();

  std::atomic<bool> stopping_{false};
  int wake_fd_ = -1;
  std::mutex mutex_;
  std::vector<Watched> new_;      // guarded by mutex_
  std::vector<Watched> watched_;  // service thread only
  std::vector<zmq_pollitem_t> items_;
  std::optional<TimePoint> relief_at_;  // service thread: no descriptor is left; when it looks again
  std::thread thread_;
};

}  // namespace weft
