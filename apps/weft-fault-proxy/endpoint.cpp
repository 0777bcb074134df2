#include "endpoint.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

#include <arpa/inet.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::fault_proxy {
namespace {

constexpr std::string_view kScheme = "tcp://";

[[noreturn]] void refuse(const std::string& text, bool wildcard) {
  throw Error(Errc::bad_endpoint,
              format("{} is no endpoint: expected an IPv4 address and a port, like {}", weft::quoted(text),
                     wildcard ? "tcp://127.0.0.1:* (* is a free port)" : "tcp://127.0.0.1:5555"));
}

}  // namespace

sockaddr_in parse_endpoint(const std::string& text, bool wildcard) {
  std::string_view rest = text;
  if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) refuse(text, wildcard);
  const std::string host(rest.substr(0, colon));
  const std::string_view port = rest.substr(colon + 1);
  sockaddr_in out{};
  out.sin_family = AF_INET;
  if (host == "*" && wildcard) {
    out.sin_addr.s_addr = htonl(INADDR_ANY);
  } else if (::inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &out.sin_addr) != 1) {
    refuse(text, wildcard);
  }
  if (port == "*" && wildcard) return out;
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || (number == 0 && !wildcard)) {
    refuse(text, wildcard);
  }
  out.sin_port = htons(number);
  return out;
}

std::string endpoint_text(const sockaddr_in& address) {
  std::array<char, INET_ADDRSTRLEN> host{};
  ::inet_ntop(AF_INET, &address.sin_addr, host.data(), host.size());
  return format("tcp://{}:{}", host.data(), ntohs(address.sin_port));
}

}  // namespace weft::fault_proxy
