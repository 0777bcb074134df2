// RequestWorld: a simulated dealer-router link, and what is promised of each of its requests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weft/protocol/retry_book.hpp>
#include <weft/sim/requests.hpp>

#include "sim/world.hpp"

namespace weft::sim {

/// `asker << 40 | number`, as a RecordId.
using RequestId = RecordId;

/// REQUEST: of the numbers from `seq` on.
struct RequestBody final : SimBody {
  std::uint64_t stream_epoch = 0;  // of the answerer that is meant
  std::vector<RequestId> requests;
};
/// REPLY: to the numbers from `seq` on; with a code it is an error to one.
struct ReplyBody final : SimBody {
  std::vector<RequestId> replies;
  wire::Code code = wire::Code::none;
};

/// Askers are its left end, answerers its right one.
class RequestWorld final : public World {
 public:
  explicit RequestWorld(const RequestOptions& options);
  RequestReport run();

  const RequestOptions& options() const { return options_; }
  RequestReport& report() { return report_; }
  /// A replica as the askers' RetryBook knows it.
  [[nodiscard]] std::uint64_t replica(std::uint32_t process) const { return process - options_.askers + 1; }

  /// Nothing has broken for so long that peers, lanes and circuits have to be well again.
  [[nodiscard]] bool healed() const { return healed_for(std::chrono::seconds(pauses() ? 1 : 30)); }
  /// `probe`: it has to be answered, be it after its last attempt was given up.
  void asked(RequestId request, bool probe);
  /// Its effect is there: with a journal, durable.
  void done(RequestId request, const std::string& where);
  /// `answer` is the request that the reply was made for.
  void replied(RequestId request, RequestId answer, wire::Code code, const std::string& asker);
  void ended(RequestId request, const protocol::RetryBook::End& end, const std::string& asker);
  /// A reply to one that had ended.
  void late(RequestId request);
  void cancelled(RequestId request);
  void abandoned(RequestId request);

 protected:
  [[nodiscard]] std::uint64_t work_sent() const override { return report_.requests_sent; }
  void on_rest() override;

 private:
  struct State {
    std::uint8_t effects = 0;
    bool asked = false;
    bool ended = false;
    bool probe = false;
    bool missing = false;  // a probe: its asker has given it up, and the answer has to come all the same
    TimePoint since = TimePoint::min();
    bool never = false;  // nothing of it was ever sent
  };
  State& state(RequestId request) { return states_[source_of(request) * each_ + number_of(request)]; }
  State& end(RequestId request, const std::string& asker);
  [[nodiscard]] bool exact() const { return options_.delivery == Delivery::exactly_once; }

  RequestOptions options_;
  RequestReport report_;
  std::uint64_t each_;
  std::vector<State> states_;
};

}  // namespace weft::sim
