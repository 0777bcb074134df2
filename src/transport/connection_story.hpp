// ConnectionStory: what libzmq's events of one connecting socket say of its connection.
#pragma once

#include <cstdint>
#include <optional>

#include <weft/core/time.hpp>
#include <weft/transport/socket.hpp>

namespace weft::transport {

/// libzmq tells each step and no reasons: a try that ends at once was refused, one that ends after the time
/// for a try had no answer, and one that never began had no address. Pure.
class ConnectionStory {
 public:
  /// `event` is one of libzmq's ZMQ_EVENT_*. `no_descriptor`: this process has none left, so that a try which
  /// never began says nothing about the name.
  std::optional<ConnectionNews> on_event(std::uint16_t event, TimePoint now, bool no_descriptor);

 private:
  std::optional<TimePoint> began_;  // the present try
  bool ended_ = false;              // a try or a connection did, since the last pause
  bool made_ = false;
};

}  // namespace weft::transport
