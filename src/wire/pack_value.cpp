// Value trees to msgpack and back; for configuration-like records, not for the hot path.
#include <string>
#include <unordered_map>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/wire/pack.hpp>

namespace weft::wire {

void Pack::value(const Value& v) {
  if (v.is_null()) return nil();
  if (v.is_bool()) return boolean(v.as_bool());
  if (v.is_double()) return real(v.as_double());
  if (v.is_string()) return str(v.as_string());
  if (v.is_binary()) return bin(as_bytes(v.as_binary()));
  if (v.is_list()) {
    array(v.as_list().size());
    for (const Value& item : v.as_list()) value(item);
    return;
  }
  if (v.is_map()) {
    map(v.as_map().size());
    for (const auto& [key, item] : v.as_map()) {
      str(key);
      value(item);
    }
    return;
  }
  // An integer: only its sign is asked of the double, since one beyond the signed range throws from as_int.
  if (v.as_double() < 0) return sint(v.as_int());
  uint(v.as_uint());
}

namespace {

// The reader has already checked the whole object: what is claimed is there, and no deeper than the stack
// allows.
Value read(Unpack& in);

// Keys that hold other objects are shown as the bytes that they are: rendering them again at every level of
// nesting would double their length each time.
std::string read_key(Unpack& in) {
  if (const auto v = in.bytes()) return std::string(as_text(*v));
  const Bytes packed = *in.object();
  Value scalar = Unpack(packed).value(0).value_or(Value::map());
  if (!scalar.is_map()) return to_json(scalar);
  std::string hex = "0x";
  for (const std::byte b : packed) hex += format("{:02x}", static_cast<unsigned>(b));
  return hex;
}

// Equal keys: the place of the first, the value of the last. By hash, since hostile maps may be long.
void drop_repeated(Value::Map& map) {
  std::unordered_map<std::string_view, std::size_t> first;
  first.reserve(map.size());
  std::vector<bool> repeated(map.size());
  bool any = false;
  for (std::size_t i = 0; i < map.size(); ++i) {
    const auto [at, fresh] = first.emplace(map[i].first, i);
    if (fresh) continue;
    map[at->second].second = std::move(map[i].second);
    repeated[i] = any = true;
  }
  if (!any) return;
  Value::Map kept;
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (!repeated[i]) kept.push_back(std::move(map[i]));
  }
  map = std::move(kept);
}

Value read_list(Unpack& in, std::uint32_t count) {
  Value::List items;
  items.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) items.push_back(read(in));
  return items;
}

Value read_map(Unpack& in, std::uint32_t count) {
  Value::Map members;
  members.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string key = read_key(in);
    members.emplace_back(std::move(key), read(in));
  }
  drop_repeated(members);
  return members;
}

Value read(Unpack& in) {
  if (const auto v = in.uint()) return *v;
  if (const auto v = in.sint()) return *v;
  if (const auto v = in.str()) return *v;
  if (const auto v = in.real()) return *v;
  if (const auto v = in.boolean()) return *v;
  if (const auto v = in.bin()) return Value::Binary{std::string(as_text(*v))};
  if (const auto count = in.array()) return read_list(in, *count);
  if (const auto count = in.map()) return read_map(in, *count);
  if (const auto v = in.ext()) {
    return Value::Map{{"ext", int{v->type}}, {"data", Value::Binary{std::string(as_text(v->payload))}}};
  }
  in.nil();
  return {};
}

}  // namespace

std::optional<Value> Unpack::value(std::size_t depth) {
  const auto whole = object(depth);
  if (!whole) return std::nullopt;
  Unpack in(*whole);
  return read(in);
}

}  // namespace weft::wire
