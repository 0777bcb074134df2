// Where the runs of this user are, and which one a person means.
#pragma once

#include <string>
#include <vector>

#include <weft/launch/run_directory.hpp>

namespace weft::cli {

/// `given`, else $WEFT_RUN_DIR, else weft/ in $XDG_RUNTIME_DIR, else /tmp/weft-<uid>.
std::string base_folder(const std::string& given = "");

/// Where the sockets of a run may be whose folder is too long for them: $XDG_RUNTIME_DIR, $TMPDIR, /tmp.
std::vector<std::string> short_folders();

/// The run that `id` names or begins; one that lives goes before those that are over, and an empty id means
/// the only live one. Throws Error{not_found}.
launch::RunInfo pick_run(const std::string& id);

/// "[RUN] NODE.PORT" or "[RUN] NODE/REPLICA.PORT".
struct Target {
  launch::RunInfo run;
  std::string node;
  int replica = -1;  ///< -1: all of them
  std::string port;
};

/// Throws Error{invalid_argument} when the words are no target, Error{not_found} when there is no such run,
/// node or port in its state, with what there is instead.
Target find_target(const std::vector<std::string>& words);

}  // namespace weft::cli
