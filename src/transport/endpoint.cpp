#include "endpoint.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <memory>

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/transport/socket.hpp>

namespace weft::transport {
namespace {

constexpr std::size_t kMaxIpcPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::size_t kMaxName = 253;  // of a DNS name, and of an inproc name

class Parser {
 public:
  Parser(std::string_view text, bool for_bind) : text_(text), for_bind_(for_bind) {}

  Endpoint parse() {
    const auto colon = text_.find("://");
    if (colon == std::string_view::npos) {
      fail("the transport is missing; write tcp://host:port, ipc:///path or inproc://name");
    }
    const auto transport = text_.substr(0, colon);
    const auto rest = text_.substr(colon + 3);
    refuse_odd_characters();
    if (transport == "tcp") return tcp(rest);
    if (transport == "ipc") return ipc(rest);
    if (transport == "inproc") return inproc(rest);
    fail(format("the transport '{}' is unknown; write tcp://host:port, ipc:///path or inproc://name",
                transport));
  }

 private:
  [[noreturn]] void fail(std::string_view why) const {
    throw Error(Errc::bad_endpoint, format("bad endpoint '{}': {}", text_.substr(0, 200), why));
  }

  void refuse_odd_characters() const {
    const auto odd = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::any_of(text_.begin(), text_.end(), odd)) fail("it contains a control character");
  }

  Endpoint tcp(std::string_view rest) const {
    if (!rest.empty() && rest.front() == '[')
      fail("IPv6 is not supported; write an IPv4 address or a host name");
    const auto colon = rest.rfind(':');
    if (colon == std::string_view::npos) fail("the port is missing; write tcp://host:port");
    Endpoint out{Transport::tcp, std::string(rest.substr(0, colon)), std::string(rest.substr(colon + 1)), {}};
    check_host(out.host);
    check_port(out.port);
    return out;
  }

  void check_host(const std::string& host) const {
    if (host.empty())
      fail(for_bind_ ? "the host is missing; * stands for all interfaces" : "the host is missing");
    if (host == "*") {
      if (!for_bind_) fail("* as the host only works for binding; name the host to connect to");
      return;
    }
    if (host.find(':') != std::string::npos)
      fail("IPv6 is not supported; write an IPv4 address or a host name");
    if (host.size() > kMaxName) fail("the host name is longer than 253 characters");
    const auto good = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
    };
    if (!std::all_of(host.begin(), host.end(), good))
      fail("the host may only have letters, digits, '-', '.' and '_'");
    const auto numeric = [](char c) { return c == '.' || (c >= '0' && c <= '9'); };
    in_addr ignored{};
    if (std::all_of(host.begin(), host.end(), numeric) && inet_pton(AF_INET, host.c_str(), &ignored) != 1) {
      fail(format("'{}' is no IPv4 address; write four numbers from 0 to 255 with dots between", host));
    }
    if (!for_bind_ && host == "0.0.0.0") fail("0.0.0.0 only works for binding; name the host to connect to");
  }

  void check_port(const std::string& port) const {
    if (port == "*") {
      if (!for_bind_)
        fail("* as the port only works for binding; write the port that the other end is bound to");
      return;
    }
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    const bool digits = error == std::errc{} && end == port.data() + port.size();
    if (!digits && error != std::errc::result_out_of_range) {
      fail(format("the port '{}' is no number; write 1 to 65535{}", port,
                  for_bind_ ? ", or * for a free one" : ""));
    }
    if (!digits || number == 0 || number > 65535) {
      fail(format("the port {} is out of range; write 1 to 65535{}", port,
                  for_bind_ ? ", or * for a free one" : ""));
    }
  }

  Endpoint ipc(std::string_view path) const {
    if (path.empty()) fail("the path is missing; write ipc:///path");
    if (path == "*")
      fail(
          "a wildcard does not work for ipc, because the other end could not know the path; write "
          "ipc:///path");
    if (path.front() == '@') fail("abstract socket names are not supported; write ipc:///path");
    if (path.size() > kMaxIpcPath) {
      fail(format("the path has {} bytes and the system allows {}; use a shorter directory", path.size(),
                  kMaxIpcPath));
    }
    if (path.back() == '/') fail("the path names a directory; write the name of a file in it");
    return {Transport::ipc, {}, {}, std::string(path)};
  }

  Endpoint inproc(std::string_view name) const {
    if (name.empty()) fail("the name is missing; write inproc://name");
    if (name.size() > kMaxName) fail("the name is longer than 253 characters");
    if (name.starts_with("zeromq.zap.") || name.starts_with("weft-monitor-")) fail("the name is reserved");
    return {Transport::inproc, {}, {}, std::string(name)};
  }

  std::string_view text_;
  bool for_bind_;
};

}  // namespace

Endpoint parse_endpoint(std::string_view text, bool for_bind) {
  return Parser(text, for_bind).parse();
}

void check_endpoint(std::string_view endpoint, bool for_bind) {
  parse_endpoint(endpoint, for_bind);
}

std::string bindable(const Endpoint& endpoint, std::string_view text) {
  in_addr ignored{};
  if (endpoint.transport != Transport::tcp || endpoint.host == "*" ||
      if_nametoindex(endpoint.host.c_str()) != 0 ||
      inet_pton(AF_INET, endpoint.host.c_str(), &ignored) == 1) {
    return std::string(text);
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int rc = getaddrinfo(endpoint.host.c_str(), nullptr, &hints, &found);
  if (rc != 0 || found == nullptr) {
    throw Error(
        Errc::bad_endpoint,
        format(
            "bad endpoint '{}': '{}' is no interface, no IPv4 address and no known host name ({}); write * "
            "for all interfaces",
            text, endpoint.host, gai_strerror(rc)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(found, freeaddrinfo);
  char address[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_addr, address,
            sizeof address);
  return format("tcp://{}:{}", static_cast<const char*>(address), endpoint.port);
}

}  // namespace weft::transport
