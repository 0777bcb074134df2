#include "ps/fields.hpp"

#include <algorithm>
#include <cmath>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>

namespace weft::ps {

FieldReader::FieldReader(const Value& value, std::string where) : value_(&value), where_(std::move(where)) {
  if (!value.is_map()) {
    throw Error(Errc::invalid_argument,
                format("{}: expected a map of fields, found {}", where_, value.kind()));
  }
}

void FieldReader::fail(std::string_view field, const Value& found, const std::string& expected) const {
  const std::string shown =
      found.is_string() ? weft::quoted(found.as_string()) : to_json(found).substr(0, 60);
  throw Error(Errc::invalid_argument, format("{}.{}: expected {}, found {}", where_, field, expected, shown));
}

const Value* FieldReader::look(std::string_view field) {
  known_.emplace_back(field);
  const Value* found = value_->find(field);
  return found && !found->is_null() ? found : nullptr;
}

std::uint64_t FieldReader::integer(std::string_view field, std::uint64_t otherwise, std::uint64_t least,
                                   std::uint64_t most) {
  const Value* found = look(field);
  if (!found) return otherwise;
  const std::string expected = most == UINT64_MAX ? format("an integer from {}", least)
                                                  : format("an integer from {} to {}", least, most);
  const bool negative = found->is_int() && to_json(*found).front() == '-';
  if (!found->is_int() || negative) fail(field, *found, expected);
  const std::uint64_t number = found->as_uint();
  if (number < least || number > most) fail(field, *found, expected);
  return number;
}

float FieldReader::number(std::string_view field, float otherwise, double least, double most) {
  const Value* found = look(field);
  if (!found) return otherwise;
  const double number = found->is_number() ? found->as_double() : std::nan("");
  // As floats: what a server tells of its tables is read by its workers, and has been rounded.
  const auto rounded = static_cast<float>(number);
  if (!(rounded >= static_cast<float>(least) && rounded <= static_cast<float>(most)))
    fail(field, *found, format("a number from {} to {}", least, most));
  return rounded;
}

std::size_t FieldReader::choice(std::string_view field, std::size_t otherwise,
                                const std::vector<std::string>& choices) {
  const Value* found = look(field);
  if (!found) return otherwise;
  const std::string expected = join_words(choices, "or");
  if (!found->is_string()) fail(field, *found, expected);
  const auto at = std::find(choices.begin(), choices.end(), found->as_string());
  if (at == choices.end()) {
    const auto near = nearest(found->as_string(), choices);
    fail(field, *found, near ? format("{} (did you mean {}?)", expected, *near) : expected);
  }
  return static_cast<std::size_t>(at - choices.begin());
}

const Value& FieldReader::nested(std::string_view field) {
  static const Value null;
  const Value* found = look(field);
  return found ? *found : null;
}

void FieldReader::refuse_others(const std::string& owner) const {
  for (const auto& [name, value] : value_->as_map()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const auto near = nearest(name, known_);
    throw Error(Errc::invalid_argument,
                format("{}.{}: {} has no such field; it takes {}{}", where_, name, owner, join_words(known_),
                       near ? format(" (did you mean {}?)", *near) : std::string()));
  }
}

}  // namespace weft::ps
