#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <weft/core/error.hpp>
#include <weft/core/json.hpp>
#include <weft/sim/requests.hpp>

#include "planted.hpp"

using namespace weft;
using namespace weft::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kRequestSeeds = kSlow ? 40 : 500;

// A failing seed is named with its problem; `weft sim --seed N` runs it again.
void run_request_seeds(std::uint64_t first) {
  for (std::uint64_t seed = first; seed < first + kRequestSeeds; ++seed) {
    if (kind_of_seed(seed) != LinkKind::requests) continue;
    const RequestReport r = run_requests(request_options_of_seed(seed));
    INFO("weft sim --seed ", seed);
    for (const std::string& problem : r.problems) CHECK_MESSAGE(false, problem);
    CHECK(r.asked == 1000);
    CHECK(r.asked ==
          r.replied + r.remote_errors + r.timed_out + r.exhausted + r.unknown + r.cancelled + r.abandoned);
  }
}

Found find(RequestBug bug, const RequestOptions& options, std::string_view words) {
  return find_planted(options, bug, words, run_requests);
}

}  // namespace

TEST_CASE("one seed reproduces a run of requests exactly, and another one is another run") {
  std::uint64_t before = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RequestReport first = run_requests(request_options_of_seed(seed));
    const RequestReport second = run_requests(request_options_of_seed(seed));

    CHECK(first.trace_hash == second.trace_hash);
    CHECK(to_json(first.to_value()) == to_json(second.to_value()));
    CHECK(first.trace_hash != before);
    before = first.trace_hash;
  }
}

TEST_CASE("what a router drops for want of room costs its asker no credit") {
  // The asker was out of credit for good, and the last request could not be sent.
  const RequestReport report = run_requests(request_options_of_seed(126793));

  for (const std::string& problem : report.problems) CHECK_MESSAGE(false, problem);
}

TEST_CASE("a reply that waits for the journal outlives those that a small window forgets") {
  // The reply was forgotten before it was durable, and its asker heard nothing.
  const RequestReport report = run_requests(request_options_of_seed(105532));

  for (const std::string& problem : report.problems) CHECK_MESSAGE(false, problem);
}

TEST_CASE("without faults every request is sent once, done once and answered") {
  for (const bool journal : {false, true}) {
    for (const Delivery delivery : {Delivery::at_least_once, Delivery::exactly_once}) {
      const RequestReport report = run_requests({.delivery = delivery, .journal = journal, .service = 100us});

      CHECK(report.ok());
      CHECK(report.replied == 1000);
      CHECK(report.handled == 1000);
      CHECK(report.handled_again == 0);
      CHECK(report.retries == 0);
      CHECK(report.faults.empty());
    }
  }
}

TEST_CASE("under every fault at once, a journal keeps requests from being done twice") {
  for (const bool journal : {false, true}) {
    RequestOptions options{.delivery = Delivery::exactly_once, .journal = journal, .requests = 10'000};
    options.faults = parse_faults(
        "loss=0.02,duplicate=0.05,reorder=0.1,partition=0.001,slow=0.3,crash=0.002,pause=0.002,full=0.02,"
        "skew=0.01");

    const RequestReport report = run_requests(options);

    CHECK(report.ok());
    CHECK(report.handled_again == 0);
    CHECK(report.replied > 4000);
    CHECK(report.retries > 100);
    CHECK(report.repeated > 100);
    CHECK(report.faults.at("killed") > 0);
    CHECK(report.faults.at("power failed") > 0);
  }
}

TEST_CASE("a journal at the answerer lets askers know what became of more requests") {
  RequestOptions options{.delivery = Delivery::exactly_once, .requests = 5000};
  options.faults = parse_faults("crash=0.003");

  const RequestReport without = run_requests(options);
  options.journal = true;
  const RequestReport with = run_requests(options);

  CHECK(without.ok());
  CHECK(with.ok());
  CHECK(with.unknown < without.unknown);
}

TEST_CASE("the simulator finds a router that forgets its replies" * doctest::test_suite("slow")) {
  RequestOptions options{.delivery = Delivery::exactly_once};
  options.faults.loss = 0.02;

  const Found found = find(RequestBug::forget_replies, options, "was done 2 times");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds an asker that tries another replica under exactly-once" *
          doctest::test_suite("slow")) {
  RequestOptions options{.delivery = Delivery::exactly_once};
  options.faults = parse_faults("loss=0.02,crash=0.002");

  const Found found = find(RequestBug::retry_elsewhere, options, "was done 2 times");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds a router that replies before its journal has it" *
          doctest::test_suite("slow")) {
  RequestOptions options{.delivery = Delivery::exactly_once, .journal = true};
  options.faults.delay = 20us;

  const Found found = find(RequestBug::reply_before_durable, options, "nobody has done it");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

TEST_CASE("the simulator finds an asker that forgets to take a new epoch" * doctest::test_suite("slow")) {
  RequestOptions options{.journal = true};
  options.faults.crash = 0.002;

  const Found found = find(RequestBug::forget_epoch, options, "got the reply to request");

  CHECK(found.with > 10);
  CHECK(found.without == 0);
}

// Rare: an answer of the earlier life and a HELLO for the later one have to cross.
TEST_CASE("the simulator finds a router that does what was meant for its earlier life" *
          doctest::test_suite("slow")) {
  RequestOptions options{.delivery = Delivery::exactly_once, .answerers = 1, .requests = 400};
  options.deadline = 60s;
  options.gap = 20ms;
  options.faults = parse_faults("crash=0.01,delay=0.1,loss=0.03,pause=0.02");

  const Found found = find_planted(options, RequestBug::ignore_epoch, "was done 2 times", run_requests, 400);

  CHECK(found.with >= 1);
  CHECK(found.without == 0);
}

TEST_CASE("five hundred askers fit in one run" * doctest::test_suite("slow")) {
  RequestOptions options{.askers = 500, .answerers = 2, .requests = 5000, .reply_window = 4096};
  options.faults = parse_faults("loss=0.01,duplicate=0.01,reorder=0.05,crash=0.0005");

  const RequestReport report = run_requests(options);

  CHECK(report.ok());
  CHECK(report.asked == 5000);
}

TEST_CASE("options of requests out of their range are refused by name") {
  CHECK_THROWS_WITH_AS(run_requests({.answerers = 0}), doctest::Contains("answerers 0"), Error);
  CHECK_THROWS_WITH_AS(run_requests({.delivery = Delivery::best_effort}), doctest::Contains("best-effort"),
                       Error);
  CHECK_THROWS_WITH_AS(run_requests({.capacity = 10}), doctest::Contains("capacity 10"), Error);
}

TEST_CASE("every invariant of requests holds over seeds from 1 on") {
  run_request_seeds(1);
}

TEST_CASE("every invariant of requests holds over seeds from 10001 on") {
  run_request_seeds(10'001);
}
