#include <weft/core/endpoint.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft {
namespace {

constexpr std::size_t kMaxName = 253;  // of a DNS name, and of an inproc name
constexpr std::size_t kMaxZone = 15;   // of an interface

bool is_v4(const std::string& host) {
  in_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1;
}

// Without brackets; "fe80::1%eth0" has a zone.
bool is_v6(std::string_view host) {
  const std::size_t percent = host.find('%');
  if (percent != std::string_view::npos) {
    const std::string_view zone = host.substr(percent + 1);
    const auto odd = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.';
    };
    if (zone.empty() || zone.size() > kMaxZone || std::ranges::any_of(zone, odd)) return false;
    host = host.substr(0, percent);
  }
  in6_addr ignored{};
  return inet_pton(AF_INET6, std::string(host).c_str(), &ignored) == 1;
}

bool is_any_v6(std::string_view host) {
  in6_addr address{};
  return inet_pton(AF_INET6, std::string(host).c_str(), &address) == 1 && IN6_IS_ADDR_UNSPECIFIED(&address);
}

class Parser {
 public:
  Parser(std::string_view text, EndpointUse use, std::string& why)
      : text_(text), for_bind_(use == EndpointUse::bind), why_(why) {}

  std::optional<Endpoint> parse() {
    const auto colon = text_.find("://");
    if (colon == std::string_view::npos)
      return fail("the transport is missing; write tcp://host:port, ipc:///path or inproc://name");
    const auto transport = text_.substr(0, colon);
    const auto rest = text_.substr(colon + 3);
    const auto odd = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(text_, odd)) return fail("it contains a control character");
    if (transport == "tcp") return tcp(rest);
    if (transport == "ipc") return ipc(rest);
    if (transport == "inproc") return inproc(rest);
    const auto near = nearest(transport, {"tcp", "ipc", "inproc"});
    return fail(format("the transport '{}' is unknown{}; write tcp://host:port, ipc:///path or inproc://name",
                       transport, near ? format(" (did you mean {}?)", *near) : ""));
  }

 private:
  std::nullopt_t fail(std::string why) {
    why_ = std::move(why);
    return std::nullopt;
  }

  std::optional<Endpoint> tcp(std::string_view rest) {
    const auto colon = rest.rfind(':');
    if (colon == std::string_view::npos || rest.ends_with(']'))
      return fail("the port is missing; write tcp://host:port");
    Endpoint out;
    out.host = rest.substr(0, colon);
    out.port = rest.substr(colon + 1);
    if (!host_is_good(out.host) || !port_is_good(out.port)) return std::nullopt;
    return out;
  }

  bool wrong(std::string why) {
    (void)fail(std::move(why));
    return false;
  }

  bool host_is_good(const std::string& host) {
    if (host.empty())
      return wrong(for_bind_ ? "the host is missing; * stands for all interfaces" : "the host is missing");
    if (host == "*")
      return for_bind_ || wrong("* as the host only works for binding; name the host to connect to");
    if (host.front() == '[') return v6_is_good(host);
    if (host.find(':') != std::string::npos) {
      return wrong(is_v6(host)
                       ? format("an IPv6 address stands in brackets; write tcp://[{}]:port", host)
                       : "the host has a ':'; write tcp://host:port, and an IPv6 address in brackets");
    }
    if (host.size() > kMaxName) return wrong("the host name is longer than 253 characters");
    const auto good = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
    };
    if (!std::ranges::all_of(host, good))
      return wrong("the host may only have letters, digits, '-', '.' and '_'");
    const auto numeric = [](char c) { return c == '.' || (c >= '0' && c <= '9'); };
    if (std::ranges::all_of(host, numeric) && !is_v4(host))
      return wrong(
          format("'{}' is no IPv4 address; write four numbers from 0 to 255 with dots between", host));
    if (!for_bind_ && host == "0.0.0.0")
      return wrong("0.0.0.0 only works for binding; name the host to connect to");
    return true;
  }

  bool v6_is_good(const std::string& host) {
    const std::string_view inner = std::string_view(host).substr(1, host.size() - 2);
    if (host.size() < 3 || host.back() != ']' || !is_v6(inner)) {
      return wrong(
          format("'{}' is no IPv6 address; write one in brackets, such as [::1] or [fe80::1%eth0]", host));
    }
    if (!for_bind_ && is_any_v6(inner))
      return wrong(format("{} only works for binding; name the host to connect to", host));
    return true;
  }

  bool port_is_good(const std::string& port) {
    if (port == "*") {
      return for_bind_ ||
             wrong("* as the port only works for binding; write the port that the other end is bound to");
    }
    const char* const free = for_bind_ ? ", or * for a free one" : "";
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    const bool digits = error == std::errc{} && end == port.data() + port.size();
    if (!digits && error != std::errc::result_out_of_range)
      return wrong(format("the port '{}' is no number; write 1 to 65535{}", port, free));
    if (!digits || number == 0 || number > 65535)
      return wrong(format("the port {} is out of range; write 1 to 65535{}", port, free));
    return true;
  }

  std::optional<Endpoint> ipc(std::string_view path) {
    if (path.empty()) return fail("the path is missing; write ipc:///path");
    if (path == "*")
      return fail(
          "a wildcard does not work for ipc, because the other end could not know the path; write "
          "ipc:///path");
    if (path.front() == '@') return fail("abstract socket names are not supported; write ipc:///path");
    if (path.size() > kLongestIpcPath)
      return fail(format("the path has {} bytes and the system allows {}; use a shorter directory",
                         path.size(), kLongestIpcPath));
    if (path.back() == '/') return fail("the path names a directory; write the name of a file in it");
    return Endpoint{Endpoint::Kind::ipc, {}, {}, std::string(path)};
  }

  std::optional<Endpoint> inproc(std::string_view name) {
    if (name.empty()) return fail("the name is missing; write inproc://name");
    if (name.size() > kMaxName) return fail("the name is longer than 253 characters");
    if (name.starts_with("zeromq.zap.") || name.starts_with("weft-monitor-"))
      return fail("the name is reserved");
    return Endpoint{Endpoint::Kind::inproc, {}, {}, std::string(name)};
  }

  std::string_view text_;
  bool for_bind_;
  std::string& why_;
};

}  // namespace

bool Endpoint::is_ipv4() const {
  return is_tcp() && is_v4(host);
}

unsigned Endpoint::port_number() const {
  unsigned number = 0;
  std::from_chars(port.data(), port.data() + port.size(), number);
  return number;
}

std::string Endpoint::text() const {
  switch (kind) {
    case Kind::tcp:
      return format("tcp://{}:{}", host, port);
    case Kind::ipc:
      return "ipc://" + path;
    case Kind::inproc:
      break;
  }
  return "inproc://" + path;
}

Endpoint Endpoint::data() const {
  Endpoint other = *this;
  if (is_tcp()) {
    other.port = std::to_string(port_number() + 1);
  } else {
    other.path += kDataSuffix;
  }
  return other;
}

Endpoint Endpoint::to_bind() const {
  Endpoint other = *this;
  if (!is_tcp() || is_ipv4() || is_ipv6()) return other;
  other.host = host == "localhost" ? "127.0.0.1" : "*";
  return other;
}

std::optional<Endpoint> parse_endpoint(std::string_view text, EndpointUse use, std::string& why) {
  return Parser(text, use, why).parse();
}

}  // namespace weft
