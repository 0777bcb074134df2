// Run directories: what is known of the runs of this user, on disk, for the verbs that look at them.
//
// In <base>/<run id>/:
// - lock: held with flock by the launcher as long as it lives; holds its process id and the words "weft run".
//   A folder without them, or of another user, is no run.
// - state.json: what RunReport says, with endpoints and process ids; replaced at every change.
// - control: the launcher's socket. s/: sockets of nodes.
// - sockets: where the path is too long for sockets, a link to the short folder that has `control` and `s/`
//   instead, as long as the run lives.
// - logs/<node>-<replica>.log, nodes/<node>-<replica>.json: the logs, and the spec files.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <weft/core/time.hpp>
#include <weft/core/value.hpp>

namespace weft::launch {

/// Finished runs that are kept unless somebody says another number.
inline constexpr unsigned kKeptRuns = 50;

struct RunInfo {
  std::string id;
  std::string directory;
  std::string sockets;  ///< the folder of `control` and `s/`: `directory`, or a shorter one
  bool live = false;
  int pid = 0;  ///< of the launcher, when live
  Value state;  ///< state.json; null when it cannot be read
};

/// Made by the launcher. Removes nothing but what it made.
class RunDirectory {
 public:
  /// Creates <base>/<id>, mode 0700, and takes its lock; forgets all but the newest `keep` finished runs.
  /// Where the path is too long for sockets, these are in a private folder in the first of `short_folders`
  /// that takes one: it must be absolute, short, and not such that others could rename what is there. Throws
  /// Error{io} with the path, and Error{invalid_argument} when the path is too long for sockets and no short
  /// folder takes them.
  RunDirectory(const std::string& base, const std::string& id, std::size_t keep = kKeptRuns,
               std::vector<std::string> short_folders = {"/tmp"});
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Where sockets are: path(), or the short folder, which goes with this object.
  [[nodiscard]] const std::string& sockets() const { return sockets_; }
  [[nodiscard]] std::string control_endpoint() const { return "ipc://" + sockets_ + "/control"; }
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
  void make_sockets();
  std::string path_;
  std::string sockets_;
  std::string base_;
  std::vector<std::string> short_folders_;
  int lock_ = -1;
};

/// "<topology>-<time>-<random>", as no run in `base` is named. `random`: where the last part comes from; the
/// system, unless a test says otherwise.
std::string make_run_id(const std::string& topology, const std::string& base,
                        const std::function<unsigned()>& random = {});
/// Newest first.
std::vector<RunInfo> list_runs(const std::string& base);
/// The run whose id is, or alone begins with, `id`; with an empty id the only live one. Throws
/// Error{not_found} that lists what there is.
RunInfo find_run(const std::string& base, const std::string& id);
/// Asks a live run to end, as Ctrl-C does, and waits for it. False: it still lives at the deadline.
bool stop_run(const RunInfo& run, Deadline deadline);

}  // namespace weft::launch
