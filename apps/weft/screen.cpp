#include "screen.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include <weft/core/format.hpp>
#include <weft/core/units.hpp>

#include "table.hpp"

namespace weft::cli {
namespace {

constexpr std::array<const char*, 6> kColours{"36", "33", "32", "35", "34", "31"};

unsigned terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// Lines of a node may hold bytes that would change the terminal.
std::string harmless(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\x1B' ? '?' : c;
  return out;
}

// " training  loss 0.33": texts and numbers of a map, the texts without their names.
std::string short_members(const Value& map) {
  std::string out;
  for (const auto& [name, value] : map.as_map()) {
    if (value.is_string()) out += " " + value.as_string();
    if (!value.is_number()) continue;
    out += format("  {} {}", name, value.is_double() ? format("{:.4g}", value.as_double()) : humane(value));
  }
  return out;
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

bool is_dumb() {
  const char* terminal = std::getenv("TERM");
  return terminal && std::string_view(terminal) == "dumb";
}

double number(const Value& value) {
  return value.is_number() ? value.as_double() : 0;
}

}  // namespace

Screen::Screen(const topology::Plan& plan, Settings settings)
    : settings_(settings),
      out_is_terminal_(::isatty(STDOUT_FILENO) == 1),
      err_is_terminal_(::isatty(STDERR_FILENO) == 1),
      moves_(err_is_terminal_ && !is_dumb()),
      coloured_(!is_dumb() && !is_set("NO_COLOR")) {
  for (const topology::NodePlan& node : plan.nodes) {
    width_ = std::max(width_, node.id.text().size());
    order_.emplace(node.id.name, order_.size());
    if (node.main) main_.insert(node.id.text());
  }
}

Screen::~Screen() {
  clear();
}

std::string Screen::prefix(const topology::NodeId& node, bool coloured) const {
  std::string name = node.text();
  name.resize(std::max(width_, name.size()), ' ');
  if (!coloured) return name + " | ";
  const auto found = order_.find(node.name);
  const std::size_t at = found == order_.end() ? 0 : found->second;
  return format("\x1B[{}m{} |\x1B[0m ", kColours[at % kColours.size()], name);
}

void Screen::put(bool is_stderr, const std::string& line) {
  clear();
  output_.put(is_stderr || settings_.to_stderr, line + '\n');
}

void Screen::line(const topology::NodeId& node, bool is_stderr, std::string_view text) {
  if (!settings_.lines) return;
  const bool error = is_stderr || settings_.to_stderr;
  const bool terminal = error ? err_is_terminal_ : out_is_terminal_;
  put(is_stderr, prefix(node, terminal && coloured_) + (terminal ? harmless(text) : std::string(text)));
}

void Screen::state(const topology::NodeId& node, std::string_view state, std::string_view text) {
  if (!settings_.lines) return;
  // That one runs is news only when it has been away.
  const bool back = state == "running" && restarting_.erase(node.text()) != 0;
  if (state == "restarting") restarting_.insert(node.text());
  if (state != "failed" && state != "restarting" && !back) return;
  if (back) text = "again";
  put(true,
      prefix(node, err_is_terminal_ && coloured_) + format("{}{}{}", state, text.empty() ? "" : ": ", text));
}

bool Screen::finish(bool in_a_hurry) {
  clear();
  return output_.finish(in_a_hurry);
}

void Screen::note(const std::string& text) {
  put(true, text);
}

void Screen::clear() {
  if (!shown_) return;
  shown_ = false;
  output_.put(true, "\r\x1B[K");
}

void Screen::progress(const Value& state) {
  if (!settings_.progress || !moves_) return;
  double records = 0;
  if (state.get("links").is_list()) {
    for (const Value& link : state.get("links").as_list()) records += number(link.get("sent"));
  }
  std::size_t running = 0, all = 0;
  std::string says;  // of a main node, whose progress is that of the run; else of any
  bool by_main = false;
  if (state.get("nodes").is_list()) {
    for (const Value& node : state.get("nodes").as_list()) {
      ++all;
      if (node.get("state") == Value("running")) ++running;
      const bool is_main = main_.contains(humane(node.get("name")));
      if (by_main || (!says.empty() && !is_main) || !node.get("progress").is_map()) continue;
      by_main = is_main;
      says = humane(node.get("name")) + short_members(node.get("progress"));
    }
  }
  const double seconds = number(state.get("seconds"));
  const double span = seconds - last_seconds_;
  const double rate = span > 0 ? (records - last_records_) / span : 0;
  last_seconds_ = seconds;
  last_records_ = records;
  // What matters most comes first: the line is cut to the width of the terminal.
  std::string text = format("{:.0f} s  {}/{} {}  {}/s{}{}", seconds, running, all, humane(state.get("state")),
                            humane_rate(rate), says.empty() ? "" : "  ", says);
  text.resize(std::min<std::size_t>(text.size(), terminal_width() - 1));
  clear();
  output_.put(true, text);
  shown_ = true;
}

}  // namespace weft::cli
