#include <weft/core/error.hpp>

namespace weft {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::invalid_file:
      return "invalid_file";
    case Errc::not_found:
      return "not_found";
    case Errc::address_in_use:
      return "address_in_use";
    case Errc::in_use:
      return "in_use";
    case Errc::bad_endpoint:
      return "bad_endpoint";
    case Errc::type_mismatch:
      return "type_mismatch";
    case Errc::timed_out:
      return "timed_out";
    case Errc::peer_lost:
      return "peer_lost";
    case Errc::io:
      return "io";
    case Errc::protocol:
      return "protocol";
    case Errc::unsupported:
      return "unsupported";
    case Errc::internal:
      return "internal";
  }
  return "unknown";
}

}  // namespace weft
