// Reading a topology file: parse, validate, expand, plan, draw. Pure apart from reading `extends:` files.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/core/error.hpp>
#include <weft/topology/description.hpp>
#include <weft/topology/plan.hpp>

namespace weft::topology {

/// One mistake of a file, or of a `--set`.
struct Problem {
  std::string file;     ///< as the user named it, or "--set"
  unsigned line = 0;    ///< from 1; 0: no place
  unsigned column = 0;  ///< from 1
  std::string message;  ///< what was wrong, the offending text, what was expected, "did you mean"
  /// "train.yaml:12:7: message"
  [[nodiscard]] std::string text() const;
};

/// Thrown with all problems of a file at once; what() is one line a problem.
class InvalidTopology : public Error {
 public:
  explicit InvalidTopology(std::vector<Problem> problems);
  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

/// Gives the description of the program that `run:` names, nullopt for a program that describes nothing, or
/// throws Error{not_found} when there is no such program. `directory` is that of the topology file.
using DescribeProgram = std::function<std::optional<ProgramDescription>(const std::string& program,
                                                                        const std::string& directory)>;

struct LoadOptions {
  /// `--set key=value` in order; a key with dots is a path into the file, one without is a parameter.
  std::vector<std::pair<std::string, std::string>> sets;
  /// Absent: programs are not looked at, only the file is.
  DescribeProgram describe;
};

/// Reads, validates and expands. Throws InvalidTopology.
Plan load(const std::string& path, const LoadOptions& options = {});
/// The same from text; `path` names it in problems and anchors relative paths.
Plan load_text(const std::string& text, const std::string& path, const LoadOptions& options = {});
/// Never throws on any bytes but InvalidTopology; for fuzzing and the schema test: the file alone, no
/// programs.
std::vector<Problem> check_text(const std::string& text, const std::string& path);

/// The file as it will run (`weft check --expand`): YAML with parameters and `extends:` resolved.
std::string expand_yaml(const std::string& path, const LoadOptions& options = {});

/// What a link promises and how, in words: "at-least-once, journal at both ends, dead letters to morgue.in".
std::string promise_of(const LinkPlan& link);

enum class GraphFormat { mermaid, dot, ascii };
std::string draw(const Plan& plan, GraphFormat format);

}  // namespace weft::topology
