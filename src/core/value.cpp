#include <weft/core/value.hpp>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft {
namespace {

[[noreturn]] void wrong_kind(std::string_view wanted, const Value& got) {
  throw Error(Errc::invalid_argument, format("expected {}, found {}", wanted, got.kind()));
}

}  // namespace

std::string_view Value::kind() const {
  switch (data_.index()) {
    case 0:
      return "null";
    case 1:
      return "boolean";
    case 2:
    case 3:
      return "integer";
    case 4:
      return "number";
    case 5:
      return "text";
    case 6:
      return "binary";
    case 7:
      return "list";
    default:
      return "map";
  }
}

bool Value::as_bool() const {
  if (const auto* v = std::get_if<bool>(&data_)) return *v;
  wrong_kind("boolean", *this);
}

std::int64_t Value::as_int() const {
  if (const auto* v = std::get_if<std::int64_t>(&data_)) return *v;
  if (is_int()) throw Error(Errc::invalid_argument, "integer is beyond the signed 64-bit range");
  wrong_kind("integer", *this);
}

std::uint64_t Value::as_uint() const {
  if (const auto* v = std::get_if<std::uint64_t>(&data_)) return *v;
  const std::int64_t v = as_int();
  if (v < 0) throw Error(Errc::invalid_argument, format("expected an integer from 0, found {}", v));
  return static_cast<std::uint64_t>(v);
}

double Value::as_double() const {
  if (const auto* v = std::get_if<double>(&data_)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<std::uint64_t>(&data_)) return static_cast<double>(*v);
  wrong_kind("number", *this);
}

const std::string& Value::as_string() const {
  if (const auto* v = std::get_if<std::string>(&data_)) return *v;
  wrong_kind("text", *this);
}

const std::string& Value::as_binary() const {
  if (const auto* v = std::get_if<Binary>(&data_)) return v->bytes;
  wrong_kind("binary", *this);
}

const Value::List& Value::as_list() const {
  if (const auto* v = std::get_if<List>(&data_)) return *v;
  wrong_kind("list", *this);
}

Value::List& Value::as_list() {
  return const_cast<List&>(std::as_const(*this).as_list());
}

const Value::Map& Value::as_map() const {
  if (const auto* v = std::get_if<Map>(&data_)) return *v;
  wrong_kind("map", *this);
}

Value::Map& Value::as_map() {
  return const_cast<Map&>(std::as_const(*this).as_map());
}

const Value* Value::find(std::string_view key) const {
  const auto* map = std::get_if<Map>(&data_);
  if (!map) return nullptr;
  for (const auto& [name, value] : *map) {
    if (name == key) return &value;
  }
  return nullptr;
}

Value* Value::find(std::string_view key) {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

const Value& Value::get(std::string_view key) const {
  static const Value null;
  const Value* found = find(key);
  return found ? *found : null;
}

Value& Value::operator[](std::string_view key) {
  if (is_null()) data_ = Map{};
  if (Value* found = find(key)) return *found;
  auto& map = as_map();
  map.emplace_back(std::string(key), Value());
  return map.back().second;
}

void Value::push_back(Value v) {
  if (is_null()) data_ = List{};
  as_list().push_back(std::move(v));
}

}  // namespace weft
