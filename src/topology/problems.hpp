// Collects every mistake of a file before anything is thrown. Private to the topology layer.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <weft/topology/topology.hpp>

#include "tree.hpp"

namespace weft::topology {

class Problems {
 public:
  /// More than this many help nobody; one last line says that there may be more.
  static constexpr std::size_t kMost = 200;

  void add(const Place& place, std::string message);
  /// As add, at the value's place, and with a word on where the value came from when it is not the file's
  /// own.
  void add(const Tree& at, std::string message);

  [[nodiscard]] bool empty() const { return list_.empty(); }
  [[nodiscard]] bool full() const { return list_.size() >= kMost; }
  /// All problems in the order of the files and their lines.
  [[nodiscard]] std::vector<Problem> take();

 private:
  std::vector<Problem> list_;
};

/// `; did you mean "x"?` when a candidate is near, else empty. Long words and many candidates are not
/// searched.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
/// The near candidate itself, or empty.
std::string nearest_of(std::string_view word, const std::vector<std::string>& candidates);
/// `; did you mean "x"?` or, when none is near, `; <what>: a, b and c` (at most twelve shown).
std::string offer(std::string_view word, const std::vector<std::string>& candidates, std::string_view what);
/// `"a", "b" or "c"`, at most twelve shown.
std::string one_of(const std::vector<std::string>& candidates, std::string_view last = "or");

}  // namespace weft::topology
