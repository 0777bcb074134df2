// What the tests of requests that are tried again share.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"

namespace weft::conformance {

inline PortOptions asks(Delivery delivery, const std::vector<std::string>& at) {
  return {.name = "ask",
          .node = "worker/0",
          .connect = at,
          .heartbeat = 20ms,
          .dead_after = 100ms,
          .delivery = delivery,
          .attempt_timeout = 60s,
          .retry_first = 10ms,
          .retry_longest = 50ms};
}
inline PortOptions answers(Delivery delivery, std::string node, const std::vector<std::string>& at) {
  return {.name = "answers",
          .node = std::move(node),
          .bind = at,
          .heartbeat = 20ms,
          .dead_after = 100ms,
          .delivery = delivery};
}

/// Takes the smallest frames that a port may.
inline PortOptions small_answers(Delivery delivery) {
  PortOptions options = answers(delivery, "server/0", {"tcp://127.0.0.1:*"});
  options.max_frame_bytes = kLeastFrameBytes;
  return options;
}

inline constexpr auto kLeast = Delivery::at_least_once;
inline constexpr auto kOnce = Delivery::exactly_once;

inline void echo(Router<>& router) {
  router.on_request([](const RawRecord& q, Responder<Raw> respond) { respond.reply(q.bytes()); });
}

/// Takes requests and keeps them.
struct Parked {
  std::vector<Responder<Raw>> kept;
  std::multiset<std::string> asked;
  explicit Parked(Router<>& router) {
    router.on_request([this](const RawRecord& q, Responder<Raw> respond) {
      asked.emplace(q.text());
      kept.push_back(std::move(respond));
    });
  }
};

/// How a request ended.
struct Ended {
  int times = 0;
  Outcome outcome = Outcome::closed;
  wire::Code code = wire::Code::none;
  std::string text;
  std::string peer;
  std::function<void(Reply<RawRecord>&)> note() {
    return [this](Reply<RawRecord>& r) {
      ++times;
      outcome = r.outcome;
      code = r.code;
      text = r.ok() ? std::string(r.record->text()) : r.text;
      peer = r.peer;
    };
  }
};

}  // namespace weft::conformance
