#include "zmq_error.hpp"

#include <cerrno>

#include <zmq.h>

#include <weft/core/format.hpp>

namespace weft::transport {

Error zmq_failure(std::string_view what, int number) {
  switch (number) {
    case EINVAL:
      return {Errc::invalid_argument, format("{}: libzmq refuses the value", what)};
    case EMFILE:
    case ENFILE:
      return {Errc::io,
              format("{}: no socket or file descriptor is left; raise ContextOptions::max_sockets or "
                     "`ulimit -n`",
                     what)};
    case ENOMEM:
      return {Errc::io, format("{}: out of memory", what)};
    case ETERM:
      return {Errc::internal, format("{}: the context has been shut down", what)};
    case ENOTSUP:
      return {Errc::unsupported, format("{}: this kind of socket cannot do that", what)};
    default:
      return {Errc::io, format("{}: {}", what, zmq_strerror(number))};
  }
}

Error endpoint_failure(std::string_view verb, std::string_view endpoint, int number) {
  const auto fail = [&](Errc code, std::string_view why) {
    return Error{code, format("cannot {} {}: {}", verb, endpoint, why)};
  };
  switch (number) {
    case EADDRINUSE:
      return fail(
          Errc::address_in_use,
          "the address is already in use; stop the process that holds it (`ss -ltnp` shows it), choose "
          "another one, or leave the choice to the system (port *, or no endpoint in a topology)");
    case EADDRNOTAVAIL:
    case ENODEV:
      return fail(
          Errc::bad_endpoint,
          "the address belongs to no network interface of this machine; write * for all interfaces or an "
          "address that `ip addr` shows");
    case EACCES:
    case EPERM:
      return fail(Errc::io, "permission denied; ports below 1024 and foreign directories need more rights");
    case EPROTONOSUPPORT:
      return fail(Errc::bad_endpoint, "the transport is unknown; write tcp://, ipc:// or inproc://");
    case EINVAL:
      return fail(Errc::bad_endpoint, "the endpoint is malformed; write e.g. tcp://127.0.0.1:5000");
    case ENAMETOOLONG:
      return fail(Errc::bad_endpoint, "the path is too long; 107 bytes is the most for ipc");
    case ENOENT:
      return fail(Errc::io, "the directory does not exist; make it first");
    default:
      return zmq_failure(format("cannot {} {}", verb, endpoint), number);
  }
}

}  // namespace weft::transport
