// FieldReader: typed access to the fields of a configuration map, with errors that name field, value and
// bound.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::ps {

class FieldReader {
 public:
  /// Throws Error{invalid_argument} when `value` is no map.
  FieldReader(const Value& value, std::string where);

  /// Each returns the default when the field is absent and throws Error{invalid_argument} when it is out of
  /// range.
  [[nodiscard]] std::uint64_t integer(std::string_view field, std::uint64_t otherwise, std::uint64_t least,
                                      std::uint64_t most);
  [[nodiscard]] float number(std::string_view field, float otherwise, double least, double most);
  /// The index of the text among `choices`.
  [[nodiscard]] std::size_t choice(std::string_view field, std::size_t otherwise,
                                   const std::vector<std::string>& choices);
  /// The nested value, or null.
  [[nodiscard]] const Value& nested(std::string_view field);
  /// Throws when the map has a field that nobody read; `owner` is used in the sentence, e.g. "optimizer sgd".
  void refuse_others(const std::string& owner) const;

  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] bool has(std::string_view field) const { return value_->find(field) != nullptr; }
  [[noreturn]] void fail(std::string_view field, const Value& found, const std::string& expected) const;

 private:
  const Value* look(std::string_view field);

  const Value* value_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace weft::ps
