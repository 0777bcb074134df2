// Any bytes as a topology file: problems or none, never a crash, a hang or another exception.
#include <cstddef>
#include <cstdint>
#include <string>

#include <weft/topology/topology.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const auto& problem : weft::topology::check_text(text, "fuzz.yaml")) {
    if (problem.message.empty()) __builtin_trap();
  }
  return 0;
}
