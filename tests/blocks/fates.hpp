// What the property "every record has one fate, and some count names it" is played with: a seeded world of
// blocks on loops of their own, which stop, die and come back.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <weft/blocks/block.hpp>
#include <weft/blocks/options.hpp>
#include <weft/core/format.hpp>
#include <weft/core/log.hpp>
#include <weft/transport/context.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

#include "conformance.hpp"

namespace weft::fates {

using namespace std::chrono_literals;

/// The same numbers for the same seed, everywhere.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : engine_(seed) {}
  /// 0 to `below` - 1.
  std::uint64_t number(std::uint64_t below) { return engine_() % below; }
  bool one_in(std::uint64_t n) { return number(n) == 0; }
  template <class T>
  T of(std::initializer_list<T> choices) {
    return *(choices.begin() + static_cast<std::ptrdiff_t>(number(choices.size())));
  }

 private:
  std::mt19937_64 engine_;
};

class Quiet : public Logger::Sink {
  void write(LogLevel, std::string_view, std::string_view) override {}
};
/// Nothing of what is dropped on purpose shall stand in the output.
inline Logger quiet() {
  return {std::make_shared<Quiet>(), "test", LogLevel::error};
}

/// What a sender was given, against what its counts say became of it.
struct Sum {
  std::uint64_t given = 0, named = 0;
  explicit Sum(const PortStats& s)
      : given(s.accepted_records + s.resumed_records),
        named(s.processed_records + s.rejected_records + s.failed_requests + s.timed_out_requests +
              s.expired_records + s.dead_lettered_records + s.dropped_records + s.lost_records +
              s.queued_records + s.outstanding_records) {}
};

inline std::string text_of(const PortStats& s) {
  return format(
      "accepted {} resumed {} | processed {} rejected {} failed {} timed out {} expired {} dead letters {} "
      "dropped {} lost {} queued {} outstanding {} | sent {}",
      s.accepted_records, s.resumed_records, s.processed_records, s.rejected_records, s.failed_requests,
      s.timed_out_requests, s.expired_records, s.dead_lettered_records, s.dropped_records, s.lost_records,
      s.queued_records, s.outstanding_records, s.sent_records);
}

/// Loops in one thread that each run only when they are told to: one that is not has stopped, as a process
/// under SIGSTOP has.
class Loops {
 public:
  explicit Loops(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) all_.push_back(std::make_unique<Loop>(context_));
    running_.assign(count, true);
  }
  Loop& at(std::size_t i) { return *all_[i]; }
  void stop(std::size_t i, bool stopped = true) { running_[i] = !stopped; }
  void resume_all() { running_.assign(running_.size(), true); }
  /// A turn of each that runs, waiting at most so long in each.
  void turn(Duration most) {
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (running_[i]) (void)all_[i]->run_until([] { return false; }, Deadline::after(most));
    }
  }
  /// Until `done`, or too late.
  bool until(const std::function<bool()>& done, Duration limit = 10s) {
    const Deadline deadline = Deadline::after(limit);
    while (!done()) {
      if (deadline.left(Clock::now()) <= Duration::zero()) return false;
      turn(1ms);
    }
    return true;
  }

 private:
  Context context_;
  std::vector<std::unique_ptr<Loop>> all_;
  std::vector<bool> running_;
};

/// One seed is one story; WEFT_FATES=FIRST+COUNT plays others.
constexpr std::uint64_t kStories = 4;  // of each pattern and promise

struct Reading {
  std::uint64_t n = 0;
  WEFT_RECORD(Reading, n)
};

inline void each_story(const std::function<void(std::uint64_t)>& play) {
  std::uint64_t first = 1, count = kStories;
  if (const char* given = std::getenv("WEFT_FATES")) {
    first = std::strtoull(given, nullptr, 10);
    const char* plus = std::strchr(given, '+');
    count = plus ? std::strtoull(plus + 1, nullptr, 10) : 1;
  }
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    CAPTURE(seed);
    play(seed);
  }
}

/// A record of the receivers' type, or of another one.
inline wire::Buffer packed(std::uint64_t n, bool good, std::size_t size) {
  wire::Buffer out;
  wire::Pack pack(out);
  if (good) {
    pack.array(1);
    pack.uint(n);
  } else {
    pack.str(std::string(size, 'x'));
  }
  return out;
}

inline PortOptions any_port(Chance& chance, Delivery delivery) {
  PortOptions out;
  out.delivery = delivery;
  out.heartbeat = 10ms;
  out.dead_after = chance.of({40ms, 200ms, 2000ms});
  out.batch_records = chance.of({1U, 3U, 65536U});
  out.close_linger = 0ms;
  out.log = quiet();
  return out;
}

}  // namespace weft::fates
