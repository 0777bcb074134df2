#include "sim/request_world.hpp"

#include <algorithm>

#include <weft/core/format.hpp>

#include "sim/answerer.hpp"
#include "sim/asker.hpp"

namespace weft::sim {

using Why = protocol::RetryBook::End::Why;

RequestWorld::RequestWorld(const RequestOptions& options)
    : World({.seed = options.seed,
             .faults = options.faults,
             .faults_for = options.faults_for,
             .left = options.askers,
             .right = options.answerers,
             .connections = true,
             .pauses = options.pauses}),
      options_(options),
      each_((options.requests + options.askers - 1) / options.askers),
      states_(each_ * options.askers) {
  std::uint64_t left = options.requests;
  for (std::uint32_t i = 0; i < options.askers; ++i) {
    const std::uint64_t requests = std::min(left, each_);
    left -= requests;
    processes_.push_back(std::make_unique<SimAsker>(*this, i, requests));
  }
  for (std::uint32_t i = 0; i < options.answerers; ++i)
    processes_.push_back(std::make_unique<SimAnswerer>(*this, right(i), i));
}

void RequestWorld::asked(RequestId request, bool probe) {
  state(request).asked = true;
  state(request).probe = probe;
  state(request).since = scheduler().now();
  ++report_.asked;
  progress();
}

void RequestWorld::done(RequestId request, const std::string& where) {
  State& state = this->state(request);
  if (state.effects != UINT8_MAX) ++state.effects;
  ++(state.effects == 1 ? report_.handled : report_.handled_again);
  if (state.effects > 1 && exact())
    problem(format("request {} was done {} times, now at {}", to_text(request), state.effects, where));
  if (state.never)
    problem(format("request {} was done at {}, and its asker was told that it was never sent",
                   to_text(request), where));
}

RequestWorld::State& RequestWorld::end(RequestId request, const std::string& asker) {
  State& state = this->state(request);
  if (state.ended) problem(format("request {} ended twice at {}", to_text(request), asker));
  state.ended = true;
  progress();
  return state;
}

void RequestWorld::replied(RequestId request, RequestId answer, wire::Code code, const std::string& asker) {
  const State& state = end(request, asker);
  if (answer != request)
    problem(format("request {} of {} got the reply to request {}", to_text(request), asker, to_text(answer)));
  if (code != wire::Code::none) {
    ++report_.remote_errors;
    return;
  }
  ++report_.replied;
  if (state.effects == 0)
    problem(format("request {} was answered as done, and nobody has done it", to_text(request)));
}

void RequestWorld::ended(RequestId request, const protocol::RetryBook::End& end, const std::string& asker) {
  State& state = this->end(request, asker);
  // A few short attempts may be over before a healthy answerer's reply is here; it has to come. Where
  // somebody was stopped meanwhile, the reply may be lost, and forgotten before it is asked for again.
  const bool whole = state.probe && !troubled_since(state.since);
  state.missing = whole && end.why == Why::exhausted;
  if (whole && !state.missing)
    problem(format("request {} of {}, long after the last fault, got no answer", to_text(request), asker));
  const bool sent = end.attempts != 0;
  state.never = !sent;
  ++(end.why == Why::unknown     ? report_.unknown
     : end.why == Why::exhausted ? report_.exhausted
                                 : report_.timed_out);
  if (sent != (end.last != 0) || end.last > options_.answerers)
    problem(format("request {} of {} ended after {} attempts, the last one at replica {}", to_text(request),
                   asker, end.attempts, end.last));
  if (exact() && (end.why == Why::unknown) != sent)
    problem(format("request {} of {} was sent {} times, and its outcome is said to be {}", to_text(request),
                   asker, end.attempts, sent ? "known" : "unknown"));
  if (!sent && state.effects != 0)
    problem(format("request {} of {} ended as never sent, and was done", to_text(request), asker));
}

void RequestWorld::late(RequestId request) {
  ++report_.late_replies;
  state(request).missing = false;
}

void RequestWorld::cancelled(RequestId request) {
  end(request, "its asker");
  ++report_.cancelled;
}

void RequestWorld::abandoned(RequestId request) {
  end(request, "its asker");
  ++report_.abandoned;
}

void RequestWorld::on_rest() {
  for (std::uint64_t i = 0; i < states_.size(); ++i) {
    if (states_[i].asked && !states_[i].ended)
      problem(format("request {} never ended", to_text(record_id(i / each_, i % each_))));
    if (states_[i].missing)
      problem(format("request {}, long after the last fault, was given up and got no answer after that",
                     to_text(record_id(i / each_, i % each_))));
  }
}

RequestReport RequestWorld::run() {
  (void)run_to_rest(report_);
  return std::move(report_);
}

}  // namespace weft::sim
