#include "connection_story.hpp"

#include <utility>

#include <zmq.h>

namespace weft::transport {
namespace {

// A try lasts two seconds (kConnectMillis); the rest is for the threads that tell of it.
constexpr Duration kLongTry = std::chrono::milliseconds(1500);

}  // namespace

std::optional<ConnectionNews> ConnectionStory::on_event(std::uint16_t event, TimePoint now,
                                                        bool no_descriptor) {
  switch (event) {
    case ZMQ_EVENT_CONNECT_DELAYED:  // it is under way
      began_ = now;
      return std::nullopt;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      made_ = true;
      return ConnectionNews::made;
    case ZMQ_EVENT_DISCONNECTED:
      ended_ = true;
      return std::exchange(made_, false) ? ConnectionNews::lost : ConnectionNews::broken_off;
    case ZMQ_EVENT_CLOSED: {  // a try without a connection
      ended_ = true;
      const bool unanswered = began_ && now - *began_ >= kLongTry;
      return unanswered ? ConnectionNews::unanswered : ConnectionNews::refused;
    }
    case ZMQ_EVENT_CONNECT_RETRIED:  // a pause begins
      began_.reset();
      if (std::exchange(ended_, false) || no_descriptor) return std::nullopt;
      return ConnectionNews::unresolved;
    default:
      return std::nullopt;
  }
}

}  // namespace weft::transport
