#include <weft/core/json.hpp>

#include <cmath>

#include <nlohmann/json.hpp>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>

namespace weft {
namespace {

constexpr int kMaxDepth = 64;

// Builds a Value while the text is read, so that no second tree is made and nesting is bounded.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  bool null() { return add(Value()); }
  bool boolean(bool v) { return add(Value(v)); }
  bool number_integer(number_integer_t v) { return add(Value(v)); }
  bool number_unsigned(number_unsigned_t v) { return add(Value(v)); }
  bool number_float(number_float_t v, const string_t&) { return add(Value(v)); }
  bool string(string_t& v) { return add(Value(std::move(v))); }
  bool binary(binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Value::map()); }
  bool start_array(std::size_t) { return open(Value::list()); }
  bool key(string_t& name) {
    keys_.back() = std::move(name);
    return true;
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception& e) {
    position_ = position;
    const std::string_view text = e.what();
    const auto colon = text.rfind(": ");
    why_ = colon == std::string_view::npos ? std::string(text) : std::string(text.substr(colon + 2));
    return false;
  }

  Value root;
  [[nodiscard]] const std::string& why() const { return why_; }
  [[nodiscard]] std::size_t position() const { return position_; }

 private:
  bool add(Value v) {
    if (stack_.empty()) {
      root = std::move(v);
    } else if (stack_.back().is_list()) {
      stack_.back().push_back(std::move(v));
    } else {
      stack_.back()[keys_.back()] = std::move(v);
    }
    return true;
  }
  bool open(Value v) {
    if (stack_.size() >= kMaxDepth) {
      why_ = format("nested deeper than {} levels", kMaxDepth);
      return false;
    }
    stack_.push_back(std::move(v));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    Value done = std::move(stack_.back());
    stack_.pop_back();
    keys_.pop_back();
    return add(std::move(done));
  }

  std::vector<Value> stack_;
  std::vector<std::string> keys_;
  std::string why_;
  std::size_t position_ = 0;
};

std::string base64(std::string_view bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k <= bytes.size() ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

nlohmann::ordered_json tree(const Value& value) {
  if (value.is_null()) return nullptr;
  if (value.is_bool()) return value.as_bool();
  if (value.is_int()) {
    try {
      return value.as_int();
    } catch (const Error&) {
      return value.as_uint();
    }
  }
  if (value.is_double())
    return std::isfinite(value.as_double()) ? nlohmann::ordered_json(value.as_double()) : nullptr;
  if (value.is_string()) return value.as_string();
  if (value.is_binary()) return {{"base64", base64(value.as_binary())}};
  if (value.is_list()) {
    auto out = nlohmann::ordered_json::array();
    for (const Value& item : value.as_list()) out.push_back(tree(item));
    return out;
  }
  auto out = nlohmann::ordered_json::object();
  for (const auto& [key, item] : value.as_map()) out[key] = tree(item);
  return out;
}

bool parse_into(std::string_view text, Builder& builder) {
  return nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
}

}  // namespace

Value parse_json(std::string_view text) {
  Builder builder;
  if (parse_into(text, builder)) return std::move(builder.root);
  const std::size_t end = std::min(builder.position(), text.size());
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i + 1 < end; ++i) {
    column = text[i] == '\n' ? 1 : column + 1;
    line += text[i] == '\n' ? 1 : 0;
  }
  throw Error(Errc::invalid_file, format("not JSON at line {}, column {}: {}", line, column, builder.why()));
}

std::optional<Value> try_parse_json(std::string_view text, std::string* why) {
  Builder builder;
  if (parse_into(text, builder)) return std::move(builder.root);
  if (why) *why = builder.why();
  return std::nullopt;
}

std::string to_json(const Value& value, int indent) {
  return tree(value).dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace weft
