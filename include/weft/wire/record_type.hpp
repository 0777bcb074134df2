// RecordType: what a port carries, as two peers compare it when they meet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weft {

/// Name and fingerprint of what a port carries; name "any" and fingerprint 0 match every type.
struct RecordType {
  std::string name = "any";
  std::uint64_t fingerprint = 0;
  [[nodiscard]] bool is_any() const { return name == "any"; }
  bool operator==(const RecordType&) const = default;
};

/// True when two ends may talk: one is `any`, or name and fingerprint are equal.
bool compatible(const RecordType& a, const RecordType& b);

namespace wire {
/// FNV-1a, 64 bit, of "Name(field,field)" without white space: easy to compute in any language.
std::uint64_t type_fingerprint(std::string_view name, std::string_view fields);
}  // namespace wire

}  // namespace weft
