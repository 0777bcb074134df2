#include "endpoint.hpp"

#include <algorithm>
#include <charconv>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

#include "problems.hpp"

namespace weft::topology {
namespace {

std::optional<unsigned> parse_number(std::string_view text, unsigned most) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || number > most)
    return std::nullopt;
  return number;
}

bool is_ipv4(std::string_view host) {
  const auto parts = split(host, '.');
  return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return parse_number(part, 255).has_value();
         });
}

bool is_host(std::string_view host) {
  constexpr std::string_view kName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  constexpr std::string_view kV6 = "0123456789abcdefABCDEF:.%";
  if (host.empty() || host.size() > 253) return false;
  if (host.front() != '[') return host.find_first_not_of(kName) == std::string_view::npos;
  return host.size() > 2 && host.back() == ']' &&
         host.substr(1, host.size() - 2).find_first_not_of(kV6) == std::string_view::npos;
}

}  // namespace

std::string Endpoint::text() const {
  return tcp ? format("tcp://{}:{}", host, port) : "ipc://" + path;
}

Endpoint Endpoint::data() const {
  Endpoint other = *this;
  if (tcp) {
    ++other.port;
  } else {
    other.path += kDataSuffix;
  }
  return other;
}

Endpoint Endpoint::to_bind() const {
  Endpoint other = *this;
  if (!tcp || is_ipv4(host) || host.starts_with('[')) return other;
  other.host = host == "localhost" ? "127.0.0.1" : "*";
  return other;
}

std::optional<Endpoint> parse_host(std::string_view text, std::string& why) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) {
    why = "has no port; write host:port, such as h0:5000";
    return std::nullopt;
  }
  const std::string_view host = text.substr(0, colon);
  if (host == "*") {
    why = "has \"*\" for a host, which nobody can connect to; name the host";
    return std::nullopt;
  }
  if (!is_host(host)) {
    why = "has no good host name; write host:port, such as h0:5000, 10.0.0.7:5000 or [::1]:5000";
    return std::nullopt;
  }
  const auto port = parse_number(text.substr(colon + 1), 65535);
  if (!port || *port == 0) {
    why = format("has the port {}; a port is a number from 1 to 65535", weft::quoted(text.substr(colon + 1)));
    return std::nullopt;
  }
  return Endpoint{true, std::string(host), *port, ""};
}

std::optional<Endpoint> parse_endpoint(std::string_view text, bool publisher, std::string& why) {
  const std::size_t at = text.find("://");
  const std::string_view scheme = at == std::string_view::npos ? std::string_view() : text.substr(0, at);
  if (scheme == "tcp") return parse_host(text.substr(at + 3), why);
  if (scheme == "ipc") {
    const std::string_view path = text.substr(at + 3);
    const std::size_t most = kLongestIpcPath - (publisher ? kDataSuffix.size() : 0);
    if (path.empty() || path == "*") {
      why = "has no path; write ipc:// and a path, such as ipc:///run/weft/a";
    } else if (path.size() > most) {
      why = format("has a path of {} bytes; the system allows {}{}", path.size(), most,
                   publisher ? " (107, less five for the publisher's data socket)" : "");
    } else {
      return Endpoint{false, "", 0, std::string(path)};
    }
    return std::nullopt;
  }
  if (scheme == "inproc") {
    why = "is inproc, which joins threads of one program; nodes are processes, so use ipc or tcp";
  } else if (scheme.empty()) {
    why = "has no transport; write tcp://host:port or ipc://path";
  } else {
    why = format("has the unknown transport {}; write tcp://host:port or ipc://path{}", weft::quoted(scheme),
                 did_you_mean(scheme, {"tcp", "ipc"}));
  }
  return std::nullopt;
}

}  // namespace weft::topology
