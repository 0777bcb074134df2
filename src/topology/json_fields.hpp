// Strict reading of the JSON forms of descriptions and plans. Private.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/text.hpp>
#include <weft/core/time.hpp>
#include <weft/core/units.hpp>
#include <weft/core/value.hpp>

#include "names.hpp"

namespace weft::topology {

/// One JSON object whose members are read by name. Every accessor throws Error{invalid_file} that names the
/// member
/// ("the plan: ends[0].port must be text, found null") when it is missing or of another kind. Unknown members
/// are left alone, so that a newer writer can add some.
class Fields {
 public:
  Fields(const Value& value, std::string path) : value_(value), path_(std::move(path)) {
    if (!value.is_map()) fail(path_, "an object", value);
  }

  [[nodiscard]] const std::string& text(std::string_view key) const {
    const Value& v = value_.get(key);
    if (!v.is_string()) fail(name(key), "text", v);
    return v.as_string();
  }
  /// Empty when the member is absent.
  [[nodiscard]] std::string text_or_empty(std::string_view key) const {
    return value_.find(key) ? text(key) : "";
  }
  [[nodiscard]] bool boolean(std::string_view key) const {
    const Value& v = value_.get(key);
    if (!v.is_bool()) fail(name(key), "true or false", v);
    return v.as_bool();
  }
  [[nodiscard]] bool boolean_or(std::string_view key, bool other) const {
    return value_.find(key) ? boolean(key) : other;
  }
  [[nodiscard]] unsigned number(std::string_view key) const {
    const Value& v = value_.get(key);
    if (!v.is_int() || v.as_double() < 0 || v.as_double() > 4294967295.0) {
      fail(name(key), "a whole number from 0 to 4294967295", v);
    }
    return static_cast<unsigned>(v.as_uint());
  }
  [[nodiscard]] std::uint64_t count(std::string_view key) const {
    const Value& v = value_.get(key);
    if (!v.is_int() || v.as_double() < 0) fail(name(key), "a whole number from 0", v);
    return v.as_uint();
  }
  [[nodiscard]] Duration duration(std::string_view key) const {
    const auto span = parse_duration(text(key));
    if (!span) fail(name(key), "a time with its unit", value_.get(key));
    return *span;
  }
  [[nodiscard]] std::uint64_t size(std::string_view key) const {
    const auto bytes = parse_size(text(key));
    if (!bytes) fail(name(key), "a size with its unit", value_.get(key));
    return *bytes;
  }
  [[nodiscard]] std::uint64_t size_or(std::string_view key, std::uint64_t other) const {
    return value_.find(key) ? size(key) : other;
  }
  template <class Enum>
  [[nodiscard]] Enum word(std::string_view key, const Names<Enum>& names) const {
    const auto parsed = parse_name(text(key), names);
    if (!parsed) fail(name(key), join_words(words_of(names), "or"), value_.get(key));
    return *parsed;
  }
  /// Empty when the member is absent.
  [[nodiscard]] const Value::List& list(std::string_view key) const {
    static const Value::List none;
    const Value* v = value_.find(key);
    if (!v) return none;
    if (!v->is_list()) fail(name(key), "a list", *v);
    return v->as_list();
  }
  [[nodiscard]] const Value::Map& map(std::string_view key) const {
    const Value& v = value_.get(key);
    if (!v.is_map()) fail(name(key), "an object", v);
    return v.as_map();
  }
  [[nodiscard]] std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> out;
    for (const Value& item : list(key)) {
      if (!item.is_string()) fail(name(key), "a list of texts", item);
      out.push_back(item.as_string());
    }
    return out;
  }
  [[nodiscard]] const Value& any(std::string_view key) const { return value_.get(key); }
  [[nodiscard]] std::string name(std::string_view key) const { return format("{}.{}", path_, key); }

  [[noreturn]] static void fail(const std::string& path, std::string_view expected, const Value& found) {
    const std::string shown =
        found.is_string() ? "text " + weft::quoted(found.as_string()) : std::string(found.kind());
    throw Error(Errc::invalid_file, format("{} must be {}, found {}", path, expected, shown));
  }

 private:
  const Value& value_;
  std::string path_;
};

}  // namespace weft::topology
