// What the transport tests share: waiting for an event with a deadline, and a folder of their own.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/transport/loop.hpp>
#include <weft/transport/socket.hpp>

namespace weft::transport::test {

using namespace std::chrono_literals;

/// Long enough for a loaded machine: only a failing test ever waits for it.
inline Deadline soon() {
  return Deadline::after(30s);
}

/// Runs the loop, asking again every millisecond, until `done` or the deadline.
inline bool eventually(Loop& loop, const std::function<bool()>& done) {
  const auto tick = loop.every(1ms, [] {});
  const bool good = loop.run_until(done, soon());
  loop.cancel(tick);
  return good;
}

/// The next message's frames as text; empty when none came by the deadline.
inline std::vector<std::string> receive(Loop& loop, Socket& socket) {
  Message message;
  std::vector<std::string> out;
  if (!eventually(loop, [&] { return socket.receive(message); })) return out;
  for (const auto& frame : message) out.emplace_back(as_text(frame.view()));
  return out;
}

inline Frame text(std::string_view content) {
  return Frame(as_bytes(content));
}

inline std::vector<Frame> frames(const std::vector<std::string>& texts) {
  std::vector<Frame> out;
  for (const auto& one : texts) out.push_back(text(one));
  return out;
}

using Strings = std::vector<std::string>;

/// A folder under /tmp (short: ipc paths are bounded) that goes with the object.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/weft-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// The Error that `action` throws; fails the test when it throws none.
inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return {Errc::internal, ""};
}

inline bool contains(std::string_view whole, std::string_view part) {
  return whole.find(part) != std::string_view::npos;
}

// A push joined to a pull over inproc.
struct Link {
  Link(Context& context, const std::string& name)
      : pull(context, SocketType::pull), push(context, SocketType::push) {
    push.connect(pull.bind("inproc://" + name));
  }
  void send(std::string_view content = "x") { REQUIRE(push.send(text(content)) == SendStatus::sent); }
  void take() {
    Message message;
    pull.receive(message);
  }
  Socket pull;
  Socket push;
};

inline Deadline at_once() {
  return Deadline::at(TimePoint::min());
}

}  // namespace weft::transport::test
