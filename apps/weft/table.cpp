#include "table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

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

Table link_table(const Value& links, double seconds) {
  struct Column {
    const char* title;
    const char* key;
    bool acknowledged = false;  // of acknowledged deliveries alone
  };
  static constexpr std::array kColumns{
      Column{">sent", "sent"},
      Column{">received", "received"},
      Column{">processed", "processed", true},
      Column{">redelivered", "redelivered", true},
      Column{">duplicates", "duplicates", true},
      Column{">expired", "expired", true},
      Column{">dead letters", "dead_lettered", true},
      Column{">dropped", "dropped"},
      Column{">lost", "lost"},
      Column{">rejected", "rejected"},
      Column{">retained", "retained", true},
      Column{">left", "left"},
      Column{">reconnects", "reconnects", true},
  };
  static const Value::List none;
  const Value::List& list = links.is_list() ? links.as_list() : none;
  const bool acknowledged = std::ranges::any_of(list, [](const Value& link) {
    return link.get("delivery").is_string() && link.get("delivery").as_string() != "best-effort";
  });
  const bool reconnects = std::ranges::any_of(list, [](const Value& link) {
    const Value& count = link.get("reconnects");
    return count.is_int() && count.as_double() > 0;
  });
  const auto shown = [&](const Column& column) {
    return !column.acknowledged || acknowledged ||
           (reconnects && column.key == std::string_view("reconnects"));
  };
  std::vector<std::string> titles{"link"};
  for (const Column& column : kColumns) {
    if (shown(column)) titles.emplace_back(column.title);
  }
  if (seconds > 0) titles.emplace_back(">sent/s");
  Table table(std::move(titles));
  for (const Value& link : list) {
    std::vector<std::string> row{humane(link.get("from")) + " -> " + humane(link.get("to"))};
    for (const Column& column : kColumns) {
      if (shown(column)) row.push_back(humane(link.get(column.key)));
    }
    const Value& sent = link.get("sent");
    if (seconds > 0) row.push_back(humane_rate(sent.is_number() ? sent.as_double() / seconds : 0));
    table.add(std::move(row));
  }
  return table;
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
