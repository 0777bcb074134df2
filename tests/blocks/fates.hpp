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
#include <weft/journal/journal.hpp>
#include <weft/transport/context.hpp>
#include <weft/transport/loop.hpp>
#include <weft/wire/codec.hpp>

#include "../journal/memory_disk.hpp"
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

/// One story: steps at random, what must hold behind each of them, and an end.
class Story {
 public:
  virtual ~Story() = default;
  Story(const Story&) = delete;
  Story& operator=(const Story&) = delete;
  void play() {
    for (std::uint64_t steps = least_steps_ + chance_.number(more_steps_); steps > 0; --steps) {
      step();
      for (std::uint64_t turns = chance_.number(4); turns > 0; --turns) loops_.turn(1ms);
      check();
    }
    loops_.resume_all();
    end();
  }

 protected:
  Story(std::uint64_t seed, Delivery delivery, std::size_t far_ends)
      : chance_(seed), delivery_(delivery), loops_(1 + far_ends) {}
  virtual void step() = 0;
  virtual void check() = 0;
  virtual void end() = 0;
  /// Those on the other loops die, and come back when they are not there.
  virtual void begin_far(std::size_t) {}
  virtual void end_far(std::size_t) {}

  /// One of the ends of far end `i`, or of its halts; false when `what` is another step.
  bool befalls(std::uint64_t what, std::size_t i) {
    switch (what) {
      case 0:
        end_far(i);
        return true;
      case 1:
      case 2:
        begin_far(i);
        return true;
      case 3:
        loops_.stop(1 + i);
        return true;
      case 4:
        loops_.resume_all();
        return true;
      default:
        return false;
    }
  }
  void perhaps_drain(Block& block) {
    if (!chance_.one_in(2)) return;
    block.begin_drain();
    (void)loops_.until([&] { return block.drained(); }, 20ms);
    check();
  }
  static void check_sum(const PortStats& s, std::uint64_t accepted) {
    const Sum sum(s);
    CHECK_MESSAGE(sum.given == sum.named, text_of(s));
    CHECK_MESSAGE(s.accepted_records == accepted, text_of(s));
  }
  static void check_nothing_left(const PortStats& s) {
    CHECK_MESSAGE(s.queued_records + s.outstanding_records == 0, text_of(s));
  }

  Chance chance_;
  Delivery delivery_;
  Loops loops_;
  std::uint64_t least_steps_ = 10, more_steps_ = 30;
  std::uint64_t epoch_ = 0, accepted_ = 0;
};

/// A block on another loop: what of it outlives it.
template <class B>
struct FarEnd {
  std::unique_ptr<B> block;
  std::shared_ptr<Journal> journal;
  std::shared_ptr<journal::testing::MemoryDisk> disk = std::make_shared<journal::testing::MemoryDisk>();
  std::string endpoint;
};

}  // namespace weft::fates
