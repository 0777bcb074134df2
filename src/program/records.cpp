#include <weft/program/records.hpp>

#include <array>
#include <cstdint>

#include <weft/blocks/block.hpp>
#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/wire/pack.hpp>

namespace weft::program {
namespace {

constexpr int kDeepest = 64;
constexpr std::size_t kLongestTopic = 190;  // bytes

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The tensor that an ext of type 1 refers to, as a tree.
std::optional<Value> tensor_value(const Value& value, std::span<const Tensor> frames) {
  const Value* type = value.find("ext");
  const Value* data = value.find("data");
  if (!type || !data || value.as_map().size() != 2 || !type->is_int() || !data->is_binary())
    return std::nullopt;
  if (type->as_int() != wire::kTensorExt) return std::nullopt;
  const auto ref = wire::unpack_tensor_ref(as_bytes(data->as_binary()));
  const auto tensor = ref ? wire::resolve(*ref, frames) : std::nullopt;
  if (!tensor) return std::nullopt;
  Value out = Value::map();
  out["dtype"] = to_string(tensor->dtype);
  out["shape"] = Value::List(tensor->shape.begin(), tensor->shape.end());
  out["data"] = Value::Binary{std::string(as_text(tensor->data))};
  return out;
}

// Bytes that are text become text, references become the tensors that they mean.
void make_readable(Value& value, std::span<const Tensor> frames, int depth) {
  if (depth > kDeepest) return;
  if (value.is_binary()) {
    if (is_utf8(value.as_binary())) value = std::string(value.as_binary());
  } else if (value.is_string()) {
    if (!is_utf8(value.as_string())) value = Value::Binary{value.as_string()};
  } else if (value.is_list()) {
    for (Value& item : value.as_list()) make_readable(item, frames, depth + 1);
  } else if (value.is_map()) {
    if (auto tensor = tensor_value(value, frames)) {
      value = std::move(*tensor);
      return;
    }
    for (auto& [key, item] : value.as_map()) {
      if (!is_utf8(key)) key = to_json(Value::Binary{key});
      make_readable(item, frames, depth + 1);
    }
  }
}

bool is_base64_map(const Value& value) {
  const Value* text = value.find("base64");
  return text != nullptr && value.as_map().size() == 1 && text->is_string();
}

void pack_tree(const Value& value, wire::Buffer& out, int depth) {
  wire::Pack pack(out);
  if (depth > kDeepest) return pack.nil();
  if (value.is_list()) {
    pack.array(value.as_list().size());
    for (const Value& item : value.as_list()) pack_tree(item, out, depth + 1);
  } else if (value.is_map()) {
    if (is_base64_map(value)) {
      if (const auto bytes = from_base64(value.get("base64").as_string())) return pack.bin(as_bytes(*bytes));
    }
    pack.map(value.as_map().size());
    for (const auto& [key, item] : value.as_map()) {
      pack.str(key);
      pack_tree(item, out, depth + 1);
    }
  } else {
    pack.value(value);
  }
}

}  // namespace

Value record_to_value(const wire::RecordView& record) {
  Value value = wire::Unpack(record.packed).value().value_or(Value());
  make_readable(value, record.tensors, 0);
  return value;
}

std::string record_to_json(const wire::RecordView& record) {
  return to_json(record_to_value(record));
}

void pack_value(const Value& value, wire::Buffer& out) {
  pack_tree(value, out, 0);
}

bool pack_json(std::string_view text, wire::Buffer& out, std::string& why) {
  const auto value = try_parse_json(text, &why);
  if (!value) return false;
  const std::size_t before = out.size();
  pack_value(*value, out);
  const SendStatus verdict = sendable(out.view().subspan(before));
  if (verdict == SendStatus::ok) return true;
  out.truncate(before);
  why = to_string(verdict);
  return false;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::array<std::uint32_t, 4> six{};
    int padding = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const char c = text[i + k];
      if (c == '=' && i + 4 == text.size() && k >= 2) {
        ++padding;
        continue;
      }
      const std::size_t at = kAlphabet.find(c);
      if (at == std::string_view::npos || padding != 0) return std::nullopt;
      six[k] = static_cast<std::uint32_t>(at);
    }
    const std::uint32_t bits = six[0] << 18 | six[1] << 12 | six[2] << 6 | six[3];
    out += static_cast<char>(bits >> 16 & 0xFF);
    if (padding < 2) out += static_cast<char>(bits >> 8 & 0xFF);
    if (padding < 1) out += static_cast<char>(bits & 0xFF);
  }
  return out;
}

Bytes field_of(Bytes packed, std::string_view name) {
  wire::Unpack in(packed);
  const auto pairs = in.map();
  if (!pairs) return {};
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = in.object();
    const auto value = in.object();
    if (!key || !value) return {};
    const auto text = wire::Unpack(*key).str();
    if (text && *text == name) return *value;
  }
  return {};
}

std::optional<std::string> field_text(Bytes packed, std::string_view name) {
  const Bytes field = field_of(packed, name);
  if (field.empty()) return std::nullopt;
  if (const auto text = wire::Unpack(field).str()) return std::string(*text);
  const auto value = wire::Unpack(field).value();
  if (!value || value->is_null() || value->is_list() || value->is_map()) return std::nullopt;
  return value->is_binary() ? value->as_binary() : to_json(*value);
}

TopicTemplate::TopicTemplate(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    throw Error(Errc::invalid_argument, format("the topic {} {}", weft::quoted(text), why));
  };
  if (text.size() > kLongestTopic) refuse(format("is longer than {} bytes", kLongestTopic));
  if (!is_utf8(text)) refuse("is not UTF-8");
  if (!text.empty() && text.front() == '\0') refuse("begins with a zero byte; such topics are reserved");
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    if (open != 0) {
      const std::string_view plain = text.substr(0, open);
      if (plain.find('}') != std::string_view::npos) refuse("has a \"}\" without its \"{\"");
      parts_.push_back({std::string(plain), false});
      text.remove_prefix(plain.size());
      continue;
    }
    const std::size_t close = text.find('}');
    if (close == std::string_view::npos || close == 1)
      refuse("has a \"{\" without a field name and \"}\" behind it");
    parts_.push_back({std::string(text.substr(1, close - 1)), true});
    text.remove_prefix(close + 1);
  }
}

std::optional<std::string_view> TopicTemplate::of(Bytes packed, std::string* missing) {
  if (parts_.size() == 1 && !parts_.front().field) return parts_.front().text;
  filled_.clear();
  for (const Part& part : parts_) {
    if (!part.field) {
      filled_ += part.text;
      continue;
    }
    const auto value = field_text(packed, part.text);
    if (!value) {
      if (missing) *missing = part.text;
      return std::nullopt;
    }
    filled_ += *value;
  }
  return filled_;
}

}  // namespace weft::program
