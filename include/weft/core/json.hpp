// JSON text to Value and back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weft/core/value.hpp>

namespace weft {

/// One JSON document. Throws Error{invalid_file} with line and column. Duplicate keys: the last one holds.
/// Nesting is limited to 64 levels. Integers beyond 64 bits become doubles.
Value parse_json(std::string_view text);

/// As parse_json, but a malformed document is a value: nullopt, with the reason in *why when given.
std::optional<Value> try_parse_json(std::string_view text, std::string* why = nullptr);

/// Compact on one line when indent < 0, else indented by that many spaces. Binary becomes {"base64": "..."};
/// text that is not UTF-8 has the bad bytes replaced; non-finite numbers become null.
std::string to_json(const Value& value, int indent = -1);

}  // namespace weft
