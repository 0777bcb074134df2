// Strangers: ends the connections to a block's bound socket whose peers do not say who they are, and tells
// when no connection can be taken.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <weft/blocks/options.hpp>
#include <weft/core/time.hpp>
#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

namespace weft::blocks {

/// A connection may do without saying who it is for PortOptions::dead_after, and at least so long: no sooner
/// has ZeroMQ itself given up a handshake.
inline constexpr Duration kShortestPatience = std::chrono::seconds(3);

/// Between two lines of the log about the same trouble.
inline constexpr Duration kTroubleEvery = std::chrono::minutes(1);

class Strangers {
 public:
  /// `expected`: what strangers fail to send, "HELLO"; empty: nobody is one. `stream` names the port.
  Strangers(Loop& loop, const PortOptions& options, std::string stream, std::string_view expected);
  ~Strangers() { close(); }
  Strangers(const Strangers&) = delete;
  Strangers& operator=(const Strangers&) = delete;

  /// Before the socket is bound; it must be there until close(). Once.
  void watch(transport::Socket& socket);
  void close();

 private:
  void look();
  void plan(TimePoint when);
  void tell_ended();
  void tell_alarm();

  Loop& loop_;
  Logger log_;
  std::string stream_;
  std::string expected_;
  Duration patience_;
  transport::Socket* socket_ = nullptr;
  Loop::TimerId timer_ = 0;
  int postponed_ = 0;
  std::uint64_t untold_ = 0;               // ended since the log told of any
  std::uint64_t crowded_out_ = 0;          // of AcceptAlarm, as far as they are in untold_
  bool exhausted_ = false;                 // as the log knows it
  TimePoint told_ended_, told_exhausted_;  // when
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weft::blocks
