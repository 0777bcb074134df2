// Endpoint: an address as people write it, taken apart and checked: the one reading of it that files, command
// lines and sockets share.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weft {

inline constexpr std::size_t kLongestIpcPath = 107;  ///< bytes; the kernel's bound of a socket's path
inline constexpr std::string_view kDataSuffix = ".data";

enum class EndpointUse {
  connect,  ///< one address: no wildcards
  bind,     ///< also all interfaces (`*`, `0.0.0.0`, `[::]`) and a free port (`*`)
};

/// `tcp://host:port`, `ipc://path` or `inproc://name`.
struct Endpoint {
  enum class Kind { tcp, ipc, inproc };
  Kind kind = Kind::tcp;
  std::string host;  ///< tcp: name, interface, IPv4 address, IPv6 address in brackets, or "*"
  std::string port;  ///< tcp: 1 to 65535, or "*"
  std::string path;  ///< ipc: path; inproc: name

  [[nodiscard]] bool is_tcp() const { return kind == Kind::tcp; }
  /// The host is an address, not a name: "[...]" or four numbers.
  [[nodiscard]] bool is_ipv6() const { return is_tcp() && host.starts_with('['); }
  [[nodiscard]] bool is_ipv4() const;
  [[nodiscard]] unsigned port_number() const;  ///< 0: "*"
  [[nodiscard]] std::string text() const;
  /// Where a publisher's data socket stands: the next port, or the path with ".data".
  [[nodiscard]] Endpoint data() const;
  /// What the owner of an address binds that its peers connect to: no host name, since sockets bind none.
  [[nodiscard]] Endpoint to_bind() const;
};

/// nullopt when it is none, with the reason as a sentence in `why`: "the port is missing; write
/// tcp://host:port".
std::optional<Endpoint> parse_endpoint(std::string_view text, EndpointUse use, std::string& why);

}  // namespace weft
