// Run directories: what is known of the runs of this user, on disk, for the verbs that look at them.
//
//   <base>/<run id>/lock          held with flock by the launcher as long as it lives; holds its process id
//                   state.json    what RunReport says, with endpoints and process ids; replaced at every
//                   change control       the launcher's socket logs/<node>-<replica>.log
//                   nodes/<node>-<replica>.json   the spec files
//                   s/            sockets of nodes
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>

namespace weft::launch {

struct RunInfo {
  std::string id;
  std::string directory;
  bool live = false;
  int pid = 0;  ///< of the launcher, when live
  Value state;  ///< state.json; null when it cannot be read
};

/// Made by the launcher. Removes nothing but what it made.
class RunDirectory {
 public:
  /// Creates <base>/<id>, mode 0700, and takes its lock; forgets all but the newest `keep` finished runs.
  /// Throws Error{io} with the path, and Error{invalid_argument} when the path is too long for sockets.
  RunDirectory(const std::string& base, const std::string& id, std::size_t keep = 20);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string control_endpoint() const { return "ipc://" + path_ + "/control"; }
  [[nodiscard]] std::string log_file(const std::string& node, unsigned replica) const;
  /// Writes a file by way of a temporary one, so that readers never see half of it.
  void write(const std::string& name, const std::string& text) const;
  /// False: somebody has removed it, or put another one in its place.
  [[nodiscard]] bool there() const;
  /// Makes it anew, empty. Throws as the constructor does.
  void make_again();
  /// All files are as new: who removes old ones from /tmp leaves them alone.
  void touch() const;

 private:
  void make();
  std::string path_;
  std::string base_;
  int lock_ = -1;
};

/// "<topology>-<time>-<random>", unique on this machine.
std::string make_run_id(const std::string& topology);
/// Newest first.
std::vector<RunInfo> list_runs(const std::string& base);
/// The run whose id is, or alone begins with, `id`; with an empty id the only live one. Throws
/// Error{not_found} that lists what there is.
RunInfo find_run(const std::string& base, const std::string& id);
/// Asks a live run to end, as Ctrl-C does, and waits for it. False: it still lives at the deadline.
bool stop_run(const RunInfo& run, Deadline deadline);

}  // namespace weft::launch
