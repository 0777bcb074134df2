#include "endpoint.hpp"

#include <array>
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

static_assert(kLongestIpcPath == sizeof(sockaddr_un::sun_path) - 1);

[[noreturn]] void fail(std::string_view text, std::string_view why) {
  throw Error(Errc::bad_endpoint, format("bad endpoint '{}': {}", text.substr(0, 200), why));
}

// As it stands in an endpoint; empty: the name has no address of that family.
std::string address_of(const std::string& name, int family, int& error) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  error = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (error != 0 || found == nullptr) return "";
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(found, freeaddrinfo);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* const at =
      family == AF_INET ? static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr)
                        : &reinterpret_cast<sockaddr_in6*>(found->ai_addr)->sin6_addr;
  inet_ntop(family, at, text.data(), text.size());
  return family == AF_INET ? std::string(text.data()) : format("[{}]", text.data());
}

}  // namespace

Endpoint read_endpoint(std::string_view text, EndpointUse use) {
  std::string why;
  auto endpoint = parse_endpoint(text, use, why);
  if (!endpoint) fail(text, why);
  return *std::move(endpoint);
}

void check_endpoint(std::string_view endpoint, bool for_bind) {
  (void)read_endpoint(endpoint, for_bind ? EndpointUse::bind : EndpointUse::connect);
}

Endpoint bindable(const Endpoint& endpoint) {
  if (!endpoint.is_tcp() || endpoint.host == "*" || endpoint.is_ipv4() || endpoint.is_ipv6() ||
      if_nametoindex(endpoint.host.c_str()) != 0) {
    return endpoint;
  }
  int error = 0;
  Endpoint out = endpoint;
  out.host = address_of(endpoint.host, AF_INET, error);
  int ignored = 0;
  if (out.host.empty()) out.host = address_of(endpoint.host, AF_INET6, ignored);
  if (out.host.empty()) {
    fail(endpoint.text(),
         format("'{}' is no interface, no address and no known host name ({}); write * for all "
                "interfaces",
                endpoint.host, gai_strerror(error)));
  }
  return out;
}

}  // namespace weft::transport
