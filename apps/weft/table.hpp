// Tables and result lines for people.
#pragma once

#include <string>
#include <vector>

#include <weft/core/value.hpp>

namespace weft::cli {

/// Columns as wide as their widest cell; a column whose title begins with ">" is aligned to the right. No
/// line end blanks.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) : rows_{std::move(titles)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.size() == 1; }
  [[nodiscard]] std::string text(const std::string& indent = "  ") const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// The links of a report's JSON form: counts of acknowledged delivery only when some link promises it, and
/// rare ones only where they are not 0, so that the table stays narrow. A link whose counts are not exact has
/// a
/// "*" behind its name. `seconds` 0: without the rate.
Table link_table(const Value& links, double seconds);
/// What a reader of that table might take for a loss, and is none, or for a sum, and is none: a line each.
std::vector<std::string> link_notes(const Value& links);

/// "received 1,000  rate 2,000": the members of a map, nested ones in braces.
std::string humane_members(const Value& map);
/// "12,345" or "3.14": whole numbers from 100 on.
std::string humane_rate(double per_second);
/// One value for people: numbers with separators or six digits.
std::string humane(const Value& value);

}  // namespace weft::cli
