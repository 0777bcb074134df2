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

namespace {

std::uint64_t count(const Value& link, const char* key) {
  const Value& value = link.get(key);
  return value.is_int() && value.as_double() > 0 ? value.as_uint() : 0;
}

bool is(const Value& link, const char* key, std::string_view text) {
  return link.get(key).is_string() && link.get(key).as_string() == text;
}

bool is_exact(const Value& link) {
  return link.get("exact") != Value(false);
}

std::string name_of(const Value& link) {
  return humane(link.get("from")) + " -> " + humane(link.get("to"));
}

/// Refused beside records: messages, connections, peers.
std::uint64_t refused(const Value& link) {
  const std::uint64_t all = count(link, "rejected"), records = count(link, "rejected_records");
  return all > records ? all - records : 0;
}

// The sum of what the sender was given, where it is not what it handed on.
bool held_back(const Value& link) {
  return !is(link, "pattern", "pub-sub") && count(link, "accepted") != count(link, "sent");
}

// The receivers' word does not tell all that became of the records.
bool processed_apart(const Value& link) {
  return is(link, "pattern", "push-pull") && count(link, "processed") != count(link, "received");
}

struct Column {
  const char* title;
  const char* key;
  enum class Shown { always, acknowledged, not_zero, processed, accepted } shown = Shown::always;
};
using Shown = Column::Shown;

constexpr std::array kColumns{
    Column{">accepted", "accepted", Shown::accepted},
    Column{">sent", "sent"},
    Column{">received", "received"},
    Column{">processed", "processed", Shown::processed},
    Column{">redelivered", "redelivered", Shown::acknowledged},
    Column{">duplicates", "duplicates", Shown::acknowledged},
    Column{">expired", "expired", Shown::acknowledged},
    Column{">dead letters", "dead_lettered", Shown::acknowledged},
    Column{">failed", "failed", Shown::not_zero},
    Column{">timed out", "timed_out", Shown::not_zero},
    Column{">dropped", "dropped"},
    Column{">lost", "lost"},
    Column{">rejected", "rejected_records"},
    Column{">retained", "retained", Shown::acknowledged},
    Column{">left", "left"},
    Column{">refused", "refused", Shown::not_zero},
    Column{">reconnects", "reconnects", Shown::not_zero},
};

Value cell(const Value& link, const Column& column) {
  if (column.key == std::string_view("refused")) return Value(refused(link));
  // A publisher that promises nothing does not know what became of its records.
  const bool silent = is(link, "pattern", "pub-sub") && is(link, "delivery", "best-effort") &&
                      column.key == std::string_view("left");
  return silent ? Value() : link.get(column.key);
}

bool is_shown(const Column& column, const Value::List& links) {
  const auto any = [&](auto&& test) { return std::ranges::any_of(links, test); };
  const auto acknowledged = [](const Value& link) {
    return link.get("delivery").is_string() && !is(link, "delivery", "best-effort");
  };
  switch (column.shown) {
    case Shown::acknowledged:
      return any(acknowledged);
    case Shown::processed:
      return any(acknowledged) || any(processed_apart);
    case Shown::accepted:
      return any(held_back);
    case Shown::not_zero:
      return any([&](const Value& link) {
        const Value value = cell(link, column);
        return value.is_int() && value.as_double() > 0;
      });
    default:
      return true;
  }
}

}  // namespace

Table link_table(const Value& links, double seconds) {
  static const Value::List none;
  const Value::List& list = links.is_list() ? links.as_list() : none;
  std::vector<std::string> titles{"link"};
  std::vector<const Column*> columns;
  for (const Column& column : kColumns) {
    if (!is_shown(column, list)) continue;
    columns.push_back(&column);
    titles.emplace_back(column.title);
  }
  if (seconds > 0) titles.emplace_back(">sent/s");
  Table table(std::move(titles));
  for (const Value& link : list) {
    std::vector<std::string> row{name_of(link) + (is_exact(link) ? "" : " *")};
    for (const Column* column : columns) row.push_back(humane(cell(link, *column)));
    const Value& sent = link.get("sent");
    if (seconds > 0) row.push_back(humane_rate(sent.is_number() ? sent.as_double() / seconds : 0));
    table.add(std::move(row));
  }
  return table;
}

std::vector<std::string> link_notes(const Value& links) {
  std::vector<std::string> notes;
  if (!links.is_list()) return notes;
  for (const Value& link : links.as_list()) {
    if (is_exact(link)) continue;
    std::string reasons;
    if (link.get("inexact").is_list()) {
      for (const Value& reason : link.get("inexact").as_list())
        reasons += (reasons.empty() ? "" : "; ") + humane(reason);
    }
    if (reasons.empty()) reasons = "an end has not said its last counts";
    notes.push_back(format("  * {}: {}", name_of(link), reasons));
  }
  for (const Value& link : links.as_list()) {
    const std::uint64_t sent = count(link, "sent"), received = count(link, "received");
    if (is(link, "pattern", "pub-sub")) {
      if (count(link, "missed") != 0) {
        notes.push_back(format("  {}: subscribers missed {} batches of what they had asked for",
                               name_of(link), humane_count(count(link, "missed"))));
      } else if (is_exact(link) && received < sent) {
        notes.push_back(
            format("  {}: subscribers get the topics that they ask for, from when they come; of these "
                   "they missed nothing",
                   name_of(link)));
      }
      continue;
    }
    const std::uint64_t known = count(link, "processed") + count(link, "rejected_records");
    if (is(link, "delivery", "best-effort") && is(link, "pattern", "push-pull") && is_exact(link) &&
        count(link, "lost") != 0 && received > known) {
      notes.push_back(
          format("  {}: {} of the lost records had arrived; what is lost is what nobody acknowledged",
                 name_of(link), humane_count(std::min(received - known, count(link, "lost")))));
    }
    if (count(link, "resumed") != 0) {
      notes.push_back(
          format("  {}: {} of the accepted records were in the sender's journal from an earlier run",
                 name_of(link), humane_count(count(link, "resumed"))));
    }
  }
  return notes;
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
