#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft/transport/socket.hpp>

#include "support.hpp"

using namespace weft;
using namespace weft::transport;
using namespace weft::transport::test;

namespace fs = std::filesystem;

namespace {

int listen_at(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 8) != 0)
    return -1;
  return fd;
}

// Another process that holds a path as a bound socket does: the lock and the listening socket file.
class Holder {
 public:
  explicit Holder(const std::string& path) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) hold(path, ready[1]);
    ::close(ready[1]);
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
  }
  ~Holder() { kill(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  [[noreturn]] static void hold(const std::string& path, int ready) {
    const int lock = ::open((path + ".lock").c_str(), O_RDWR | O_CREAT, 0600);
    const auto pid = std::to_string(::getpid());
    const bool good = ::flock(lock, LOCK_EX | LOCK_NB) == 0 && ::write(lock, pid.data(), pid.size()) > 0 &&
                      listen_at(path) >= 0 && ::write(ready, "x", 1) == 1;
    if (!good) ::_exit(1);
    for (;;) ::pause();
  }
  pid_t pid_ = -1;
};

}  // namespace

TEST_CASE("a second binder of an ipc path is refused, and the first one keeps working") {
  Folder folder;
  Loop loop;
  const auto endpoint = "ipc://" + folder.file("s");
  Socket first(loop.context(), SocketType::pull);
  Socket second(loop.context(), SocketType::pull);
  CHECK(first.bind(endpoint) == endpoint);

  const auto error = error_of([&] { second.bind(endpoint); });

  CHECK(error.code() == Errc::address_in_use);
  CHECK(contains(error.what(), endpoint));
  CHECK(contains(error.what(), "process " + std::to_string(::getpid()) + " is bound to it"));
  Socket push(loop.context(), SocketType::push);
  push.connect(endpoint);
  REQUIRE(push.send(text("still here")) == SendStatus::sent);
  CHECK(receive(loop, first) == Strings{"still here"});
}

TEST_CASE("a live process keeps its ipc path, and after its SIGKILL the path is taken over") {
  Folder folder;
  const auto path = folder.file("s");
  Holder holder(path);
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);

  const auto error = error_of([&] { pull.bind("ipc://" + path); });
  CHECK(error.code() == Errc::address_in_use);
  CHECK(contains(error.what(), "process " + std::to_string(holder.pid())));

  holder.kill();
  REQUIRE(fs::exists(path));  // stale
  REQUIRE(fs::exists(path + ".lock"));
  CHECK_NOTHROW(pull.bind("ipc://" + path));
  Socket push(loop.context(), SocketType::push);
  push.connect("ipc://" + path);
  REQUIRE(push.send(text("taken over")) == SendStatus::sent);
  CHECK(receive(loop, pull) == Strings{"taken over"});
}

TEST_CASE("closing removes the socket and its lock file, and the path is free at once") {
  Folder folder;
  const auto path = folder.file("s");
  Context context;
  for (int i = 0; i < 20; ++i) {
    Socket socket(context, SocketType::router);
    REQUIRE_NOTHROW(socket.bind("ipc://" + path));
    CHECK(fs::exists(path));
    CHECK(fs::exists(path + ".lock"));
    socket.close();
    CHECK_FALSE(fs::exists(path));
    CHECK_FALSE(fs::exists(path + ".lock"));
  }
}

TEST_CASE("a program that listens without a lock file is not pushed aside") {
  Folder folder;
  const auto path = folder.file("s");
  const int foreign = listen_at(path);
  REQUIRE(foreign >= 0);
  Context context;
  Socket socket(context, SocketType::router);

  const auto error = error_of([&] { socket.bind("ipc://" + path); });

  CHECK(error.code() == Errc::address_in_use);
  CHECK(contains(error.what(), "a process listens there"));
  CHECK(fs::exists(path));
  CHECK_FALSE(fs::exists(path + ".lock"));
  ::close(foreign);
}

TEST_CASE("a plain file at an ipc path is left alone") {
  Folder folder;
  const auto path = folder.file("precious");
  std::ofstream(path) << "data";
  Context context;
  Socket socket(context, SocketType::router);

  const auto error = error_of([&] { socket.bind("ipc://" + path); });

  CHECK(error.code() == Errc::address_in_use);
  CHECK(contains(error.what(), "a file that is no socket"));
  CHECK(fs::file_size(path) == 4);
}

TEST_CASE("an ipc path in a folder that does not exist says so") {
  Folder folder;
  Context context;
  Socket socket(context, SocketType::router);

  const auto error = error_of([&] { socket.bind("ipc://" + folder.file("missing/s")); });

  CHECK(error.code() == Errc::io);
  CHECK(contains(error.what(), "the directory must exist"));
}

TEST_CASE("a lock file that is a symbolic link is not followed") {
  Folder folder;
  const auto victim = folder.file("victim");
  std::ofstream(victim) << "data";
  fs::create_symlink(victim, folder.file("s.lock"));
  Context context;
  Socket socket(context, SocketType::router);

  CHECK(error_of([&] { socket.bind("ipc://" + folder.file("s")); }).code() == Errc::io);
  CHECK(fs::file_size(victim) == 4);
}

TEST_CASE("one socket binds ipc and tcp together, and both deliver") {
  Folder folder;
  Loop loop;
  Socket pull(loop.context(), SocketType::pull);
  const Strings endpoints{pull.bind("ipc://" + folder.file("a")), pull.bind("tcp://127.0.0.1:*"),
                          pull.bind("ipc://" + folder.file("b"))};

  for (const auto& endpoint : endpoints) {
    CAPTURE(endpoint);
    Socket push(loop.context(), SocketType::push);
    push.connect(endpoint);
    REQUIRE(push.send(text(endpoint)) == SendStatus::sent);
    CHECK(receive(loop, pull) == Strings{endpoint});
  }
}
