#include "problems.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <weft/core/format.hpp>
#include <weft/core/text.hpp>

namespace weft::topology {
namespace {

constexpr std::size_t kLongestWord = 64;  // bytes
constexpr std::size_t kMostCandidates = 500;
constexpr std::size_t kMostShown = 12;

std::string joined(const std::vector<Problem>& problems) {
  std::string out;
  for (const Problem& problem : problems) {
    if (!out.empty()) out += '\n';
    out += problem.text();
  }
  return out;
}

}  // namespace

std::string Problem::text() const {
  if (line == 0) return format("{}: {}", file, message);
  return format("{}:{}:{}: {}", file, line, column, message);
}

InvalidTopology::InvalidTopology(std::vector<Problem> problems)
    : Error(Errc::invalid_file, joined(problems)), problems_(std::move(problems)) {}

void Problems::add(const Place& place, std::string message) {
  if (full()) return;
  Problem problem{place.file ? *place.file : std::string(), place.line, place.column, std::move(message)};
  for (const Problem& other : list_) {
    if (other.file == problem.file && other.line == problem.line && other.column == problem.column &&
        other.message == problem.message) {
      return;
    }
  }
  list_.push_back(std::move(problem));
}

void Problems::add(const Tree& at, std::string message) {
  if (!at.note.empty()) message += format(" ({})", at.note);
  add(at.place, std::move(message));
}

std::vector<Problem> Problems::take() {
  std::map<std::string, std::size_t> order;
  for (const Problem& problem : list_) order.emplace(problem.file, order.size());
  std::stable_sort(list_.begin(), list_.end(), [&](const Problem& a, const Problem& b) {
    return std::tuple(order[a.file], a.line, a.column) < std::tuple(order[b.file], b.line, b.column);
  });
  if (full()) {
    list_.push_back(
        {list_.front().file, 0, 0, format("only the first {} problems are shown; there may be more", kMost)});
  }
  return std::exchange(list_, {});
}

std::string nearest_of(std::string_view word, const std::vector<std::string>& candidates) {
  // One letter is one edit away from any other.
  if (word.size() < 2 || word.size() > kLongestWord || candidates.size() > kMostCandidates) return "";
  return nearest(word, candidates).value_or("");
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string near = nearest_of(word, candidates);
  return near.empty() ? "" : format("; did you mean {}?", weft::quoted(near));
}

std::string one_of(const std::vector<std::string>& candidates, std::string_view last) {
  std::vector<std::string> shown;
  for (const std::string& candidate : candidates) {
    if (shown.size() == kMostShown) {
      shown.push_back(format("{} more", candidates.size() - kMostShown));
      break;
    }
    shown.push_back(weft::quoted(candidate));
  }
  return join_words(shown, last);
}

std::string offer(std::string_view word, const std::vector<std::string>& candidates, std::string_view what) {
  const std::string near = did_you_mean(word, candidates);
  if (!near.empty()) return near;
  return candidates.empty() ? "" : format("; {}: {}", what, one_of(candidates, "and"));
}

}  // namespace weft::topology
