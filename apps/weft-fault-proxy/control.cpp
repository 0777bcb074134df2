#include "control.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

namespace weft::fault_proxy {
namespace {

constexpr std::size_t kLongestLine = 64 * 1024;
constexpr int kBacklog = 16;

Duration span_of(const Value& command) {
  const Value& text = command.get("for");
  const auto span = text.is_string() ? parse_duration(text.as_string()) : std::nullopt;
  if (span) return *span;
  throw Error(Errc::invalid_argument, "for: expected a time, like 500ms");
}

void set(Proxy& proxy, const Value& command) {
  Faults changed = proxy.faults();
  for (const auto& [name, value] : command.as_map()) {
    if (name != "do") changed.set(name, value);
  }
  proxy.faults() = changed;
}

Value carry_out(Proxy& proxy, const Value& command, bool& stop) {
  const std::string what = command.get("do").is_string() ? command.get("do").as_string() : "";
  Value answer;
  answer["ok"] = true;
  if (what == "set") {
    set(proxy, command);
  } else if (what == "clear") {
    proxy.faults() = Faults{};
    proxy.heal();
  } else if (what == "blackhole") {
    proxy.blackhole(parse_direction(command.get("direction")), span_of(command));
  } else if (what == "heal") {
    proxy.heal();
  } else if (what == "reset") {
    answer["connections"] = proxy.reset_all();
  } else if (what == "half-close") {
    answer["connections"] = proxy.half_close_all(parse_direction(command.get("direction")));
  } else if (what == "drop") {
    answer["connections"] = proxy.drop_all(parse_direction(command.get("direction")));
  } else if (what == "target") {
    proxy.set_target(command.get("endpoint").as_string());
  } else if (what == "stop") {
    stop = true;
  } else if (what != "state") {
    throw Error(
        Errc::invalid_argument,
        format("do: expected set, clear, blackhole, heal, reset, half-close, drop, target, state or stop, "
               "found {}",
               weft::quoted(what)));
  }
  answer["state"] = proxy.state();
  return answer;
}

}  // namespace

Value obey(Proxy& proxy, const std::string& line, bool& stop) {
  try {
    const Value command = parse_json(line);
    if (!command.is_map()) throw Error(Errc::invalid_argument, "a command is one JSON object on a line");
    return carry_out(proxy, command, stop);
  } catch (const Error& e) {
    Value answer;
    answer["ok"] = false;
    answer["error"] = e.what();
    return answer;
  }
}

Control::Control(Proxy& proxy, bool standard_input, const std::string& path) : proxy_(proxy), path_(path) {
  if (!path_.empty()) open_socket();
  // A plain file cannot be watched; nobody types into one.
  if (standard_input) {
    try {
      add(STDIN_FILENO, STDOUT_FILENO);
    } catch (const Error&) {
      at_end_ = true;
    }
  }
}

Control::~Control() {
  for (const auto& [in, peer] : peers_) {
    proxy_.unwatch(in);
    if (in != STDIN_FILENO) ::close(in);
  }
  if (listener_ < 0) return;
  proxy_.unwatch(listener_);
  ::close(listener_);
  ::unlink(path_.c_str());
}

void Control::open_socket() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    throw Error(Errc::bad_endpoint, format("{} has {} bytes, but the path of a socket has at most {}",
                                           weft::quoted(path_), path_.size(), sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path_.data(), path_.size());
  ::unlink(path_.c_str());  // of one that was killed
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, kBacklog) != 0) {
    throw Error(Errc::io, format("cannot listen at {}: {}", path_, std::strerror(errno)));
  }
  proxy_.watch(listener_, [this] { accept(); });
}

void Control::accept() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) add(fd, fd);
}

void Control::add(int in, int out) {
  proxy_.watch(in, [this, in] { read(in); });
  peers_[in] = {.out = out, .partial = {}};
}

void Control::read(int in) {
  std::array<char, 4096> bytes;
  const ssize_t got = ::read(in, bytes.data(), bytes.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  Peer& peer = peers_[in];
  if (got > 0) peer.partial.append(bytes.data(), static_cast<std::size_t>(got));
  if (got <= 0 || peer.partial.size() > kLongestLine) {
    proxy_.unwatch(in);
    peers_.erase(in);
    if (in == STDIN_FILENO) {
      at_end_ = true;
    } else {
      ::close(in);
    }
    return;
  }
  for (std::size_t end = 0; (end = peer.partial.find('\n')) != std::string::npos;) {
    const std::string line = peer.partial.substr(0, end);
    peer.partial.erase(0, end + 1);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string answer = to_json(obey(proxy_, line, stop_)) + "\n";
    [[maybe_unused]] const ssize_t written = ::write(peer.out, answer.data(), answer.size());
  }
}

}  // namespace weft::fault_proxy
