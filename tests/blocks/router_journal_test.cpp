// A Router with a journal: what it has done is not done again by its next life.
#include <filesystem>
#include <memory>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/router.hpp>
#include <weft/journal/journal.hpp>

#include "conformance.hpp"
#include "requests.hpp"

using namespace weft;
using namespace weft::conformance;

namespace {

/// A folder of this test's own.
struct Folder {
  std::filesystem::path path;
  Folder() {
    static int count = 0;
    path = std::filesystem::temp_directory_path() /
           ("weft-router-journal-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::shared_ptr<Journal> open() const {
    return Journal::open({.path = (path / "j").string(), .segment_bytes = 1 << 20});
  }
};

PortOptions durable(const Folder& folder, std::uint64_t epoch, const std::vector<std::string>& at) {
  PortOptions options = answers(kOnce, "server/0", at);
  options.journal = folder.open();
  options.epoch = epoch;
  return options;
}

}  // namespace

WEFT_CONFORMS("router with a journal: a request that comes again after a restart gets the reply of before") {
  Loop loop;
  const Folder folder;
  int handled = 0;
  std::uint64_t epoch = 0;
  for (const std::uint64_t life : {1, 2}) {
    const Place here(place.kind());
    Router<> router(loop, durable(folder, life, here.endpoints()));
    router.on_request([&](const RawRecord&, Responder<Raw> respond) {
      ++handled;
      handled == 1 ? respond.reply(as_bytes("done")) : respond.fail(wire::Code::bad_request, "no");
    });
    Stranger asker(loop, router.endpoints()[0], "worker/9");
    asker.hello("dealer", kOnce);
    REQUIRE(asker.wait(wire::Kind::hello));
    if (life == 1) epoch = asker.header().epoch;
    CHECK(asker.header().epoch == epoch);

    asker.data(7, 1, wire::Kind::request);
    REQUIRE(asker.wait(wire::Kind::reply));
    CHECK(asker.header().seq == 7);
    CHECK(as_text(asker.message()[1].view()) == std::string("\xC4\x04"
                                                            "done"));
    asker.data(8, 1, wire::Kind::request);
    REQUIRE(asker.wait(wire::Kind::reply));
    CHECK(asker.header().seq == 8);
    CHECK(asker.header().options.code_v == wire::Code::bad_request);
  }

  CHECK(handled == 2);
}

WEFT_CONFORMS("router with a journal: what an asker has settled is gone after a restart, not done again") {
  Loop loop;
  const Folder folder;
  int handled = 0;
  const auto ask = [](Stranger& asker, std::uint64_t number, std::uint64_t settled_below) {
    asker.send(wire::Kind::request, number,
               [&](wire::Options& o) {
                 o.count_v = 1;
                 o.mark(wire::Options::count);
                 o.first_retained_v = settled_below;
                 o.mark(wire::Options::first_retained);
               },
               {as_bytes("\xA1x")});
    return asker.wait(wire::Kind::reply);
  };
  for (const std::uint64_t life : {1, 2}) {
    const Place here(place.kind());
    const PortOptions options = durable(folder, life, here.endpoints());
    Router<> router(loop, options);
    router.on_request([&](const RawRecord&, Responder<Raw> respond) {
      ++handled;
      respond.reply(as_bytes("done"));
    });
    Stranger asker(loop, router.endpoints()[0], "worker/9");
    asker.hello("dealer", kOnce);
    REQUIRE(asker.wait(wire::Kind::hello));
    if (life == 1) {
      for (std::uint64_t number = 1; number <= 9; ++number) REQUIRE(ask(asker, number, number));
      CHECK(options.journal->count("replies/answers") <= 2);
    } else {
      REQUIRE(ask(asker, 3, 1));
      CHECK(asker.header().options.code_v == wire::Code::gone);
      REQUIRE(ask(asker, 9, 9));
      CHECK(!asker.header().options.has(wire::Options::code));
    }
  }

  CHECK(handled == 9);
}

WEFT_CONFORMS(
    "router with a journal: exactly-once goes on over a restart, and the handler's change is once") {
  if (place.kind() == Place::Kind::inproc) return;  // lives and dies with its process
  Loop loop;
  const Folder folder;
  std::vector<std::string> at = place.endpoints();
  PortOptions here = durable(folder, 1, at);
  auto router = std::make_unique<Router<>>(loop, here);
  here.bind = at = router->endpoints();
  Dealer<> dealer(loop, asks(kOnce, at));
  std::vector<Responder<Raw>> unanswered;
  const auto serve = [&](Router<>& r, const std::shared_ptr<Journal>& journal, bool answer) {
    r.on_request([&, journal, answer](const RawRecord& q, Responder<Raw> respond) {
      if (!answer && q.text() != "first") return unanswered.push_back(std::move(respond));
      CHECK(journal->held());
      const std::string done(q.text());
      const auto before = journal->read("done", as_bytes(done));
      const std::string times(before ? before->size() + 1 : 1, '*');
      journal->change().put("done", as_bytes(done), as_bytes(times));
      respond.reply(q.bytes());
    });
  };
  serve(*router, here.journal, false);
  Ended first;
  Ended second;
  dealer.request(as_bytes("first"), soon(), first.note());
  dealer.request(as_bytes("second"), soon(), second.note());
  REQUIRE(eventually(loop, [&] { return first.times == 1 && unanswered.size() == 1; }));

  router.reset();
  unanswered.clear();
  here.journal.reset();
  here = durable(folder, 2, at);
  router = take_over<Router<>>(loop, here);
  serve(*router, here.journal, true);
  REQUIRE(eventually(loop, [&] { return second.times == 1; }));

  CHECK(first.text == "first");
  CHECK(second.outcome == Outcome::ok);
  CHECK(second.text == "second");
  for (const char* done : {"first", "second"}) {
    const auto times = here.journal->read("done", as_bytes(done));
    REQUIRE(times);
    CHECK(times->size() == 1);
  }
}
