// Options: what a program was given under `with:`, checked against what it describes, with typed access.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>
#include <weft/topology/description.hpp>

namespace weft::program {

/// Values of a program's options, defaults applied at every depth. Asking for an option that the program does
/// not describe, or as another type than described, throws Error{internal}: a defect of the program.
class Options {
 public:
  Options() = default;
  /// Throws Error{invalid_argument} with one line for each mistake: program, option, value, what was
  /// expected. `given` is a map or null.
  Options(std::string program, const std::vector<topology::OptionDescription>& known, const Value& given);

  /// True when the option was given or has a default.
  [[nodiscard]] bool has(std::string_view name) const;
  /// Type text or choice; "" when absent.
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  /// Type number or integer.
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] bool boolean(std::string_view name) const;
  [[nodiscard]] Duration duration(std::string_view name) const;
  /// Bytes.
  [[nodiscard]] std::uint64_t size(std::string_view name) const;
  /// Type list of texts; empty when absent.
  [[nodiscard]] std::vector<std::string> texts(std::string_view name) const;
  /// Any type; null when absent.
  [[nodiscard]] const Value& value(std::string_view name) const;
  /// All of them, as a map.
  [[nodiscard]] const Value& all() const { return values_; }

  /// Throws Error{invalid_argument}: "weft-source: rate: <sentence>". For rules that a description cannot
  /// say.
  [[noreturn]] void refuse(std::string_view name, std::string_view sentence) const;

 private:
  [[nodiscard]] const Value& known(std::string_view name, std::string_view wanted) const;
  std::string program_;
  std::vector<std::string> names_;
  Value values_ = Value::map();
};

/// `key=value` of a command line as the Value that the option's type asks for: text as it is, numbers and
/// booleans read, lists, maps and records as JSON. Throws Error{invalid_argument}.
Value parse_option_text(const std::string& program, const topology::OptionDescription& option,
                        const std::string& text);

}  // namespace weft::program
