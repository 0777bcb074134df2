// The one exception type that leaves Weft, and the stable codes it carries.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace weft {

/// Stable codes: they appear in JSON output and in exit messages, and their names never change.
enum class Errc {
  invalid_argument,  ///< an option is out of its range, or two options exclude each other
  invalid_file,      ///< a topology, data or configuration file cannot be understood
  not_found,         ///< a file, program, node or port that was named does not exist
  address_in_use,    ///< an endpoint is already bound
  in_use,            ///< another process owns a file that only one may have open
  bad_endpoint,      ///< an endpoint has an unknown transport, a bad address, or a path that is too long
  type_mismatch,     ///< two ends of a link carry records of different types
  timed_out,         ///< a set-up step did not finish by its deadline
  peer_lost,         ///< a peer that is needed is gone
  io,                ///< the operating system refused a read, write, spawn or socket call
  protocol,          ///< a peer or a control message broke the protocol
  unsupported,       ///< asked for something that this build or platform does not offer
  internal,          ///< a defect of Weft
};

std::string_view to_string(Errc code);

/// Thrown when something cannot be set up. Expected outcomes at run time (would block, timed out, closed) are
/// values instead. `what()` is one sentence for a person: what was wrong, where, what was expected, what to
/// do.
class Error : public std::runtime_error {
 public:
  Error(Errc code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  [[nodiscard]] Errc code() const noexcept { return code_; }

 private:
  Errc code_;
};

}  // namespace weft
