#include "table.hpp"

#include <algorithm>
#include <cmath>

#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

namespace weft::cli {

std::string Table::text(const std::string& indent) const {
  std::vector<std::size_t> widths;
  std::vector<bool> right;
  std::vector<std::vector<std::string>> rows = rows_;
  for (std::string& title : rows.front()) {
    right.push_back(title.starts_with(">"));
    if (right.back()) title.erase(0, 1);
  }
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line = indent;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string blanks(widths[i] - row[i].size(), ' ');
      line += i < right.size() && right[i] ? blanks + row[i] : row[i] + blanks;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string humane(const Value& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_bool()) return value.as_bool() ? "yes" : "no";
  if (value.is_int() && value.as_double() >= 0) return humane_count(value.as_uint());
  if (value.is_int()) return format("{}", value.as_int());
  if (value.is_double()) {
    const double number = value.as_double();
    if (number >= 1000 && number < 1e15)
      return humane_count(static_cast<std::uint64_t>(std::llround(number)));
    return format("{:.6g}", number);
  }
  if (value.is_map()) return "{" + humane_members(value) + "}";
  if (value.is_list()) return format("{} items", value.as_list().size());
  return "-";
}

std::string humane_rate(double per_second) {
  if (!(per_second > 0)) return "0";
  if (per_second < 100) return format("{:.3g}", per_second);
  return humane_count(static_cast<std::uint64_t>(std::llround(std::min(per_second, 1e15))));
}

std::string humane_members(const Value& map) {
  std::string out;
  if (!map.is_map()) return humane(map);
  for (const auto& [key, value] : map.as_map()) {
    if (!out.empty()) out += "  ";
    out += key + " " + humane(value);
  }
  return out;
}

}  // namespace weft::cli
