// Uses the installed package as a stranger would: no header and no library of the source tree.
#include <cstdio>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>

int main() {
  const weft::Value value = weft::parse_json(R"({"linger": "250ms"})");
  const auto linger = weft::parse_duration(value.get("linger").as_string());
  if (!linger || weft::format_duration(*linger) != "250ms") return 1;
  std::puts(weft::format("linger is {}", weft::format_duration(*linger)).c_str());
  return 0;
}
