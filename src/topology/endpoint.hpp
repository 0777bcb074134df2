// Addresses as people write them in a topology. Private.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weft::topology {

inline constexpr std::size_t kLongestIpcPath = 107;  ///< bytes; the kernel's bound of a socket's path
inline constexpr std::string_view kDataSuffix = ".data";

/// `tcp://host:port` or `ipc://path`.
struct Endpoint {
  bool tcp = true;
  std::string host;   ///< tcp; "[::1]" keeps its brackets
  unsigned port = 0;  ///< tcp
  std::string path;   ///< ipc

  [[nodiscard]] std::string text() const;
  /// Where a publisher's data socket stands: the next port, or the path with ".data".
  [[nodiscard]] Endpoint data() const;
  /// What the owner binds: libzmq binds numbers and interfaces but no host names, so a name becomes "*".
  [[nodiscard]] Endpoint to_bind() const;
};

/// "host:port" of `hosts:`. nullopt, with a sentence's end in `why` ("has no port ..."), when it is none.
std::optional<Endpoint> parse_host(std::string_view text, std::string& why);
/// "tcp://host:port" or "ipc://path"; `publisher`: the data socket's path must fit as well.
std::optional<Endpoint> parse_endpoint(std::string_view text, bool publisher, std::string& why);

}  // namespace weft::topology
