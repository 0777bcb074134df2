// Typed reading of located values: each call gives the value, or reports what was found and expected.
// Private.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <weft/core/format.hpp>
#include <weft/core/time.hpp>

#include "names.hpp"
#include "problems.hpp"
#include "tree.hpp"

namespace weft::topology {

/// Limits are added to the time that it is: far more would pass its range, and be over at once.
constexpr Duration kLongestLimit = std::chrono::hours(8760);

// `path` names the value in sentences: "nodes.worker.replicas". Each gives nullopt after reporting.
std::optional<std::string> read_text(const Tree& tree, const std::string& path, Problems& problems);
std::optional<bool> read_boolean(const Tree& tree, const std::string& path, Problems& problems);
std::optional<std::int64_t> read_integer(const Tree& tree, std::int64_t least, std::int64_t most,
                                         const std::string& path, Problems& problems);
std::optional<Duration> read_duration(const Tree& tree, const std::string& path, Problems& problems);
std::optional<std::uint64_t> read_size(const Tree& tree, const std::string& path, Problems& problems);
/// With bounds, both inclusive.
std::optional<Duration> read_duration_within(const Tree& tree, Duration least, Duration most,
                                             const std::string& path, Problems& problems);
std::optional<std::uint64_t> read_size_within(const Tree& tree, std::uint64_t least, std::uint64_t most,
                                              const std::string& path, Problems& problems);
bool expect_map(const Tree& tree, const std::string& path, Problems& problems);
bool expect_list(const Tree& tree, const std::string& path, Problems& problems);

/// "must be <expected>, found <what is there>", unless the value is known to be broken.
void report_wrong(const Tree& tree, const std::string& path, std::string_view expected, Problems& problems);

/// The words of an enum: `must be push-pull, pub-sub or dealer-router, found text "pul"; did you mean ...?`
template <class Enum>
std::optional<Enum> read_word(const Tree& tree, const Names<Enum>& names, const std::string& path,
                              Problems& problems) {
  if (const auto value = tree.is_text() && !tree.broken ? parse_name(tree.text, names) : std::nullopt)
    return value;
  const std::vector<std::string> words = words_of(names);
  if (!tree.broken) {
    problems.add(tree, weft::format("{} must be {}, found {}{}", path, one_of(words), found(tree),
                                    tree.is_text() ? did_you_mean(tree.text, words) : ""));
  }
  return std::nullopt;
}

/// One map of the file, whose keys are all known: what is not taken is reported by finish().
class MapReader {
 public:
  /// `tree` is a map and outlives the reader.
  MapReader(const Tree& tree, std::string path, Problems& problems)
      : tree_(tree), path_(std::move(path)), problems_(problems) {}

  /// The value of a known key, or nullptr.
  const Tree* take(const std::string& key);
  /// As take, but a missing key is a problem at `place`.
  const Tree* need(const std::string& key, const Place& place, std::string_view why);
  /// "nodes.worker.<key>"
  [[nodiscard]] std::string path(std::string_view key) const;
  /// Reports the keys that nobody took.
  void finish() const;

 private:
  const Tree& tree_;
  std::string path_;
  Problems& problems_;
  std::set<std::string> known_;
};

}  // namespace weft::topology
