#include "tree.hpp"

#include <charconv>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::topology {
namespace {

template <class Number>
std::optional<Number> parse_whole(std::string_view text, int base) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Value> parse_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text;
  if (negative || text.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty() || digits.front() == '-') return std::nullopt;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0o")) {
    base = digits[1] == 'x' ? 16 : 8;
    digits.remove_prefix(2);
    if (digits.starts_with('-')) return std::nullopt;
  }
  const auto magnitude = parse_whole<std::uint64_t>(digits, base);
  if (!magnitude) return std::nullopt;
  if (!negative) return Value(*magnitude);
  if (*magnitude > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return Value(-static_cast<std::int64_t>(*magnitude));
}

bool all_of(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

std::optional<double> parse_number(std::string_view text) {
  std::string_view body = text;
  if (body.starts_with('-') || body.starts_with('+')) body.remove_prefix(1);
  const double sign = text.starts_with('-') ? -1 : 1;
  if (body == ".inf" || body == ".Inf" || body == ".INF") return sign * HUGE_VAL;
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::nan("");
  if (body.empty() || !all_of(body, "0123456789.eE+-")) return std::nullopt;
  if (body.front() != '.' && (body.front() < '0' || body.front() > '9')) return std::nullopt;
  double number = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), number);
  if (end != body.data() + body.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return sign * HUGE_VAL;
  if (error != std::errc()) return std::nullopt;
  return sign * number;
}

// A text that needs no quotes anywhere in YAML, whatever the reader's version.
bool is_plain(const Tree& tree) {
  constexpr std::string_view kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-%";
  if (tree.text.empty() || !all_of(tree.text, kSafe)) return false;
  const char first = tree.text.front();
  if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || (first >= '0' && first <= '9') ||
        first == '/' || first == '_')) {
    return false;
  }
  return make_scalar(tree.text, false, {}).is_text();
}

// `raw`: "${" stands for what it says.
std::string escape(std::string_view text, bool raw = false) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += format("\\x{:02x}", byte);
    } else if (c == '$' && !raw && text.substr(i).starts_with("${")) {
      out += "$$";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string emit_scalar(const Tree& tree) {
  if (tree.kind == Tree::Kind::null) return "null";
  if (tree.of_process) return escape(tree.text, true);
  if (!tree.is_text()) return tree.text;
  return is_plain(tree) ? tree.text : escape(tree.text);
}

std::string emit_key(const std::string& key) {
  return emit_scalar(make_scalar(key, true, {}));
}

// True when the value fits behind its key on one line.
bool is_inline(const Tree& tree) {
  if (tree.is_scalar()) return true;
  if (tree.is_map()) return tree.members.empty();
  for (const Tree& item : tree.items) {
    if (!item.is_scalar()) return false;
  }
  return true;
}

std::string emit_inline(const Tree& tree) {
  if (tree.is_scalar()) return emit_scalar(tree);
  if (tree.is_map()) return "{}";
  std::string out = "[";
  for (const Tree& item : tree.items) {
    if (out.size() > 1) out += ", ";
    out += emit_scalar(item);
  }
  return out + "]";
}

void emit_block(const Tree& tree, std::size_t indent, std::string& out) {
  const std::string margin(indent, ' ');
  for (const Member& member : tree.members) {
    out += margin + emit_key(member.key) + ":";
    if (is_inline(member.value)) {
      out += " " + emit_inline(member.value) + "\n";
    } else {
      out += "\n";
      emit_block(member.value, indent + 2, out);
    }
  }
  for (const Tree& item : tree.items) {
    if (is_inline(item)) {
      out += margin + "- " + emit_inline(item) + "\n";
      continue;
    }
    std::string nested;
    emit_block(item, indent + 2, nested);
    nested.replace(indent, 1, "-");
    out += nested;
  }
}

}  // namespace

const Tree* Tree::find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Tree* Tree::find(std::string_view key) {
  return const_cast<Tree*>(std::as_const(*this).find(key));
}

Tree make_scalar(std::string text, bool quoted, Place place) {
  Tree tree;
  tree.place = std::move(place);
  tree.quoted = quoted;
  tree.kind = Tree::Kind::text;
  if (!quoted) {
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
      tree.kind = Tree::Kind::null;
    } else if (text == "true" || text == "True" || text == "TRUE") {
      tree.kind = Tree::Kind::boolean;
      tree.scalar = true;
    } else if (text == "false" || text == "False" || text == "FALSE") {
      tree.kind = Tree::Kind::boolean;
      tree.scalar = false;
    } else if (const auto integer = parse_integer(text)) {
      tree.kind = Tree::Kind::integer;
      tree.scalar = *integer;
    } else if (const auto number = parse_number(text)) {
      tree.kind = Tree::Kind::number;
      tree.scalar = *number;
    }
  }
  if (tree.kind == Tree::Kind::text) tree.scalar = text;
  tree.text = std::move(text);
  return tree;
}

Tree make_map(Place place) {
  Tree tree;
  tree.kind = Tree::Kind::map;
  tree.place = std::move(place);
  return tree;
}

std::size_t count(const Tree& tree) {
  std::size_t total = 1;
  for (const Tree& item : tree.items) total += count(item);
  for (const Member& member : tree.members) total += count(member.value);
  return total;
}

std::string found(const Tree& tree) {
  switch (tree.kind) {
    case Tree::Kind::null:
      return "nothing";
    case Tree::Kind::boolean:
      return "the boolean " + tree.text;
    case Tree::Kind::integer:
    case Tree::Kind::number:
      return format("the number {}", tree.text.size() > 40 ? "..." : tree.text);
    case Tree::Kind::text:
      return "text " + weft::quoted(tree.text);
    case Tree::Kind::list:
      return "a list";
    case Tree::Kind::map:
      return "a map";
  }
  return "nothing";
}

void merge(Tree& base, Tree over) {
  if (!base.is_map() || !over.is_map()) {
    base = std::move(over);
    return;
  }
  base.place = over.place;
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < base.members.size(); ++i) index.emplace(base.members[i].key, i);
  for (Member& member : over.members) {
    const auto at = index.find(member.key);
    if (at == index.end()) {
      base.members.push_back(std::move(member));
    } else {
      base.members[at->second].place = member.place;
      merge(base.members[at->second].value, std::move(member.value));
    }
  }
}

Value to_value(const Tree& tree) {
  if (tree.is_map()) {
    Value::Map map;
    map.reserve(tree.members.size());
    for (const Member& member : tree.members) map.emplace_back(member.key, to_value(member.value));
    return map;
  }
  if (tree.is_list()) {
    Value::List list;
    list.reserve(tree.items.size());
    for (const Tree& item : tree.items) list.push_back(to_value(item));
    return list;
  }
  return tree.scalar;
}

std::string text_for(const Tree& tree, const std::string& node, unsigned replica) {
  if (!tree.of_process) return tree.text;
  std::string out;
  for (std::string_view rest = tree.text; !rest.empty();) {
    const auto take = [&](std::string_view what, std::string_view becomes) {
      if (!rest.starts_with(what)) return false;
      out += becomes;
      rest.remove_prefix(what.size());
      return true;
    };
    if (take("$${", "${") || take("${node}", node) || take("${replica}", std::to_string(replica))) continue;
    out += rest.front();
    rest.remove_prefix(1);
  }
  return out;
}

Value to_value_for(const Tree& tree, const std::string& node, unsigned replica) {
  if (tree.is_map()) {
    Value::Map map;
    map.reserve(tree.members.size());
    for (const Member& member : tree.members) {
      map.emplace_back(member.key, to_value_for(member.value, node, replica));
    }
    return map;
  }
  if (tree.is_list()) {
    Value::List list;
    list.reserve(tree.items.size());
    for (const Tree& item : tree.items) list.push_back(to_value_for(item, node, replica));
    return list;
  }
  if (!tree.of_process) return tree.scalar;
  if (tree.kind == Tree::Kind::integer) return Value(replica);
  return Value(text_for(tree, node, replica));
}

std::string emit_yaml(const Tree& tree) {
  if (is_inline(tree)) return emit_inline(tree) + "\n";
  std::string out;
  emit_block(tree, 0, out);
  return out;
}

}  // namespace weft::topology
