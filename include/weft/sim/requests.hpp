// A dealer-router link in the simulator: the asker's RetryBook, the answerer's ReplyBook and, where it has a
// journal, the real Store on a simulated disk; between them sessions and lanes over a network that loses,
// doubles and delays.
//
//   const auto report = sim::run_requests({.seed = 17, .delivery = Delivery::exactly_once, .journal = true});
//   if (!report.ok()) std::puts(report.problems.front().c_str());
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <weft/core/terms.hpp>
#include <weft/core/time.hpp>
#include <weft/core/value.hpp>
#include <weft/protocol/lane.hpp>
#include <weft/sim/faults.hpp>
#include <weft/sim/pauses.hpp>
#include <weft/sim/report.hpp>

namespace weft::sim {

/// A bug that a simulated node has on purpose: see PlantedBug.
enum class RequestBug {
  none,
  forget_replies,        ///< the answerer forgets what it has replied when an asker comes by a new connection
  retry_elsewhere,       ///< the asker tries another replica under exactly-once
  reply_before_durable,  ///< the answerer does not wait for its journal before it replies
  forget_epoch,          ///< a restarted asker goes on with the epoch that it had
  ignore_epoch,          ///< the answerer does what was meant for an earlier life of it
  give_up_for_good,      ///< the asker takes no HELLO of an answerer that it has once given up
  keep_replies_unsaid,   ///< the asker never acknowledges replies
};

struct RequestOptions {
  std::uint64_t seed = 1;
  Delivery delivery = Delivery::at_least_once;  ///< or exactly_once
  Distribute distribute = Distribute::balance;
  bool journal = false;  ///< the answerers have one
  std::uint32_t askers = 2;
  std::uint32_t answerers = 2;
  std::uint64_t requests = 1000;      ///< that all askers make, together
  std::uint32_t request_bytes = 100;  ///< of each
  std::uint32_t reply_bytes = 100;    ///< of each; an error has 128
  std::uint32_t batch_requests = 8;   ///< most in one message, replies as well; 1 at least
  std::uint64_t keys = 8;             ///< under `hash`: different keys
  std::uint64_t capacity =
      64ULL << 10;  ///< of requests that an asker keeps, and of replies that wait for one
  protocol::Credit window = {16ULL << 10, 64};     ///< of requests, and of replies
  std::uint64_t reply_window_bytes = 64ULL << 10;  ///< of replies that an answerer remembers
  std::size_t reply_window = 256;                  ///< the same, in number
  Duration deadline = std::chrono::seconds(20);    ///< most that a request lives; a quarter at least
  Duration attempt_timeout = std::chrono::seconds(2);
  std::uint32_t max_attempts = 0;                   ///< at_least_once; 0: until the deadline
  double cancel = 0;                                ///< a request: the asker changes its mind
  double refuse = 0;                                ///< a handling: "try again later", and nothing is done
  double fail = 0;                                  ///< a handling: the reply is an error
  Duration gap = std::chrono::milliseconds(2);      ///< between requests of an asker, on average
  Duration service = std::chrono::milliseconds(1);  ///< of a request at its answerer, on average
  Faults faults = {};
  Duration faults_for = std::chrono::seconds(20);  ///< virtual; then all heals and has to come to rest
  std::vector<Pause> pauses = {};  ///< in which a process stands still, besides those of `faults`
  RequestBug bug = RequestBug::none;

  void check() const;  ///< throws Error{invalid_argument}
};

/// What a seed of the self-test means, as for push-pull.
RequestOptions request_options_of_seed(std::uint64_t seed, std::uint64_t requests = 1000);
/// The same for play_pauses(): a small link, slower, on which little else breaks.
RequestOptions paused_request_options_of_seed(std::uint64_t seed, std::uint64_t requests = 12);

/// `asked == replied + remote_errors + timed_out + exhausted + unknown + cancelled + abandoned`.
struct RequestReport : RunReport {
  std::uint64_t asked = 0;
  std::uint64_t replied = 0;
  std::uint64_t remote_errors = 0;
  std::uint64_t timed_out = 0;  ///< nobody answered by the deadline
  std::uint64_t exhausted = 0;  ///< max_attempts have failed
  std::uint64_t unknown = 0;    ///< exactly_once: whether it was done cannot be told
  std::uint64_t cancelled = 0;
  std::uint64_t abandoned = 0;      ///< open when their asker died
  std::uint64_t handled = 0;        ///< requests whose effect there is
  std::uint64_t handled_again = 0;  ///< times that one was handled once more
  std::uint64_t requests_sent = 0;
  std::uint64_t retries = 0;       ///< of these: sent again
  std::uint64_t late_replies = 0;  ///< to requests that had ended
  std::uint64_t repeated = 0;      ///< requests that an answerer knew already
  std::uint64_t peak_asker_bytes = 0;
  std::uint64_t peak_window_bytes = 0;  ///< of replies that one answerer remembers

  /// {asked, replied, remote_errors, timed_out, exhausted, unknown, cancelled, abandoned, handled,
  /// handled_again, requests_sent, retries, late_replies, repeated, peak_asker_bytes, peak_window_bytes}, and
  /// what RunReport has.
  [[nodiscard]] Value to_value() const;
};

RequestReport run_requests(const RequestOptions& options);

}  // namespace weft::sim
