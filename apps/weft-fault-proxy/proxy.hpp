// Proxy: takes TCP connections, passes them on to one target, and breaks what passes as its Faults say.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>

#include "endpoint.hpp"
#include "faults.hpp"
#include "pipe.hpp"

namespace weft::fault_proxy {

struct ProxyOptions {
  std::string listen = "tcp://127.0.0.1:*";  ///< address and port; "*": all interfaces, a free port
  std::string target;                        ///< "tcp://127.0.0.1:5555"
  std::uint64_t seed = 1;                    ///< of all decisions
  Faults faults = {};
};

/// One thread. Never blocks but in turn(), until the deadline at most.
class Proxy {
 public:
  /// Binds. Throws Error{bad_endpoint, address_in_use, io}.
  explicit Proxy(const ProxyOptions& options);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// Where it listens, with the port that it got.
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }
  /// Of connections that come from now on. Throws Error{bad_endpoint}.
  void set_target(const std::string& endpoint);

  /// Waits for something to happen, handles it, and returns.
  void turn(Deadline deadline);
  /// Calls `on_readable` when the descriptor can be read. Unwatch it before it is closed.
  void watch(int fd, std::function<void()> on_readable);
  void unwatch(int fd);

  /// Holds for all connections, also present ones, from the next chunk on.
  [[nodiscard]] Faults& faults() { return faults_; }
  /// Nothing passes in that direction for so long; `both`: and nobody is accepted. What waits passes
  /// afterwards.
  void blackhole(Direction direction, Duration span);
  void heal();
  /// These break every present connection; they return how many.
  std::size_t reset_all();
  std::size_t half_close_all(Direction direction);
  std::size_t drop_all(Direction direction);

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  [[nodiscard]] const Counts& counts() const { return counts_; }
  /// {endpoint, connections_now, counts: {...}, faults: {...}}
  [[nodiscard]] Value state() const;

 private:
  struct End {
    int fd = -1;
    bool readable = false;
    bool writable = false;
    bool eof = false;
  };
  struct Connection {
    Connection(const Faults& faults, Counts& counts, std::uint64_t seed)
        : up(faults, counts, seed * 2), down(faults, counts, seed * 2 + 1) {}
    End client;
    End server;
    Pipe up;
    Pipe down;
    bool connecting = true;
    bool dead = false;
  };

  void accept_all();
  void add_connection(int client);
  void add_end(int fd, std::uint64_t tag);
  void on_event(std::uint64_t tag, std::uint32_t events);
  void serve_all(TimePoint now);
  void serve(Connection& connection, TimePoint now);
  void finish_connecting(Connection& connection);
  void read(Connection& connection, End& from, Pipe& pipe, TimePoint now);
  void write(Connection& connection, End& to, Pipe& pipe, TimePoint now);
  void reset(Connection& connection, bool counted);
  static void close(Connection& connection, bool abort);
  void update_blackholes(TimePoint now);
  void listen_again();
  [[nodiscard]] bool is_dark(Direction direction) const;
  [[nodiscard]] TimePoint wake_up(TimePoint now, TimePoint latest) const;

  Faults faults_;
  Counts counts_;
  std::uint64_t seed_;
  std::mt19937_64 engine_;  // of the times of blackholes
  Address target_;
  std::string endpoint_;
  int epoll_ = -1;
  int listener_ = -1;
  bool listening_ = false;
  bool busy_ = false;  // something was left undone: do not wait
  std::uint64_t next_id_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::map<int, std::function<void()>> watches_;
  std::array<TimePoint, 2> dark_until_{};  // up, down
  TimePoint closed_until_{};               // nobody is accepted
  std::optional<TimePoint> next_blackhole_;
};

}  // namespace weft::fault_proxy
