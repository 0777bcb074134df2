#include <weft/launch/run_directory.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/core/format.hpp>
#include <weft/core/json.hpp>
#include <weft/core/text.hpp>

#include "launch/disk.hpp"

namespace weft::launch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSocketPath = 107;  // what an AF_UNIX address holds
constexpr std::size_t kLongestSocket =
    47;  // of the names below their folder that Weft makes; a node shortens its own to fit
constexpr std::string_view kShortFolder = "weft-";  // and six characters
constexpr const char* kSocketsLink = "sockets";
// Behind the process id in a run's lock. What has no such lock is no run, and is let be.
constexpr std::string_view kMark = "\nweft run\n";

constexpr int kNames = 1000;  // that are tried for a new run

std::string why() {
  return std::generic_category().message(errno);
}

/// A folder, no link to one, of this user.
bool is_ours(const std::string& path, struct stat& found) {
  return lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == getuid();
}

struct Lock {
  bool is_runs = false;  ///< the folder was made by a launcher of this user
  int holder = 0;        ///< its process id while it lives
};

/// Nothing that somebody else has put there is followed, waited for or believed.
Lock look_at_lock(const fs::path& directory) {
  Lock lock;
  struct stat found {};
  if (!is_ours(directory.string(), found)) return lock;
  const int fd = open((directory / "lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return lock;
  char bytes[64] = {};
  const bool read_all = fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_uid == getuid() &&
                        read(fd, bytes, sizeof bytes - 1) > 0;
  const std::string_view text = bytes;
  lock.is_runs = read_all && text.substr(std::min(text.find('\n'), text.size())) == kMark;
  if (lock.is_runs && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    lock.holder = std::max(std::atoi(bytes), 1);  // 1: live, but nobody to signal
  }
  ::close(fd);
  return lock;
}

std::string absolute_path(const fs::path& path) {
  std::error_code error;
  const fs::path out = fs::absolute(path, error);
  if (!error) return out.string();
  throw Error(Errc::io,
              format("cannot make the run directory {}: it is relative, and the working directory cannot be "
                     "told ({}); --run-dir or WEFT_RUN_DIR take an absolute path",
                     path.string(), error.message()));
}

/// For its owner alone, and for its owner also where the umask would not have it.
void make_new_folder(const std::string& path, std::error_code& error) {
  if (mkdir(path.c_str(), 0700) != 0 || chmod(path.c_str(), 0700) != 0)
    error = std::error_code(errno, std::generic_category());
}

/// One that is there already will do, if it is this user's and nobody else can write to it.
void make_folder(const std::string& path, std::error_code& error) {
  make_new_folder(path, error);
  struct stat found {};
  if (error != std::errc::file_exists) return;
  const bool good = is_ours(path, found) && (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  error = good ? std::error_code() : std::make_error_code(std::errc::permission_denied);
}

/// The parents of the base, which are nobody's in particular.
void make_parents(const fs::path& folder, std::error_code& error) {
  if (folder.empty() || fs::exists(folder, error) || error) return;
  make_parents(folder.parent_path(), error);
  if (!error) make_folder(folder.string(), error);
}

/// Nobody else can put things into it, or (sticky) rename those of others.
bool is_safe(const struct stat& found) {
  const bool others_write = (found.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (found.st_mode & S_ISVTX) == 0;
  return S_ISDIR(found.st_mode) && (found.st_uid == getuid() || found.st_uid == 0) && !others_write;
}

/// Made by this user for nobody else; a link is none.
bool is_private(const std::string& path) {
  struct stat found {};
  return lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == getuid() &&
         (found.st_mode & 077) == 0;
}

/// A new folder whose name nobody had; empty: there is no place for it.
std::string make_short_folder(const std::vector<std::string>& parents) {
  for (const std::string& parent : parents) {
    struct stat found {};
    if (!parent.starts_with('/') || stat(parent.c_str(), &found) != 0 || !is_safe(found)) continue;
    std::string made = format("{}/{}XXXXXX", parent, kShortFolder);
    if (made.size() + kLongestSocket <= kSocketPath && mkdtemp(made.data()) != nullptr) return made;
  }
  return {};
}

std::string sockets_of(const std::string& run_directory) {
  std::error_code none;
  const fs::path link = fs::read_symlink(fs::path(run_directory) / kSocketsLink, none);
  return none || !link.is_absolute() ? run_directory : link.string();
}

/// A folder of ours, or one that only its owner, root or (sticky) nobody can rename things in.
void make_base(const fs::path& base, std::error_code& error) {
  make_parents(base.parent_path(), error);
  if (error) return;
  if (mkdir(base.c_str(), 0700) == 0) {
    if (chmod(base.c_str(), 0700) != 0) error = std::error_code(errno, std::generic_category());
    return;
  }
  struct stat found {};
  if (errno != EEXIST || stat(base.c_str(), &found) != 0) {
    error = std::error_code(errno, std::generic_category());
    return;
  }
  if (is_safe(found)) return;
  throw Error(Errc::io,
              format("{} cannot hold run directories: it must be a folder of yours that others cannot "
                     "write to",
                     base.string()));
}

/// What a launcher that was killed has left elsewhere; never what is not this user's alone.
void forget_sockets(const RunInfo& run, const std::vector<RunInfo>& all) {
  const bool used = std::ranges::any_of(
      all, [&](const RunInfo& other) { return other.live && other.sockets == run.sockets; });
  if (used || run.sockets == run.directory ||
      !fs::path(run.sockets).filename().string().starts_with(kShortFolder))
    return;
  std::error_code ignored;
  if (is_private(run.sockets)) fs::remove_all(run.sockets, ignored);
  fs::remove(fs::path(run.directory) / kSocketsLink, ignored);
}

void forget_old(const fs::path& base, std::size_t keep) {
  std::size_t seen = 0;
  const std::vector<RunInfo> all = list_runs(base);
  for (const RunInfo& run : all) {
    if (!run.live) forget_sockets(run, all);
    if (run.live || ++seen <= keep) continue;
    std::error_code ignored;
    fs::remove_all(run.directory, ignored);
  }
}

}  // namespace

RunDirectory::RunDirectory(const std::string& base, const std::string& id, std::size_t keep,
                           std::vector<std::string> short_folders)
    : path_(absolute_path(fs::path(base) / id)),
      base_(fs::path(path_).parent_path().string()),
      short_folders_(std::move(short_folders)) {
  make();
  forget_old(base_, keep);
}

void RunDirectory::make() {
  std::error_code error;
  make_base(base_, error);
  // The folder of a run that there is already is another one's, unless this one has had it.
  if (!error) lock_ < 0 ? make_new_folder(path_, error) : make_folder(path_, error);
  for (const char* part : {"/logs", "/nodes"}) {
    if (!error) make_folder(path_ + part, error);
  }
  if (error) {
    throw Error(Errc::io,
                format("cannot make the run directory {}: {}; --run-dir or WEFT_RUN_DIR name another place",
                       path_, error.message()));
  }
  make_sockets();
  // Locked and written before anybody can see it: a reader never finds it half made.
  const std::string made = path_ + "/lock.new";
  const std::string pid = format("{}{}", getpid(), kMark);
  if (lock_ >= 0) ::close(lock_);
  lock_ = open(made.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  const bool good = lock_ >= 0 && fchmod(lock_, 0600) == 0 && flock(lock_, LOCK_EX | LOCK_NB) == 0 &&
                    ::write(lock_, pid.data(), pid.size()) == static_cast<ssize_t>(pid.size()) &&
                    rename(made.c_str(), (path_ + "/lock").c_str()) == 0;
  if (!good) {
    const std::string reason = why();
    if (lock_ >= 0) ::close(std::exchange(lock_, -1));
    throw Error(Errc::io, format("cannot make {}/lock: {}", path_, reason));
  }
}

/// Again for a folder that somebody has removed: nodes know it by its name.
void RunDirectory::make_sockets() {
  const bool is_short = path_.size() + kLongestSocket <= kSocketPath;
  std::error_code error;
  if (sockets_.empty()) {
    sockets_ = is_short ? path_ : make_short_folder(short_folders_);
    if (sockets_.empty()) {
      throw Error(
          Errc::invalid_argument,
          format("the run directory {} is too long: sockets below it may have {} bytes in all, and none of "
                 "{} takes a folder for them; choose a shorter --run-dir (or WEFT_RUN_DIR) or topology name",
                 path_, kSocketPath, join_words(short_folders_)));
    }
  } else {
    make_folder(sockets_, error);
    if (!error && !is_private(sockets_)) error = std::make_error_code(std::errc::permission_denied);
  }
  if (!error) make_folder(sockets_ + "/s", error);
  const std::string link = path_ + "/" + kSocketsLink;
  if (!error && !is_short) {
    fs::remove(link, error);
    if (!error) fs::create_directory_symlink(sockets_, link, error);
  }
  if (!error) return;
  throw Error(Errc::io, format("cannot make the folder for the sockets of {}, {}: {}", path_, sockets_,
                               error.message()));
}

bool RunDirectory::there() const {
  struct stat named {
  }, ours{};
  return lock_ >= 0 && fstat(lock_, &ours) == 0 && stat((path_ + "/lock").c_str(), &named) == 0 &&
         named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
}

void RunDirectory::make_again() {
  make();
}

void RunDirectory::touch() const {
  for (const std::string& folder : std::set{path_, sockets_}) {
    std::error_code ignored;
    for (fs::recursive_directory_iterator at(folder, ignored), end; !ignored && at != end;
         at.increment(ignored)) {
      (void)utimensat(AT_FDCWD, at->path().c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
    }
    if (folder != path_) (void)utimensat(AT_FDCWD, folder.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  }
}

RunDirectory::~RunDirectory() {
  std::error_code ignored;
  if (sockets_ == path_) {
    fs::remove_all(path_ + "/s", ignored);
  } else {
    fs::remove_all(sockets_, ignored);
    fs::remove(path_ + "/" + kSocketsLink, ignored);
  }
  if (lock_ >= 0) ::close(lock_);
}

std::string RunDirectory::log_file(const std::string& node, unsigned replica) const {
  return format("{}/logs/{}-{}.log", path_, node, replica);
}

void RunDirectory::write(const std::string& name, const std::string& text) const {
  replace_file(path_ + "/" + name, text);
}

std::string make_run_id(const std::string& topology, const std::string& base,
                        const std::function<unsigned()>& random) {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%m%d-%H%M%S", &parts);
  std::random_device device;
  // Many short runs a second meet a name again; who is to have it then is for make() to say.
  for (int tries = 0;; ++tries) {
    std::string id =
        format("{}-{}-{:04x}", topology.substr(0, 24), stamp, (random ? random() : device()) & 0xFFFF);
    std::error_code unknown;
    if (tries == kNames || !fs::exists(fs::symlink_status(fs::path(base) / id, unknown))) return id;
  }
}

std::vector<RunInfo> list_runs(const std::string& base) {
  std::vector<std::pair<fs::file_time_type, RunInfo>> found;
  std::error_code error;
  fs::directory_iterator at(base, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Error(Errc::io, format("cannot look into {}: {}; WEFT_RUN_DIR names another place for runs", base,
                                 error.message()));
  }
  for (const fs::directory_iterator end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    const Lock lock = look_at_lock(at->path());
    if (!lock.is_runs) continue;
    RunInfo run{.id = at->path().filename().string(),
                .directory = at->path().string(),
                .sockets = sockets_of(at->path().string()),
                .state = {}};
    run.pid = lock.holder;
    run.live = run.pid != 0;
    std::ifstream file(at->path() / "state.json", std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (auto state = try_parse_json(text)) run.state = std::move(*state);
    found.emplace_back(fs::last_write_time(at->path() / "lock", gone), std::move(run));
  }
  std::ranges::stable_sort(found, [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<RunInfo> runs;
  for (auto& [time, run] : found) runs.push_back(std::move(run));
  return runs;
}

RunInfo find_run(const std::string& base, const std::string& id) {
  std::vector<RunInfo> matches;
  std::vector<std::string> names;
  for (RunInfo& run : list_runs(base)) {
    if (run.live) names.push_back(run.id);
    if (run.id == id && !id.empty()) return run;
    if (id.empty() ? run.live : run.id.starts_with(id)) matches.push_back(std::move(run));
  }
  if (matches.size() == 1) return matches.front();
  const std::string live = names.empty() ? "no run is live" : "live: " + join_words(names);
  if (id.empty()) {
    throw Error(Errc::not_found, names.empty()
                                     ? "no run is live; start one with weft up"
                                     : "several runs are live, say which one: " + join_words(names, "or"));
  }
  if (matches.empty())
    throw Error(Errc::not_found, format("no run is called {} ({})", weft::quoted(id), live));
  throw Error(Errc::not_found, format("{} runs begin with {} ({})", matches.size(), weft::quoted(id), live));
}

bool stop_run(const RunInfo& run, Deadline deadline) {
  if (!run.live || run.pid <= 1) return !run.live;
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, run.pid, 0));
  if (pidfd < 0) return true;  // it ended in the meantime
  // The descriptor pins the process; if the lock is still held, it is the launcher and no one who has its
  // number now.
  bool ended = look_at_lock(run.directory).holder != run.pid;
  if (!ended && syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, nullptr, 0) == 0) {
    pollfd wait{pidfd, POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.left(Clock::now())).count();
    ended = poll(&wait, 1, static_cast<int>(std::min<long long>(left, 1 << 30))) > 0;
  }
  ::close(pidfd);
  return ended;
}

}  // namespace weft::launch
