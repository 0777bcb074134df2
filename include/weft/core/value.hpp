// Value: the dynamic tree that configuration, descriptions, reports and JSON share. Not for the hot path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace weft {

/// One of: null, boolean, signed or unsigned 64-bit integer, double, text, binary, list, map. Maps keep the
/// order of insertion and hold each key once. Copies are deep. Integers are kept as signed when they fit.
class Value {
 public:
  using List = std::vector<Value>;
  using Map = std::vector<std::pair<std::string, Value>>;
  struct Binary {
    std::string bytes;
    bool operator==(const Binary&) const = default;
  };

  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool v) : data_(v) {}
  Value(int v) : data_(std::int64_t{v}) {}
  Value(long v) : data_(std::int64_t{v}) {}
  Value(long long v) : data_(std::int64_t{v}) {}
  Value(unsigned v) : data_(std::int64_t{v}) {}
  Value(unsigned long v) { set_unsigned(v); }
  Value(unsigned long long v) { set_unsigned(v); }
  Value(double v) : data_(v) {}
  Value(const char* v) : data_(std::string(v)) {}
  Value(std::string_view v) : data_(std::string(v)) {}
  Value(std::string v) : data_(std::move(v)) {}
  Value(Binary v) : data_(std::move(v)) {}
  Value(List v) : data_(std::move(v)) {}
  Value(Map v) : data_(std::move(v)) {}

  static Value map() { return Value(Map{}); }
  static Value list() { return Value(List{}); }

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  [[nodiscard]] bool is_bool() const { return std::holds_alternative<bool>(data_); }
  /// A signed or unsigned integer.
  [[nodiscard]] bool is_int() const {
    return std::holds_alternative<std::int64_t>(data_) || std::holds_alternative<std::uint64_t>(data_);
  }
  [[nodiscard]] bool is_double() const { return std::holds_alternative<double>(data_); }
  [[nodiscard]] bool is_number() const { return is_int() || is_double(); }
  [[nodiscard]] bool is_string() const { return std::holds_alternative<std::string>(data_); }
  [[nodiscard]] bool is_binary() const { return std::holds_alternative<Binary>(data_); }
  [[nodiscard]] bool is_list() const { return std::holds_alternative<List>(data_); }
  [[nodiscard]] bool is_map() const { return std::holds_alternative<Map>(data_); }
  /// "null", "boolean", "integer", "number", "text", "binary", "list" or "map", for error sentences.
  [[nodiscard]] std::string_view kind() const;

  // Typed access. Each throws Error{invalid_argument} that names both kinds when the value is of another kind
  // or (integers) out of range. as_double accepts integers.
  [[nodiscard]] bool as_bool() const;
  [[nodiscard]] std::int64_t as_int() const;
  [[nodiscard]] std::uint64_t as_uint() const;
  [[nodiscard]] double as_double() const;
  [[nodiscard]] const std::string& as_string() const;
  [[nodiscard]] const std::string& as_binary() const;
  [[nodiscard]] const List& as_list() const;
  [[nodiscard]] List& as_list();
  [[nodiscard]] const Map& as_map() const;
  [[nodiscard]] Map& as_map();

  /// The member, or nullptr when this is no map or has no such key.
  [[nodiscard]] const Value* find(std::string_view key) const;
  [[nodiscard]] Value* find(std::string_view key);
  /// The member, or a null value.
  [[nodiscard]] const Value& get(std::string_view key) const;
  /// The member, made when missing; a null value becomes a map first.
  Value& operator[](std::string_view key);
  /// Appends; a null value becomes a list first.
  void push_back(Value v);

  bool operator==(const Value&) const = default;

 private:
  void set_unsigned(std::uint64_t v) {
    if (v <= static_cast<std::uint64_t>(INT64_MAX)) {
      data_ = static_cast<std::int64_t>(v);
    } else {
      data_ = v;
    }
  }
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Binary, List, Map>
      data_;
};

}  // namespace weft
