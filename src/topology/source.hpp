// From files and `--set` to one tree: extends merged, sets applied, params substituted. Private.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "problems.hpp"
#include "tree.hpp"

namespace weft::topology {

using Sets = std::vector<std::pair<std::string, std::string>>;

/// The text of a regular file of at most the longest size, or a problem and nullopt.
std::optional<std::string> read_file(const std::string& path, const Place& named_at, Problems& problems);

/// The whole tree, without `extends` and `params`. nullopt when a file cannot be read as YAML at all.
std::optional<Tree> resolve_source(const std::string& text, const std::string& path, const Sets& sets,
                                   Problems& problems);

/// Applies one `--set`; a key with dots is a path into the file, one without names a param.
void apply_set(Tree& root, const std::string& key, const std::string& value, Problems& problems);

/// Replaces ${name} in every scalar but those of `params`, and reports unknown names.
void substitute_params(Tree& root, Problems& problems);

}  // namespace weft::topology
