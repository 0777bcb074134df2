// Weft's blocks against a peer that shares no code with them: tests/system/python_peer.py, which is written
// from docs/reference/wire.md.
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <weft/blocks/dealer.hpp>
#include <weft/blocks/pub.hpp>
#include <weft/blocks/pull.hpp>
#include <weft/blocks/push.hpp>
#include <weft/blocks/router.hpp>

#include "conformance.hpp"
#include "support/paths.hpp"

extern char** environ;

using namespace weft;
using namespace weft::conformance;

namespace {

/// A Python process; the loop collects what it prints. It does not outlive the object.
class Python {
 public:
  Python(Loop& loop, std::vector<std::string> arguments) : loop_(loop) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    arguments.insert(arguments.begin(), "/usr/bin/python3");
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    const int rc = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    fd_ = ends[0];
    if (rc != 0) pid_ = -1;
    watch_ = loop_.watch_fd(fd_, [this] { read(); });
  }
  ~Python() {
    if (watch_ != 0) loop_.unwatch(watch_);
    ::close(fd_);
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)wait_for_end();
  }
  Python(const Python&) = delete;
  Python& operator=(const Python&) = delete;

  /// Runs the loop until it has ended; its exit code, -1 when it did not end.
  int run() {
    if (!eventually(loop_, [this] { return watch_ == 0; }) || pid_ <= 0) return -1;
    return wait_for_end();  // its output is closed: it is about to end
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> out;
    std::size_t from = 0;
    for (std::size_t to = 0; (to = output_.find('\n', from)) != std::string::npos; from = to + 1) {
      out.push_back(output_.substr(from, to - from));
    }
    return out;
  }

 private:
  void read() {
    char bytes[4096];
    const auto n = ::read(fd_, bytes, sizeof bytes);
    if (n > 0) {
      output_.append(bytes, static_cast<std::size_t>(n));
      return;
    }
    if (n < 0 && errno == EINTR) return;
    loop_.unwatch(watch_);
    watch_ = 0;
  }
  int wait_for_end() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  Loop& loop_;
  pid_t pid_ = -1;
  int fd_ = -1;
  Loop::WatchId watch_ = 0;
  std::string output_;
};

/// False, with a word to the reader, where Python or its modules are missing.
bool has_modules(Loop& loop) {
  if (Python(loop, {"-c", "import zmq, msgpack"}).run() == 0) return true;
  MESSAGE("skipped: /usr/bin/python3 with the packages python3-zmq and python3-msgpack is not here");
  return false;
}

std::vector<std::string> peer(const std::string& role, const std::vector<std::string>& rest) {
  std::vector<std::string> out{(test::source_dir() / "tests/system/python_peer.py").string(), role};
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a stranger's peer pushes to a Pull, within its credit") {
  Loop loop;
  if (!has_modules(loop)) return;
  Pull<> pull(loop, {.name = "in", .bind = {"tcp://127.0.0.1:*"}, .window_bytes = 4096});
  const Events events(pull);
  Lines got;
  pull.on_record([&](const RawRecord& r, const Meta& meta) {
    got.emplace_back(r.text());
    CHECK(meta.peer == "py/0");
  });

  Python python(loop, peer("push", {pull.endpoints()[0], "2000"}));

  CHECK(python.run() == 0);
  CHECK(python.lines() == Lines{"{\"acknowledged\": 200}"});
  REQUIRE(got.size() == 2000);
  CHECK(got[1999] == "record 1999");
  CHECK(pull.stats().rejected_messages + pull.stats().missed_batches == 0);
  CHECK(eventually(loop, [&] { return events.count(PeerEvent::What::finished) == 1; }));
}

TEST_CASE("a stranger's peer pulls from a Push until its BYE") {
  Loop loop;
  if (!has_modules(loop)) return;
  Push<> push(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .batch_records = 7});
  for (int i = 0; i < 500; ++i) REQUIRE(push.send(as_bytes(std::to_string(i))) == SendStatus::ok);
  Python python(loop, peer("pull", {push.endpoints()[0]}));
  REQUIRE(push.wait_for_peers(1, soon()));

  push.begin_drain();

  CHECK(python.run() == 0);
  const Lines lines = python.lines();
  REQUIRE(lines.size() == 500);
  CHECK(lines[0] == "\"0\"");
  CHECK(lines[499] == "\"499\"");
  CHECK(push.drained());
  CHECK(push.stats().lost_records + push.stats().rejected_messages == 0);
}

TEST_CASE("a stranger's peer asks a Router and understands its errors") {
  Loop loop;
  if (!has_modules(loop)) return;
  Router<> router(loop, {.name = "answers", .bind = {"tcp://127.0.0.1:*"}});
  router.on_request([](const RawRecord& q, Responder<Raw> respond) {
    if (q.text() == "refuse") return respond.fail(wire::Code::not_found, "no such table");
    respond.reply(as_bytes("to " + std::string(q.text())));
  });

  Python python(loop, peer("ask", {router.endpoints()[0], "a", "b", "refuse", "c"}));

  CHECK(python.run() == 0);
  CHECK(python.lines() == Lines{R"(["a", "to a"])", R"(["b", "to b"])",
                                R"(["refuse", {"code": 13, "text": "no such table"}])", R"(["c", "to c"])"});
  CHECK(router.stats().rejected_messages == 0);
  CHECK(eventually(loop, [&] { return router.stats().outstanding_records == 0; }));
}

TEST_CASE("a stranger's peer answers a Dealer") {
  Loop loop;
  if (!has_modules(loop)) return;
  Dealer<> dealer(loop, {.name = "ask", .bind = {"tcp://127.0.0.1:*"}});
  Lines got;
  const auto note = [&](Reply<RawRecord>& r) {
    got.push_back(r.ok() ? std::string(r.record->text()) : r.text);
  };
  for (const std::string query : {"one", "refuse", "two"}) dealer.request(as_bytes(query), soon(), note);

  Python python(loop, peer("serve", {dealer.endpoints()[0], "3"}));

  CHECK(python.run() == 0);
  REQUIRE(eventually(loop, [&] { return got.size() == 3; }));
  CHECK(got == Lines{"answer to one", "no such thing", "answer to two"});
  CHECK(dealer.stats().rejected_messages == 0);
}

TEST_CASE("a stranger's peer subscribes: it is counted, gets kept values, then every live record until BYE") {
  Loop loop;
  if (!has_modules(loop)) return;
  Pub<> pub(loop, {.name = "out", .bind = {"tcp://127.0.0.1:*"}, .keep_last = true});
  for (const std::string value : {"old", "kept"})
    CHECK(pub.publish("orders/eu", as_bytes(value)) == SendStatus::ok);
  CHECK(pub.publish("other", as_bytes("no")) == SendStatus::ok);
  pub.flush();
  Python python(loop, peer("sub", {pub.endpoints()[0], "orders/"}));
  REQUIRE(eventually(loop, [&] { return !python.lines().empty() && python.lines().back() == "\"joined\""; }));
  CHECK(pub.peers_up() == 1);

  for (int i = 0; i < 100; ++i)
    CHECK(pub.publish("orders/us", as_bytes(std::to_string(i))) == SendStatus::ok);
  pub.begin_drain();

  CHECK(python.run() == 0);
  const Lines lines = python.lines();
  REQUIRE(lines.size() == 102);
  CHECK(lines[0] == R"({"kept": "orders/eu/", "value": "kept"})");
  CHECK(lines[2] == R"({"topic": "orders/us/", "value": "0"})");
  CHECK(lines[101] == R"({"topic": "orders/us/", "value": "99"})");
  CHECK(pub.stats().rejected_messages == 0);
}
