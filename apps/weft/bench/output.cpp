// Reports as people read them: lines, a table in Markdown, a plot.
#include <algorithm>
#include <array>
#include <cmath>

#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/units.hpp>

#include "cases.hpp"

namespace weft::cli::bench {
namespace {

/// Members that every report has; the others are of its case.
constexpr std::array kCommon{"case",   "size",  "transport", "unit",  "weft",
                             "libzmq", "ratio", "runs",      "spread"};

std::string number(const Value& value) {
  const double v = value.as_double();
  if (std::fabs(v) >= 1000) return humane_count(static_cast<std::uint64_t>(std::llround(v)));
  return to_json(value);
}

std::string text_of(const Value& value) {
  if (value.is_number()) return number(value);
  if (value.is_string()) return value.as_string();
  if (value.is_list() && value.as_list().size() == 2)
    return format("{} - {}", number(value.as_list()[0]), number(value.as_list()[1]));
  return to_json(value);
}

std::string details(const Value& report) {
  std::string out;
  for (const auto& [key, value] : report.as_map()) {
    if (std::ranges::find(kCommon, key) != kCommon.end()) continue;
    out += format("{}{} {}", out.empty() ? "" : ", ", key, text_of(value));
  }
  return out;
}

// ---- the table: a line a comparison ----

/// Members of a report that belong together; the lines of those that it has not are left out.
struct Comparison {
  const char* what;
  const char* weft;
  const char* beside;
  const char* other;
  const char* ratio;
  const char* spread;
};

constexpr std::array kComparisons{
    Comparison{"", "weft", "plain libzmq", "libzmq", "ratio", "spread"},
    Comparison{"99th percentile", "weft_p99", "plain libzmq", "libzmq_p99", "ratio_p99", "spread_p99"},
    Comparison{"", "weft", "Weft best-effort", "best_effort", "ratio_best_effort", "spread_best_effort"},
    Comparison{"", "weft", "plain file", "file", "ratio_file", "spread_file"},
    Comparison{"", "weft", "RabbitMQ", "rabbitmq", "ratio_rabbitmq", "spread_rabbitmq"},
    Comparison{"exactly-once at both ends", "exactly_once", "plain libzmq", "libzmq",
               "ratio_exactly_once_libzmq", "spread_exactly_once_libzmq"}};

/// What was measured, in words: the case, its size, and what is not as usual.
std::string title(const Value& report) {
  std::string out =
      format("{} {}", report.get("case").as_string(), format_size(report.get("size").as_uint()));
  if (report.find("typed") && report.get("typed").as_bool()) out += ", typed";
  if (report.find("delivery") && report.get("delivery").as_string() != "best-effort")
    out += ", " + report.get("delivery").as_string();
  for (const char* key : {"keys", "window", "clients", "subscribers", "commit", "rate"}) {
    if (report.find(key) && report.get(key).as_uint() != 1)
      out += format(", {} {}", key, humane_count(report.get(key).as_uint()));
  }
  return out;
}

/// 100, 10k, 1M, 1G: what has room beside an axis.
std::string short_count(double value) {
  constexpr std::array kUnits{"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return format("{:.0f}{}", value, kUnits[unit]);
}

// ---- the plot: both axes are logarithmic ----

constexpr double kWidth = 720, kHeight = 440, kLeft = 60, kRight = 40, kTop = 20, kBottom = 50;

struct Axis {
  double least, greatest;  // exponents
  double from, to;         // on paper
  [[nodiscard]] double at(double exponent) const {
    const double whole = std::max(greatest - least, 1e-9);
    return from + (exponent - least) / whole * (to - from);
  }
};

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, text);
}

std::string line_of(double x1, double y1, double x2, double y2) {
  return format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ccc\"/>\n", x1, y1,
                x2, y2);
}

}  // namespace

std::string to_line(const Value& report) {
  const std::string& unit = report.get("unit").as_string();
  std::string out =
      format("{}, {} over {}: weft {} {}, libzmq {} {}, ratio {} ({})", report.get("case").as_string(),
             format_size(report.get("size").as_uint()), report.get("transport").as_string(),
             number(report.get("weft")), unit, number(report.get("libzmq")), unit,
             number(report.get("ratio")), text_of(report.get("spread")));
  const std::string more = details(report);
  return more.empty() ? out : out + "; " + more;
}

std::string to_table(const Reports& reports) {
  std::string out =
      "| | over | unit | Weft | beside | | ratio | pair by pair |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const Value& report : reports) {
    const bool journal = report.get("case").as_string() == "journal";
    for (const Comparison& one : kComparisons) {
      if (!report.find(one.ratio)) continue;
      const std::string what = *one.what == 0 && journal ? "at-least-once" : one.what;
      out +=
          format("| {}{}{} | {} | {} | {} | {} | {} | {} | {} |\n", title(report), what.empty() ? "" : ", ",
                 what, report.get("transport").as_string(), report.get("unit").as_string(),
                 number(report.get(one.weft)), one.beside, number(report.get(one.other)),
                 number(report.get(one.ratio)), text_of(report.get(one.spread)));
    }
    if (!report.find("weft_to_10_clients")) continue;
    out += format("| {}, to the rate with 10 | {} | | {} | plain libzmq | {} | | |\n", title(report),
                  report.get("transport").as_string(), number(report.get("weft_to_10_clients")),
                  number(report.get("libzmq_to_10_clients")));
    if (!report.find("weft_bytes_a_client")) continue;
    out += format("| {}, memory a client | {} | bytes | {} | plain libzmq | {} | | |\n", title(report),
                  report.get("transport").as_string(), number(report.get("weft_bytes_a_client")),
                  number(report.get("libzmq_bytes_a_client")));
  }
  return out;
}

std::string to_plot(const Reports& reports) {
  double least = 1e18;
  double greatest = 1;
  for (const Value& report : reports) {
    for (const char* who : {"weft", "libzmq"}) {
      least = std::min(least, report.get(who).as_double());
      greatest = std::max(greatest, report.get(who).as_double());
    }
  }
  const auto size_of = [](const Value& report) { return std::log2(report.get("size").as_double()); };
  const Axis x{size_of(reports.front()), size_of(reports.back()), kLeft, kWidth - kRight};
  const Axis y{std::floor(std::log10(least)), std::ceil(std::log10(greatest)), kHeight - kBottom, kTop};
  std::string out = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (const Value& report : reports) {
    const double at = x.at(size_of(report));
    out += line_of(at, kTop, at, kHeight - kBottom);
    out += text_at(at, kHeight - kBottom + 16, "middle", format_size(report.get("size").as_uint()));
  }
  for (double power = y.least; power <= y.greatest; ++power) {
    const double at = y.at(power);
    out += line_of(kLeft, at, kWidth - kRight, at);
    out += text_at(kLeft - 6, at + 4, "end", short_count(std::pow(10, power)));
  }
  double legend = kTop + 18;
  for (const auto& [who, colour] : {std::pair{"weft", "#1f6feb"}, std::pair{"libzmq", "#d1571b"}}) {
    std::string points;
    for (const Value& report : reports) {
      points +=
          format("{:.1f},{:.1f} ", x.at(size_of(report)), y.at(std::log10(report.get(who).as_double())));
    }
    out +=
        format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"{}\"/>\n", colour, points);
    out += format("<g fill=\"{}\">{}</g>\n", colour, text_at(kWidth - kRight - 8, legend, "end", who));
    legend += 16;
  }
  out += text_at((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", "bytes a record");
  out += text_at(kLeft, kTop - 6, "start", "records/s");
  return out + "</svg>\n";
}

}  // namespace weft::cli::bench
