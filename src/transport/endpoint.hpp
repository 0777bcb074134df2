// What a socket makes of an endpoint: refused as an error, and in a form that libzmq binds.
#pragma once

#include <string>
#include <string_view>

#include <weft/core/endpoint.hpp>

namespace weft::transport {

/// Throws Error{bad_endpoint}.
Endpoint read_endpoint(std::string_view text, EndpointUse use);

/// What libzmq can bind: host names, which it does not look up for binding, become an address: of IPv4 if
/// there is one. Throws Error{bad_endpoint} when the name is unknown.
Endpoint bindable(const Endpoint& endpoint);

}  // namespace weft::transport
