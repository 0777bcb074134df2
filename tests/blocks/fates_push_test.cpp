// Every record of a push has one fate, and some count names it: under each promise, whatever is sent, killed,
// stopped, full or refused.
#include <deque>
#include <map>

#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>

#include "acknowledged.hpp"
#include "fates.hpp"

using namespace weft;
using namespace weft::fates;
using conformance::open_journal;
using journal::testing::MemoryDisk;

namespace {

class PushStory final : public Story {
 public:
  PushStory(std::uint64_t seed, Delivery delivery)
      : Story(seed, delivery, kPulls), push_binds_(chance_.one_in(2)) {
    push_options_ = any_port(chance_, delivery);
    push_options_.name = "out";
    push_options_.node = "push/0";
    push_options_.capacity_bytes = chance_.of({1024UL, 4096UL, 8UL << 20});
    push_options_.overflow =
        chance_.of({Overflow::block, Overflow::fail, Overflow::drop_newest, Overflow::drop_oldest});
    push_options_.distribute =
        chance_.of({Distribute::balance, Distribute::round_robin, Distribute::hash, Distribute::explicit_});
    if (delivery != Delivery::best_effort) {
      push_options_.capacity_records = chance_.of({0UL, 7UL, 100UL});
      push_options_.ttl = chance_.of<Duration>({0ms, 0ms, 5ms, 50ms});
      push_options_.delay = chance_.of<Duration>({0ms, 0ms, 3ms});
      push_options_.max_attempts = static_cast<std::uint32_t>(chance_.of({0, 1, 2}));
      journaled_ = chance_.one_in(2);
      letters_ = chance_.number(3);
    }
    begin_push();
    for (std::size_t i = 0; i < kPulls; ++i) begin_far(i);
  }

 private:
  static constexpr std::size_t kPulls = 2;
  struct Taker : FarEnd<Pull<Reading>> {
    std::deque<Receipt> deferred;
  };

  void begin_push() {
    PortOptions options = push_options_;
    options.epoch = ++epoch_;
    if (journaled_) options.journal = push_journal_ = open_journal(push_disk_);
    if (push_binds_) {
      push_at_ = name("push");
      options.bind = {push_at_};
    }
    push_ = std::make_unique<Push<>>(loops_.at(0), options);
    if (letters_ != 0) {
      push_->on_dead_letter([this](const DeadLetter&) {
        return letters_ == 2 && chance_.one_in(2) ? SendStatus::would_block : SendStatus::ok;
      });
    }
    for (auto& [i, taker] : takers_) {
      if (push_binds_) {
        if (taker.block) taker.block->connect(push_at_);
      } else if (taker.block) {
        push_->connect(taker.endpoint);
      }
    }
    accepted_ = 0;
  }

  void end_push() {
    push_->close();
    check();
    const PortStats s = push_->stats();
    if (!journaled_) check_nothing_left(s);
    held_ = s.queued_records + s.outstanding_records;
    processed_before_ += s.processed_records;
    for (auto& [i, taker] : takers_) {
      if (push_binds_ && taker.block) taker.block->disconnect(push_at_);
    }
    push_.reset();
    push_journal_.reset();
  }

  void begin_far(std::size_t i) override {
    Taker& taker = takers_[i];
    if (taker.block) return;
    PortOptions options = any_port(chance_, delivery_);
    options.name = "in";
    options.node = format("pull/{}", i);
    options.epoch = ++epoch_;
    options.window_bytes = chance_.of({4096UL, 2UL << 20});
    options.window_batches = chance_.of({1UL, 2UL, 1024UL});
    if (delivery_ == Delivery::exactly_once || (delivery_ == Delivery::at_least_once && journaled_)) {
      options.journal = taker.journal = open_journal(taker.disk);
    }
    if (push_binds_) {
      if (push_) options.connect = {push_at_};
    } else {
      taker.endpoint = name("pull");
      options.bind = {taker.endpoint};
    }
    taker.block = std::make_unique<Pull<Reading>>(loops_.at(1 + i), options);
    taker.block->on_record([this, &taker](Reading&, const Meta&) {
      ++handled_;
      if (delivery_ == Delivery::best_effort) return;
      switch (chance_.number(12)) {
        case 0:
          return taker.block->judge(Verdict::reject("no"));
        case 1:
          return taker.block->judge(Verdict::requeue());
        case 2:
          return taker.deferred.push_back(taker.block->defer());
        default:
          return;
      }
    });
    if (!push_binds_ && push_) push_->connect(taker.endpoint);
  }

  // Dead at once: nothing is said, what it had not handled is gone with it.
  void end_far(std::size_t i) override {
    Taker& taker = takers_[i];
    if (!taker.block) return;
    if (chance_.one_in(3)) taker.block->begin_drain();
    taker.block.reset();
    taker.deferred.clear();
    taker.journal.reset();
    if (!push_binds_ && push_) push_->disconnect(taker.endpoint);
  }

  void send_some() {
    const std::uint64_t count = 1 + chance_.number(40);
    for (std::uint64_t i = 0; i < count; ++i) {
      const wire::Buffer record = packed(i, !bad_ || !chance_.one_in(5), 1 + chance_.number(300));
      PushBase::To to;
      const std::string key = std::to_string(chance_.number(5));
      const std::string peer = format("pull/{}", chance_.number(kPulls));
      if (push_options_.distribute == Distribute::hash) to.key = as_bytes(key);
      if (push_options_.distribute == Distribute::explicit_) to.peer = peer;
      if (delivery_ != Delivery::best_effort && chance_.one_in(8)) to.priority = 9;
      const SendStatus status = push_->send_packed(record.view(), to);
      if (status == SendStatus::ok || status == SendStatus::dropped) ++accepted_;
    }
  }

  void step() override {
    const std::size_t i = chance_.number(kPulls);
    const std::uint64_t what = chance_.number(14);
    if (befalls(what, i)) return;
    switch (what) {
      case 5:
        if (takers_[i].block) takers_[i].block->pause(!takers_[i].block->paused());
        break;
      case 6:
        if (chance_.one_in(3)) {
          end_push();
          const std::uint64_t held = held_;
          begin_push();
          const PortStats s = push_->stats();
          CHECK_MESSAGE(s.resumed_records == (journaled_ ? held : 0), text_of(s));
        }
        break;
      case 7:
        for (auto& [n, taker] : takers_) {
          for (; taker.block && !taker.deferred.empty(); taker.deferred.pop_front())
            (void)taker.block->settle(taker.deferred.front());
        }
        break;
      case 8:
        if (chance_.one_in(3)) (void)push_->purge();
        break;
      case 9:
        bad_ = !bad_;
        break;
      default:
        send_some();
    }
  }

  void check() override {
    const PortStats s = push_->stats();
    check_sum(s, accepted_);
    // What its handlers have not seen, nobody is done with.
    CHECK_MESSAGE(processed_before_ + s.processed_records <= handled_, text_of(s));
    if (delivery_ != Delivery::best_effort) return;
    CHECK_MESSAGE(
        s.sent_records == s.processed_records + s.rejected_records + s.lost_records + s.outstanding_records,
        text_of(s));
  }

  void end() override {
    for (std::size_t i = 0; i < kPulls; ++i) {
      begin_far(i);
      takers_[i].block->pause(false);
    }
    perhaps_drain(*push_);
    end_push();
  }

  std::string name(const char* what) { return format("inproc://{}-{}", what, ++names_); }

  PortOptions push_options_;
  std::shared_ptr<MemoryDisk> push_disk_ = std::make_shared<MemoryDisk>();
  std::shared_ptr<Journal> push_journal_;
  std::unique_ptr<Push<>> push_;
  std::map<std::size_t, Taker> takers_;
  std::string push_at_;
  bool push_binds_;
  bool journaled_ = false;
  bool bad_ = false;
  std::uint64_t letters_ = 0;
  std::uint64_t names_ = 0, handled_ = 0, held_ = 0, processed_before_ = 0;
};

}  // namespace

TEST_CASE("every record of a push has one fate: best-effort") {
  each_story([](std::uint64_t seed) { PushStory(seed, Delivery::best_effort).play(); });
}
TEST_CASE("every record of a push has one fate: at-least-once") {
  each_story([](std::uint64_t seed) { PushStory(seed, Delivery::at_least_once).play(); });
}
TEST_CASE("every record of a push has one fate: exactly-once") {
  each_story([](std::uint64_t seed) { PushStory(seed, Delivery::exactly_once).play(); });
}
TEST_CASE("a push that goes with records that nobody has says how many") {
  struct Said : Logger::Sink {
    std::vector<std::string> texts;
    void write(LogLevel, std::string_view, std::string_view message) override { texts.emplace_back(message); }
  };
  Loop loop;
  for (const Delivery delivery : {Delivery::best_effort, Delivery::at_least_once}) {
    const auto said = std::make_shared<Said>();
    PortOptions options{.name = "out", .node = "a/0", .connect = {"inproc://nobody"}};
    options.delivery = delivery;
    options.log = Logger(said, "test", LogLevel::warn);
    Push<> push(loop, options);
    for (int i = 0; i < 3; ++i) REQUIRE(push.send(as_bytes("x")) == SendStatus::ok);

    push.close();

    REQUIRE(said->texts.size() == 1);
    CHECK(conformance::contains(
        said->texts[0], "local/a/0.out: closed with 3 records that no receiver ever came to take: dropped"));
    CHECK(push.stats().dropped_records == 3);
  }
}

TEST_CASE("a best-effort sender hears which of its records could not be taken") {
  Loop loop;
  PortOptions options{.name = "in", .bind = {"inproc://strict"}};
  options.log = quiet();
  Pull<Reading> pull(loop, options);
  pull.on_record([](Reading&, const Meta&) {});
  Push<> push(loop, {.name = "out", .connect = pull.endpoints()});
  for (std::uint64_t n = 0; n < 6; ++n) {
    const wire::Buffer record = packed(n, n % 3 != 0, 5);
    REQUIRE(push.send_packed(record.view(), conformance::soon()) == SendStatus::ok);
  }

  REQUIRE(push.settle(conformance::soon()));

  CHECK(push.stats().processed_records == 4);
  CHECK(push.stats().rejected_records == 2);
  CHECK(pull.stats().rejected_records == 2);
  CHECK(pull.stats().received_records == 4);
}
