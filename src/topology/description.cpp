#include <weft/topology/description.hpp>

#include <charconv>

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
  return v;
}

Value to_value(const OptionDescription& option) {
  Value v;
  v["name"] = option.name;
  v["type"] = to_string(option.type);
  v["unit"] = option.unit;
  v["help"] = option.help;
  v["default"] = option.default_value;
  v["required"] = option.required;
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
  return port;
}

std::optional<double> bound_from(const Fields& fields, std::string_view key) {
  const Value& v = fields.any(key);
  if (v.is_null()) return std::nullopt;
  if (!v.is_number()) Fields::fail(fields.name(key), "a number", v);
  return v.as_double();
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
  for (const Value& field : fields.list("fields")) {
    option.fields.push_back(
        option_from(field, format("{}.fields[{}]", path, option.fields.size()), depth + 1));
  }
  return option;
}

}  // namespace

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
