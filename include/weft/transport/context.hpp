// Context: one ZeroMQ context, and the thread that watches what its bound sockets accept.
#pragma once

#include <memory>
#include <string>

namespace weft {

struct ContextOptions {
  int io_threads = 1;      ///< 1-16
  int max_sockets = 8192;  ///< 8-65536; a block uses one socket a peer that it connects to
  void check() const;      ///< throws Error{invalid_argument}
};

/// Shared by all loops of a process that talk over inproc. Any thread. Raises the process's soft limit
/// of descriptors to the hard one. Its one thread counts the connections that bound sockets accept, and turns
/// some away when no descriptor is left for them. Must outlive the sockets made from it.
class Context {
 public:
  explicit Context(ContextOptions options = {});
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  struct Impl;
  Impl& impl() { return *impl_; }  ///< for the transport layer only

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft
