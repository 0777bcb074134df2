#include <weft/topology/description.hpp>

#include <algorithm>
#include <charconv>

#include <weft/core/text.hpp>

#include "json_fields.hpp"

namespace weft::topology {
namespace {

constexpr int kDeepestOption = 16;

Value to_value(const PortDescription& port) {
  Value v;
  v["name"] = port.name;
  v["block"] = to_string(port.block);
  v["record"] = port.record;
  // As text: JSON readers elsewhere round integers beyond 2^53.
  v["fingerprint"] = format("{:016x}", port.fingerprint);
  v["required"] = port.required;
  v["help"] = port.help;
  if (port.side != PortSide::either) v["side"] = to_string(port.side);
  return v;
}

Value texts_value(const std::vector<std::string>& texts) {
  return Value::List(texts.begin(), texts.end());
}

Value to_value(const OptionCondition& condition) {
  Value v;
  v["option"] = condition.option;
  v["values"] = texts_value(condition.values);
  return v;
}

Value to_value(const OptionDescription& option) {
  Value v;
  v["name"] = option.name;
  v["type"] = to_string(option.type);
  v["unit"] = option.unit;
  v["help"] = option.help;
  v["default"] = option.default_value;
  // A reader that knows no conditions would ask for it always.
  v["required"] = option.required && !option.when;
  if (option.minimum) v["minimum"] = *option.minimum;
  if (option.maximum) v["maximum"] = *option.maximum;
  if (!option.choices.empty()) {
    Value::List choices(option.choices.begin(), option.choices.end());
    v["choices"] = std::move(choices);
  }
  if (!option.fields.empty()) {
    Value::List fields;
    for (const OptionDescription& field : option.fields) fields.push_back(to_value(field));
    v["fields"] = std::move(fields);
  }
  if (option.when) {
    v["when"] = to_value(*option.when);
    v["when"]["required"] = option.required;
  }
  if (!option.excludes.empty()) v["excludes"] = texts_value(option.excludes);
  if (!option.needs.empty()) v["needs"] = texts_value(option.needs);
  return v;
}

std::uint64_t read_fingerprint(const Fields& fields) {
  if (fields.any("fingerprint").is_null()) return 0;
  const std::string& text = fields.text("fingerprint");
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    Fields::fail(fields.name("fingerprint"), "up to 16 hexadecimal digits", fields.any("fingerprint"));
  }
  return number;
}

PortDescription port_from(const Value& value, const std::string& path) {
  const Fields fields(value, path);
  PortDescription port;
  port.name = fields.text("name");
  port.block = fields.word("block", block_names());
  port.record = fields.any("record").is_null() ? "any" : fields.text("record");
  port.fingerprint = read_fingerprint(fields);
  port.required = fields.boolean_or("required", false);
  port.help = fields.text_or_empty("help");
  if (!fields.any("side").is_null()) port.side = fields.word("side", side_names());
  return port;
}

std::optional<double> bound_from(const Fields& fields, std::string_view key) {
  const Value& v = fields.any(key);
  if (v.is_null()) return std::nullopt;
  if (!v.is_number()) Fields::fail(fields.name(key), "a number", v);
  return v.as_double();
}

std::optional<OptionCondition> condition_from(const Fields& fields, std::string_view key) {
  const Value& value = fields.any(key);
  if (value.is_null()) return std::nullopt;
  const Fields condition(value, fields.name(key));
  return OptionCondition{condition.text("option"), condition.texts("values")};
}

OptionDescription option_from(const Value& value, const std::string& path, int depth) {
  const Fields fields(value, path);
  if (depth > kDeepestOption)
    throw Error(Errc::invalid_file, path + " is nested deeper than any option may be");
  OptionDescription option;
  option.name = fields.text_or_empty("name");
  option.type = fields.word("type", option_type_names());
  option.unit = fields.text_or_empty("unit");
  option.help = fields.text_or_empty("help");
  option.default_value = fields.any("default");
  option.required = fields.boolean_or("required", false);
  option.minimum = bound_from(fields, "minimum");
  option.maximum = bound_from(fields, "maximum");
  option.choices = fields.texts("choices");
  option.when = condition_from(fields, "when");
  if (option.when)
    option.required = Fields(fields.any("when"), fields.name("when")).boolean_or("required", false);
  option.excludes = fields.texts("excludes");
  option.needs = fields.texts("needs");
  for (const Value& field : fields.list("fields")) {
    option.fields.push_back(
        option_from(field, format("{}.fields[{}]", path, option.fields.size()), depth + 1));
  }
  return option;
}

bool holds(const OptionCondition& condition, const std::vector<OptionDescription>& options,
           const GivenOptions& given, std::string* found = nullptr) {
  auto value = given(condition.option);
  for (const OptionDescription& option : options) {
    if (!value && option.name == condition.option && option.default_value.is_string())
      value = option.default_value.as_string();
  }
  if (found) *found = value.value_or("nothing");
  return value && std::ranges::find(condition.values, *value) != condition.values.end();
}

}  // namespace

std::optional<std::string> misplaced(const OptionDescription& option,
                                     const std::vector<OptionDescription>& options,
                                     const GivenOptions& given) {
  for (const std::string& other : option.excludes) {
    if (given(other)) return format("cannot stand beside {}; take one of them", weft::quoted(other));
  }
  const auto is_given = [&given](const std::string& name) { return given(name).has_value(); };
  if (!option.needs.empty() && std::ranges::none_of(option.needs, is_given))
    return format("needs {} beside it", join_words(option.needs, "or"));
  std::string found;
  if (!option.when || holds(*option.when, options, given, &found)) return std::nullopt;
  return format("goes with {}: {}, not with {}", option.when->option, join_words(option.when->values, "or"),
                found);
}

bool is_required(const OptionDescription& option, const std::vector<OptionDescription>& options,
                 const GivenOptions& given) {
  return option.required && (!option.when || holds(*option.when, options, given));
}

Value to_value(const ProgramDescription& description) {
  Value v;
  v["program"] = description.program;
  v["help"] = description.help;
  v["version"] = description.version;
  v["finite"] = description.finite;
  v["open_ports"] = description.open_ports;
  Value::List ports;
  for (const PortDescription& port : description.ports) ports.push_back(to_value(port));
  v["ports"] = std::move(ports);
  Value::List options;
  for (const OptionDescription& option : description.options) options.push_back(to_value(option));
  v["options"] = std::move(options);
  return v;
}

ProgramDescription description_from_value(const Value& value) {
  const std::string path = "the description";
  const Fields fields(value, path);
  ProgramDescription description;
  description.program = fields.text("program");
  description.help = fields.text_or_empty("help");
  description.version = fields.text_or_empty("version");
  description.finite = fields.boolean_or("finite", false);
  description.open_ports = fields.boolean_or("open_ports", false);
  for (const Value& port : fields.list("ports")) {
    description.ports.push_back(port_from(port, format("{}.ports[{}]", path, description.ports.size())));
  }
  for (const Value& option : fields.list("options")) {
    description.options.push_back(
        option_from(option, format("{}.options[{}]", path, description.options.size()), 0));
  }
  return description;
}

}  // namespace weft::topology
