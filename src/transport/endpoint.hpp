// Endpoint: what a person wrote as an address, taken apart and checked.
#pragma once

#include <string>
#include <string_view>

namespace weft::transport {

enum class Transport { tcp, ipc, inproc };

struct Endpoint {
  Transport transport = Transport::tcp;
  std::string host;  ///< tcp: name, IPv4 address, interface or "*"
  std::string port;  ///< tcp: number or "*"
  std::string name;  ///< ipc: path; inproc: name
};

/// Throws Error{bad_endpoint}.
Endpoint parse_endpoint(std::string_view text, bool for_bind);

/// What libzmq can bind: host names, which it does not look up for binding, become an IPv4 address.
/// Throws Error{bad_endpoint} when the name is unknown.
std::string bindable(const Endpoint& endpoint, std::string_view text);

}  // namespace weft::transport
