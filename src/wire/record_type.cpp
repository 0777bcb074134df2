#include <weft/wire/record_type.hpp>

namespace weft {

bool compatible(const RecordType& a, const RecordType& b) {
  return a.is_any() || b.is_any() || a == b;
}

namespace wire {
namespace {

// FNV-1a, 64 bit: http://www.isthe.com/chongo/tech/comp/fnv/
class Fnv {
 public:
  void add(std::string_view text) {
    for (const char c : text) {
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r') continue;
      hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    }
  }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
};

}  // namespace

std::uint64_t type_fingerprint(std::string_view name, std::string_view fields) {
  Fnv fnv;
  fnv.add(name);
  fnv.add("(");
  fnv.add(fields);
  fnv.add(")");
  return fnv.hash();
}

}  // namespace wire
}  // namespace weft
