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

std::string details(const Value& report, const char* between) {
  std::string out;
  for (const auto& [key, value] : report.as_map()) {
    if (std::ranges::find(kCommon, key) != kCommon.end()) continue;
    out += format("{}{} {}", out.empty() ? "" : between, key, text_of(value));
  }
  return out;
}

// ---- the plot: both axes are logarithmic ----

constexpr double kWidth = 720, kHeight = 440, kLeft = 80, kRight = 20, kTop = 20, kBottom = 50;

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
  const std::string more = details(report, ", ");
  return more.empty() ? out : out + "; " + more;
}

std::string to_table(const Reports& reports) {
  std::string out =
      "| case | size | transport | unit | Weft | plain libzmq | ratio | pair by pair | details |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (const Value& report : reports) {
    out += format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", report.get("case").as_string(),
                  format_size(report.get("size").as_uint()), report.get("transport").as_string(),
                  report.get("unit").as_string(), number(report.get("weft")), number(report.get("libzmq")),
                  number(report.get("ratio")), text_of(report.get("spread")), details(report, "; "));
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
    out += text_at(kLeft - 6, at + 4, "end", humane_count(static_cast<std::uint64_t>(std::pow(10, power))));
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
