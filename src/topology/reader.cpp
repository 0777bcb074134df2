#include "reader.hpp"

#include <weft/core/text.hpp>
#include <weft/core/units.hpp>

namespace weft::topology {
namespace {

// A bare number where a unit is needed is the most likely slip: offer the likely unit.
std::string unit_hint(const Tree& tree, std::string_view unit) {
  const bool number = tree.kind == Tree::Kind::integer || tree.kind == Tree::Kind::number;
  if (!number || tree.text.empty() || tree.text.size() > 20 || tree.text.front() == '-') return "";
  return format("; a bare number has no unit, did you mean \"{}{}\"?", tree.text, unit);
}

}  // namespace

void report_wrong(const Tree& tree, const std::string& path, std::string_view expected, Problems& problems) {
  if (tree.broken) return;
  problems.add(tree, format("{} must be {}, found {}", path, expected, found(tree)));
}

std::optional<std::string> read_text(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.is_text() && !tree.broken) return tree.text;
  const bool simple = tree.is_scalar() && tree.kind != Tree::Kind::null && tree.text.size() <= 40;
  report_wrong(tree, path, simple ? format("text (in quotes: \"{}\")", tree.text) : "text", problems);
  return std::nullopt;
}

std::optional<bool> read_boolean(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.kind == Tree::Kind::boolean) return tree.scalar.as_bool();
  report_wrong(tree, path, "true or false", problems);
  return std::nullopt;
}

std::optional<std::int64_t> read_integer(const Tree& tree, std::int64_t least, std::int64_t most,
                                         const std::string& path, Problems& problems) {
  if (tree.kind == Tree::Kind::integer) {
    const double near = tree.scalar.as_double();
    if (near >= static_cast<double>(least) && near <= static_cast<double>(most)) return tree.scalar.as_int();
  }
  report_wrong(tree, path, format("a whole number from {} to {}", least, most), problems);
  return std::nullopt;
}

std::optional<Duration> read_duration(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.is_text() && !tree.broken) {
    if (const auto span = parse_duration(tree.text)) return span;
  }
  if (!tree.broken) {
    problems.add(
        tree, format("{} must be a time with its unit (ns, us, ms, s, m or h), such as \"10s\" or \"250ms\", "
                     "found {}{}",
                     path, found(tree), unit_hint(tree, "s")));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> read_size(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.is_text() && !tree.broken) {
    if (const auto size = parse_size(tree.text)) return size;
  }
  if (!tree.broken) {
    problems.add(
        tree, format("{} must be a size with its unit (B, KiB, MiB, GiB, KB, MB or GB), such as \"64MiB\", "
                     "found {}{}",
                     path, found(tree), unit_hint(tree, "B")));
  }
  return std::nullopt;
}

std::optional<Duration> read_duration_within(const Tree& tree, Duration least, Duration most,
                                             const std::string& path, Problems& problems) {
  const auto span = read_duration(tree, path, problems);
  if (!span || (*span >= least && *span <= most)) return span;
  problems.add(tree, format("{} must be from {} to {}, found {}", path, format_duration(least),
                            format_duration(most), weft::quoted(tree.text)));
  return std::nullopt;
}

std::optional<std::uint64_t> read_size_within(const Tree& tree, std::uint64_t least, std::uint64_t most,
                                              const std::string& path, Problems& problems) {
  const auto size = read_size(tree, path, problems);
  if (!size || (*size >= least && *size <= most)) return size;
  problems.add(tree, format("{} must be from {} to {}, found {}", path, format_size(least), format_size(most),
                            weft::quoted(tree.text)));
  return std::nullopt;
}

bool expect_map(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.is_map()) return true;
  report_wrong(tree, path, "a map of keys and values", problems);
  return false;
}

bool expect_list(const Tree& tree, const std::string& path, Problems& problems) {
  if (tree.is_list()) return true;
  report_wrong(tree, path, "a list", problems);
  return false;
}

const Tree* MapReader::take(const std::string& key) {
  known_.insert(key);
  return tree_.find(key);
}

const Tree* MapReader::need(const std::string& key, const Place& place, std::string_view why) {
  const Tree* value = take(key);
  if (!value) {
    problems_.add(place, format("{} is missing the key {}: {}", path_.empty() ? "the file" : path_,
                                weft::quoted(key), why));
  }
  return value;
}

std::string MapReader::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : format("{}.{}", path_, key);
}

void MapReader::finish() const {
  const std::vector<std::string> known(known_.begin(), known_.end());
  for (const Member& member : tree_.members) {
    if (known_.contains(member.key) || problems_.full()) continue;
    const std::string where = path_.empty() ? "" : " in " + path_;
    problems_.add(member.place, format("unknown key {}{}{}", weft::quoted(member.key), where,
                                       offer(member.key, known, "the keys are")));
  }
}

}  // namespace weft::topology
