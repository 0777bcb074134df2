#include <weft/program/options.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

namespace weft::program {
namespace {

using topology::OptionDescription;
using topology::OptionType;

std::string shown(const Value& value) {
  if (value.is_string()) return weft::quoted(value.as_string());
  const std::string json = to_json(value);
  return value.is_list() || value.is_map() ? format("a {}", value.kind()) : json;
}

std::string number_text(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? format("{}", static_cast<std::int64_t>(value))
                                                              : format("{}", value);
}

// "a whole number from 1 to 10 (rows)"
std::string expectation(const OptionDescription& option) {
  const std::string unit = option.type == OptionType::duration ? " seconds"
                           : option.type == OptionType::size   ? " bytes"
                                                               : "";
  std::string text;
  switch (option.type) {
    case OptionType::text:
      return "text";
    case OptionType::boolean:
      return "true or false";
    case OptionType::choice:
      return join_words(option.choices, "or");
    case OptionType::list:
      return "a list";
    case OptionType::map:
    case OptionType::record:
      return "a map";
    case OptionType::any:
      return "any value";
    case OptionType::integer:
      text = "a whole number";
      break;
    case OptionType::number:
      text = "a number";
      break;
    case OptionType::duration:
      text = "a time with its unit, like 250ms or 10s";
      break;
    case OptionType::size:
      text = "a size with its unit, like 64KiB";
      break;
  }
  if (option.minimum && option.maximum) {
    text += format(", from {} to {}{}", number_text(*option.minimum), number_text(*option.maximum), unit);
  } else if (option.minimum) {
    text += format(", at least {}{}", number_text(*option.minimum), unit);
  } else if (option.maximum) {
    text += format(", at most {}{}", number_text(*option.maximum), unit);
  }
  return option.unit.empty() ? text : format("{} ({})", text, option.unit);
}

class Reader {
 public:
  std::vector<std::string> mistakes;

  Value fields(const std::vector<OptionDescription>& known, const Value& given, const std::string& prefix) {
    Value out = Value::map();
    std::vector<std::string> names;
    for (const OptionDescription& option : known) names.push_back(option.name);
    if (given.is_map()) {
      for (const auto& [name, value] : given.as_map()) {
        if (std::find(names.begin(), names.end(), name) == names.end()) unknown(prefix + name, name, names);
      }
    }
    const auto beside = [&given](std::string_view name) -> std::optional<std::string> {
      const Value& value = given.get(name);
      if (value.is_null() || (value.is_string() && value.as_string().empty())) return std::nullopt;
      return value.is_string() ? value.as_string() : "given";
    };
    for (const OptionDescription& option : known) {
      const Value& value = given.get(option.name);
      const std::string path = prefix + option.name;
      if (!value.is_null()) {
        out[option.name] = read(option, value, path);
        const auto why = beside(option.name) ? topology::misplaced(option, known, beside) : std::nullopt;
        if (why) mistakes.push_back(format("{}: {}", path, *why));
      } else if (topology::is_required(option, known, beside)) {
        mistakes.push_back(format("{} is missing: expected {}{}", path, expectation(option),
                                  option.help.empty() ? "" : format(" ({})", option.help)));
      } else if (!option.default_value.is_null() && !topology::misplaced(option, known, beside)) {
        out[option.name] = read(option, option.default_value, path);
      }
    }
    return out;
  }

 private:
  void unknown(const std::string& path, const std::string& name, const std::vector<std::string>& names) {
    const auto near = nearest(name, names);
    mistakes.push_back(format("there is no option {}{}", weft::quoted(path),
                              near ? format("; did you mean {}?", weft::quoted(*near))
                                   : format("; its options are {}", join_words(names))));
  }

  Value read(const OptionDescription& option, const Value& value, const std::string& path) {
    switch (option.type) {
      case OptionType::list:
        if (value.is_list()) return items(option, value, path);
        break;
      case OptionType::map:
        if (value.is_map()) return entries(option, value, path);
        break;
      case OptionType::record:
        if (value.is_map()) return fields(option.fields, value, path + ".");
        break;
      default:
        if (fits(option, value)) return value;
    }
    mistakes.push_back(format("{}: expected {}, found {}", path, expectation(option), shown(value)));
    return value;
  }

  Value items(const OptionDescription& option, const Value& value, const std::string& path) {
    if (option.fields.empty()) return value;
    Value out = Value::list();
    for (const Value& item : value.as_list()) {
      out.push_back(read(option.fields.front(), item, format("{}[{}]", path, out.as_list().size())));
    }
    return out;
  }

  Value entries(const OptionDescription& option, const Value& value, const std::string& path) {
    if (option.fields.empty()) return value;
    Value out = Value::map();
    for (const auto& [name, item] : value.as_map()) {
      out[name] = read(option.fields.front(), item, path + "." + name);
    }
    return out;
  }

  static bool in_range(const OptionDescription& option, double value) {
    return !(option.minimum && value < *option.minimum) && !(option.maximum && value > *option.maximum);
  }

  static bool fits(const OptionDescription& option, const Value& value) {
    switch (option.type) {
      case OptionType::text:
        return value.is_string();
      case OptionType::boolean:
        return value.is_bool();
      case OptionType::integer:
        return value.is_int() && in_range(option, value.as_double());
      case OptionType::number:
        return value.is_number() && std::isfinite(value.as_double()) && in_range(option, value.as_double());
      case OptionType::choice:
        return value.is_string() && std::find(option.choices.begin(), option.choices.end(),
                                              value.as_string()) != option.choices.end();
      case OptionType::duration: {
        const auto span = value.is_string() ? parse_duration(value.as_string()) : std::nullopt;
        return span && in_range(option, std::chrono::duration<double>(*span).count());
      }
      case OptionType::size: {
        const auto bytes = value.is_string() ? parse_size(value.as_string()) : std::nullopt;
        return bytes && in_range(option, static_cast<double>(*bytes));
      }
      default:
        return true;
    }
  }
};

}  // namespace

Options::Options(std::string program, const std::vector<OptionDescription>& known, const Value& given)
    : program_(std::move(program)) {
  if (!given.is_null() && !given.is_map()) {
    throw Error(Errc::invalid_argument,
                format("{}: its options must be a map, found {}", program_, shown(given)));
  }
  for (const OptionDescription& option : known) names_.push_back(option.name);
  Reader reader;
  values_ = reader.fields(known, given, "");
  if (reader.mistakes.empty()) return;
  std::string text;
  for (const std::string& mistake : reader.mistakes) {
    if (!text.empty()) text += "\n";
    text += format("{}: {}", program_, mistake);
  }
  throw Error(Errc::invalid_argument, text);
}

const Value& Options::known(std::string_view name, std::string_view wanted) const {
  if (std::find(names_.begin(), names_.end(), name) == names_.end()) {
    throw Error(Errc::internal,
                format("{} asks for its option {} and does not describe it", program_, weft::quoted(name)));
  }
  const Value& value = values_.get(name);
  if (value.is_null() && !wanted.empty()) {
    throw Error(
        Errc::internal,
        format("{} asks for its option {} as {}, but it has neither value nor default: ask has() first",
               program_, weft::quoted(name), wanted));
  }
  return value;
}

bool Options::has(std::string_view name) const {
  return !known(name, "").is_null();
}

const std::string& Options::text(std::string_view name) const {
  static const std::string none;
  const Value& value = known(name, "");
  return value.is_null() ? none : value.as_string();
}

std::int64_t Options::integer(std::string_view name) const {
  return known(name, "a whole number").as_int();
}

double Options::number(std::string_view name) const {
  return known(name, "a number").as_double();
}

bool Options::boolean(std::string_view name) const {
  return known(name, "a boolean").as_bool();
}

Duration Options::duration(std::string_view name) const {
  return parse_duration(known(name, "a duration").as_string()).value_or(Duration::zero());
}

std::uint64_t Options::size(std::string_view name) const {
  return parse_size(known(name, "a size").as_string()).value_or(0);
}

std::vector<std::string> Options::texts(std::string_view name) const {
  std::vector<std::string> out;
  const Value& value = known(name, "");
  if (value.is_null()) return out;
  for (const Value& item : value.as_list()) out.push_back(item.as_string());
  return out;
}

const Value& Options::value(std::string_view name) const {
  return known(name, "");
}

void Options::refuse(std::string_view name, std::string_view sentence) const {
  throw Error(Errc::invalid_argument, format("{}: {}: {}", program_, name, sentence));
}

Value parse_option_text(const std::string& program, const OptionDescription& option,
                        const std::string& text) {
  switch (option.type) {
    case OptionType::text:
    case OptionType::choice:
    case OptionType::duration:
    case OptionType::size:
      return text;
    default:
      break;
  }
  std::string why;
  if (auto value = try_parse_json(text, &why)) return std::move(*value);
  if (option.type == OptionType::any) return text;
  throw Error(Errc::invalid_argument, format("{}: {}: expected {}, found {}", program, option.name,
                                             expectation(option), weft::quoted(text)));
}

}  // namespace weft::program
