// A publisher and a subscriber of the replay protocol over a network that loses, doubles and reorders.
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <weft/protocol/replay_reader.hpp>
#include <weft/protocol/replay_window.hpp>

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::protocol;

namespace {

struct Faults {
  unsigned loss = 0, doubled = 0, reordered = 0;  // of 1,000
  std::uint64_t window = 1 << 20;
  bool snapshots = false;
};

/// The value of a topic is its last sequence; a snapshot is that value. A step is a millisecond.
class World {
 public:
  World(std::uint64_t seed, Faults faults)
      : random_(seed),
        faults_(faults),
        window_(faults.window),
        reader_({.hold_bytes = 2000,
                 .hold_batches = 30,
                 .snapshots = faults.snapshots,
                 .first_retry = 20ms,
                 .last_retry = 100ms,
                 .give_up = 1h}) {
    reader_.resume();
  }

  void run() {
    const std::uint64_t joins_at = chance(500) ? 0 : random_() % 100;
    for (std::uint64_t step = 0; step < 300; ++step) {
      if (step == joins_at) join();
      for (std::uint64_t i = random_() % 4; i-- > 0;) publish();
      turn();
    }
    for (int i = 0; i < 200'000 && !caught_up(); ++i) {
      if (i % 50 == 0) {
        for (const auto& [topic, last] : last_) live_.push_back({topic, last, true});
      }
      turn();
    }
  }
  [[nodiscard]] bool caught_up() const {
    if (!reader_.complete()) return false;
    // Without snapshots what the window has lost at the end of a topic cannot be made up for.
    if (reader_.counts().missed != 0 && !faults_.snapshots) return true;
    for (const auto& [topic, last] : last_) {
      const auto at = state_.find(topic);
      const std::uint64_t seen = at == state_.end() ? 0 : at->second;
      if (seen != last && !(seen == 0 && before_.contains(topic) && last <= before_.at(topic))) return false;
    }
    return true;
  }
  [[nodiscard]] std::uint64_t unexplained() const { return unexplained_; }
  [[nodiscard]] std::uint64_t most_held() const { return most_held_; }
  [[nodiscard]] const ReplayCounts& counts() const { return reader_.counts(); }

 private:
  struct Live {
    std::string topic;
    std::uint64_t seq;
    bool ping = false;
  };
  struct Answer {
    std::string topic;
    std::uint64_t seq = 0;
    std::uint32_t number = 0;
    bool end = false, gone = false, join = false, snapshot = false;
    std::uint64_t first_retained = 0;
  };

  bool chance(unsigned of_thousand) { return random_() % 1000 < of_thousand; }
  std::uint32_t id(const std::string& topic) { return static_cast<std::uint32_t>(topic[0] - 'a'); }

  void join() {
    for (const auto& [topic, last] : last_) before_[topic] = last;
    subscribed_ = true;
    reader_.subscribed(window_.number(), now_);
  }
  void publish() {
    const std::string topic(1, static_cast<char>('a' + random_() % 5));
    const std::uint64_t seq = ++last_[topic];
    window_.add(id(topic), seq, 10, seq);
    if (!subscribed_ || chance(faults_.loss)) return;
    const Live live{topic, seq};
    const bool early = chance(faults_.reordered) && !live_.empty();
    early ? live_.push_front(live) : live_.push_back(live);
    if (chance(faults_.doubled)) live_.push_back(live);
  }
  void turn() {
    now_ += 1ms;
    for (std::uint64_t i = random_() % 6; i-- > 0 && !live_.empty();) {
      const Live live = live_.front();
      live_.pop_front();
      live.ping ? reader_.announce(live.topic, live.seq, true, now_) : come(live.topic, live.seq, false);
    }
    hear_some();
    ask();
    most_held_ = std::max(most_held_, reader_.held_batches());
  }
  void hear_some() {
    for (std::uint64_t i = random_() % 6; i-- > 0 && !answers_.empty();) {
      const Answer answer = answers_.front();
      answers_.pop_front();
      // The session loses nothing but all that is on its way, when it breaks.
      if (chance(faults_.loss / 4)) return answers_.clear();
      hear(answer);
    }
  }
  void ask() {
    if (reader_.next_tick() > now_) return;
    const auto step = reader_.tick(now_);
    if (step.join && !chance(faults_.loss)) {
      for (const auto& [topic, last] : last_) {
        const auto at = window_.position_at(id(topic), step.join->mark);
        if (faults_.snapshots) {
          answers_.push_back({.topic = topic, .seq = last, .join = true, .snapshot = true});
        } else {
          answers_.push_back({.topic = topic, .seq = at, .join = true});
        }
      }
      answers_.push_back({.topic = {}, .number = step.join->number, .end = true, .join = true});
    }
    for (const auto& fetch : step.fetches) {
      if (chance(faults_.loss)) continue;
      const std::string topic(fetch.topic);
      const std::uint64_t first = window_.first_retained(id(topic));
      const bool gone = fetch.ranges.front().first < first;
      int room = 7;  // of a page
      for (const Range range : fetch.ranges) {
        for (auto seq = range.first; !gone && seq <= range.last && room-- > 0; ++seq) {
          if (window_.find(id(topic), seq)) answers_.push_back({.topic = topic, .seq = seq});
        }
      }
      answers_.push_back({.topic = topic,
                          .seq = last_[topic],
                          .number = fetch.number,
                          .end = true,
                          .gone = gone,
                          .first_retained = first});
    }
  }
  void hear(const Answer& a) {
    if (a.snapshot) {
      const auto taken = reader_.snapshot(a.topic, a.seq);
      if (taken.verdict == Reader::Verdict::next) state_[a.topic] = a.seq;
    } else if (a.join && a.end) {
      reader_.join_answered(a.number, 0, now_);
    } else if (a.join) {
      reader_.position(a.topic, a.seq);
    } else if (a.end) {
      reader_.fetch_answered(a.number, a.topic, a.seq, a.first_retained, a.gone, now_);
    } else {
      come(a.topic, a.seq, true);
    }
    drain();
  }
  using Reader = ReplayReader<std::uint64_t>;
  void come(const std::string& topic, std::uint64_t seq, bool replayed) {
    const auto arrival = reader_.arrive(topic, seq, 10, replayed, now_);
    if (arrival.verdict == Reader::Verdict::next) apply(topic, seq, arrival.reset);
    if (arrival.verdict == Reader::Verdict::held) reader_.hold(topic, seq, 10, seq, now_);
    drain();
  }
  void drain() {
    while (auto ready = reader_.next(now_)) apply(std::string(ready->topic), ready->seq, ready->reset);
  }
  /// Each batch continues the one before, or says that it does not.
  void apply(const std::string& topic, std::uint64_t seq, bool reset) {
    const auto at = state_.find(topic);
    const std::uint64_t before = at == state_.end() ? before_[topic] : at->second;
    if (seq != before + 1 && !reset) ++unexplained_;
    state_[topic] = seq;
  }

  std::mt19937_64 random_;
  Faults faults_;
  TimePoint now_{};
  ReplayWindow<std::uint64_t> window_;
  Reader reader_;
  std::map<std::string, std::uint64_t> last_, state_;
  std::map<std::string, std::uint64_t> before_;  // what had been published when it joined
  std::deque<Live> live_;
  std::deque<Answer> answers_;
  bool subscribed_ = false;
  std::uint64_t unexplained_ = 0;
  std::uint64_t most_held_ = 0;
};

void hold_for_seeds(const Faults& faults, bool may_miss) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    World world(seed, faults);
    world.run();
    REQUIRE(world.caught_up());
    REQUIRE(world.unexplained() == 0);
    REQUIRE(world.most_held() <= 30);
    if (!may_miss) REQUIRE(world.counts().missed == 0);
  }
}

}  // namespace

TEST_CASE("every subscriber ends with the publisher's state: nothing lost, doubled or reordered") {
  hold_for_seeds({}, false);
}

TEST_CASE("every subscriber ends with the publisher's state: live batches are lost, doubled and reordered") {
  hold_for_seeds({.loss = 200, .doubled = 100, .reordered = 100}, false);
}

TEST_CASE("every subscriber ends with the publisher's state: half of everything is lost") {
  hold_for_seeds({.loss = 500, .doubled = 300, .reordered = 300}, false);
}

TEST_CASE(
    "every subscriber ends with the publisher's state: the replay window is overrun and the loss counted") {
  hold_for_seeds({.loss = 300, .doubled = 50, .reordered = 50, .window = 3000}, true);
}

TEST_CASE("every subscriber ends with the publisher's state: snapshots replace what the window has lost") {
  hold_for_seeds({.loss = 300, .doubled = 50, .reordered = 50, .window = 3000, .snapshots = true}, true);
}
