// Turns what libzmq reports into weft::Error, so that no exception of cppzmq leaves the layer.
#pragma once

#include <string>
#include <string_view>

#include <weft/core/error.hpp>

namespace weft::transport {

/// "<what>: <reason>" for errno-like code `number`, as an Error of the code that fits it.
Error zmq_failure(std::string_view what, int number);
/// The same for a call on an endpoint: names it, and says what a person can do.
Error endpoint_failure(std::string_view verb, std::string_view endpoint, int number);

}  // namespace weft::transport
