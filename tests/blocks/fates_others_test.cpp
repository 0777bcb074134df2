// Every request of a dealer has one end, and every record of a publisher that a subscriber wants came, was
// refused or was missed.
#include <deque>
#include <map>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/router.hpp>
#include <weft/blocks/sub.hpp>

#include "acknowledged.hpp"
#include "fates.hpp"

using namespace weft;
using namespace weft::fates;
using conformance::open_journal;

namespace {

// ---- dealer-router

class DealerStory final : public Story {
 public:
  DealerStory(std::uint64_t seed, Delivery delivery) : Story(seed, delivery, kRouters) {
    PortOptions options = any_port(chance_, delivery);
    options.name = "ask";
    options.node = "dealer/0";
    options.epoch = ++epoch_;
    options.capacity_bytes = chance_.of({1024UL, 8UL << 20});
    options.distribute =
        chance_.of({Distribute::balance, Distribute::round_robin, Distribute::hash, Distribute::explicit_});
    options.attempt_timeout = chance_.of<Duration>({10ms, 2s});
    options.retry_first = 1ms;
    options.max_attempts = static_cast<std::uint32_t>(chance_.of({0, 1, 3}));
    distribute_ = options.distribute;
    dealer_ = std::make_unique<Dealer<>>(loops_.at(0), options);
    for (std::size_t i = 0; i < kRouters; ++i) begin_far(i);
  }

 private:
  static constexpr std::size_t kRouters = 2;
  struct Answerer : FarEnd<Router<Reading, Reading>> {
    std::deque<Responder<Reading>> held;
  };

  void begin_far(std::size_t i) override {
    Answerer& it = answerers_[i];
    if (it.block) return;
    PortOptions options = any_port(chance_, delivery_);
    options.name = "answer";
    options.node = format("router/{}", i);
    options.epoch = ++epoch_;
    options.window_bytes = chance_.of({4096UL, 2UL << 20});
    it.endpoint = format("inproc://router-{}", epoch_);
    options.bind = {it.endpoint};
    if (delivery_ == Delivery::exactly_once) options.journal = it.journal = open_journal(it.disk);
    it.block = std::make_unique<Router<Reading, Reading>>(loops_.at(1 + i), options);
    it.block->on_request([this, &it](const Reading& query, Responder<Reading> respond) {
      switch (chance_.number(8)) {
        case 0:
          return respond.fail(wire::Code::failed, "no");
        case 1:
          return respond.fail(wire::Code::full, "later");
        case 2:
          it.held.push_back(std::move(respond));
          return;
        case 3:
          return;  // "failed"
        default:
          return respond.reply(query);
      }
    });
    dealer_->connect(it.endpoint);
  }

  void end_far(std::size_t i) override {
    Answerer& it = answerers_[i];
    if (!it.block) return;
    if (chance_.one_in(3)) it.block->begin_drain();
    it.held.clear();
    it.block.reset();
    it.journal.reset();
    dealer_->disconnect(it.endpoint);
  }

  void ask_some() {
    const std::uint64_t count = 1 + chance_.number(30);
    for (std::uint64_t i = 0; i < count; ++i) {
      const wire::Buffer record = packed(i, !chance_.one_in(10), 1 + chance_.number(300));
      const std::string key = std::to_string(chance_.number(5)),
                        peer = format("router/{}", chance_.number(kRouters));
      RequestTo to;
      if (distribute_ == Distribute::hash) to.key = as_bytes(key);
      if (distribute_ == Distribute::explicit_) to.peer = peer;
      const auto limit = chance_.of<Duration>({1ms, 20ms, 10s});
      const RequestId id = dealer_->request_packed(
          record.view(), Deadline::after(limit), [this](Reply<RawRecord>& reply) { ++ends_[reply.outcome]; },
          to);
      if (id == 0) continue;
      ++accepted_;
      last_ = id;
    }
  }

  void step() override {
    const std::size_t i = chance_.number(kRouters);
    const std::uint64_t what = chance_.number(12);
    if (befalls(what, i)) return;
    switch (what) {
      case 5:
        for (auto& [n, it] : answerers_) {
          for (; !it.held.empty(); it.held.pop_front()) it.held.front().reply({7});
        }
        break;
      case 6:
        if (last_ != 0) (void)dealer_->cancel(last_);
        break;
      default:
        ask_some();
    }
  }

  void check() override {
    const PortStats s = dealer_->stats();
    check_sum(s, accepted_);
    CHECK_MESSAGE(s.processed_records == ends_[Outcome::ok], text_of(s));
    CHECK_MESSAGE(s.timed_out_requests == ends_[Outcome::timed_out], text_of(s));
    CHECK_MESSAGE(s.lost_records == ends_[Outcome::peer_lost] + ends_[Outcome::unknown], text_of(s));
  }

  void end() override {
    perhaps_drain(*dealer_);
    dealer_->close();
    check();
    check_nothing_left(dealer_->stats());
  }

  std::unique_ptr<Dealer<>> dealer_;
  std::map<std::size_t, Answerer> answerers_;
  Distribute distribute_ = Distribute::balance;
  std::map<Outcome, std::uint64_t> ends_;
  RequestId last_ = 0;
};

// ---- pub-sub

class PubStory final : public Story {
 public:
  PubStory(std::uint64_t seed, Delivery delivery) : Story(seed, delivery, 1) {
    least_steps_ = 5;
    more_steps_ = 20;
    PortOptions options = any_port(chance_, delivery);
    options.name = "news";
    options.node = "pub/0";
    options.batch_records = 1;  // so that batches that are missed are records
    options.bind = {"inproc://news"};
    options.retain_bytes = chance_.of({0UL, 2048UL, 16UL << 20});
    pub_ = std::make_unique<Pub<>>(loops_.at(0), options);
    PortOptions sub = any_port(chance_, delivery);
    sub.name = "in";
    sub.node = "sub/0";
    sub.window_bytes = chance_.of({4096UL, 2UL << 20});
    sub.connect = {"inproc://news"};
    sub.dead_after = 10s;
    if (chance_.one_in(2)) sub.topics = {"a"};
    all_ = sub.topics.front().empty();
    sub_ = std::make_unique<Sub<Reading>>(loops_.at(1), sub);
    sub_->on_record([](Reading&, const Meta&) {});
    REQUIRE(loops_.until([this] { return pub_->peers_up() == 1 && sub_->peers_up() == 1; }));
  }

 private:
  void publish_some() {
    for (std::uint64_t left = 1 + chance_.number(50); left > 0; --left) {
      const wire::Buffer record = packed(left, !chance_.one_in(9), 1 + chance_.number(200));
      const bool bad = chance_.one_in(20), wanted = chance_.one_in(2);
      const std::string topic = bad ? std::string(300, 't') : wanted ? "a/b" : "c";
      const SendStatus status = pub_->publish_packed(topic, record.view());
      CHECK((status == SendStatus::bad_topic) == bad);
      if (!bad) ++accepted_;
      if (!bad && (wanted || all_)) ++wanted_;
    }
  }

  void step() override {
    switch (chance_.number(6)) {
      case 0:
        loops_.stop(1);
        break;
      case 1:
        loops_.resume_all();
        break;
      case 2:
        sub_->pause(!paused_);
        paused_ = !paused_;
        break;
      default:
        publish_some();
    }
  }

  void check() override {
    const PortStats s = pub_->stats();
    CHECK_MESSAGE(s.accepted_records == s.sent_records + s.dropped_records + s.queued_records, text_of(s));
    CHECK_MESSAGE(s.accepted_records == accepted_, text_of(s));
  }

  void end() override {
    sub_->pause(false);
    pub_->begin_drain();
    REQUIRE(loops_.until([this] { return pub_->drained(); }));
    REQUIRE(loops_.until([this] {
      const PortStats s = sub_->stats();
      return s.received_batches + s.missed_batches >= wanted_;
    }));
    const PortStats s = sub_->stats();
    CHECK(s.received_records + s.rejected_records + s.missed_batches == wanted_);
    pub_->close();
    check();
  }

  std::unique_ptr<Pub<>> pub_;
  std::unique_ptr<Sub<Reading>> sub_;
  bool all_ = true, paused_ = false;
  std::uint64_t wanted_ = 0;
};

}  // namespace

TEST_CASE("every request of a dealer has one fate: best-effort") {
  each_story([](std::uint64_t seed) { DealerStory(seed, Delivery::best_effort).play(); });
}
TEST_CASE("every request of a dealer has one fate: at-least-once") {
  each_story([](std::uint64_t seed) { DealerStory(seed, Delivery::at_least_once).play(); });
}
TEST_CASE("every request of a dealer has one fate: exactly-once") {
  each_story([](std::uint64_t seed) { DealerStory(seed, Delivery::exactly_once).play(); });
}
TEST_CASE(
    "every record of a publisher that a subscriber wants came, was refused or was missed: best-effort") {
  each_story([](std::uint64_t seed) { PubStory(seed, Delivery::best_effort).play(); });
}
TEST_CASE(
    "every record of a publisher that a subscriber wants came, was refused or was missed: at-least-once") {
  each_story([](std::uint64_t seed) { PubStory(seed, Delivery::at_least_once).play(); });
}
