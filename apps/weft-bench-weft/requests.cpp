// Both ways: one request at a time, a window of them over any number of askers, or at a pace.
#include <memory>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>

#include "ends.hpp"

namespace weft::bench_ends {
namespace {

using Answer = Reply<RawRecord>;

PortOptions request_port(PortOptions options, const Work& work) {
  options.capacity_bytes = std::max(options.capacity_bytes, 2 * work.window * (work.size + 64));
  return options;
}

/// Sends back what it is asked. Every asker asks once before the work begins.
Figures router(Context& context, const Work& work, const Say& say) {
  Loop loop(context);
  Router<> router(loop, request_port(bound_port(work, "answers"), work));
  say(router.endpoints().at(0));
  Figures figures;
  const double before = ::bench::resident_bytes();
  std::uint64_t answered = 0;
  router.on_request([&](const RawRecord& query, Responder<Raw> respond) {
    respond.reply(query.bytes());
    if (++answered == work.clients) {
      figures.memory = (::bench::resident_bytes() - before) / static_cast<double>(work.clients);
    }
  });
  run_to(loop, answered, work.count + work.clients, "the askers fell silent");
  drain(loop, router);
  return figures;
}

class Askers {
 public:
  Askers(Context& context, const Work& work) : work_(work), loop_(context), record_(work.size) {
    for (std::uint64_t i = 0; i < work.clients; ++i) {
      dealers_.push_back(std::make_unique<Dealer<>>(loop_, request_port(connected_port(work, "ask"), work)));
    }
    for (const auto& dealer : dealers_)
      ::bench::require(dealer->wait_for_peers(1, patience()), "the router did not answer");
    for (const auto& dealer : dealers_) {
      ::bench::fill(record_.data(), work.size, 0);
      ::bench::require(dealer->ask(record_, patience()).ok(), "a first request got no reply");
    }
  }

  /// One after the other.
  void ask_singly() {
    std::vector<double> micros;
    micros.reserve(work_.count);
    for (std::uint64_t i = 0; i < work_.count; ++i) {
      figures_.written += ::bench::fill(record_.data(), work_.size, i);
      const TimePoint start = Clock::now();
      const Answer reply = dealers_[0]->ask(record_, Deadline::after(::bench::kPatience, start));
      micros.push_back(::bench::seconds_since(start) * 1e6);
      take(reply);
    }
    ::bench::set_percentiles(figures_, micros);
  }

  /// The window, spread over all askers: a reply brings the next request.
  void ask_windowed() {
    const std::uint64_t each = std::max<std::uint64_t>(1, work_.window / work_.clients);
    const TimePoint start = Clock::now();
    for (std::uint64_t w = 0; w < each; ++w) {
      for (const auto& dealer : dealers_) ask_next(*dealer);
    }
    run_to(loop_, done_, work_.count, "the router fell silent");
    figures_.seconds = ::bench::seconds_since(start);
  }

  /// At `rate`, in ticks of a millisecond; a round trip begins when its tick was due.
  void ask_paced() {
    micros_.reserve(work_.count);
    const TimePoint start = Clock::now();
    for (std::uint64_t tick = 0; done_ < work_.count; ++tick) {
      const TimePoint due = start + std::chrono::milliseconds(tick);
      (void)loop_.run_until([&] { return done_ >= work_.count; }, Deadline::at(due));
      const std::uint64_t by_now = std::min(work_.count, (tick + 1) * work_.rate / 1000);
      while (asked_ < by_now) ask_timed(due);
      ::bench::require(Clock::now() - last_reply_ < ::bench::kPatience, "the router fell silent");
    }
    figures_.seconds = ::bench::seconds_since(start);
    ::bench::set_percentiles(figures_, micros_);
  }

  Figures finish() {
    for (const auto& dealer : dealers_) dealer->begin_drain();
    for (const auto& dealer : dealers_) (void)loop_.run_until([&] { return dealer->drained(); }, patience());
    return figures_;
  }

 private:
  void take(const Answer& reply) {
    ::bench::require(reply.ok(), "a request got no reply");
    figures_.read += ::bench::sum(reply.record->bytes().data(), reply.record->bytes().size());
  }
  void ask_next(Dealer<>& dealer) {
    if (asked_ == work_.count) return;
    figures_.written += ::bench::fill(record_.data(), work_.size, asked_++);
    dealer.request(record_, Deadline::after(::bench::kPatience, loop_.now()), [this, &dealer](Answer& reply) {
      take(reply);
      ++done_;
      ask_next(dealer);
    });
  }
  void ask_timed(TimePoint due) {
    figures_.written += ::bench::fill(record_.data(), work_.size, asked_++);
    dealers_[0]->request(record_, Deadline::after(::bench::kPatience, due), [this, due](Answer& reply) {
      last_reply_ = Clock::now();
      micros_.push_back(std::chrono::duration<double, std::micro>(last_reply_ - due).count());
      take(reply);
      ++done_;
    });
  }

  const Work& work_;
  Loop loop_;
  std::vector<std::byte> record_;
  std::vector<std::unique_ptr<Dealer<>>> dealers_;
  Figures figures_;
  std::uint64_t asked_ = 0;
  std::uint64_t done_ = 0;
  TimePoint last_reply_ = Clock::now();
  std::vector<double> micros_;
};

}  // namespace

void add_requests(Roles& roles, Context& context) {
  roles["router"] = [&](const Work& work, const Say& say) { return router(context, work, say); };
  roles["asker"] = [&](const Work& work, const Say&) {
    Askers askers(context, work);
    work.rate == 0 ? askers.ask_singly() : askers.ask_paced();
    return askers.finish();
  };
  roles["dealer"] = [&](const Work& work, const Say&) {
    Askers askers(context, work);
    askers.ask_windowed();
    return askers.finish();
  };
}

}  // namespace weft::bench_ends
