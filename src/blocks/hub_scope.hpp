// HubScope: a Hub's call that handlers may re-enter, or end.
#pragma once

#include <utility>

#include <weft/transport/socket.hpp>

namespace weft::blocks {

/// A read or a tick of a Hub that is under way. Its message is its own, because handlers may run the loop.
struct HubScope {
  int& busy;
  transport::Message& spare;
  transport::Message message;
  HubScope(int& depth, transport::Message& keep)
      : busy(depth), spare(keep), message(std::exchange(keep, {})) {
    ++busy;
  }
  ~HubScope() {
    --busy;
    spare = std::move(message);
    spare.clear();
  }
  HubScope(const HubScope&) = delete;
  HubScope& operator=(const HubScope&) = delete;
};

}  // namespace weft::blocks
