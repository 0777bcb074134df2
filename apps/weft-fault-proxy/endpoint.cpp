#include "endpoint.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::fault_proxy {
namespace {

constexpr std::string_view kScheme = "tcp://";

[[noreturn]] void refuse(const std::string& text, bool wildcard) {
  throw Error(
      Errc::bad_endpoint,
      format(
          "{} is no endpoint: expected an IPv4 address, or an IPv6 address in brackets, and a port, like {}",
          weft::quoted(text), wildcard ? "tcp://127.0.0.1:* (* is a free port)" : "tcp://127.0.0.1:5555"));
}

template <class Of>
void put(Address& address, const Of& of) {
  std::memcpy(&address.storage, &of, sizeof of);
  address.size = sizeof of;
}

bool read_host(const std::string& host, bool wildcard, in_port_t port, Address& out) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = port;
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six.sin6_addr) != 1) return false;
    put(out, six);
    return true;
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = port;
  const char* const number = host == "localhost" ? "127.0.0.1" : host.c_str();
  if (!(host == "*" && wildcard) && ::inet_pton(AF_INET, number, &four.sin_addr) != 1) return false;
  put(out, four);
  return true;
}

}  // namespace

Address parse_endpoint(const std::string& text, bool wildcard) {
  std::string_view rest = text;
  if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) refuse(text, wildcard);
  const std::string_view port = rest.substr(colon + 1);
  std::uint16_t number = 0;
  if (port != "*" || !wildcard) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc{} || end != port.data() + port.size() || (number == 0 && !wildcard)) {
      refuse(text, wildcard);
    }
  }
  Address out;
  if (!read_host(std::string(rest.substr(0, colon)), wildcard, htons(number), out)) refuse(text, wildcard);
  return out;
}

std::string endpoint_text(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> host{};
  if (address.family() == AF_INET6) {
    const auto* const six = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    ::inet_ntop(AF_INET6, &six->sin6_addr, host.data(), host.size());
    return format("tcp://[{}]:{}", host.data(), ntohs(six->sin6_port));
  }
  const auto* const four = reinterpret_cast<const sockaddr_in*>(&address.storage);
  ::inet_ntop(AF_INET, &four->sin_addr, host.data(), host.size());
  return format("tcp://{}:{}", host.data(), ntohs(four->sin_port));
}

}  // namespace weft::fault_proxy
