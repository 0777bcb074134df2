// "tcp://127.0.0.1:5555" as the system wants it.
#pragma once

#include <string>

#include <netinet/in.h>

namespace weft::fault_proxy {

/// An IPv4 address, or "*", and a port, or "*"; "tcp://" can be left out. Throws Error{bad_endpoint};
/// `wildcard` says whether "*" is allowed.
sockaddr_in parse_endpoint(const std::string& text, bool wildcard);
std::string endpoint_text(const sockaddr_in& address);

}  // namespace weft::fault_proxy
