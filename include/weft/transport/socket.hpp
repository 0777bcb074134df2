// Socket: the few ZeroMQ socket kinds that Weft uses, non-blocking, with its defaults and counted rejections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <weft/core/bytes.hpp>
#include <weft/core/metrics.hpp>
#include <weft/core/time.hpp>
#include <weft/transport/context.hpp>
#include <weft/transport/frame.hpp>

namespace weft::transport {

enum class SocketType { router, dealer, push, pull, xpub, sub, pair };

struct SocketOptions {
  int send_high_water = 0;                           ///< messages; 0: no bound here, because credit bounds it
  int receive_high_water = 0;                        ///< messages
  Duration linger = std::chrono::milliseconds(500);  ///< how long close() may keep sending in the background
  std::uint64_t max_frame_bytes = 256ULL << 20;      ///< larger frames close the connection
  bool immediate = false;        ///< true: messages queue only for standing connections, else would_block
  int send_buffer_bytes = 0;     ///< SO_SNDBUF, 0: the system's
  int receive_buffer_bytes = 0;  ///< SO_RCVBUF
};

enum class SendStatus {
  sent,
  would_block,  ///< no room now; nothing was sent, the frames are untouched
  unroutable,   ///< ROUTER: no such peer is connected; nothing was sent
};

/// What became of a connection that a socket made, or tried to make, by connect() on tcp or ipc.
enum class ConnectionNews {
  made,        ///< its handshake is done
  lost,        ///< it had been made, and ended; all that came on it can be received
  broken_off,  ///< it ended amid its handshake
  refused,     ///< nobody listens there, or no way leads there
  unanswered,  ///< no answer within the time for a try
  unresolved,  ///< the host name is unknown, or cannot be looked up now
};

/// One connection of a bound socket, told from all others that this machine ever had.
struct ConnectionId {
  int fd = -1;  ///< -1: none, or one over inproc
  std::uint64_t inode = 0;
  friend bool operator==(const ConnectionId&, const ConnectionId&) = default;
};

/// What hinders a bound socket from taking connections, and what it did about it.
struct AcceptAlarm {
  bool exhausted = false;         ///< the process has no descriptor left for them: new ones are turned away
  std::string endpoint;           ///< where that was found last
  std::uint64_t limit = 0;        ///< descriptors that the process may have, as of then
  std::uint64_t turned_away = 0;  ///< ended for want of descriptors
  std::uint64_t crowded_out = 0;  ///< strangers ended because there were too many of them
};

/// Owned and used by one thread (the loop's): the first that sends or receives, checked in debug builds. All
/// calls return at once, but for binding to a host name, which is looked up. ZMTP NULL security with a ZAP
/// domain, ROUTER_MANDATORY, HANDSHAKE_IVL 3 s, a try to connect 2 s, the next one 100 to 500 ms later, no
/// ZMTP heartbeats, IPv6 only where an endpoint or connect() says so, XPUB_VERBOSE on, TCP_NODELAY (ZeroMQ's
/// default).
class Socket {
 public:
  Socket(Context& context, SocketType type, const SocketOptions& options = {});
  ~Socket();
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;

  /// Binds and returns the real endpoint ("tcp://127.0.0.1:40113" for "tcp://127.0.0.1:*"). For ipc, locks
  /// "<path>.lock" first, refuses a path that another live process holds, and takes over what a dead one
  /// left; both files go with the socket. Throws Error{address_in_use, bad_endpoint, io}.
  std::string bind(const std::string& endpoint);
  /// Throws Error{bad_endpoint}. That nobody listens yet is no error: ZeroMQ keeps trying. A host name is met
  /// by its IPv4 address; with `ipv6` by its IPv6 address, or by the IPv4 address where it has none.
  void connect(const std::string& endpoint, bool ipv6 = false);
  /// The last connect() uses IPv6.
  [[nodiscard]] bool connects_by_ipv6() const;
  /// Without an effect when it is not connected there.
  void disconnect(const std::string& endpoint);
  void subscribe(Bytes prefix);
  void unsubscribe(Bytes prefix);

  /// Sends all frames as one message, or nothing. Frames are consumed only when `sent`.
  SendStatus send(std::span<Frame> frames);
  SendStatus send(Frame frame) { return send(std::span<Frame>(&frame, 1)); }
  /// The same behind a routing id (ROUTER).
  SendStatus send_to(Bytes routing_id, std::span<Frame> frames);
  /// Receives one message into `out` (cleared first); false: none is there.
  bool receive(Message& out);

  /// From now on tells what becomes of connections: call it before connect(). Once.
  void tell_connections();
  /// Readable (for Loop::watch) when there is news; null: nothing is told. Belongs to this socket, ends with
  /// it, and is not counted as one of ContextOptions::max_sockets.
  Socket* news();
  /// The next piece of news, in its order; nullopt: none is there.
  std::optional<ConnectionNews> next_news();

  /// Before bind() on tcp or ipc. `strangers`: whoever connects is one until know() has been called with a
  /// message of its; at most a quarter of the process's descriptors, 8 to 1024, are left to them, and the
  /// longest-standing one makes room. Else nobody is a stranger. `on_news` is called by a thread of the
  /// context's, until close(), when there is a stranger after oldest_stranger() said that there is none, and
  /// when accept_alarm() has changed; it must return at once.
  void watch_accepts(bool strangers, std::function<void()> on_news);
  /// The owner knows who sent this message, which was received from this socket. Before its frames are moved
  /// away. The connection that it came by.
  ConnectionId know(Message& message);
  /// Ends that connection, if it is still there: libzmq closes it as if its peer had.
  void end(const ConnectionId& connection);
  /// When the stranger connected that stands longest; nullopt: there is none.
  std::optional<TimePoint> oldest_stranger();
  /// Ends the connections of strangers that came before that time; how many. They count as rejected.
  std::size_t end_strangers(TimePoint came_before);
  [[nodiscard]] AcceptAlarm accept_alarm() const;

  [[nodiscard]] bool readable();
  [[nodiscard]] bool writable();
  /// Connections to a bound socket that broke off before their handshake was done (random bytes, port scans),
  /// or that were ended here (strangers, no descriptor left). Counted as they end, by the context's thread; 0
  /// when closed.
  [[nodiscard]] std::uint64_t rejected_connections() const;
  [[nodiscard]] std::uint64_t accepted_connections() const;
  [[nodiscard]] bool open() const { return impl_ != nullptr; }
  /// Idempotent. Pending messages go out in the background within the linger.
  void close();
  /// The same, but what is pending is dropped: for a peer that is known to be gone, whom nothing can reach.
  void close_at_once();

  struct Impl;
  Impl* impl() { return impl_.get(); }  ///< for Loop

 private:
  explicit Socket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Checks an endpoint as a person writes it ("tcp://host:port", "tcp://127.0.0.1:*", "ipc:///path",
/// "inproc://name"). Throws Error{bad_endpoint} that says what is wrong: unknown transport, port out of
/// range, path over 107 bytes.
void check_endpoint(std::string_view endpoint, bool for_bind);

}  // namespace weft::transport
