// "tcp://127.0.0.1:5555" as the system wants it.
#pragma once

#include <string>

#include <sys/socket.h>

namespace weft::fault_proxy {

/// Where a socket is bound or connects to: of IPv4 or IPv6.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  [[nodiscard]] int family() const { return storage.ss_family; }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// An IPv4 address, an IPv6 address in brackets, or "*" (of IPv4), and a port, or "*"; "tcp://" can be left
/// out. Throws Error{bad_endpoint}; `wildcard` says whether "*" is allowed.
Address parse_endpoint(const std::string& text, bool wildcard);
std::string endpoint_text(const Address& address);

}  // namespace weft::fault_proxy
