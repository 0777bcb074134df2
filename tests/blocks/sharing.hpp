// Ports that share memory, for the tests of it.
#pragma once

#include <string>
#include <utility>

#include "conformance.hpp"

namespace weft::conformance {

inline PortOptions sharing(std::string name) {
  PortOptions options{.name = std::move(name)};
  options.shared_memory = SharedMemory::on;
  return options;
}

inline PortOptions pull_options(const Place& place) {
  PortOptions options = sharing("in");
  options.node = "server/0";
  options.bind = place.endpoints();
  return options;
}

}  // namespace weft::conformance
